"""The listed facts of the tasks: what clients of today send, and what they read in results."""

from typing import Any

from msgspec import Struct


class Input(Struct, frozen=True, kw_only=True):
    """A parameter; without a `default` it is required or null, and `choices` are the least."""

    type: str
    default: Any = None
    choices: tuple[Any, ...] = ()


class Facts(Struct, frozen=True, kw_only=True):
    """Of one task: parameters, values of the result with their types, names of files."""

    inputs: dict[str, Input]
    outputs: dict[str, str]
    files: tuple[str, ...] = ()


CATALOGUE = {
    "audio.beats": Facts(
        inputs={
            "url": Input(type="string"),
        },
        outputs={
            "beats": "object",
            "duration": "integer",
            "downbeats": "object",
        },
    ),
    "audio.convert": Facts(
        inputs={
            "url": Input(type="string"),
            "codec": Input(type="string", default="mp3", choices=("mp3", "vorbis", "aac")),
            "force": Input(type="boolean", default=False),
        },
        outputs={
            "duration": "float",
            "content_type": "string",
        },
        files=("output",),
    ),
    "audio.info": Facts(
        inputs={
            "url": Input(type="string"),
        },
        outputs={
            "duration": "float",
            "content_type": "string",
            "codec": "string",
        },
    ),
    "audio.waveform": Facts(
        inputs={
            "url": Input(type="string"),
            "width": Input(type="integer", default=1024),
            "height": Input(type="integer", default=60),
            "vmargin": Input(type="integer", default=0),
            "fill": Input(type="string", default="#000000"),
            "background": Input(type="string", default="#FFFFFF"),
            "start": Input(type="float", default=0.0),
            "end": Input(type="float"),
            "format": Input(type="string", default="jpeg", choices=("png", "jpeg")),
        },
        outputs={
            "duration": "float",
            "width": "integer",
            "height": "integer",
            "content_type": "string",
        },
        files=("output",),
    ),
    "html.scrape": Facts(
        inputs={
            "url": Input(type="string"),
        },
        outputs={
            "hits": "object",
            "page_title": "string",
        },
    ),
    "image.face": Facts(
        inputs={
            "url": Input(type="string"),
        },
        outputs={
            "faces": "object",
        },
    ),
    "image.gif": Facts(
        inputs={
            "images": Input(type="list of strings"),
            "loop": Input(type="integer", default=0),
            "frame_duration": Input(type="float", default=0.1),
            "width": Input(type="integer"),
            "height": Input(type="integer"),
        },
        outputs={},
        files=("output",),
    ),
    "image.info": Facts(
        inputs={
            "url": Input(type="string"),
        },
        outputs={
            "content_type": "string",
            "type": "string",
            "width": "integer",
            "height": "integer",
            "alpha": "boolean",
            "exif_orientation": "integer",
            "rotation": "float",
            "date_time": "string",
            "flash": "boolean",
            "focal_length": "float",
            "iso_speed": "float",
            "exposure_time": "float",
        },
    ),
    "image.saliency": Facts(
        inputs={
            "url": Input(type="string"),
        },
        outputs={
            "points": "object",
        },
    ),
    "image.smartcrop": Facts(
        inputs={
            "url": Input(type="string"),
            "aspect_ratio": Input(type="float", default=1.7777777777777777),
            "boxes_number": Input(type="integer", default=10),
            "step_ratio": Input(type="float", default=0.03),
            "diag_ratio": Input(type="float", default=0.3),
            "reverse": Input(type="boolean", default=False),
        },
        outputs={
            "points": "object",
        },
    ),
    "image.strip": Facts(
        inputs={
            "urls": Input(type="list of strings"),
            "width": Input(type="integer"),
            "height": Input(type="integer"),
            "crop": Input(type="boolean", default=False),
            "wrap": Input(type="integer"),
            "format": Input(type="string", default="jpeg", choices=("jpeg", "png")),
        },
        outputs={
            "count": "integer",
            "width": "integer",
            "height": "integer",
            "content_type": "string",
        },
        files=("output",),
    ),
    "image.thumb": Facts(
        inputs={
            "width": Input(type="integer"),
            "height": Input(type="integer"),
            "crop": Input(type="boolean", default=False),
            "url": Input(type="string"),
            "rotation": Input(type="integer", default=0, choices=(0, 90, 180, 270)),
            "poster": Input(type="boolean", default=False),
            "format": Input(type="string", default="jpeg", choices=("jpeg", "gif", "png")),
        },
        outputs={
            "width": "integer",
            "height": "integer",
            "original_width": "integer",
            "original_height": "integer",
        },
        files=("output",),
    ),
    "video.convert": Facts(
        inputs={
            "url": Input(type="string"),
            "width": Input(type="integer"),
            "height": Input(type="integer"),
            "crop": Input(type="boolean", default=False),
            "audio_codec": Input(
                type="string", default="aac", choices=("mp2", "mp3", "aac", "wmav1", "wmav2")
            ),
            "video_codec": Input(type="string", default="h264", choices=("h264",)),
            "video_bitrate": Input(type="integer", default=3000),
            "audio_bitrate": Input(type="integer", default=128),
            "sample_rate": Input(type="integer", default=44100, choices=(22050, 44100, 48000)),
            "crf": Input(type="integer", default=23),
            "gop": Input(type="integer", default=250),
        },
        outputs={
            "content_type": "string",
            "width": "integer",
            "height": "integer",
            "original_width": "integer",
            "original_height": "integer",
            "duration": "float",
            "frame_rate": "float",
            "audio_codec": "string",
            "video_codec": "string",
            "alpha": "boolean",
            "rotation": "float",
        },
        files=("output",),
    ),
    "video.info": Facts(
        inputs={
            "url": Input(type="string"),
        },
        outputs={
            "content_type": "string",
            "width": "integer",
            "height": "integer",
            "duration": "float",
            "frame_rate": "float",
            "alpha": "boolean",
            "rotation": "float",
            "audio_codec": "string",
            "video_codec": "string",
        },
    ),
    "video.reverse": Facts(
        inputs={
            "url": Input(type="string"),
            "width": Input(type="integer"),
            "height": Input(type="integer"),
            "crop": Input(type="boolean", default=False),
            "video_codec": Input(type="string", default="h264", choices=("h264",)),
            "video_bitrate": Input(type="integer"),
            "crf": Input(type="integer", default=23),
            "gop": Input(type="integer", default=250),
        },
        outputs={
            "duration": "float",
        },
        files=("output",),
    ),
    "video.strip": Facts(
        inputs={
            "url": Input(type="string"),
            "width": Input(type="integer"),
            "height": Input(type="integer"),
            "crop": Input(type="boolean", default=False),
            "wrap": Input(type="integer"),
            "start": Input(type="float", default=0.0),
            "end": Input(type="float"),
            "count": Input(type="integer", default=10),
            "format": Input(type="string", default="jpeg", choices=("jpeg", "png")),
        },
        outputs={
            "count": "integer",
            "width": "integer",
            "height": "integer",
            "original_width": "integer",
            "original_height": "integer",
            "duration": "float",
            "frame_rate": "float",
            "content_type": "string",
        },
        files=("output",),
    ),
    "video.thumb": Facts(
        inputs={
            "url": Input(type="string"),
            "width": Input(type="integer"),
            "height": Input(type="integer"),
            "crop": Input(type="boolean", default=False),
            "time": Input(type="float", default=0.0),
            "format": Input(type="string", default="jpeg", choices=("jpeg", "png")),
            "poster": Input(type="boolean", default=False),
            "quality": Input(type="integer", default=75),
        },
        outputs={
            "width": "integer",
            "height": "integer",
            "original_width": "integer",
            "original_height": "integer",
            "duration": "float",
            "content_type": "string",
        },
        files=("output",),
    ),
}
