"""Listens to a sound for where something begins, a hundred times a second; in decoder children.

The spectrum of each moment is compared with the one before, band by band, and what grew is
counted. (After Böck and Widmer, "Maximum Filter Vibrato Suppression for Onset Detection", 2013.)
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tasks.toolkit.audio.sound import Samples

Numbers = NDArray[Any]

RATE = 16_000
"""Samples a second that are listened to."""
STEPS = 100
"""A second, of all that is told for each step."""
NOTE_STEPS = 10
"""A second, for notes: low ones take long to be told apart."""
LOW_BANDS = 7
"""These go up to some 120 hertz: drums and basses."""
SILENCE = 1e-3
"""The amplitude of a sound that nobody hears."""

_BANDS, _LOWEST, _HIGHEST = 24, 30.0, 7_500.0
_NOTES, _LOWEST_NOTE = 60, 32.703
_BAND_WINDOW, _NOTE_WINDOW = 512, 4096
_LOUD_PERCENT = 95
_CONTRAST = 100.0
_LAG = 2
_JUST_HEARD = 0.05
"""What grows by less, in the logarithm of a band, is a steady sound that trembles."""
_AT_ONCE = 2_000


class Heard(Struct, frozen=True):
    """What was heard in `seconds`: rows of the amplitude of each band, and of each semitone.

    The loudest are about 1; both are empty if there was nothing to hear.
    """

    seconds: float
    bands: Numbers
    notes: Numbers


def listen(pieces: Iterable[Samples]) -> Heard:
    """Hear a sound through once; only these few numbers of it are kept."""
    bands = _Spectra(_BAND_WINDOW, RATE // STEPS, _band_weights())
    notes = _Spectra(_NOTE_WINDOW, RATE // NOTE_STEPS, _note_weights())
    count, loudest = 0, 0.0
    for piece in pieces:
        count += len(piece)
        loudest = max(loudest, float(np.abs(piece).max(initial=0)))
        bands.add(piece)
        notes.add(piece)
    if loudest < SILENCE:
        return Heard(count / RATE, np.empty((0, _BANDS)), np.empty((0, _NOTES)))
    return Heard(count / RATE, _with_loudest_one(bands.rows()), _with_loudest_one(notes.rows()))


def growth(bands: Numbers) -> tuple[Numbers, Numbers]:
    """How much begins at each step, 0 for nothing: in all bands, and in the low ones."""
    whole, low = np.zeros(len(bands), np.float32), np.zeros(len(bands), np.float32)
    for start in range(_LAG, len(bands), _AT_ONCE):
        loudness = loudness_of(bands[start - _LAG : start + _AT_ONCE])
        grown = (loudness[_LAG:] - _with_neighbours(loudness[:-_LAG])).clip(0)
        whole[start : start + _AT_ONCE] = grown.mean(axis=1)
        low[start : start + _AT_ONCE] = grown[:, :LOW_BANDS].mean(axis=1)
    return whole, low


def onsets(whole: Numbers) -> Numbers:
    """What of the growth stands out from the second around it, as loud passages as soft ones."""
    peaks = (whole - _average(whole, STEPS) - _JUST_HEARD).clip(0)
    around = np.sqrt(_average(peaks**2, 8 * STEPS))
    least = 0.1 * float(np.sqrt((peaks**2).mean())) + 0.02
    bell = np.exp(-0.5 * (np.arange(-4, 5) / 1.5) ** 2)
    return np.convolve(peaks / (around + least), bell / bell.sum(), "same")


def loudness_of(bands: Numbers) -> Numbers:
    """As ears have it: twice the amplitude is a step up, whatever there was before."""
    return np.asarray(np.log1p(_CONTRAST * bands))


def amplitude_of(bands: Numbers) -> Numbers:
    """That of all bands together, of which the high ones are wide."""
    widths = 1 / _band_weights().max(axis=1)
    return np.asarray(bands @ widths / widths.sum())


class _Spectra:
    """The amplitudes of a sound that comes in pieces, once every `hop` samples."""

    def __init__(self, window: int, hop: int, weights: Numbers) -> None:
        self._window = window
        self._hop = hop
        self._weights = weights.T
        self._bell = np.hanning(window).astype(np.float32)
        # The first window is around the first sample.
        self._waiting: list[Samples] = [np.zeros(window // 2, np.float32)]
        self._count = window // 2
        self._rows: list[Numbers] = []

    def add(self, piece: Samples) -> None:
        self._waiting.append(piece)
        self._count += len(piece)
        if self._count >= self._window + _AT_ONCE * self._hop:
            self._look()

    def rows(self) -> Numbers:
        self.add(np.zeros(self._window // 2, np.float32))
        if self._count >= self._window:
            self._look()
        return np.concatenate([np.empty((0, self._weights.shape[1]), np.float32), *self._rows])

    def _look(self) -> None:
        samples = np.concatenate(self._waiting)
        windows = sliding_window_view(samples, self._window)[:: self._hop]
        for start in range(0, len(windows), _AT_ONCE):
            spectra = np.fft.rfft(windows[start : start + _AT_ONCE] * self._bell, axis=1)
            self._rows.append((np.abs(spectra) @ self._weights).astype(np.float32))
        left = samples[len(windows) * self._hop :].copy()
        self._waiting, self._count = [left], len(left)


def _band_weights() -> Numbers:
    edges = np.geomspace(_LOWEST, _HIGHEST, _BANDS + 2)
    return _triangles(_BAND_WINDOW, edges[:-2], edges[1:-1], edges[2:])


def _note_weights() -> Numbers:
    middles = _LOWEST_NOTE * 2 ** (np.arange(_NOTES) / 12)
    near = 2 ** (0.6 / 12)
    return _triangles(_NOTE_WINDOW, middles / near, middles, middles * near)


def _triangles(window: int, lows: Numbers, middles: Numbers, highs: Numbers) -> Numbers:
    """How much each frequency of a spectrum adds to each band: one at least, in all 1."""
    frequencies = np.fft.rfftfreq(window, 1 / RATE)
    rows = []
    for low, middle, high in zip(lows, middles, highs, strict=True):
        rising, falling = (
            (frequencies - low) / (middle - low),
            (high - frequencies) / (high - middle),
        )
        row = np.minimum(rising, falling).clip(0)
        if not row.any():
            row[np.argmin(np.abs(frequencies - middle))] = 1
        rows.append(row / row.sum())
    return np.asarray(rows, np.float32)


def _with_loudest_one(rows: Numbers) -> Numbers:
    return np.asarray(rows / max(float(np.percentile(rows.max(axis=1), _LOUD_PERCENT)), 1e-9))


def _with_neighbours(rows: Numbers) -> Numbers:
    """Each band as loud as the louder of those beside it: a voice that slides begins nothing."""
    padded = np.pad(rows, ((0, 0), (1, 1)))
    return np.asarray(np.maximum(np.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:]))


def _average(numbers: Numbers, steps: int) -> Numbers:
    """Of the steps around each; at the ends, of those that there are."""
    sums = np.concatenate([[0.0], np.cumsum(numbers, dtype=np.float64)])
    place = np.arange(len(numbers))
    first = (place - steps // 2).clip(0)
    last = (place + steps // 2 + 1).clip(max=len(numbers))
    return np.asarray((sums[last] - sums[first]) / (last - first))
