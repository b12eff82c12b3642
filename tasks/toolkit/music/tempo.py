"""Tells how fast a rhythm goes, second by second, by what comes back; in decoder children only.

The onsets of some seconds are compared with themselves later on. A beat also comes back after
two and four, and faster ones in between; what most people would tap along to is preferred.
"""

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tasks.toolkit.music.onsets import STEPS

Numbers = NDArray[Any]

SHORTEST, LONGEST = STEPS // 4, STEPS * 3 // 2
"""Steps from beat to beat: 240 to 40 a minute."""

_PERIODS = np.arange(SHORTEST, LONGEST + 1)
_USUAL, _OCTAVES = STEPS / 2, 0.9
"""120 a minute, and how far from it people tap."""
_LISTEN_SECONDS = 8
_FURTHEST = 4 * LONGEST + 50
_CHANGE, _MOST_CHANGE = 9.0, 1.0
"""What a change of tempo costs for each octave, and in all."""


class Tempo(Struct, frozen=True):
    """`periods` are the steps from beat to beat, one for each second; `clarity` is 0 to 1."""

    periods: Numbers
    clarity: float


def tempo_of(onsets: Numbers) -> Tempo:
    """The tempo of a rhythm; its clarity is low where nothing comes back."""
    returns = _returns(onsets)
    periods = _PERIODS[_smoothest(_felt(returns))]
    strongest = [
        max(float(_near(row[None, :], times * int(period))[0]) for times in (1, 2, 4))
        for row, period in zip(returns, periods, strict=True)
    ]
    return Tempo(periods, float(np.median(strongest)))


def _returns(onsets: Numbers) -> Numbers:
    """For each second, how alike what is around it is to itself so many steps later, up to 1."""
    window = _LISTEN_SECONDS * STEPS
    bell = np.hanning(window)
    padded = np.pad(onsets, (window // 2, window))
    rows = []
    for start in range(0, max(1, len(onsets)), STEPS):
        part = padded[start : start + window] * bell
        part = part - bell * (part.sum() / bell.sum())
        spectrum = np.fft.rfft(part, 2 * window)
        alike = np.fft.irfft(np.abs(spectrum) ** 2)[:_FURTHEST]
        rows.append((alike / (alike[0] + 1e-6)).astype(np.float32))
    return np.asarray(rows)


def _felt(returns: Numbers) -> Numbers:
    """How much each second feels like each period."""
    felt = [_felt_as(returns, int(period)) for period in _PERIODS]
    usual = np.exp(-0.5 * (np.log2(_PERIODS / _USUAL) / _OCTAVES) ** 2)
    return np.stack(felt, axis=1) * usual


def _felt_as(returns: Numbers, period: int) -> Numbers:
    one, two, four = (_near(returns, times * period).clip(0) for times in (1, 2, 4))
    half = _near(returns, period // 2).clip(0) if period // 2 >= SHORTEST else np.zeros_like(one)
    # What only every second beat brings back is not half as slow a beat ...
    whole = np.sqrt(one / np.maximum(np.maximum(one, two), 1e-6))
    # ... and where as much comes in between, it is a beat too.
    split = 1 - 0.6 * ((half / np.maximum(one, 1e-6) - 0.75) / 0.2).clip(0, 1)
    return np.asarray((one + 0.6 * two + 0.4 * four) * whole * split)


def _near(returns: Numbers, steps: int) -> Numbers:
    """The most at about so many steps: players are not that exact, nor are steps."""
    reach = max(1, round(steps * 0.02))
    return np.asarray(returns[:, steps - reach : steps + reach + 1].max(axis=1))


def _smoothest(felt: Numbers) -> Numbers:
    """The way through the seconds that feels best and changes least (Viterbi's)."""
    octaves = np.abs(np.log2(_PERIODS[:, None] / _PERIODS[None, :]))
    cost = np.minimum(_CHANGE * octaves, _MOST_CHANGE)
    felt = felt / max(float(felt.max()), 1e-9)
    score, came_from = felt[0], np.zeros(felt.shape, np.int16)
    for second in range(1, len(felt)):
        ways = score[:, None] - cost
        came_from[second] = ways.argmax(axis=0)
        score = ways.max(axis=0) + felt[second]
    way = [int(score.argmax())]
    for second in range(len(felt) - 1, 0, -1):
        way.append(int(came_from[second, way[-1]]))
    return np.asarray(way[::-1])
