"""video.convert: each parameter's effect, what survives, and what is refused."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import pytest
import pytest_asyncio
from imageio_ffmpeg import get_ffmpeg_exe
from pyvips import Image

from dragon.errors import TaskFailed
from dragon.task import MediaLimits
from tasks.video.convert import Converted, convert
from tests.clips import BOTH, PICTURE, Clips
from tests.studio import Studio, open_studio, url
from tests.watching_videos import beeps, flashes, picture

X264 = ("-c:v", "libx264", "-preset", "ultrafast")


@pytest_asyncio.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    async with open_studio(tmp_path) as studio:
        yield studio


async def made(studio: Studio, path: Path, **params: Any) -> Converted:
    return await studio.run(convert, {"url": url(path), **params})


def streams(path: Path) -> dict[str, Any]:
    """What a player sees: `times` are those of the frames, in seconds."""
    with av.open(str(path)) as file:
        video = file.streams.video[0]
        told = {
            "video": video.codec_context.codec.canonical_name,
            "pixels": video.codec_context.pix_fmt,
            "matrix": video.codec_context.colorspace,
            "audio": [stream.codec_context.codec.canonical_name for stream in file.streams.audio],
            "rates": [stream.rate for stream in file.streams.audio],
            "channels": [stream.channels for stream in file.streams.audio],
            "metadata": dict(file.metadata),
        }
        frames = list(file.decode(video))
    keys = [number for number, frame in enumerate(frames) if frame.key_frame]
    return {**told, "times": [float(frame.time or 0) for frame in frames], "keys": keys}


def similarity(one: Path, other: Path, size: str = "160x90") -> float:
    """SSIM of all frames."""
    width, height = size.split("x")
    graph = f"[0:v]scale={width}:{height}[a];[1:v]scale={width}:{height}[b];[a][b]ssim=shortest=1"
    command = [get_ffmpeg_exe(), "-i", str(one), "-i", str(other), "-lavfi", graph]
    done = subprocess.run([*command, "-f", "null", "-"], check=True, capture_output=True, text=True)
    return float(done.stderr.rpartition("All:")[2].split()[0])


async def test_by_default_it_makes_an_mp4_that_plays_everywhere(
    studio: Studio, clips: Clips
) -> None:
    source = clips("vp9.webm")
    result = await made(studio, source)
    found = streams(result.output.path)
    assert (result.content_type, result.output.filename) == ("video/mp4", "output.mp4")
    assert (result.width, result.height, result.frame_rate) == (160, 90, 25)
    assert (result.video_codec, result.audio_codec) == ("h264", "aac")
    assert result.duration == pytest.approx(2, abs=0.05)
    assert (found["video"], found["audio"], found["rates"]) == ("h264", ["aac"], [44100])
    assert (found["pixels"], len(found["times"])) == ("yuv420p", 50)
    assert similarity(result.output.path, source) > 0.97


async def test_it_is_as_good_as_plain_ffmpeg_with_the_same_settings(
    studio: Studio, clips: Clips, tmp_path: Path
) -> None:
    source = clips("h264.mp4")
    result = await made(studio, source, crf=30)
    plain = Clips(tmp_path)("plain.mp4", "-i", str(source), "-c:v", "libx264", "-crf", "30")
    ours, theirs = (similarity(path, source) for path in (result.output.path, plain))
    assert ours == pytest.approx(theirs, abs=0.003)


async def test_width_height_and_crop_set_the_size(studio: Studio, clips: Clips) -> None:
    source = clips("h264.mp4")
    sizes = []
    for box in ({"width": 80}, {"width": 60, "height": 60}, {"width": 60, "height": 60, "crop": 1}):
        result = await made(studio, source, end=0.2, **{**box, "crop": bool(box.get("crop"))})
        sizes.append((result.width, result.height))
        assert (result.original_width, result.original_height) == (160, 90)
    assert sizes == [(80, 44), (60, 34), (60, 60)]


@pytest.mark.parametrize(
    ("asked", "made_of"),
    [
        ({"format": "webm"}, ("video/webm", "vp9", "opus")),
        ({"video_codec": "vp9", "audio_codec": "vorbis"}, ("video/webm", "vp9", "vorbis")),
        ({"video_codec": "av1"}, ("video/mp4", "av1", "aac")),
        ({"video_codec": "hevc"}, ("video/mp4", "hevc", "aac")),
        ({"format": "mkv", "audio_codec": "vorbis"}, ("video/x-matroska", "h264", "vorbis")),
        ({"audio_codec": "mp2"}, ("video/x-matroska", "h264", "mp2")),
        ({"audio_codec": "mp3"}, ("video/mp4", "h264", "mp3")),
        ({"audio_codec": "wmav1"}, ("video/x-matroska", "h264", "wmav1")),
        ({"audio_codec": "wmav2"}, ("video/x-matroska", "h264", "wmav2")),
        ({"format": "gif"}, ("image/gif", "gif", None)),
    ],
)
async def test_each_codec_and_container(
    studio: Studio, clips: Clips, asked: dict[str, Any], made_of: tuple[str, str, str | None]
) -> None:
    result = await made(studio, clips("h264.mp4"), end=1, **asked)
    assert (result.content_type, result.video_codec, result.audio_codec) == made_of
    assert result.duration == pytest.approx(1, abs=0.1)
    assert similarity(result.output.path, clips("h264.mp4")) > 0.85


async def test_an_animated_webp_moves_as_the_video_does(studio: Studio, clips: Clips) -> None:
    result = await made(studio, clips("h264.mp4"), format="webp", width=80, frame_rate=10)
    image = Image.new_from_file(str(result.output.path), n=-1)
    assert (image.get("n-pages"), image.width, image.get_page_height()) == (20, 80, 45)
    assert image.get("delay") == [100] * 20
    assert (result.duration, result.frame_rate) == (2, 10)


async def test_sound_that_goes_on_longer_than_the_picture_is_no_damage(
    studio: Studio, tmp_path: Path
) -> None:
    sound = ("-f", "lavfi", "-i", "sine=duration=6")
    for name in ("long.mp4", "long.mkv"):
        source = Clips(tmp_path)(name, *PICTURE, *sound, *X264, "-c:a", "aac")
        assert (await made(studio, source)).duration == pytest.approx(6, abs=0.1)
        for asked in ({"mute": True}, {"format": "gif", "width": 80}):
            result = await made(studio, source, **asked)
            assert result.duration == pytest.approx(2, abs=0.1)


async def test_what_does_not_go_together_is_refused(studio: Studio, clips: Clips) -> None:
    with pytest.raises(TaskFailed, match="hevc does not go into webm, which holds vp9, av1"):
        await made(studio, clips("h264.mp4"), format="webm", video_codec="hevc")


async def test_quality_and_bitrates_change_the_size(studio: Studio, clips: Clips) -> None:
    source = clips("h264.mp4")
    sizes = [
        (await made(studio, source, **asked)).output.path.stat().st_size
        for asked in (
            {},
            {"crf": 40},
            {"video_bitrate": 20},
            {"audio_bitrate": 32},
            {"sample_rate": 22050, "mute": True},
        )
    ]
    assert all(sizes[0] > other * 1.1 for other in sizes[1:])


async def test_gop_sets_the_steps_between_key_frames(studio: Studio, clips: Clips) -> None:
    result = await made(studio, clips("h264.mp4"), gop=20)
    assert streams(result.output.path)["keys"] == [0, 20, 40]


async def test_mute_and_silent_sources_have_no_sound(studio: Studio, clips: Clips) -> None:
    for source, asked in ((clips("h264.mp4"), {"mute": True}), (clips("moving.gif"), {})):
        result = await made(studio, source, **asked)
        assert result.audio_codec is None
        assert streams(result.output.path)["audio"] == []


async def test_sound_of_six_channels_becomes_stereo(studio: Studio, tmp_path: Path) -> None:
    source = Clips(tmp_path)("six.mkv", *BOTH, *X264, "-ac", "6", "-c:a", "ac3")
    result = await made(studio, source, sample_rate=48000)
    found = streams(result.output.path)
    assert (found["channels"], found["rates"]) == ([2], [48000])


async def test_start_and_end_cut_to_the_frame_and_keep_sound_in_time(
    studio: Studio, tmp_path: Path
) -> None:
    """Each second begins with a white frame and a beep, half a second after the start of a cut."""
    flash = "color=black:size=64x64:rate=25:duration=4,"
    flash += "drawbox=color=white:t=fill:enable='lt(mod(t,1),0.04)'"
    beep = "aevalsrc='sin(2000*t)*lt(mod(t,1),0.04)':d=4:s=44100"
    lavfi = ("-f", "lavfi", "-i", flash, "-f", "lavfi", "-i", beep)
    source = Clips(tmp_path)("beeps.mp4", *lavfi, *X264, "-c:a", "aac")
    result = await made(studio, source, start=1.5, end=3.2)
    seen, heard = flashes(result.output.path), beeps(result.output.path)
    assert result.duration == pytest.approx(1.7, abs=0.06)
    assert seen == pytest.approx([0.5, 1.5], abs=0.025)
    assert heard == pytest.approx([0.5, 1.5], abs=0.04)


async def test_a_start_beyond_the_end_is_refused(studio: Studio, clips: Clips) -> None:
    with pytest.raises(TaskFailed, match="start = 7 lies beyond the end, at 2 seconds"):
        await made(studio, clips("h264.mp4"), start=7)
    with pytest.raises(TaskFailed, match="end = 1 must lie after start = 1"):
        await made(studio, clips("h264.mp4"), start=1, end=1)


async def test_faststart_puts_the_index_first(studio: Studio, clips: Clips) -> None:
    for is_fast in (True, False):
        result = await made(studio, clips("h264.mp4"), faststart=is_fast)
        data = result.output.path.read_bytes()
        assert (data.index(b"moov") < data.index(b"mdat")) == is_fast


async def test_max_bytes_is_kept_in_two_passes(studio: Studio, clips: Clips) -> None:
    asked = {"width": 80, "end": 1, "mute": True, "max_bytes": 9000}
    for codec in ("h264", "hevc", "vp9"):
        result = await made(studio, clips("h264.mp4"), video_codec=codec, **asked)
        assert 4000 < result.output.path.stat().st_size <= 9000
    with pytest.raises(TaskFailed, match="max_bytes = 1000 is too little for 2 seconds"):
        await made(studio, clips("h264.mp4"), max_bytes=1000)


async def test_streams_that_fit_are_copied_and_others_are_not(studio: Studio, clips: Clips) -> None:
    source = clips("h264.mp4")
    for asked, is_copied in (({}, True), ({"width": 80}, False), ({"video_bitrate": 8}, False)):
        result = await made(studio, source, copy=True, **asked)
        assert (packets(result.output.path) == packets(source)) == is_copied


def packets(path: Path) -> list[int]:
    with av.open(str(path)) as file:
        return [packet.size for packet in file.demux(video=0) if packet.size]


async def test_a_film_shot_upright_is_upright(studio: Studio, clips: Clips, tmp_path: Path) -> None:
    turn = ("-display_rotation", "90", "-i", str(clips("h264.mp4")), "-c", "copy")
    source = Clips(tmp_path)("upright.mp4", *turn)
    result = await made(studio, source)
    assert (result.width, result.height, result.rotation) == (90, 160, 0)
    assert (result.original_width, result.original_height) == (90, 160)
    assert similarity(result.output.path, source, "90x160") > 0.97


async def test_frames_at_unequal_times_keep_them(studio: Studio, tmp_path: Path) -> None:
    chosen = "testsrc2=size=160x90:rate=50:duration=2,select='eq(mod(n,7),0)+eq(mod(n,7),2)'"
    lavfi = ("-f", "lavfi", "-i", chosen, "-fps_mode", "vfr", "-enc_time_base", "1:1000")
    source = Clips(tmp_path)("unequal.mkv", *lavfi, *X264)
    result = await made(studio, source)
    before, after = streams(source)["times"], streams(result.output.path)["times"]
    assert after == pytest.approx(before, abs=0.002)


async def test_odd_sizes_and_narrow_pixels(studio: Studio, tmp_path: Path) -> None:
    odd = (
        "-f",
        "lavfi",
        "-i",
        "color=red:size=64x64:duration=0.2,scale=161:91,setsar=1,format=yuv444p",
    )
    result = await made(studio, Clips(tmp_path)("odd.mp4", *odd, *X264))
    assert (result.original_width, result.original_height) == (161, 91)
    assert (result.width, result.height) == (160, 90)
    wide = (*PICTURE, "-vf", "setsar=2", "-c:v", "mpeg4")
    result = await made(studio, Clips(tmp_path)("wide.avi", *wide), end=0.2)
    assert (result.width, result.height) == (320, 90)


@pytest.mark.parametrize("format", ["webm", "webp", "gif", "mp4"])
async def test_alpha_stays_where_it_can_and_else_becomes_black(
    studio: Studio, tmp_path: Path, format: str
) -> None:
    lavfi = "color=lime:size=64x64:duration=0.4,format=rgba,colorchannelmixer=aa=0"
    source = Clips(tmp_path)("clear.mov", "-f", "lavfi", "-i", lavfi, "-c:v", "qtrle")
    result = await made(studio, source, format=format)
    if format == "mp4":
        assert not result.alpha
        assert picture(result.output.path).getpoint(30, 30) == pytest.approx([0, 0, 0], abs=3)
    else:
        assert result.alpha
    if format in ("webp", "gif"):
        assert Image.new_from_file(str(result.output.path)).getpoint(30, 30)[3] == 0


async def test_high_dynamic_range_is_kept_or_mapped(studio: Studio, tmp_path: Path) -> None:
    graph = "color=gray:size=64x64:duration=0.4,format=gbrpf32le,zscale=tin=linear:npl=203"
    graph += ":t=smpte2084:p=bt2020:pin=bt709:m=bt2020nc:r=tv,format=yuv420p10le"
    params = "log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    lavfi = ("-f", "lavfi", "-i", graph, "-c:v", "libx265", "-x265-params", params)
    source = Clips(tmp_path)("bright.mp4", *lavfi)
    mapped = await made(studio, source)
    kept = await made(studio, source, video_codec="hevc")
    assert streams(mapped.output.path)["pixels"] == "yuv420p"
    assert streams(mapped.output.path)["matrix"] == 1
    assert streams(kept.output.path)["pixels"] == "yuv420p10le"
    assert streams(kept.output.path)["matrix"] == 9
    # Half of the light of white, as a common screen shows it.
    assert picture(mapped.output.path).getpoint(30, 30)[0] == pytest.approx(188, abs=12)
    for format in ("gif", "webp"):
        moving = await made(studio, source, format=format)
        shown = Image.new_from_file(str(moving.output.path)).getpoint(30, 30)[0]
        assert shown == pytest.approx(188, abs=12)


async def test_colours_of_a_large_untold_film_are_not_those_of_a_small_one(
    studio: Studio, tmp_path: Path
) -> None:
    for size, matrix in (("1280x720", 1), ("160x90", 6)):
        lavfi = ("-f", "lavfi", "-i", f"color=red:size={size}:duration=0.1", "-c:v", "mpeg4")
        result = await made(studio, Clips(tmp_path)(f"{size}.avi", *lavfi), width=64)
        assert streams(result.output.path)["matrix"] == matrix


async def test_metadata_stays_behind(studio: Studio, tmp_path: Path) -> None:
    where = ("-metadata", "location=+48.1+11.5/", "-metadata", "title=Home")
    source = Clips(tmp_path)("home.mp4", *BOTH, *X264, *where)
    found = streams((await made(studio, source)).output.path)["metadata"]
    assert "Home" not in str(found)
    assert "48.1" not in str(found)


async def test_a_file_that_is_cut_off_is_refused(
    studio: Studio, clips: Clips, tmp_path: Path
) -> None:
    source = tmp_path / "cut.mkv"
    whole = clips("h264.mkv").read_bytes()
    source.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(TaskFailed, match=r"not a valid video file: only 0.\d of 2.0 seconds"):
        await made(studio, source)


@pytest.mark.parametrize("name", ["mp3.mp3", "empty", "words", "playlist", "concat"])
async def test_what_is_no_video_is_refused(
    studio: Studio, clips: Clips, tmp_path: Path, name: str
) -> None:
    canary = tmp_path / "canary"
    canary.write_text("secret")
    texts = {
        "empty": "",
        "words": "hello",
        "playlist": f"#EXTM3U\n#EXTINF:1,\nfile://{canary}\n",
        "concat": f"ffconcat version 1.0\nfile {canary}\n",
    }
    source = clips(name) if name == "mp3.mp3" else tmp_path / name
    if name in texts:
        source.write_text(texts[name])
    with pytest.raises(TaskFailed, match=r"is not a valid video file|has no video stream"):
        await made(studio, source)


async def test_limits_hold_before_anything_is_made(studio: Studio, clips: Clips) -> None:
    source = url(clips("h264.mp4"))
    for limits, asked, words in (
        (MediaLimits(max_duration_seconds=1), {}, "max_duration_seconds"),
        (MediaLimits(max_video_frames=40), {}, "max_video_frames"),
        (MediaLimits(), {"width": 16000, "height": 9000}, "max_pixels"),
        (MediaLimits(max_frames=20), {"format": "gif"}, "max_frames"),
    ):
        with pytest.raises(TaskFailed, match=words):
            await studio.run(convert, {"url": source, **asked}, limits)
        assert studio.told == []


async def test_progress_is_told_from_real_figures(studio: Studio, clips: Clips) -> None:
    await made(studio, clips("h264.mp4"), video_codec="av1", width=80, end=1, max_bytes=9000)
    fractions = [told["fraction"] for told in studio.told]
    assert fractions == sorted(fractions)
    assert fractions[-1] <= 1
    figures = {"fraction", "frames", "out_time", "speed", "seconds_left"}
    assert any(figures <= set(told) for told in studio.told)
