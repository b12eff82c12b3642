"""Decodes the sound of a media file as one channel of numbers; in decoder children only."""

from collections.abc import Iterable, Iterator
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from dragon.task import MediaLimits, TaskFailed
from tasks.toolkit.media.demux import Opened, decoded_audio, not_valid
from tasks.toolkit.progress import Meter

Samples = NDArray[Any]
"""Float numbers of -1 to 1, one after another."""

_LEAST_RATE, _HIGHEST_RATE = 1_000, 768_000
"""Samples a second: from fewer, each would unfold to thousands; of more, silence would."""
_AT_ONCE = 100_000
GAP_SECONDS = 0.05
"""Clocks of streams are coarse: a silence is put in only where more than this is missing."""


def mono(opened: Opened, rate: int, limits: MediaLimits) -> Iterator[Samples]:
    """The sound from the start of the file in pieces, all channels in one, `rate` samples a second.

    What is broken inside is passed over as players do. Raises TaskFailed if nothing can be
    decoded, or if it lasts longer than the limit.
    """
    if opened.audio is None:
        raise not_valid(opened.url, "audio")
    if opened.container.tells_duration:
        check_seconds(opened, (opened.input.duration or 0) / av.time_base, limits)
    start = (opened.input.start_time or 0) / av.time_base
    count = 0
    for begins, samples in _pieces(opened, opened.audio, rate, limits):
        missing = 0 if begins is None else round((begins - start) * rate) - count
        if missing > GAP_SECONDS * rate:
            check_seconds(opened, (count + missing) / rate, limits)
            yield from _silence(missing)
            count += missing
        count += len(samples)
        check_seconds(opened, count / rate, limits)
        yield samples


def metered(
    pieces: Iterable[Samples], rate: int, opened: Opened, meter: Meter
) -> Iterator[Samples]:
    """The same pieces of its sound; when one was used, tells how far that was."""
    count, seconds = 0, max(0, opened.input.duration or 0) / av.time_base
    for samples in pieces:
        yield samples
        count += len(samples)
        out_time = count / rate
        meter.reached(out_time / seconds if seconds else 0, out_time=round(out_time, 2))


def _silence(count: int) -> Iterator[Samples]:
    """In pieces too: hours of it are a few bytes of a file."""
    for start in range(0, count, _AT_ONCE):
        yield np.zeros(min(_AT_ONCE, count - start), np.float32)


def _pieces(
    opened: Opened, stream: AudioStream, rate: int, limits: MediaLimits
) -> Iterator[tuple[float | None, Samples]]:
    """The sound of each decoded frame, and the second that it begins at, where that is told."""
    resampler, shape = _resampler(rate), None
    for packet in opened.input.demux(stream):
        for frame in decoded_audio(packet):
            check_rate(opened, frame.sample_rate)
            check_seconds(opened, frame.samples / frame.sample_rate, limits)
            if shape != (shape := (frame.format.name, frame.layout.name, frame.sample_rate)):
                yield None, _joined(resampler.resample(None))
                resampler = _resampler(rate)
            begins = frame.time
            frame.pts = None
            yield begins, _joined(resampler.resample(frame))
    if shape is None:
        raise not_valid(opened.url, "audio")
    yield None, _joined(resampler.resample(None))


def _resampler(rate: int) -> AudioResampler:
    return AudioResampler(format="flt", layout="mono", rate=rate)


def _joined(frames: list[AudioFrame]) -> Samples:
    return np.concatenate([np.empty(0, np.float32), *(frame.to_ndarray()[0] for frame in frames)])


def check_rate(opened: Opened, rate: int) -> None:
    """Raises TaskFailed for sample rates that no recorder has."""
    if not _LEAST_RATE <= rate <= _HIGHEST_RATE:
        raise TaskFailed(
            f"The sound of file '{opened.url}' has {rate} samples a second, "
            f"{_LEAST_RATE} to {_HIGHEST_RATE} are read"
        )


def check_seconds(opened: Opened, seconds: float, limits: MediaLimits) -> None:
    """Raises TaskFailed, naming the limit."""
    if seconds > limits.max_duration_seconds:
        raise TaskFailed(
            f"File '{opened.url}' lasts more than the limit of "
            f"{limits.max_duration_seconds} seconds (max_duration_seconds)"
        )
