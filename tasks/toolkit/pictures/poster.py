"""Draws the play icon of a poster with libvips; only decoder children import it."""

from pyvips import Image


def mark(image: Image) -> Image:
    """A play icon in the centre of each frame: a white triangle in a dark translucent disc."""
    width, height = image.width, image.get_page_height()
    side = max(1, round(min(width, height) * 0.36))
    left, top = (width - side) // 2, (height - side) // 2
    layer = _play_icon(side).embed(left, top, width, height).copy_memory()
    layers = layer.replicate(1, image.height // height)
    marked = image.colourspace("srgb").composite2(layers, "over")
    return (marked if image.hasalpha() else marked.extract_band(0, n=3)).cast("uchar")


def _play_icon(side: int) -> Image:
    """Drawn from the distance of each pixel to the shapes' edges, which makes them smooth."""
    grid = Image.xyz(side, side) - (side - 1) / 2
    across, down = grid[0], grid[1]
    radius = side / 2
    disc = _inside(radius - (across**2 + down**2) ** 0.5)
    corners = radius * 0.52
    left = _inside(across + corners / 2)
    right = _inside(corners / 2 - across / 2 - down.abs() * 3**0.5 / 2)
    white = left * right * 0.95
    alpha = white + disc * 0.5 * (1 - white)
    grey = white / alpha * 255
    return grey.bandjoin([grey, grey, alpha * 255]).cast("uchar").copy(interpretation="srgb")


def _inside(distance: Image) -> Image:
    """How much of a pixel, 0 to 1, lies inside an edge that is `distance` pixels away."""
    return (distance + 0.5).clamp(min=0, max=1)
