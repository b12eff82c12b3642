"""How far a sound swings to both sides, in as many steps as are asked for; in decoder children.

However long the sound is, no more than some hundred thousand numbers of it are in memory.
"""

from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet
from msgspec import Struct
from numpy.typing import NDArray

from dragon.task import MediaLimits
from tasks.toolkit.audio.sound import GAP_SECONDS, check_rate, check_seconds
from tasks.toolkit.media.demux import Opened, decoded_audio, not_valid, packets_of
from tasks.toolkit.spans import Span

Extremes = NDArray[Any]
"""Two rows of as many numbers: the lowest and the highest of something, -1 to 1."""

MOST_BINS = 1 << 17
"""When there are half as many, they are still four for each column of the widest picture."""
BATCH_SAMPLES = 1 << 15
SILENCE_SAMPLES = 1 << 20
PREROLL_SECONDS = 1.0
"""What decoders are fed before the first sample that counts."""

_SCALES = {"u8": (128, 128), "s16": (0, 1 << 15), "s32": (0, 1 << 31)}
"""By format: what is silence, and how far it swings at most; numbers with a point are scaled."""


class Peaks(Struct, frozen=True):
    """The extremes of each step, and how many seconds were decoded."""

    extremes: Extremes
    seconds: float


class Bins:
    """The extremes of so many samples each; of twice as many when there are too many of them."""

    def __init__(self, most: int = MOST_BINS) -> None:
        self.samples = 0
        self._width = 1
        self._bins = np.zeros((2, most), np.float32)
        self._count = 0
        self._rest: list[Extremes] = []
        self._rest_samples = 0

    def add(self, extremes: Extremes) -> None:
        """Of as many samples."""
        self.samples += extremes.shape[1]
        self._rest.append(extremes)
        self._rest_samples += extremes.shape[1]
        if self._rest_samples >= max(BATCH_SAMPLES, self._width):
            self._settle()

    def add_silence(self, samples: int) -> None:
        for start in range(0, samples, SILENCE_SAMPLES):
            self.add(np.zeros((2, min(SILENCE_SAMPLES, samples - start)), np.float32))

    def steps(self, count: int) -> Extremes:
        """That many steps of equal length; where samples are fewer they repeat."""
        self._settle()
        bins = self._bins[:, : self._count]
        if self._rest_samples:
            bins = np.hstack([bins, _merged(self._rest[0], self._rest_samples)])
        starts = np.arange(count) * bins.shape[1] // count
        low, high = bins
        return np.stack([np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)])

    def _settle(self) -> None:
        """Make bins of all that fills one."""
        rest = np.hstack([np.zeros((2, 0), np.float32), *self._rest])
        while self._count + rest.shape[1] // self._width > self._bins.shape[1]:
            rest = self._double(rest)
        full = rest.shape[1] // self._width * self._width
        new = _merged(rest[:, :full], self._width)
        self._bins[:, self._count : self._count + new.shape[1]] = new
        self._count += new.shape[1]
        self._rest, self._rest_samples = [rest[:, full:].copy()], rest.shape[1] - full

    def _double(self, rest: Extremes) -> Extremes:
        """A last bin without a neighbour stands for all its samples, before the rest."""
        if self._count % 2:
            self._count -= 1
            last = self._bins[:, self._count : self._count + 1]
            rest = np.hstack([last.repeat(self._width, axis=1), rest])
        merged = _merged(self._bins[:, : self._count], 2)
        self._count //= 2
        self._width *= 2
        self._bins[:, : self._count] = merged
        return rest


def peaks_of(
    opened: Opened, span: Span, count: int, limits: MediaLimits, tell: Callable[[float], None]
) -> Peaks:
    """Of all channels in `count` steps; `tell` is called with the seconds that were read.

    Raises TaskFailed if nothing can be decoded, or if it lasts longer than the limit.
    """
    if opened.audio is None:
        raise not_valid(opened.url, "audio")
    rate = opened.audio.rate
    check_rate(opened, rate)
    first = round((span.start or 0.0) * rate)
    last = None if span.end is None else round(span.end * rate)
    bins = Bins()
    for place, extremes in _placed(opened, opened.audio, first, limits):
        if last is not None and place >= last:
            break
        part = extremes[:, max(0, first - place) : None if last is None else last - place]
        if part.size:
            bins.add_silence(max(0, place - first - bins.samples))
            bins.add(part)
            tell(bins.samples / rate)
    if not bins.samples:
        raise not_valid(opened.url, "audio")
    return Peaks(bins.steps(count), bins.samples / rate)


def _placed(
    opened: Opened, stream: AudioStream, first: int, limits: MediaLimits
) -> Iterator[tuple[int, Extremes]]:
    """The sound of each frame, and the number of the sample that it begins with.

    What lies long before `first` is not decoded.
    """
    origin, rate = (opened.input.start_time or 0) / av.time_base, stream.rate
    wanted = origin + first / rate - PREROLL_SECONDS
    place = 0
    for packet in packets_of(opened.input, stream):
        if _ends_before(packet, wanted):
            continue
        for frame in decoded_audio(packet):
            check_rate(opened, frame.sample_rate)
            check_seconds(opened, frame.samples / frame.sample_rate, limits)
            if frame.time is not None and frame.time - origin > place / rate + GAP_SECONDS:
                place = round((frame.time - origin) * rate)
            extremes = _at_rate(_extremes(frame), frame.sample_rate, rate)
            check_seconds(opened, (place + extremes.shape[1]) / rate, limits)
            yield place, extremes
            place += extremes.shape[1]


def _ends_before(packet: "Packet[AudioStream]", seconds: float) -> bool:
    if packet.pts is None or packet.time_base is None:
        return False
    return (packet.pts + (packet.duration or 0)) * float(packet.time_base) < seconds


def _extremes(frame: AudioFrame) -> Extremes:
    """Of each sample the lowest and highest of all channels."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    extremes = np.stack([samples.min(axis=0), samples.max(axis=0)]).astype(np.float32)
    silence, most = _SCALES.get(frame.format.name.removesuffix("p"), (0, 1))
    return np.clip(np.nan_to_num((extremes - silence) / most), -1, 1)


def _at_rate(extremes: Extremes, rate: int, wanted: int) -> Extremes:
    """Where a file changes its sample rate, samples are repeated or left out."""
    if rate == wanted:
        return extremes
    count = extremes.shape[1]
    wanted_count = max(1, count * wanted // rate)
    return extremes[:, np.arange(wanted_count) * count // wanted_count]


def _merged(extremes: Extremes, width: int) -> Extremes:
    """The extremes of each `width` of them, of which there are as many as fit."""
    low, high = extremes.reshape(2, -1, width)
    return np.stack([low.min(axis=1), high.max(axis=1)])
