"""image.info tells what a picture is and how it was shot."""

from pathlib import Path

import pytest
import pyvips
from pyvips import Image

from dragon.errors import TaskFailed
from tasks.image.info import Info, inspect
from tests.pictures import CAT, ROCKET, URL, animation, corners, plain, write


def info_of(path: Path) -> Info:
    with path.open("rb") as source:
        return inspect(URL, source.fileno())


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
    )
    assert info_of(write(tmp_path / "shot.jpg", shot.jpegsave_buffer())) == expected


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


def test_no_pixel_is_decoded(tmp_path: Path) -> None:
    data = ROCKET.read_bytes()
    assert info_of(write(tmp_path / "cut.jpg", data[: len(data) // 2])).width == 640


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskFailed) as refused:
        info_of(write(tmp_path / "cat.jpeg", b"<html>"))
    assert refused.value.message == f"File '{URL}' is not a valid image file"
