"""video.convert: what survives of films of every kind, and that no other file is one."""

from pathlib import Path

import pytest
from pyvips import Image

from dragon.errors import TaskFailed
from tests.support.clips import BOTH, PICTURE, Clips
from tests.support.studio import Studio
from tests.tasks.video.converting_videos import X264, made, similarity, streams
from tests.tasks.video.watching_videos import picture


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


async def test_sound_of_six_channels_becomes_stereo(studio: Studio, tmp_path: Path) -> None:
    source = Clips(tmp_path)("six.mkv", *BOTH, *X264, "-ac", "6", "-c:a", "ac3")
    result = await made(studio, source, sample_rate=48000)
    found = streams(result.output.path)
    assert (found["channels"], found["rates"]) == ([2], [48000])


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
