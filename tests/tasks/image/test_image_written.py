"""image.convert writes any format, within its bytes, in sRGB whatever the colours were."""

import pytest
from pyvips import Image

from tasks.image.convert import convert
from tests.support.pictures import CAT, plain, psnr
from tests.tasks.image.converting_pictures import CAT_URL, FILES, RED, ROCKET_URL, made, op
from tests.tasks.workbench import make, refusal

# Formats, quality, bytes


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "gif", "avif"])
def test_the_format_is_the_source_s_own_or_the_one_asked_for(format: str) -> None:
    data = plain([9, 9, 9]).write_to_buffer({"jpeg": ".jpg"}.get(format, f".{format}"))
    own = make(convert, {RED: data}, url=RED)
    assert own.result.content_type == f"image/{format}"
    asked = made(CAT_URL, op("format", format=format))
    assert asked.result.content_type == f"image/{format}"


def test_what_is_not_written_becomes_a_png() -> None:
    tiff = make(convert, {RED: plain([9, 9, 9]).tiffsave_buffer()}, url=RED)
    assert tiff.result.content_type == "image/png"


def test_the_quality_is_told() -> None:
    own = {"jpeg": 85, "webp": 80, "avif": 55, "png": None, "gif": None}
    for format, quality in own.items():
        assert made(RED, op("format", format=format)).result.quality == quality
    assert made(RED, op("format", format="png"), op("quality", quality=30)).result.quality == 30


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "gif", "avif"])
def test_the_best_quality_is_found_that_takes_no_more_bytes(format: str) -> None:
    operations = [op("resize", width=160), op("format", format=format)]
    whole = made(CAT_URL, *operations)
    assert made(CAT_URL, *operations, max_bytes=len(whole.data)).data == whole.data
    most = len(whole.data) // (4 if format == "png" else 2)
    small = made(CAT_URL, *operations, max_bytes=most)
    assert 0.5 * most < len(small.data) <= most
    better = made(CAT_URL, *operations, op("quality", quality=min(95, small.result.quality + 12)))
    assert len(better.data) > most
    assert psnr(better.image[:3], whole.image[:3]) >= psnr(small.image[:3], whole.image[:3])


def test_bytes_that_are_too_few_are_refused_with_what_would_be_needed() -> None:
    words = refusal(convert, FILES, url=ROCKET_URL, max_bytes=500)
    least = len(made(ROCKET_URL, op("quality", quality=1)).data)
    assert words == (
        f"The output takes {least} bytes in the lowest quality of jpeg, "
        "more than max_bytes (500): choose another format or fewer pixels"
    )


# Colours


def test_colours_become_srgb_whatever_they_were() -> None:
    color = plain([200, 30, 40])
    print_colors = color.icc_transform("cmyk", input_profile="srgb")
    for name, data in {
        "wide": color.icc_transform("p3", input_profile="srgb").jpegsave_buffer(profile="p3"),
        "deep": color.colourspace("rgb16").pngsave_buffer(),
        "deep-clear": plain([200, 30, 40, 128]).colourspace("rgb16").pngsave_buffer(),
        "lab": color.colourspace("lab").tiffsave_buffer(),
        "palette": color.pngsave_buffer(palette=True),
        "ten": color.colourspace("rgb16").heifsave_buffer(bitdepth=10, compression="av1", Q=90),
        "cmyk": print_colors.jpegsave_buffer(),
        "cmyk-bare": print_colors.jpegsave_buffer(keep="none"),
    }.items():
        operations = [op("blur", sigma=1), op("rotate", degrees=90), op("format", format="png")]
        image = make(convert, {RED: data}, url=RED, operations=operations).image
        allowed = 12 if "cmyk" in name else 4
        assert image(15, 20)[:3] == pytest.approx([200, 30, 40], abs=allowed), name
        assert "icc-profile-data" not in image.get_fields()


@pytest.mark.parametrize("kind", ["p3", "p3 of 16 bits", "cmyk", "16 bits", "10 bits", "alpha"])
def test_a_photograph_of_any_kind_is_as_libvips_converts_it(kind: str) -> None:
    photo = Image.new_from_file(str(CAT))
    data = {
        "p3": lambda: photo.icc_transform("p3", input_profile="srgb").jpegsave_buffer(profile="p3"),
        "p3 of 16 bits": lambda: photo.icc_transform(
            "p3", input_profile="srgb", depth=16
        ).tiffsave_buffer(profile="p3"),
        "cmyk": lambda: photo.icc_transform("cmyk", input_profile="srgb").jpegsave_buffer(),
        "16 bits": lambda: photo.colourspace("rgb16").pngsave_buffer(),
        "10 bits": lambda: photo.colourspace("rgb16").heifsave_buffer(
            bitdepth=10, compression="av1"
        ),
        "alpha": lambda: photo.bandjoin(Image.grey(451, 300, uchar=True)).pngsave_buffer(),
    }[kind]()
    operations = [op("resize", width=200), op("format", format="png")]
    one = make(convert, {CAT_URL: data}, url=CAT_URL, operations=operations)
    expected = Image.thumbnail_buffer(data, 200, output_profile="srgb")
    assert psnr(one.image, expected) > 45
    if kind.startswith("p3"):
        assert psnr(one.image, Image.thumbnail(str(CAT), 200)) > 40


def test_a_format_that_cannot_hold_the_size_says_so() -> None:
    operations = [op("resize", width=16000, height=9), op("rotate", degrees=1)]
    files = {RED: plain([9], 17_000, 2).pngsave_buffer()}
    words = refusal(convert, files, url=RED, operations=[op("format", format="webp")])
    assert words == "The output would have 17000x2 pixels, webp holds 16383 a side"
    assert make(convert, files, url=RED, operations=operations).result.width > 15_000
