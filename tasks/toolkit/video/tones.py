"""Turns light that sRGB cannot show into what it can, with libvips; in decoder children.

HDR is mapped as ITU-R BT.2390 recommends, from the brightest that the picture has to white, which
is 203 cd/m2 (BT.2408). Colours outside of sRGB are cut off in linear light.
"""

from pyvips import Image

from tasks.toolkit.media.color_codes import HDR_TRANSFERS

WHITE = 203.0
"""cd/m2: how bright a sheet of paper is in HDR; in what follows that is 1."""

_MOST = 10_000.0 / WHITE
_FROM_BT2020 = (
    (1.660491, -0.587641, -0.072850),
    (-0.124550, 1.132900, -0.008349),
    (-0.018151, -0.100579, 1.118730),
)
_FROM_P3 = (
    (1.224940, -0.224940, 0.0),
    (-0.042057, 1.042057, 0.0),
    (-0.019638, -0.078636, 1.098274),
)
_WIDE = {"bt2020": _FROM_BT2020, "smpte431": _FROM_P3, "smpte432": _FROM_P3}
_BT2020_LUMA = (0.2627, 0.6780, 0.0593)
_HLG_PEAK = 1000.0 / WHITE
_HLG_GAMMA = 1.2
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 4096 * 128
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_PEAK_PERCENT = 99.9
"""A few pixels that sparkle may be cut off, rather than darken all the others."""


def is_srgb(transfer: str | None, primaries: str | None) -> bool:
    """Whether a picture of these can be shown as it is: SDR video is, whatever its exact curve."""
    return transfer not in HDR_TRANSFERS and primaries not in _WIDE


def to_srgb(image: Image, transfer: str | None, primaries: str | None) -> Image:
    """The same picture, of 16-bit RGB as coded in a video, as 8-bit sRGB."""
    if transfer in HDR_TRANSFERS:
        linear = _dimmed(_hlg_light(image) if transfer == "arib-std-b67" else _pq_light(image))
        primaries = primaries or "bt2020"
    else:
        linear = image.copy(interpretation="rgb16").colourspace("scrgb")
    if primaries in _WIDE:
        linear = linear.recomb(Image.new_from_array([list(row) for row in _WIDE[primaries]]))
    return linear.copy(interpretation="scrgb").colourspace("srgb")


def _codes() -> Image:
    """All values of 16 bits, from 0 to 1."""
    return Image.identity(ushort=True) / 65535


def _pq_light(image: Image) -> Image:
    return image.maplut(_from_pq(_codes()).copy_memory())


def _hlg_light(image: Image) -> Image:
    codes = _codes()
    high = (((codes - _HLG_C) / _HLG_A).exp() + _HLG_B) / 12
    scene = image.maplut((codes <= 0.5).ifthenelse(codes**2 / 3, high).copy_memory())
    luma = scene.recomb(Image.new_from_array([list(_BT2020_LUMA)]))
    return scene * (luma ** (_HLG_GAMMA - 1) * _HLG_PEAK)


def _dimmed(linear: Image) -> Image:
    """With white the brightest that is left; each pixel keeps its hue."""
    brightest = linear[0].bandrank([linear[1], linear[2]], index=2)
    codes = ((brightest / _MOST) ** 0.25 * 65535).rint().cast("ushort").copy_memory()
    peak = _MOST * (codes.percent(_PEAK_PERCENT) / 65535) ** 4
    if peak <= 1:
        return linear
    light = _codes() ** 4 * _MOST
    ratio = (light > 0).ifthenelse(_eetf(light, peak) / light, 1)
    return linear * codes.maplut(ratio.copy_memory())


def _eetf(light: Image, peak: float) -> Image:
    """BT.2390-11, 5.4.1: linear up to a knee, then a spline that ends at white."""
    pq_peak = _to_pq(Image.black(1, 1) + peak).avg()
    most = _to_pq(Image.black(1, 1) + 1).avg() / pq_peak
    knee = 1.5 * most - 0.5
    code = (_to_pq(light) / pq_peak).clamp(min=0, max=1)
    t = (code - knee) / (1 - knee)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * most
    )
    return _from_pq((code < knee).ifthenelse(code, spline) * pq_peak)


def _from_pq(code: Image) -> Image:
    power = code.clamp(min=0, max=1) ** (1 / _PQ_M2)
    ratio = (power - _PQ_C1).clamp(min=0, max=1) / (_PQ_C2 - power * _PQ_C3)
    return ratio ** (1 / _PQ_M1) * _MOST


def _to_pq(light: Image) -> Image:
    power = (light / _MOST).clamp(min=0, max=1) ** _PQ_M1
    return ((power * _PQ_C2 + _PQ_C1) / (power * _PQ_C3 + 1)) ** _PQ_M2
