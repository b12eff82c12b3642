"""Finds the frames of a video by their time; in decoder children, as it loads FFmpeg."""

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from math import floor
from typing import cast

import av
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dragon.task import Descriptor, MediaLimits
from tasks.toolkit.geometry import Size
from tasks.toolkit.media.containers import MPEG_PS, MPEG_TS
from tasks.toolkit.media.demux import Opened, decoded, not_valid, open_media, packets_of
from tasks.toolkit.media.streams import aspect_of, display_size, duration_of, orientation_of

NEAR_SECONDS = 2
"""So far ahead it is cheaper to decode on than to go back to a key frame."""

STEPS_BACK_SECONDS = (0, 1, 10)
"""How much before the time a key frame is looked for, before the file is read from its start."""

SKIPPING_DECODERS = ("h264", "mpeg1video", "mpeg2video", "mpeg4")
"""Those to which a frame that no other refers to is one indeed: in HEVC layers above may."""


@contextmanager
def open_film(
    url: str,
    source: Descriptor,
    limits: MediaLimits,
    on_frame: Callable[[float], None] = lambda share: None,
) -> Iterator["Film"]:
    """The video in an open file, within the block. Raises TaskFailed if there is none.

    While a frame is looked for, `on_frame` hears at each before it that is decoded how much of
    the way from where the search began is done, 0 to 1.
    """
    with open_media(url, source, limits, "video") as opened:
        yield Film(opened, on_frame)


class Film:
    """An open video, whose frames are asked for by time: seconds from the start of the file."""

    def __init__(self, opened: Opened, on_frame: Callable[[float], None]) -> None:
        assert opened.video is not None  # noqa: S101 - it was wanted
        assert opened.decoder is not None  # noqa: S101
        self.duration = duration_of(opened)
        self._opened = opened
        self._on_frame = on_frame
        self._input = opened.input
        self._stream = opened.video
        self._decoder = opened.decoder
        for stream in self._input.streams:
            if stream.index != self._stream.index:
                stream.discard = Discard.all
        self._tick_seconds = self._stream.time_base or Fraction(1, av.time_base)
        self._may_skip = self._decoder.name in SKIPPING_DECODERS
        self._packets: Iterator[Packet[VideoStream]] = iter(())
        self._ahead: deque[Packet[VideoStream]] = deque()
        self._ready: deque[VideoFrame] = deque()
        self._ticks: list[int] = []
        self._shown: VideoFrame | None = None

    @property
    def frame_rate(self) -> float | None:
        """Frames a second, on average."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        return float(rate) if rate else None

    def size_of(self, frame: VideoFrame) -> Size:
        """The size that a frame has when it is seen."""
        stored = Size(frame.width, frame.height)
        return display_size(stored, aspect_of(self._stream), orientation_of(frame))

    def frame_at(self, seconds: float) -> VideoFrame:
        """The frame that is seen then: the first before the start, the last beyond the end.

        Raises TaskFailed if there is no frame that can be decoded.
        """
        if self.duration is not None:
            seconds = min(seconds, self.duration)
        start = self._input.start_time or 0
        since_zero = Fraction(round(seconds * av.time_base) + start, av.time_base)
        tick = floor(since_zero / self._tick_seconds)
        frame = (self._find(tick) if self._is_near(tick) else None) or self._seek(tick)
        if frame is None:
            raise not_valid(self._opened.url, "video")
        return frame

    def _is_near(self, tick: int) -> bool:
        if self._shown is None:
            return False
        ahead = tick - tick_of(self._shown)
        return 0 <= ahead * self._tick_seconds <= NEAR_SECONDS

    def _seek(self, tick: int) -> VideoFrame | None:
        """The frame that is seen then, from the nearest key frame on."""
        first = self._stream.start_time or 0
        for seconds in STEPS_BACK_SECONDS:
            self._rewind(max(first, tick - int(seconds / self._tick_seconds)))
            while (packet := self._read()) and not packet.is_keyframe:
                self._ahead.pop()
                self._ticks.clear()
            frame = self._find(tick) if packet else None
            if frame and tick_of(frame) <= tick:
                return frame
        self._rewind(None)
        return self._find(tick)

    def _rewind(self, tick: int | None) -> None:
        """To the last key frame that is not after `tick`, or to the first of all."""
        self._ahead.clear()
        self._ready.clear()
        self._ticks.clear()
        self._shown = None
        try:
            if tick is None:
                self._seek_start()
            else:
                self._input.seek(tick, stream=self._stream)
        except av.FFmpegError:
            self._seek_start()
        self._decoder.flush_buffers()
        self._packets = packets_of(self._input, self._stream)

    def _seek_start(self) -> None:
        """Where other streams begin earlier, FFmpeg finds no key frame at the start's time."""
        if self._opened.container in (MPEG_TS, MPEG_PS):
            self._input.seek(0, unsupported_byte_offset=True)
            return
        first = self._stream.start_time or 0
        try:
            self._input.seek(first, stream=self._stream)
        except av.FFmpegError:
            self._input.seek(first, stream=self._stream, backward=False)

    def _find(self, tick: int) -> VideoFrame | None:
        """The last frame that is not after `tick`, or the first of all, from where we are on."""
        target = self._target(tick)
        first: int | None = None
        while self._shown is None or tick_of(self._shown) < target:
            frame = self._next_frame(target)
            if frame is None:
                break
            if self._shown is not None and tick_of(frame) > target:
                self._ready.appendleft(frame)
                break
            self._shown = frame
            first = tick_of(frame) if first is None else first
            if tick_of(frame) < target:
                self._on_frame((tick_of(frame) - first) / (target - first))
        self._ticks = [later for later in self._ticks if later >= target]
        return self._shown

    def _target(self, tick: int) -> int:
        """When the frame begins that is seen at `tick`; packets tell, before any is decoded."""
        while not (self._ahead and _is_past(self._ahead[-1], tick)):
            if self._read() is None:
                break
        ticks = self._ticks
        return max((found for found in ticks if found <= tick), default=min(ticks, default=tick))

    def _next_frame(self, target: int) -> VideoFrame | None:
        """Frames before the target that no other refers to are not even decoded."""
        while not self._ready:
            if not self._ahead and self._read() is None:
                return None
            packet = self._ahead.popleft()
            is_spare = self._may_skip and tick_of(packet) < target
            self._decoder.skip_frame = "NONREF" if is_spare else "DEFAULT"
            self._ready.extend(decoded(self._opened, packet))
        return self._ready.popleft()

    def _read(self) -> "Packet[VideoStream] | None":
        """The next packet, also the empty one that ends a stream, or None after it."""
        try:
            packet = next(self._packets, None)
        except av.FFmpegError:
            packet = cast("Packet[VideoStream]", Packet())
        if packet is not None:
            self._ahead.append(packet)
        if packet:
            self._ticks.append(tick_of(packet))
        return packet


def _is_past(packet: "Packet[VideoStream]", tick: int) -> bool:
    """Whether this and all that follow it are seen later."""
    return packet.dts is not None and packet.dts > tick


def tick_of(item: "Packet[VideoStream] | VideoFrame") -> int:
    """When a frame begins; the empty packet that ends a stream comes after all."""
    time = item.dts if item.pts is None else item.pts
    return sys.maxsize if time is None else time
