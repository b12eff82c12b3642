"""image.info tells what a picture is and how it was shot."""

import re
from itertools import chain
from pathlib import Path

import msgspec
import pytest
import pyvips
from blurhash import components, decode
from pyvips import Image

from dragon.errors import TaskFailed
from dragon.task import MediaLimits
from tasks.image.info import Info, inspect
from tasks.toolkit.colors import rgba
from tests.support.pictures import CAT, LIMITS, ROCKET, URL, animation, corners, plain, psnr, write


def info_of(path: Path, limits: MediaLimits = LIMITS) -> Info:
    with path.open("rb") as source:
        return inspect(URL, source.fileno(), limits)


def with_exif(image: Image, tags: dict[str, str]) -> Image:
    tagged = image.copy()
    for name, text in tags.items():
        tagged.set_type(pyvips.GValue.gstr_type, f"exif-{name}", text)
    return tagged


def test_a_photograph_tells_how_it_was_shot(tmp_path: Path) -> None:
    tags = {
        "ifd0-Orientation": "6",
        "ifd2-DateTimeOriginal": "2013:04:03 15:47:27",
        "ifd2-Flash": "25",
        "ifd2-FocalLength": "187/10",
        "ifd2-ISOSpeedRatings": "400",
        "ifd2-ExposureTime": "1/125",
    }
    shot = with_exif(corners(), tags)
    shot.set_type(pyvips.GValue.gint_type, "orientation", 6)
    expected = Info(
        content_type="image/jpeg",
        type="image",
        width=60,
        height=40,
        alpha=False,
        exif_orientation=6,
        rotation=270.0,
        date_time="2013:04:03 15:47:27",
        flash=True,
        focal_length=18.7,
        iso_speed=400.0,
        exposure_time=0.008,
        page_count=1,
        blurhash=None,
        dominant_colors=[],
    )
    info = info_of(write(tmp_path / "shot.jpg", shot.jpegsave_buffer()))
    assert msgspec.structs.replace(info, blurhash=None, dominant_colors=[]) == expected


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_rotation_it_tells_turns_the_stored_picture_upright(
    orientation: int, tmp_path: Path
) -> None:
    stored = corners()
    stored.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    path = write(tmp_path / "shot.png", stored.pngsave_buffer())
    info = info_of(path)
    assert info.exif_orientation == orientation
    upright = Image.new_from_file(str(path)).autorot()
    turns = {0.0: "d0", 90.0: "d270", 180.0: "d180", 270.0: "d90"}
    if info.rotation is None:
        assert all(
            turned.width != upright.width or (turned - upright).abs().max() > 0
            for turned in (corners().rot(turn) for turn in turns.values())
        )
    else:
        assert (corners().rot(turns[info.rotation]) - upright).abs().max() == 0


def test_a_picture_without_exif_leaves_the_unknown_open() -> None:
    info = info_of(CAT)
    assert (info.content_type, info.width, info.height) == ("image/png", 451, 300)
    unknown = (info.exif_orientation, info.rotation, info.date_time, info.flash)
    assert unknown == (None, None, None, None)
    assert (info.focal_length, info.iso_speed, info.exposure_time) == (None, None, None)
    assert info_of(ROCKET).content_type == "image/jpeg"


def test_alpha_is_told_of_every_format(tmp_path: Path) -> None:
    for format in ("png", "webp", "avif", "tif"):
        clear = write(tmp_path / "clear", plain([9, 9, 9, 128]).write_to_buffer(f".{format}"))
        solid = write(tmp_path / "solid", plain([9, 9, 9]).write_to_buffer(f".{format}"))
        assert info_of(clear).alpha is True, format
        assert info_of(solid).alpha is False, format


def test_the_size_of_an_animation_is_that_of_a_frame(tmp_path: Path) -> None:
    for format in ("gif", "webp"):
        info = info_of(write(tmp_path / "a", animation().write_to_buffer(f".{format}")))
        assert (info.content_type, info.width, info.height) == (f"image/{format}", 60, 40)


def test_hostile_exif_is_unknown_and_does_no_harm(tmp_path: Path) -> None:
    tags = {"ifd0-DateTime": "2013:04:03 15:47:27", "ifd2-FocalLength": "50/1"}
    data = with_exif(plain([9, 9, 9]), tags).jpegsave_buffer()
    start = data.index(b"Exif\0\0")
    for position in range(start, start + 200, 3):
        broken = bytearray(data)
        broken[position : position + 4] = b"\xff\xfe\x80\xff"
        assert info_of(write(tmp_path / "a.jpg", bytes(broken))).width == 80


def test_pages_and_frames_are_counted(tmp_path: Path) -> None:
    for format in ("gif", "webp", "tiff"):
        data = animation(3).write_to_buffer(f".{format}")
        assert info_of(write(tmp_path / "a", data)).page_count == 3, format
    assert info_of(ROCKET).page_count == 1


def test_the_blurhash_is_near_to_the_picture(tmp_path: Path) -> None:
    for path, (columns, rows) in ((CAT, (4, 3)), (ROCKET, (4, 3))):
        picture = Image.thumbnail(str(path), 32).colourspace("srgb").copy_memory()
        told = info_of(path).blurhash
        assert told is not None
        assert components(told) == (columns, rows)
        painted = Image.new_from_array(
            [list(chain(*row)) for row in decode(told, picture.width, picture.height)]
        )
        blurred = picture.gaussblur(4).bandunfold()
        assert psnr(painted, blurred) > 20
    upright = write(tmp_path / "a.png", plain([9, 9, 9], 20, 60).pngsave_buffer())
    assert components(info_of(upright).blurhash or "") == (3, 4)


def test_the_dominant_colors_are_those_of_most_pixels(tmp_path: Path) -> None:
    white = plain([250, 250, 250], 200, 50)
    flag = plain([0, 80, 160], 200, 150).join(white, "vertical")
    noisy = (flag + Image.gaussnoise(200, 200, mean=0, sigma=3, seed=1)).cast("uchar")
    info = info_of(write(tmp_path / "flag.png", noisy.pngsave_buffer()))
    first, second = info.dominant_colors[:2]
    assert first.share + second.share == 1
    assert second.share == pytest.approx(0.25, abs=0.02)
    assert near(first.color, [0, 80, 160])
    assert near(second.color, [250, 250, 250])


def test_only_what_can_be_seen_has_a_color(tmp_path: Path) -> None:
    half = Image.arrayjoin([plain([200, 30, 40, 255]), plain([0, 255, 0, 0])], across=2)
    info = info_of(write(tmp_path / "half.png", half.pngsave_buffer()))
    [only] = info.dominant_colors
    assert (only.share, near(only.color, [200, 30, 40])) == (1, True)
    clear = info_of(write(tmp_path / "clear.png", plain([0, 0, 0, 0]).pngsave_buffer()))
    assert clear.dominant_colors == []
    assert clear.blurhash is not None
    grey = info_of(write(tmp_path / "grey.jpg", plain([102]).jpegsave_buffer()))
    assert [one.color for one in grey.dominant_colors] == ["#666666"]


def near(color: str, expected: list[int]) -> bool:
    return bool(re.fullmatch("#[0-9a-f]{6}", color)) and rgba(color)[:3] == pytest.approx(
        expected, abs=12
    )


def test_how_a_picture_looks_is_unknown_where_it_cannot_be_decoded(tmp_path: Path) -> None:
    data = ROCKET.read_bytes()
    cut = info_of(write(tmp_path / "cut.jpg", data[: len(data) // 2]))
    large = info_of(ROCKET, MediaLimits(max_pixels=640 * 426, max_frames=1))
    for info in (cut, large):
        assert (info.width, info.blurhash, info.dominant_colors) == (640, None, [])


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskFailed) as refused:
        info_of(write(tmp_path / "cat.jpeg", b"<html>"))
    assert refused.value.message == f"File '{URL}' is not a valid image file"
