"""Thumbnails look right: sizes, orientation, frames, alpha and colours."""

from pathlib import Path
from typing import Any

import pytest
import pyvips
from pyvips import Image

from tasks.toolkit.geometry import Size
from tests.support.pictures import (
    BOTTOM_LEFT,
    BOTTOM_RIGHT,
    CAT,
    ROCKET,
    TOP_LEFT,
    TOP_RIGHT,
    Thumbnail,
    animation,
    corners,
    plain,
    psnr,
    write,
)


def corner_colors(image: Image) -> list[list[float]]:
    right, bottom = image.width - 5, image.height - 5
    return [image.getpoint(x, y) for x, y in ((4, 4), (right, 4), (4, bottom), (right, bottom))]


def assert_corners(image: Image, *expected: list[int]) -> None:
    for found, color in zip(corner_colors(image), expected, strict=True):
        assert found[:3] == pytest.approx(color, abs=12)


@pytest.mark.parametrize(
    ("params", "size"),
    [
        ({}, Size(640, 427)),
        ({"width": 300}, Size(300, 200)),
        ({"width": 300, "height": 300}, Size(300, 200)),
        ({"width": 300, "height": 300, "crop": True}, Size(300, 300)),
        ({"width": 1200}, Size(1200, 801)),
        ({"height": 1}, Size(1, 1)),
        ({"width": 1, "height": 200}, Size(1, 1)),
        ({"width": 100, "rotation": 90}, Size(100, 150)),
        ({"width": 100, "height": 30, "crop": True, "rotation": 270}, Size(100, 30)),
    ],
)
def test_the_output_has_the_size_asked_for(params: dict[str, Any], size: Size) -> None:
    made = Thumbnail(ROCKET, **params)
    assert made.size == size
    assert made.original == Size(640, 427)


@pytest.mark.parametrize("path", [CAT, ROCKET])
def test_a_thumbnail_is_as_good_as_that_of_libvips(path: Path) -> None:
    best = Image.thumbnail(str(path), 200, output_profile="srgb").copy_memory()
    assert psnr(Thumbnail(path, width=200, format="png").image, best) > 40
    assert psnr(Thumbnail(path, width=200).image, best) > 32
    assert psnr(Thumbnail(path, width=200, format="webp").image, best) > 32
    assert psnr(Thumbnail(path, width=200, format="avif").image, best) > 32
    assert psnr(Thumbnail(path, width=200, format="gif").image[:3], best) > 25


def test_a_crop_is_cut_from_the_middle() -> None:
    whole = Thumbnail(ROCKET, height=200, format="png").image
    middle = whole.crop((whole.width - 200) // 2, 0, 200, 200)
    made = Thumbnail(ROCKET, width=200, height=200, crop=True, format="png").image
    assert psnr(made, middle) > 50


def dot(left: int) -> Image:
    """A wide grey picture with a small red thing in it."""
    return plain([128, 128, 128], 300, 60).draw_rect([230, 20, 20], left, 20, 20, 20, fill=True)


@pytest.mark.parametrize("rotation", [0, 180])
def test_a_smart_crop_keeps_what_draws_the_eye(rotation: int, tmp_path: Path) -> None:
    for left in (5, 140, 270):
        path = write(tmp_path / "a.png", dot(left).pngsave_buffer())
        params: dict[str, Any] = {"width": 60, "height": 60, "rotation": rotation, "format": "png"}
        made = Thumbnail(path, crop="smart", **params)
        assert made.size == Size(60, 60)
        red, green, _ = (made.image.extract_band(band) for band in range(3))
        assert ((red - green) > 100).avg() > 0.95 * 255 * 400 / 3600
    with_middle = Thumbnail(path, crop=True, **params).image
    assert (with_middle - [128, 128, 128]).abs().max() < 3


def test_a_smart_crop_of_an_animation_does_not_jump(tmp_path: Path) -> None:
    moving = Image.arrayjoin([dot(5), dot(270), dot(140)], across=1).copy()
    moving.set_type(pyvips.GValue.gint_type, "page-height", 60)
    path = write(tmp_path / "a.gif", moving.gifsave_buffer())
    made = Thumbnail(path, width=60, height=60, crop="smart", format="gif")
    assert made.frame(0).extract_band(0).max() > 220
    assert made.frame(1).extract_band(0).max() < 140


@pytest.mark.parametrize("format", ["jpeg", "png", "gif", "webp", "avif"])
def test_a_quality_trades_likeness_for_bytes(format: str) -> None:
    best = Thumbnail(CAT, width=200, format="png").image
    made = [Thumbnail(CAT, width=200, format=format, quality=one) for one in (95, 50, 1)]
    likeness = [psnr(thumbnail.image[:3], best) for thumbnail in made]
    assert sorted(likeness, reverse=True) == likeness
    assert likeness[0] > likeness[2] + 5
    bytes_taken = [len(thumbnail.data) for thumbnail in made]
    assert sorted(bytes_taken, reverse=True) == bytes_taken
    assert bytes_taken[0] > 2 * bytes_taken[2]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_upright(orientation: int, tmp_path: Path) -> None:
    upright = corners()
    stored = {
        1: upright,
        2: upright.fliphor(),
        3: upright.rot180(),
        4: upright.flipver(),
        5: upright.rot90().fliphor(),
        6: upright.rot270(),
        7: upright.rot270().fliphor(),
        8: upright.rot90(),
    }[orientation].copy()
    stored.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    path = write(tmp_path / "shot.jpg", stored.jpegsave_buffer(Q=95))
    made = Thumbnail(path, width=90)
    assert (made.size, made.original) == (Size(90, 60), Size(60, 40))
    assert_corners(made.image, TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT)


def test_a_rotation_turns_counter_clockwise(tmp_path: Path) -> None:
    path = write(tmp_path / "corners.png", corners().pngsave_buffer())
    quarter = Thumbnail(path, rotation=90, width=40, format="png")
    assert quarter.size == Size(40, 60)
    assert_corners(quarter.image, TOP_RIGHT, BOTTOM_RIGHT, TOP_LEFT, BOTTOM_LEFT)
    half = Thumbnail(path, rotation=180, format="png").image
    assert_corners(half, BOTTOM_RIGHT, BOTTOM_LEFT, TOP_RIGHT, TOP_LEFT)
    three_quarters = Thumbnail(path, rotation=270, format="png").image
    assert_corners(three_quarters, BOTTOM_LEFT, TOP_LEFT, BOTTOM_RIGHT, TOP_RIGHT)


@pytest.mark.parametrize("source", ["gif", "webp"])
@pytest.mark.parametrize("format", ["gif", "webp"])
@pytest.mark.parametrize(
    "params", [{"width": 30}, {"width": 20, "height": 20, "crop": True, "rotation": 90}]
)
def test_an_animation_stays_one(
    source: str, format: str, params: dict[str, Any], tmp_path: Path
) -> None:
    path = write(tmp_path / source, animation().write_to_buffer(f".{source}"))
    made = Thumbnail(path, format=format, **params)
    assert made.size == Size(params["width"], 20)
    assert made.original == Size(60, 40)
    assert made.image.get("n-pages") == 4
    assert made.image.get("delay") == [50, 60, 70, 80]
    assert made.image.get("loop") == 3
    brightness = [made.frame(index).extract_band(0).avg() for index in range(4)]
    assert brightness == pytest.approx([10, 70, 130, 190], abs=8)


@pytest.mark.parametrize("format", ["jpeg", "png", "avif"])
def test_an_animation_gives_its_first_frame_to_formats_without_frames(
    format: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.gif", animation().gifsave_buffer())
    made = Thumbnail(path, format=format)
    assert (made.image.width, made.image.height) == (60, 40)
    assert made.image.extract_band(0).avg() == pytest.approx(10, abs=3)


def test_alpha_is_kept_and_becomes_white_in_a_jpeg(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", plain([200, 30, 40, 128]).pngsave_buffer())
    for format in ("png", "webp", "avif"):
        image = Thumbnail(path, width=40, format=format).image
        assert image.getpoint(20, 15) == pytest.approx([200, 30, 40, 128], abs=3)
    clear = write(tmp_path / "clear.png", plain([200, 30, 40, 0]).pngsave_buffer())
    assert Thumbnail(clear, width=40, format="gif").image.getpoint(20, 15)[3] == 0
    assert Thumbnail(clear, width=40).image.getpoint(20, 15) == pytest.approx([255] * 3, abs=1)
    assert Thumbnail(path, width=40).image.getpoint(20, 15) == pytest.approx([227, 142, 147], abs=3)


def test_a_poster_shows_a_play_icon_in_its_middle(tmp_path: Path) -> None:
    path = write(tmp_path / "grey.png", plain([128]).pngsave_buffer())
    made = Thumbnail(path, width=400, poster=True, format="png").image
    assert made.getpoint(200, 150) == pytest.approx([244] * 3, abs=2)
    assert made.getpoint(165, 150)[0] < 70
    assert made.getpoint(5, 5) == [128, 128, 128]
    assert psnr(made.flipver(), made) > 40
    assert Thumbnail(path, width=1, poster=True).size == Size(1, 1)


@pytest.mark.parametrize("format", ["gif", "webp"])
def test_every_frame_of_a_poster_has_the_icon(format: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.gif", animation().gifsave_buffer())
    made = Thumbnail(path, width=120, poster=True, format=format)
    for index in range(4):
        assert made.frame(index).getpoint(60, 40)[0] > 235


def test_colours_become_srgb_whatever_they_were(tmp_path: Path) -> None:
    color = plain([200, 30, 40])
    sources = {
        "wide.jpg": color.icc_transform("p3", input_profile="srgb").jpegsave_buffer(profile="p3"),
        "deep.png": color.colourspace("rgb16").pngsave_buffer(),
        "lab.tif": color.colourspace("lab").tiffsave_buffer(),
        "palette.png": color.pngsave_buffer(palette=True),
    }
    print_colors = color.icc_transform("cmyk", input_profile="srgb")
    sources["cmyk.jpg"] = print_colors.jpegsave_buffer()
    sources["cmyk-bare.jpg"] = print_colors.jpegsave_buffer(keep="none")
    for name, data in sources.items():
        made = Thumbnail(write(tmp_path / name, data), width=40).image
        found = made.getpoint(20, 15)
        assert found == pytest.approx([200, 30, 40], abs=12 if "cmyk" in name else 3), name
        assert "icc-profile-data" not in made.get_fields()


def test_grey_stays_grey(tmp_path: Path) -> None:
    grey = plain([102])
    for name, data in {
        "8.jpg": grey.jpegsave_buffer(),
        "16.png": grey.colourspace("grey16").pngsave_buffer(),
    }.items():
        path = write(tmp_path / name, data)
        assert Thumbnail(path, width=40).image.getpoint(20, 15) == pytest.approx([102], abs=2)


def test_metadata_is_stripped(tmp_path: Path) -> None:
    image = corners()
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Copyright", "somebody")
    path = write(tmp_path / "a.jpg", image.jpegsave_buffer(profile="srgb"))
    assert b"somebody" in path.read_bytes()
    for format in ("jpeg", "png", "webp", "avif", "gif"):
        made = Thumbnail(path, width=40, format=format)
        assert b"somebody" not in made.data
        assert not {"exif-data", "icc-profile-data"} & set(made.image.get_fields())
