"""What each family of tasks makes of a file, for tests that care how it ends and not what is made.

Each function returns definitions of tasks that have the file at `url` as a source.
"""

from tests.chaos.harness import Definition

FILMS = {
    "mp4": "h264.mp4",
    "webm": "vp9.webm",
    "mkv": "h264.mkv",
    "avi": "mpeg4.avi",
    "flv": "flv1.flv",
    "ts": "h264.ts",
    "mpg": "mpeg2.mpg",
    "ogv": "theora.ogv",
    "wmv": "wmv2.wmv",
    "gif": "moving.gif",
}
SONGS = {
    "mp3": "mp3.mp3",
    "wav": "pcm.wav",
    "flac": "flac.flac",
    "m4a": "aac.m4a",
    "ogg": "vorbis.ogg",
    "opus": "opus.opus",
    "aac": "aac.aac",
    "aiff": "pcm.aiff",
    "wma": "wma.wma",
    "caf": "pcm.caf",
}
"""Names of clips, by what they are an example of."""


def thumb(url: str) -> Definition:
    return {"task_name": "image.thumb", "url": url, "width": 20}


def pictured(url: str, good: str) -> list[Definition]:
    """The other tasks that decode all of a picture, beside or on top of a good one."""
    mark = {"type": "watermark", "url": url, "scale": 1}
    return [
        {"task_name": "image.gif", "images": [good, url], "width": 20},
        {"task_name": "image.strip", "urls": [url, good, url], "width": 20},
        {"task_name": "image.convert", "url": url, "operations": [{"type": "grey"}]},
        {"task_name": "image.convert", "url": good, "operations": [mark]},
    ]


def watched(url: str) -> list[Definition]:
    """All that looks at a film."""
    return [
        {"task_name": "video.info", "url": url},
        {"task_name": "video.thumb", "url": url, "time": 1.5},
        {"task_name": "video.strip", "url": url, "count": 3, "width": 40},
        {"task_name": "video.preview", "url": url, "width": 40},
    ]


def filmed(url: str) -> list[Definition]:
    """All that makes a film of another."""
    return [
        {"task_name": "video.convert", "url": url, "width": 40},
        {"task_name": "video.convert", "url": url, "width": 40, "format": "gif"},
        {"task_name": "video.reverse", "url": url, "width": 40},
        {"task_name": "video.concat", "urls": [url, url], "width": 40},
    ]


def heard(url: str) -> list[Definition]:
    """All that listens to a song, or to the sound of a film."""
    return [
        {"task_name": "audio.info", "url": url},
        {"task_name": "audio.waveform", "url": url, "start": 0.5, "format": "json"},
        {"task_name": "audio.beats", "url": url},
        {"task_name": "audio.convert", "url": url, "codec": "opus", "loudness": -20},
        {"task_name": "audio.convert", "url": url},
    ]


def scraped(url: str) -> list[Definition]:
    return [{"task_name": "html.scrape", "url": url}]
