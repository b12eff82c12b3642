"""Finds the beats of music, and which of them begin a bar; only decoder children import this.

Beats are where most begins while they keep the tempo. (After Ellis, "Beat Tracking by Dynamic
Programming", 2007.)
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tasks.toolkit.audio.sound import Samples
from tasks.toolkit.music.bars import downbeats_of
from tasks.toolkit.music.onsets import RATE, STEPS, growth, listen, onsets
from tasks.toolkit.music.tempo import tempo_of

Numbers = NDArray[Any]

SAMPLE_RATE = RATE

_CLEAR = 0.3
"""Less than this comes back in speech and noise."""
_TIGHTNESS = 100.0
_LEAST_ONSET = 0.3
"""Of the usual beat: fainter ones before the first and after the last are only imagined."""


class Rhythm(Struct, frozen=True):
    """Seconds from the start; no beats where none is felt, no downbeats where none is stressed."""

    seconds: float
    beats: list[float]
    downbeats: list[float]


def rhythm_of(pieces: Iterable[Samples]) -> Rhythm:
    """The rhythm of a sound of `SAMPLE_RATE`, that comes in pieces."""
    heard = listen(pieces)
    whole, low = growth(heard.bands)
    strengths = onsets(whole) if len(whole) else whole
    tempo = tempo_of(strengths)
    if tempo.clarity < _CLEAR:
        return Rhythm(heard.seconds, [], [])
    steps = _heard_ones(_track(strengths, tempo.periods), strengths)
    times = _between_steps(steps, strengths) / STEPS
    first = downbeats_of(times, low, heard)
    rounded = [round(max(0.0, float(time)), 3) for time in times]
    return Rhythm(heard.seconds, rounded, [rounded[index] for index in first])


def _track(strengths: Numbers, periods: Numbers) -> Numbers:
    """The steps on which beats fall.

    What leads up to a step is at least half a period old, so that so many can be done at once.
    """
    count = len(strengths)
    period = np.interp(np.arange(count), np.arange(len(periods)) * STEPS, periods)
    score, came_from = strengths.copy(), np.full(count, -1)
    start = 0
    while start < count:
        steps = np.arange(start, min(count, start + max(1, int(period[start] / 2))))
        score[steps], came_from[steps] = _best_before(score, steps, float(period[start]))
        score[steps] += strengths[steps]
        start = int(steps[-1]) + 1
    step = count - 1 - int(np.argmax(score[: -int(period[-1]) - 1 : -1]))
    beats = []
    while step >= 0:
        beats.append(step)
        step = int(came_from[step])
    return np.asarray(beats[::-1])


def _best_before(score: Numbers, steps: Numbers, period: float) -> tuple[Numbers, Numbers]:
    """The best score of a beat before each of these steps, and where; -1 for a first beat."""
    apart = np.arange(round(period / 2), round(period * 2) + 1)
    before = steps[:, None] - apart[None, :]
    ways = (
        np.where(before >= 0, score[before.clip(0)], 0) - _TIGHTNESS * np.log(apart / period) ** 2
    )
    best = ways.argmax(axis=1)
    rows = np.arange(len(steps))
    return ways[rows, best], before[rows, best].clip(-1)


def _heard_ones(steps: Numbers, strengths: Numbers) -> Numbers:
    """The beats from the first to the last that can be heard."""
    around = np.asarray([strengths[max(0, step - 3) : step + 4].max() for step in steps])
    heard = np.flatnonzero(around > _LEAST_ONSET * np.median(around))
    return steps[heard[0] : heard[-1] + 1] if len(heard) else steps[:0]


def _between_steps(steps: Numbers, strengths: Numbers) -> Numbers:
    """Where the top of the curve lies that goes through a step and the two beside it."""
    padded = np.pad(strengths, 1, mode="edge")
    left, middle, right = padded[steps], padded[steps + 1], padded[steps + 2]
    bend = left - 2 * middle + right
    top = 0.5 * (left - right) / np.where(bend < 0, bend, -1.0)
    return np.asarray(steps + np.where(bend < 0, top, 0.0).clip(-1, 1))
