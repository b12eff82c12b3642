"""Tells which beats begin a bar: they are stressed, or bring another chord; in decoder children."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.toolkit.music.onsets import NOTE_STEPS, STEPS, Heard, amplitude_of, loudness_of

Numbers = NDArray[Any]

_METERS = (4, 3)
_OTHER_METER = 1.1
"""How much better bars of three have to fit, as most music has bars of four."""
_STRESSED = 0.4
"""By how much the first beats of bars stand out at least, where there are any."""
_JUMP = 5.0
"""What it costs to begin a bar out of turn."""
_NEAR = 0.1
"""Seconds around a beat in which two notes sound together."""


def downbeats_of(beats: Numbers, low: Numbers, heard: Heard) -> list[int]:
    """Which of the beats, seconds each, begin a bar; none where all are alike.

    `low` is what begins in the low bands, for each step.
    """
    if len(beats) < 2 * min(_METERS):
        return []
    stress = _stress(beats, low, heard)
    best: list[int] = []
    least = _STRESSED
    for meter in _METERS:
        firsts, stands_out = _firsts(stress, meter)
        if stands_out > least:
            best, least = firsts, stands_out * _OTHER_METER
    return best


def _stress(beats: Numbers, low: Numbers, heard: Heard) -> Numbers:
    """How much each beat stands out by drums, by loudness, by sounding another, by its chord."""
    steps = np.round(beats * STEPS).astype(int)
    drums = np.asarray([low[max(0, step - 3) : step + 5].max(initial=0) for step in steps])
    bands = heard.bands
    mean = np.asarray([bands[max(0, step - 4) : step + 9].mean(axis=0) for step in steps])
    colour = loudness_of(mean)
    usual = [colour[max(0, index - 6) : index + 7].mean(axis=0) for index in range(len(colour))]
    differs = np.linalg.norm(colour - usual, axis=1) / np.sqrt(colour.shape[1])
    return np.asarray(
        _evened(drums, 0.5)
        + _evened(np.log(amplitude_of(mean) + 1e-4), 0.15)
        + _evened(differs, 0.15)
        + 1.5 * _evened(_changes(beats, heard.notes), 0.05)
    )


def _changes(beats: Numbers, notes: Numbers) -> Numbers:
    """How unlike the notes after each beat are to those before it: 0 to 1, two beats each."""
    ends = np.append(beats[1:], 2 * beats[-1] - beats[-2])
    sums = np.pad(loudness_of(notes / 5).cumsum(axis=0, dtype=np.float64), ((1, 0), (0, 0)))
    first, last = beats + _NEAR, np.maximum(ends - _NEAR, beats + 1.5 * _NEAR)
    between = (_sums_at(sums, last) - _sums_at(sums, first)) / (last - first)[:, None]
    changes = [
        1
        - _alike(
            between[max(0, index - 2) : index].mean(axis=0), between[index : index + 2].mean(axis=0)
        )
        for index in range(1, len(beats))
    ]
    return np.asarray([np.mean(changes), *changes])


def _sums_at(sums: Numbers, seconds: Numbers) -> Numbers:
    """Also between two rows of the sums."""
    exact = (seconds * NOTE_STEPS + 0.5).clip(0, len(sums) - 1)
    row = np.minimum(exact.astype(int), len(sums) - 2)
    part = (exact - row)[:, None]
    return np.asarray(sums[row] * (1 - part) + sums[row + 1] * part)


def _alike(one: Numbers, other: Numbers) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other) + 1e-3))


def _evened(numbers: Numbers, least: float) -> Numbers:
    """About 0, and as far from it as other measures; differences below `least` stay small."""
    kept = numbers.clip(*np.percentile(numbers, [5, 95]))
    kept = kept - kept.mean()
    return np.asarray(kept / (kept.std() + least))


def _firsts(stress: Numbers, meter: int) -> tuple[list[int], float]:
    """The beats that begin bars of so many, and how much more stress they have than the others.

    A bar begins out of turn only where much is won by it (Viterbi's way).
    """
    places = np.arange(meter)
    gains = np.where(places == 0, stress[:, None], -stress[:, None] / (meter - 1))
    score, came_from = gains[0], np.zeros(gains.shape, int)
    for beat in range(1, len(stress)):
        in_turn, best = np.roll(score, 1), int(score.argmax())
        jumps = score[best] - _JUMP > in_turn
        came_from[beat] = np.where(jumps, best, (places - 1) % meter)
        score = np.where(jumps, score[best] - _JUMP, in_turn) + gains[beat]
    place, firsts = int(score.argmax()), list[int]()
    for beat in range(len(stress) - 1, -1, -1):
        if place == 0:
            firsts.append(beat)
        place = int(came_from[beat, place])
    return firsts[::-1], float(score.max()) * meter / len(stress)
