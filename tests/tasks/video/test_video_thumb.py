"""video.thumb shows the moment asked for, upright, in the right shape and colours."""

from pathlib import Path
from typing import Any

import pytest

from dragon.errors import TaskFailed
from dragon.task import MediaLimits
from tasks.toolkit.geometry import Size
from tests.support.clips import PICTURE, Clips
from tests.support.paths import MEDIA
from tests.support.pictures import URL, psnr, write
from tests.tasks.video.films import Still, by_hand, png

BUNNY = MEDIA / "bigbuckbunny.mp4"
HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:crf=8")
SDR = "scale=320:-1:in_color_matrix=bt709,setparams=range=tv:colorspace=bt709:color_primaries=bt709"
LIGHT = f"{SDR}:color_trc=iec61966-2-1,zscale=t=linear:npl=203,format=gbrpf32le"


def test_a_slow_seek_tells_how_far_it_is(clips: Clips) -> None:
    one_key_frame = ("-f", "lavfi", "-i", "testsrc2=size=32x32:rate=25:duration=10", "-c:v", "ffv1")
    told = Still(clips("far.mkv", *one_key_frame, "-g", "1000", "-context", "1"), time=8).told
    fractions = [each.fraction for each in told]
    assert fractions == sorted(set(fractions))
    assert len(told) == 200
    assert fractions[100] == 0.5


def recoloured(clips: Clips, name: str, filters: str, *options: str) -> Path:
    cut = ("-ss", "3", "-i", str(BUNNY), "-frames:v", "2", "-an", "-vf", filters)
    return clips(name, *cut, *HEVC, "-pix_fmt", "yuv420p10le", *options)


@pytest.mark.parametrize(
    ("params", "size"),
    [
        ({}, Size(1280, 720)),
        ({"width": 300}, Size(300, 169)),
        ({"width": 300, "height": 300}, Size(300, 169)),
        ({"width": 300, "height": 300, "crop": True}, Size(300, 300)),
        ({"width": 300, "height": 300, "crop": "smart"}, Size(300, 300)),
        ({"height": 1}, Size(2, 1)),
        ({"width": 1301, "height": 7, "crop": True}, Size(1301, 7)),
    ],
)
def test_the_output_has_the_size_asked_for(params: dict[str, Any], size: Size) -> None:
    made = Still(BUNNY, **params)
    assert (made.size, made.original, made.duration) == (size, Size(1280, 720), 5.312)


@pytest.mark.parametrize("seconds", [0, 1, 3, 5.2])
def test_a_still_is_as_good_as_that_of_ffmpeg(seconds: float, tmp_path: Path) -> None:
    expected = by_hand(BUNNY, tmp_path / "a.png", seconds, "320:-1:in_color_matrix=bt709")
    assert psnr(png(BUNNY, width=320, time=seconds), expected) > 48
    assert psnr(Still(BUNNY, width=320, time=seconds).image, expected) > 30


def test_times_beyond_the_end_show_the_last_frame() -> None:
    last = png(BUNNY, width=80, time=5.24)
    assert psnr(png(BUNNY, width=80, time=1000), last) > 60
    assert psnr(png(BUNNY, width=80, time=0), last) < 30


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "avif", "gif"])
def test_each_format_is_written(format: str) -> None:
    made = Still(BUNNY, width=160, time=1, format=format)
    expected = png(BUNNY, width=160, time=1)
    assert psnr(made.image[:3], expected) > 25
    loader = {"avif": "heifload", "webp": "webpload", "jpeg": "jpegload"}.get(format, format)
    assert made.image.get("vips-loader").startswith(loader)


def test_quality_makes_a_jpeg_larger_and_better() -> None:
    expected = png(BUNNY, width=320)
    poor, usual, good = (Still(BUNNY, width=320, quality=quality) for quality in (10, 75, 95))
    assert len(poor.data) < len(usual.data) < len(good.data)
    assert psnr(poor.image, expected) < psnr(usual.image, expected) < psnr(good.image, expected)
    assert Still(BUNNY, width=320).data == usual.data
    assert Still(BUNNY, width=320, quality=10, format="png").image.bands == 3


def test_a_crop_is_cut_from_the_middle() -> None:
    middle = png(BUNNY, height=90).crop(35, 0, 90, 90)
    assert psnr(png(BUNNY, width=90, height=90, crop=True), middle) > 50


def test_a_poster_shows_a_play_icon_in_its_middle() -> None:
    plain, marked = png(BUNNY, width=320), png(BUNNY, width=320, poster=True)
    assert marked.getpoint(160, 90) == pytest.approx([246] * 3, abs=8)
    assert marked.getpoint(2, 2) == plain.getpoint(2, 2)


@pytest.mark.parametrize("turn", ["90", "180", "270", "90 flip", "270 flip", "0 flip"])
def test_a_video_is_shown_upright(turn: str, clips: Clips, tmp_path: Path) -> None:
    degrees, _, flip = turn.partition(" ")
    options = ("-display_rotation", degrees, *(["-display_hflip"] if flip else []))
    grey = clips("grey.mp4", *PICTURE, "-vf", "hue=s=0,format=yuv420p", "-frames:v", "3")
    path = Clips(tmp_path)("turned.mp4", *options, "-i", str(grey), "-c", "copy")
    made = Still(path, format="png")
    assert made.original == (Size(160, 90) if degrees in ("0", "180") else Size(90, 160))
    assert psnr(made.image, by_hand(path, tmp_path / "a.png")) > 35


def test_wide_pixels_become_square(clips: Clips, tmp_path: Path) -> None:
    path = clips("anamorphic.mp4", *PICTURE, "-vf", "setsar=2", "-frames:v", "2")
    made = Still(path, format="png", height=45)
    assert (made.original, made.size) == (Size(320, 90), Size(160, 45))
    assert psnr(made.image, by_hand(path, tmp_path / "a.png", 0, "160:45")) > 35


def test_alpha_is_kept_and_becomes_white_in_a_jpeg(clips: Clips) -> None:
    clear = "format=rgba,colorchannelmixer=aa=0,format=yuva420p"
    for name, codec in {"clear8.webm": "libvpx", "clear9.webm": "libvpx-vp9"}.items():
        options = ("-c:v", codec, "-auto-alt-ref", "0", "-frames:v", "3")
        path = clips(name, *PICTURE, "-vf", clear, *options)
        assert png(path)[3].max() < 3
        assert Still(path).image.min() > 250


def test_ten_bits_and_either_range_and_matrix_give_the_same_colours(clips: Clips) -> None:
    plain = png(recoloured(clips, "sdr.mp4", SDR))
    full = SDR.replace("range=tv", "range=pc").replace("bt709,", "bt709:out_range=pc,", 1)
    old = "scale=320:-1:in_color_matrix=bt709:out_color_matrix=bt601,setparams=colorspace=smpte170m"
    assert psnr(png(recoloured(clips, "full.mp4", full)), plain) > 40
    assert psnr(png(recoloured(clips, "old.mp4", old)), plain) > 35


def test_what_a_file_is_silent_about_is_guessed_by_its_size(clips: Clips) -> None:
    """HD is in the colours of BT.709, the small is in those of BT.601, as players have it."""
    large = "testsrc2=size=1280x720:duration=0.1,scale=out_color_matrix=bt709,format=yuv420p"
    small = "testsrc2=size=1280x720:duration=0.1,scale=640:-1:out_color_matrix=bt601,format=yuv420p"
    encoder = ("-c:v", "libx264", "-crf", "5", "-bsf:v", "h264_metadata=matrix_coefficients=2")
    films = {"large.mp4": large, "small.mp4": small}
    made = [clips(name, "-f", "lavfi", "-i", film, *encoder) for name, film in films.items()]
    assert psnr(png(made[0], width=160), png(made[1], width=160)) > 33


@pytest.mark.parametrize("primaries", ["bt2020", "smpte432"])
def test_wide_gamuts_become_srgb(primaries: str, clips: Clips) -> None:
    plain = png(recoloured(clips, "sdr.mp4", SDR))
    wide = f"{LIGHT},zscale=p={primaries}:t=iec61966-2-1:m=bt2020nc:r=tv"
    assert psnr(png(recoloured(clips, f"{primaries}.mp4", wide)), plain) > 33


@pytest.mark.parametrize("curve", ["smpte2084", "arib-std-b67"])
def test_hdr_that_is_no_brighter_than_white_looks_as_in_sdr(curve: str, clips: Clips) -> None:
    plain = png(recoloured(clips, "sdr.mp4", SDR))
    hdr = f"{LIGHT},zscale=p=bt2020:t={curve}:m=bt2020nc:r=tv:npl=203"
    assert psnr(png(recoloured(clips, f"{curve}.mp4", hdr)), plain) > 29


def test_hdr_that_is_brighter_keeps_its_lights_apart(clips: Clips) -> None:
    """Steps of 100 to 1000 cd/m2: cut off at white, all from 203 on would be the same."""
    steps = "nullsrc=size=320x32:duration=0.1,format=gray16,geq=lum='32+0'"
    ramp = f"{steps},format=gbrpf32le,geq=r='(1+floor(X/32))/10':g='(1+floor(X/32))/10'"
    ramp += ":b='(1+floor(X/32))/10',setparams=color_trc=linear:color_primaries=bt2020"
    pq = f"{ramp}:colorspace=gbr,zscale=t=smpte2084:m=bt2020nc:r=tv:npl=1000"
    path = clips("steps.mp4", "-f", "lavfi", "-i", pq, *HEVC, "-pix_fmt", "yuv420p10le")
    row = [png(path).getpoint(16 + 32 * step, 16)[1] for step in range(10)]
    assert row == sorted(row)
    assert len(set(row[:6])) == 6
    assert row[0] == pytest.approx(186, abs=3)
    assert row[-1] == 255


def test_an_interlaced_frame_shows_one_moment(clips: Clips) -> None:
    """A bar that runs: of two moments in one picture, lines would be far from their neighbours."""
    runs = "color=black:s=160x90:r=50:d=1,drawbox=x=0:w=40:h=90:color=white:t=fill,scroll=h=0.05"
    fields = f"{runs},tinterlace=interleave_top,fieldorder=tff"
    encoder = ("-c:v", "mpeg2video", "-q:v", "2", "-flags", "+ildct+ilme")
    image = png(clips("fields.mpg", "-f", "lavfi", "-i", fields, *encoder), time=0.4)
    above, below = image.crop(0, 20, 160, 40), image.crop(0, 21, 160, 40)
    assert (above - below).abs().max() < 30


def test_what_is_no_video_is_refused_in_plain_words(clips: Clips, tmp_path: Path) -> None:
    for path, words in {
        write(tmp_path / "empty.mp4", b""): "is not a valid video file",
        write(tmp_path / "page.mp4", b"<!doctype html>"): "is not a valid video file",
        write(tmp_path / "cut.mp4", BUNNY.read_bytes()[:20_000]): "is not a valid video file",
        clips("mp3.mp3"): "has no video stream",
    }.items():
        with pytest.raises(TaskFailed) as refused:
            Still(path)
        assert refused.value.message == f"File '{URL}' {words}"


def test_limits_hold_before_anything_is_decoded() -> None:
    with pytest.raises(TaskFailed) as refused:
        Still(BUNNY, MediaLimits(max_pixels=921_599))
    assert refused.value.message == (
        f"File '{URL}' has 1280x720 pixels, more than the limit of 921599 (max_pixels)"
    )
    with pytest.raises(TaskFailed, match=r"The resized picture has 2000x1125 pixels"):
        Still(BUNNY, MediaLimits(max_pixels=1_000_000), width=2000)
    with pytest.raises(TaskFailed, match="17000x17000 pixels, webp holds 16383 a side"):
        Still(BUNNY, width=17_000, height=17_000, crop=True, format="webp")
