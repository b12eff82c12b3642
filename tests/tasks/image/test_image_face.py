"""image.face finds faces, however the picture is turned, and nothing else."""

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
import pyvips
from pyvips import Image

from dragon.engine.isolation.pool import Decoders
from dragon.errors import TaskFailed
from dragon.task import Source
from tasks import WARM, WARM_ENVIRONMENT
from tasks.image import face
from tasks.image.face import Face, Faces
from tasks.toolkit.geometry import Rectangle
from tasks.toolkit.sight.faces import ALL_TURNS, FaceFinder
from tests.support import decoders
from tests.support.pictures import ASTRONAUT, CAT, LIMITS, ROCKET, URL, plain, write

FACE = Rectangle(180, 60, 90, 116)
"""Where it is in astronaut.jpg, from brow to chin."""


def faces_of(path: Path) -> Faces:
    with path.open("rb") as source:
        return face.find(URL, source.fileno(), LIMITS)


def astronaut() -> Image:
    return Image.new_from_file(str(ASTRONAUT)).copy_memory()


def assert_there(found: Face, x: float, y: float, width: float, height: float) -> None:
    near = 0.2 * max(width, height)
    assert (found.x, found.y) == pytest.approx((x, y), abs=near)
    assert (found.width, found.height) == pytest.approx((width, height), abs=near)


def test_the_face_in_a_portrait_is_found_where_it_is() -> None:
    faces = faces_of(ASTRONAUT)
    assert (faces.width, faces.height) == (512, 512)
    [found] = faces.faces
    assert_there(found, FACE.x, FACE.y, FACE.width, FACE.height)
    assert (found.type, found.rotation) == ("face", 0)
    assert 0.99 < found.confidence <= 1


@pytest.mark.parametrize("path", [CAT, ROCKET])
def test_a_cat_and_a_rocket_have_no_human_face(path: Path) -> None:
    assert faces_of(path).faces == []


@pytest.mark.parametrize(
    ("turn", "rotation", "x", "y"),
    [
        ("d90", 90, 512 - FACE.y - FACE.height, FACE.x),
        ("d180", 180, 512 - FACE.x - FACE.width, 512 - FACE.y - FACE.height),
        ("d270", 270, FACE.y, 512 - FACE.x - FACE.width),
    ],
)
def test_a_face_that_lies_or_stands_on_its_head_is_found(
    turn: str, rotation: int, x: int, y: int, tmp_path: Path
) -> None:
    path = write(tmp_path / "turned.png", astronaut().rot(turn).pngsave_buffer())
    [found] = faces_of(path).faces
    upright = turn == "d180"
    width, height = (FACE.width, FACE.height) if upright else (FACE.height, FACE.width)
    assert_there(found, x, y, width, height)
    assert found.rotation == rotation


@pytest.mark.parametrize("degrees", [-30, 15, 30])
def test_a_leaning_head_is_found(degrees: int, tmp_path: Path) -> None:
    leaning = astronaut().similarity(angle=degrees)
    path = write(tmp_path / "leaning.png", leaning.pngsave_buffer())
    [found] = faces_of(path).faces
    assert found.width / leaning.width == pytest.approx(FACE.width / leaning.width, rel=0.4)


@pytest.mark.parametrize("scale", [0.1, 0.3, 2.0, 4.0])
def test_faces_are_found_small_and_large(scale: float, tmp_path: Path) -> None:
    path = write(tmp_path / "scaled.jpg", astronaut().resize(scale).jpegsave_buffer(Q=95))
    [found] = faces_of(path).faces
    assert_there(found, *(scale * side for side in msgspec.structs.astuple(FACE)))


def test_rectangles_are_told_in_the_picture_as_it_is_seen(tmp_path: Path) -> None:
    stored = astronaut().rot("d90").copy()
    stored.set_type(pyvips.GValue.gint_type, "orientation", 8)
    path = write(tmp_path / "stored.jpg", stored.jpegsave_buffer())
    [found] = faces_of(path).faces
    assert_there(found, FACE.x, FACE.y, FACE.width, FACE.height)
    assert found.rotation == 0


def test_every_face_of_several_is_found_once(tmp_path: Path) -> None:
    head = astronaut().crop(110, 0, 240, 240)
    group = Image.arrayjoin([head, head.fliphor(), head.resize(0.5)], across=3, background=200)
    faces = faces_of(write(tmp_path / "group.png", group.pngsave_buffer())).faces
    assert sorted(found.x // 240 for found in faces) == [0, 1, 2]
    confidences = [found.confidence for found in faces]
    assert confidences == sorted(confidences, reverse=True)


def test_the_first_frame_and_what_is_transparent_are_looked_at(tmp_path: Path) -> None:
    frames = Image.arrayjoin([astronaut(), plain([0, 0, 0], 512, 512)], across=1).copy()
    frames.set_type(pyvips.GValue.gint_type, "page-height", 512)
    assert len(faces_of(write(tmp_path / "moves.webp", frames.webpsave_buffer())).faces) == 1
    hidden = astronaut().bandjoin(0)
    assert faces_of(write(tmp_path / "hidden.png", hidden.pngsave_buffer())).faces == []


@pytest.mark.parametrize(("width", "height"), [(1, 1), (16_000, 1), (3, 9_000), (19, 19)])
def test_pictures_of_any_shape_are_taken(width: int, height: int, tmp_path: Path) -> None:
    path = write(tmp_path / "odd.png", plain([9, 90, 200], width, height).pngsave_buffer())
    assert faces_of(path) == Faces(faces=[], width=width, height=height)


def test_blotches_are_no_faces() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    blotches = cv2.GaussianBlur(noise, (0, 0), 3) * 8
    assert FaceFinder().find(blotches, ALL_TURNS) == []


@pytest.mark.parametrize("data", [b"", b"no picture", ASTRONAUT.read_bytes()[:20_000]])
def test_a_broken_source_is_named(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(TaskFailed, match=rf"File '{URL}' is not a valid image file"):
        faces_of(write(tmp_path / "broken.jpg", data))


async def test_faces_are_found_inside_of_a_confined_child() -> None:
    usual = decoders.settings(warm=WARM, environment=WARM_ENVIRONMENT, memory_bytes=2 * 1024**3)
    source = Source(url=URL, path=ASTRONAUT, size=ASTRONAUT.stat().st_size)
    async with Decoders(usual) as children:
        faces = await children.call(face.find, URL, source, LIMITS, timeout_seconds=30)
    assert len(faces.faces) == 1
