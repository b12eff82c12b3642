"""A crop that is chosen keeps faces, and what stands out where there are none."""

import pytest
from pyvips import Image

from tasks.toolkit.geometry import Rectangle, Size
from tasks.toolkit.sight.attention import attend, crop_window
from tests.support.pictures import ASTRONAUT, animation, plain

GREY = [128, 128, 128]
WIDE = Size(600, 300)


def astronaut() -> Image:
    return Image.new_from_file(str(ASTRONAUT)).copy_memory()


def scene(*spots: tuple[int, int], color: tuple[int, ...] = (220, 30, 30)) -> Image:
    """A grey 600 x 300 with discs of 40 pixels around these places."""
    image = plain(GREY, WIDE.width, WIDE.height)
    for x, y in spots:
        image = image.draw_circle(list(color), x, y, 20, fill=True)
    return image


def holds(window: Rectangle, left: int, top: int, right: int, bottom: int) -> bool:
    across = window.x <= left and right <= window.x + window.width
    return across and window.y <= top and bottom <= window.y + window.height


@pytest.mark.parametrize("x", [40, 150, 300, 450, 560])
def test_a_window_follows_what_stands_out(x: int) -> None:
    window = crop_window(scene((x, 150)), Size(300, 300))
    assert (window.width, window.height) == (300, 300)
    assert holds(window, x - 20, 130, x + 20, 170)
    assert 0 <= window.x <= 300
    assert window.y == 0


@pytest.mark.parametrize(("x", "y"), [(60, 50), (540, 250), (300, 150)])
def test_a_window_smaller_both_ways_moves_both_ways(x: int, y: int) -> None:
    window = crop_window(scene((x, y)), Size(150, 100))
    assert holds(window, x - 20, y - 20, x + 20, y + 20)
    assert holds(Rectangle(0, 0, 600, 300), window.x, window.y, window.x + 150, window.y + 100)


def test_what_stands_out_is_not_left_at_the_edge_where_there_is_room() -> None:
    window = crop_window(scene((250, 150)), Size(200, 200))
    assert window.x + 100 == pytest.approx(250, abs=25)


def test_a_picture_where_nothing_stands_out_is_cut_from_its_middle() -> None:
    assert crop_window(plain(GREY, 601, 300), Size(200, 300)) == Rectangle(200, 0, 200, 300)
    assert crop_window(plain(GREY, 600, 300), WIDE) == Rectangle(0, 0, 600, 300)
    assert crop_window(plain(GREY, 1, 1), Size(1, 1)) == Rectangle(0, 0, 1, 1)


@pytest.mark.parametrize("height", [120, 180, 288])
def test_a_strip_of_a_portrait_keeps_the_face(height: int) -> None:
    window = crop_window(astronaut(), Size(512, height))
    assert holds(window, 182, 62, 270, min(175, 62 + height - 10))


def test_a_face_is_kept_before_what_is_brighter() -> None:
    head = astronaut().crop(120, 0, 220, 220)
    canvas = plain(GREY, 900, 300).insert(head, 0, 40)
    canvas = canvas.draw_circle([255, 0, 0], 800, 150, 90, fill=True)
    assert crop_window(canvas, Size(300, 300)).x < 60


def test_two_faces_are_both_kept_where_they_fit() -> None:
    head = astronaut().crop(120, 0, 220, 220)
    canvas = plain(GREY, 1200, 300).insert(head, 500, 40).insert(head.fliphor(), 900, 40)
    window = crop_window(canvas, Size(700, 300))
    assert holds(window, 562, 100, 1058, 220)
    alone = crop_window(canvas, Size(240, 300))
    assert holds(alone, 562, 100, 650, 220) or holds(alone, 965, 100, 1058, 220)


def test_one_look_serves_windows_in_every_size_of_the_picture() -> None:
    seen = attend(astronaut())
    small = seen.window(Size(128, 128), Size(128, 40))
    large = seen.window(Size(1024, 1024), Size(1024, 320))
    assert holds(small, 45, 16, 67, 43)
    assert large.y == pytest.approx(8 * small.y, abs=24)
    assert (large.width, large.height) == (1024, 320)


def test_the_face_is_kept_in_an_icon() -> None:
    assert crop_window(astronaut().thumbnail_image(48), Size(48, 20)).y < 8


def test_grey_transparent_and_moving_pictures_are_looked_at() -> None:
    grey = scene((500, 150)).colourspace("b-w")
    assert crop_window(grey, Size(300, 300)).x > 150
    shape = scene((500, 150)).bandjoin(255)
    assert crop_window(shape, Size(300, 300)).x > 150
    assert crop_window(animation(), Size(30, 40)).height == 40
