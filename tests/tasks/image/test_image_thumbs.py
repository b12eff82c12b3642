"""image.thumbs makes every size of one decoding, as well as image.thumb makes each."""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pyvips import Image

from dragon.errors import TaskFailed
from dragon.params import read_params
from dragon.registry import Registry
from dragon.task import MediaLimits
from tasks.image import thumbs
from tasks.toolkit.geometry import Size
from tests.support.pictures import CAT, LIMITS, ROCKET, URL, Thumbnail, animation, psnr, write

Sizes = dict[str, dict[str, Any]]


def thumbnails(
    path: Path, sizes: Sizes, format: str = "jpeg", limits: MediaLimits = LIMITS, **others: Any
) -> dict[str, Image]:
    asked = {"url": URL, "sizes": sizes, "format": format, **others}
    params = msgspec.convert(asked, thumbs.ThumbsParams)
    with ExitStack() as opened:
        source = opened.enter_context(path.open("rb"))
        files = [opened.enter_context(tempfile.TemporaryFile()) for _ in sizes]
        thumbs.render(params, limits, source.fileno(), *(file.fileno() for file in files))
        made = [os.pread(file.fileno(), 10_000_000, 0) for file in files]
    options = {"n": -1} if format in ("gif", "webp") else {}
    images = [Image.new_from_buffer(data, "", **options) for data in made]
    return dict(zip(sizes, images, strict=True))


def problems(sizes: Any) -> list[str]:
    task = Registry.load(["tasks"]).get("image.thumbs")
    assert task is not None
    return read_params(task, {"url": URL, "sizes": sizes})[1].get("sizes", [])


def test_each_size_is_honoured_and_as_good_as_one_made_alone() -> None:
    sizes: Sizes = {
        "icon": {"width": 64, "height": 64, "crop": True},
        "face": {"width": 40, "height": 64, "crop": "smart"},
        "small": {"width": 100},
        "large": {"width": 400, "height": 400},
        "huge": {"width": 800},
        "whole": {},
    }
    for path in (CAT, ROCKET):
        for chosen in (sizes, {name: sizes[name] for name in ("icon", "face", "large")}):
            for name, image in thumbnails(path, chosen, "png").items():
                alone = Thumbnail(path, format="png", **sizes[name])
                assert Size(image.width, image.height) == alone.size
                assert psnr(image, alone.image) > 30, name


@pytest.mark.parametrize("width", [130, 150, 190, 380, 700])
def test_a_jpeg_decoded_at_a_fraction_is_as_good_as_one_decoded_whole(
    tmp_path: Path, width: int
) -> None:
    large = Image.new_from_file(str(CAT)).resize(6)
    jpeg = write(tmp_path / "large.jpg", large.jpegsave_buffer(Q=95))
    whole = Image.new_from_file(str(jpeg)).tiffsave_buffer()
    expected = Thumbnail(write(tmp_path / "whole.tiff", whole), width=width, format="png")
    assert psnr(Thumbnail(jpeg, width=width, format="png").image, expected.image) > 38


def test_the_files_come_in_the_order_of_their_names() -> None:
    images = thumbnails(ROCKET, {"b": {"width": 20}, "a": {"width": 30}, "c": {"width": 10}})
    assert {name: image.width for name, image in images.items()} == {"b": 20, "a": 30, "c": 10}


def test_the_quality_is_that_of_each_size() -> None:
    sizes: Sizes = {"small": {"width": 100}, "large": {"width": 300}}
    whole = thumbnails(CAT, sizes, "png")
    good, bad = (thumbnails(CAT, sizes, quality=quality) for quality in (95, 5))
    for name, image in whole.items():
        assert psnr(good[name], image) > psnr(bad[name], image) + 8


def test_all_sizes_of_an_animation_move(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gif", animation().gifsave_buffer())
    sizes: Sizes = {"small": {"width": 30}, "square": {"width": 20, "height": 20, "crop": True}}
    for image in thumbnails(path, sizes, "gif").values():
        assert image.get("page-height") == 20
        assert image.get("delay") == [50, 60, 70, 80]


def test_a_size_over_a_limit_is_named() -> None:
    limits = MediaLimits(max_pixels=640 * 427, max_frames=1)
    with pytest.raises(TaskFailed) as refused:
        thumbnails(ROCKET, {"fine": {"width": 10}, "poster": {"width": 1000}}, limits=limits)
    assert refused.value.message == (
        "The resized picture poster has 1000x667 pixels, more than the limit of 273280 (max_pixels)"
    )


def test_a_wrong_size_gives_a_problem_that_names_it() -> None:
    pixels = "must be a whole number of pixels from 1 to 16383"
    assert problems({"small": {"width": 100}, "whole": {}}) == []
    assert problems({"small": {"width": 0}, "fine": {}}) == [f"small: width: {pixels}"]
    assert problems({"small": {"size": 3}}) == [
        "small: size: this parameter is unknown, choose among: width, height, crop"
    ]
    assert problems({"small": {"crop": "clever"}}) == [
        'small: crop: must be true, false or "smart"'
    ]
    assert problems({"small": 7}) == ["small: expected an object, got an integer"]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a.b", "é", "a\n", "x" * 65, "original_width"])
def test_a_wrong_name_of_a_size_is_refused(name: str) -> None:
    assert problems({name: {}}) == [
        f"{name}: must be a name of 1 to 64 letters, digits, - and _, "
        "other than original_width and original_height"
    ]


@pytest.mark.parametrize("sizes", [{}, [], "small", {str(index): {} for index in range(21)}])
def test_there_are_1_to_20_sizes(sizes: Any) -> None:
    assert problems(sizes) == [
        'must be an object of 1 to 20 sizes, such as {"small": {"width": 100}}'
    ]
