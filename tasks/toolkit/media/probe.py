"""Reads what is in a media file, in a decoder child."""

from dragon.task import Descriptor, MediaLimits
from tasks.toolkit.media.media import Media, Wanted


def read(url: str, source: Descriptor, limits: MediaLimits, wanted: Wanted = "media") -> Media:
    """Runs in a decoder child; `url` is for messages only. One frame of a video is decoded.

    Raises TaskFailed if this is no media file of a kind that is read here, if what is wanted
    is not in it, or if it is over a limit.
    """
    from tasks.toolkit.media import demux, streams

    with demux.open_media(url, source, limits, wanted) as opened:
        return streams.media_of(opened, limits)
