"""What is in a media file is told by its bytes, whatever its container."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragon.errors import TaskFailed
from dragon.settings import Settings
from dragon.task import MediaLimits
from tasks.toolkit.geometry import Size
from tasks.toolkit.media import probe
from tasks.toolkit.media.media import AudioStream, Media, Ratio, VideoStream, Wanted
from tests.support.clips import BOTH, PICTURE, RECIPES, SOUND, Clips
from tests.support.decoders import call, children, source
from tests.support.paths import MEDIA
from tests.support.pictures import CAT, URL, write

LIMITS = MediaLimits()
KINDS = {
    "h264.mp4": ("mov", "video/mp4", "h264", "aac"),
    "fragments.mp4": ("mov", "video/mp4", "h264", "aac"),
    "h264.mov": ("mov", "video/quicktime", "h264", "aac"),
    "vp9.webm": ("matroska", "video/webm", "vp9", "opus"),
    "h264.mkv": ("matroska", "video/x-matroska", "h264", "mp3"),
    "live.mkv": ("matroska", "video/x-matroska", "h264", "mp3"),
    "mpeg4.avi": ("avi", "video/x-msvideo", "mpeg4", "mp3"),
    "flv1.flv": ("flv", "video/x-flv", "flv1", "mp3"),
    "h264.ts": ("mpegts", "video/mp2t", "h264", "aac"),
    "mpeg2.mpg": ("mpeg", "video/mpeg", "mpeg2video", "mp2"),
    "theora.ogv": ("ogg", "video/ogg", "theora", "vorbis"),
    "wmv2.wmv": ("asf", "video/x-ms-wmv", "wmv2", "wmav2"),
    "h263.3gp": ("mov", "video/3gpp", "h263", "amr_nb"),
    "moving.gif": ("gif", "image/gif", "gif", None),
    "vorbis.ogg": ("ogg", "audio/ogg", None, "vorbis"),
    "opus.opus": ("ogg", "audio/ogg", None, "opus"),
    "pcm.wav": ("wav", "audio/wav", None, "pcm_s16le"),
    "mp3.mp3": ("mp3", "audio/mpeg", None, "mp3"),
    "flac.flac": ("flac", "audio/flac", None, "flac"),
    "aac.aac": ("aac", "audio/aac", None, "aac"),
    "wma.wma": ("asf", "audio/x-ms-wma", None, "wmav2"),
    "aac.m4a": ("mov", "audio/mp4", None, "aac"),
    "pcm.aiff": ("aiff", "audio/aiff", None, "pcm_s16be"),
    "pcm.caf": ("caf", "audio/x-caf", None, "pcm_s16be"),
    "amr.amr": ("amr", "audio/amr", None, "amr_nb"),
}


def read(path: Path, limits: MediaLimits = LIMITS, wanted: Wanted = "media") -> Media:
    with path.open("rb") as file:
        return probe.read(URL, file.fileno(), limits, wanted)


def video_of(path: Path) -> VideoStream:
    video = read(path).video
    assert video is not None
    return video


def refusal(path: Path, limits: MediaLimits = LIMITS, wanted: Wanted = "media") -> str:
    with pytest.raises(TaskFailed) as refused:
        read(path, limits, wanted)
    return refused.value.message


@pytest.mark.parametrize("name", RECIPES)
def test_a_file_tells_its_container_codecs_and_duration(name: str, clips: Clips) -> None:
    path = clips(name)
    media = read(path)
    demuxer, content_type, video_codec, audio_codec = KINDS[name]
    assert (media.demuxer, media.content_type) == (demuxer, content_type)
    assert (media.video.codec if media.video else None) == video_codec
    assert (media.audio.codec if media.audio else None) == audio_codec
    assert media.duration == pytest.approx(2, abs=0.1)
    assert media.size == path.stat().st_size
    if media.video and name != "h263.3gp":
        assert media.video.display == Size(160, 90)
        assert float(media.video.frame_rate or 0) == pytest.approx(25)
        assert not media.video.is_variable
    if media.audio:
        assert media.audio.channels == 1
        assert media.audio.layout == "mono"


def test_a_real_film_tells_its_streams() -> None:
    assert read(MEDIA / "bigbuckbunny.mp4") == Media(
        demuxer="mov",
        content_type="video/mp4",
        duration=5.312,
        size=1055736,
        streams=2,
        video=VideoStream(
            index=0,
            codec="h264",
            width=1280,
            height=720,
            display=Size(1280, 720),
            orientation=1,
            rotation=0.0,
            sample_aspect_ratio=Ratio(1, 1),
            frame_rate=Ratio(25, 1),
            is_variable=False,
            pixel_format="yuv420p",
            bit_depth=8,
            alpha=False,
            is_interlaced=False,
            color_range=None,
            color_space=None,
            color_transfer=None,
            color_primaries=None,
            frames=132,
            bit_rate=1205959,
            duration=5.28,
        ),
        audio=AudioStream(
            index=1,
            codec="aac",
            sample_rate=48000,
            channels=6,
            layout="5.1",
            bit_rate=384828,
            duration=5.312,
        ),
    )


@pytest.mark.parametrize(
    ("option", "orientation", "rotation", "display"),
    [
        (("-display_rotation", "90"), 8, 90.0, Size(90, 160)),
        (("-display_rotation", "180"), 3, 180.0, Size(160, 90)),
        (("-display_rotation", "270"), 6, 270.0, Size(90, 160)),
        (("-display_hflip",), 2, None, Size(160, 90)),
        (("-display_vflip",), 4, None, Size(160, 90)),
        (("-display_rotation", "90", "-display_hflip"), 7, None, Size(90, 160)),
        (("-display_rotation", "270", "-display_hflip"), 5, None, Size(90, 160)),
    ],
)
def test_a_video_tells_how_to_turn_it_upright(
    option: tuple[str, ...],
    orientation: int,
    rotation: float | None,
    display: Size,
    clips: Clips,
    tmp_path: Path,
) -> None:
    plain = str(clips("h264.mp4"))
    turned = Clips(tmp_path)("turned.mp4", *option, "-i", plain, "-c", "copy")
    video = video_of(turned)
    assert (video.orientation, video.rotation, video.display) == (orientation, rotation, display)
    assert (video.width, video.height) == (160, 90)


def test_wide_pixels_widen_the_picture(clips: Clips) -> None:
    path = clips("wide.mp4", *PICTURE, "-vf", "setsar=16/11", "-frames:v", "3")
    assert str(video_of(path).sample_aspect_ratio) == "16/11"
    assert video_of(path).display == Size(233, 90)


def test_colours_depth_and_alpha_are_told(clips: Clips) -> None:
    colours = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc")
    tags = "setparams=range=tv:color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc"
    encoder = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none")
    deep = ("-vf", tags, "-pix_fmt", "yuv420p10le", *colours, *encoder, "-frames:v", "2")
    hdr = video_of(clips("hdr.mp4", *PICTURE, *deep))
    assert (hdr.bit_depth, hdr.is_hdr, hdr.alpha) == (10, True, False)
    assert (hdr.color_space, hdr.color_transfer) == ("bt2020nc", "smpte2084")
    assert (hdr.color_primaries, hdr.color_range) == ("bt2020", "tv")
    clear = ("-vf", "format=yuva420p", "-c:v", "libvpx-vp9", "-frames:v", "2")
    assert video_of(clips("clear.webm", *PICTURE, *clear)).alpha


def test_frames_at_unequal_steps_are_told(clips: Clips) -> None:
    uneven = ("-vf", "select='not(mod(n,5))+lt(n,10)'", "-fps_mode", "vfr")
    assert video_of(clips("uneven.mp4", *PICTURE, *uneven)).is_variable


def test_the_cover_of_an_album_is_no_video(clips: Clips) -> None:
    cover = (*SOUND, "-i", str(CAT), "-map", "0", "-map", "1", "-disposition:1", "attached_pic")
    path = clips("cover.mp3", *cover)
    media = read(path)
    assert (media.video, media.content_type) == (None, "audio/mpeg")
    assert refusal(path, wanted="video") == f"File '{URL}' has no video stream"


def test_a_file_without_the_stream_that_is_wanted_is_refused(clips: Clips) -> None:
    assert refusal(clips("moving.gif"), wanted="audio") == f"File '{URL}' has no audio stream"
    assert read(clips("h264.mp4"), wanted="audio").audio is not None
    assert read(clips("h264.mp4"), wanted="video").video is not None


def test_a_codec_that_is_not_listed_is_passed_over_or_named(clips: Clips) -> None:
    path = clips("rare.avi", *BOTH, "-c:v", "zmbv", "-c:a", "libmp3lame")
    assert read(path).video is None
    words = f"The video stream of file '{URL}' cannot be read (codec zmbv)"
    assert refusal(path, wanted="video") == words


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_pixels": 14_399}, "has 160x90 pixels, more than the limit of 14399 (max_pixels)"),
        ({"max_streams": 1}, "has 2 streams, more than the limit of 1 (max_streams)"),
        (
            {"max_duration_seconds": 1},
            "lasts 2 seconds, more than the limit of 1 (max_duration_seconds)",
        ),
        ({"max_video_frames": 49}, "has 50 frames, more than the limit of 49 (max_video_frames)"),
        (
            {"max_video_pixels": 719_999},
            "has 160x90 pixels in each of 50 frames, "
            "more than the limit of 719999 (max_video_pixels)",
        ),
    ],
)
def test_a_limit_that_is_hit_is_named(limits: dict[str, Any], words: str, clips: Clips) -> None:
    assert refusal(clips("h264.mp4"), MediaLimits(**limits)) == f"File '{URL}' {words}"


@pytest.mark.parametrize("name", ["moving.gif", "mpeg4.avi", "theora.ogv", "wmv2.wmv", "vp9.webm"])
def test_too_many_pixels_are_told_whatever_the_codec(name: str, clips: Clips) -> None:
    words = f"File '{URL}' has 160x90 pixels, more than the limit of 14399 (max_pixels)"
    assert refusal(clips(name), MediaLimits(max_pixels=14_399)) == words


def test_a_video_that_claims_to_last_for_hours_is_refused_from_its_header(clips: Clips) -> None:
    gap = ("-vf", "setpts='PTS+gte(N,1)*90000/TB'", "-frames:v", "2", "-fps_mode", "passthrough")
    path = clips("gap.mkv", *PICTURE, *gap)
    assert "max_duration_seconds" in refusal(path)


def test_each_limit_is_a_setting_with_the_same_default() -> None:
    assert msgspec.convert(Settings(), MediaLimits, from_attributes=True) == MediaLimits()


async def test_a_confined_child_reads_files_and_is_told_of_no_other(
    clips: Clips, tmp_path: Path
) -> None:
    async with children(warm=("tasks",)) as decoders:
        data = clips("h264.mp4").read_bytes()
        film = source(tmp_path / "film", data)
        media = await call(decoders, probe.read, URL, film, LIMITS)
        assert media.video.codec == "h264"
        broken = source(tmp_path / "broken", data[:5000])
        with pytest.raises(TaskFailed):
            await call(decoders, probe.read, URL, broken, LIMITS)


def test_a_recording_in_which_a_stream_begins_in_the_middle_is_read(
    clips: Clips, tmp_path: Path
) -> None:
    silent = clips("silent.ts", *PICTURE, "-c:v", "mpeg2video").read_bytes()
    path = write(tmp_path / "joined.ts", silent + clips("h264.ts").read_bytes())
    assert video_of(path).codec == "mpeg2video"


def test_the_position_in_the_file_does_not_matter(clips: Clips, tmp_path: Path) -> None:
    path = write(tmp_path / "film", clips("h264.mp4").read_bytes())
    with path.open("rb") as file:
        os.lseek(file.fileno(), 0, os.SEEK_END)
        assert probe.read(URL, file.fileno(), LIMITS).video is not None
