"""What a camera noted is read, and nonsense counts as unknown."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.toolkit.pictures.exif import TAGS, Shot, read_shot, rotation_of

NOTHING = Shot(date_time=None, flash=None, focal_length=None, iso_speed=None, exposure_time=None)


def test_a_shot_is_read_from_the_texts_of_libvips() -> None:
    tags = {
        "exif-ifd0-DateTime": "2014:01:01 00:00:00 (2014:01:01 00:00:00, ASCII, 20 components)",
        "exif-ifd2-DateTimeOriginal": "2013:04:03 15:47:27 (2013:04:03 15:47:27, ASCII)",
        "exif-ifd2-Flash": "25 (Flash fired, auto mode, Short, 1 components, 2 bytes)",
        "exif-ifd2-FocalLength": "187/10 (18.7 mm, Rational, 1 components, 8 bytes)",
        "exif-ifd2-ISOSpeedRatings": "400 (400, Short, 1 components, 2 bytes)",
        "exif-ifd2-ExposureTime": "1/125 (1/125 sec., Rational, 1 components, 8 bytes)",
    }
    assert read_shot(tags) == Shot(
        date_time="2013:04:03 15:47:27",
        flash=True,
        focal_length=18.7,
        iso_speed=400.0,
        exposure_time=0.008,
    )


def test_a_flash_that_did_not_fire_is_false_and_one_never_noted_unknown() -> None:
    assert read_shot({"exif-ifd2-Flash": "16 (Flash did not fire, Short)"}).flash is False
    assert read_shot({}).flash is None


def test_the_date_of_the_file_serves_where_that_of_the_shot_is_missing() -> None:
    tags = {
        "exif-ifd2-DateTimeOriginal": "    :  :     :  :  ",
        "exif-ifd0-DateTime": "2014:01:02 03:04:05",
    }
    assert read_shot(tags).date_time == "2014:01:02 03:04:05"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0/0",
        "0",
        "1/0 (inf, Rational)",
        "-5/1",
        "nan",
        "1e999",
        "9" * 5000,
        "1/" + "9" * 50,
        "1/2/3",
        "١/٢",
        "0000:00:00 00:00:00",
        "2013:04:03",
        "((((",
        "\0\udcff",
    ],
)
def test_nonsense_counts_as_unknown(text: str) -> None:
    tags = dict.fromkeys(TAGS, text) | {"exif-ifd2-Flash": "?"}
    assert read_shot(tags) == NOTHING


@given(st.dictionaries(st.sampled_from(TAGS), st.text("0123456789/-. (\0", max_size=30)))
def test_no_text_whatever_breaks_the_reader(tags: dict[str, str]) -> None:
    shot = read_shot(tags)
    for value in (shot.focal_length, shot.iso_speed, shot.exposure_time):
        assert value is None or (value > 0 and math.isfinite(value))


def test_a_rotation_is_known_where_no_flip_is_needed() -> None:
    rotations = [rotation_of(orientation) for orientation in (None, 1, 2, 3, 4, 5, 6, 7, 8, 9)]
    assert rotations == [None, 0.0, None, 180.0, None, None, 270.0, None, 90.0, None]
