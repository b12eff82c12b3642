"""Sounds with a known rhythm, that tests make on the spot."""

import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE = 22_050

Samples = NDArray[Any]

_CHORDS = ((57, 60, 64), (53, 57, 60), (48, 52, 55), (55, 59, 62))


class Music:
    """A sound of so many seconds that grows as one plays on it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.samples: Samples = np.zeros(round(seconds * RATE))

    def play(self, second: float, sound: Samples, loudness: float = 1.0) -> None:
        start = round(second * RATE)
        sound = sound[: max(0, len(self.samples) - start)]
        self.samples[start : start + len(sound)] += loudness * sound

    def write(self, path: Path) -> Path:
        loudest = max(1.0, float(np.abs(self.samples).max()))
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes((self.samples / loudest * 32_000).astype("<i2").tobytes())
        return path


def beats(bpm: float, seconds: float, first: float = 0.3) -> list[float]:
    return [float(beat) for beat in np.arange(first, seconds - 0.2, 60 / bpm)]


def clicks(times: list[float], seconds: float, accent: int = 0) -> Music:
    """A click at each of these times, every so many louder and higher."""
    music = Music(seconds)
    for index, time in enumerate(times):
        is_stressed = accent and index % accent == 0
        music.play(time, tone(1500 if is_stressed else 1000, 0.03, 0.01), 1 if is_stressed else 0.5)
    return music


def song(times: list[float], seconds: float, meter: int = 4) -> Music:
    """Kick, snare and hats, a bass and a chord for each bar."""
    music, random = Music(seconds), np.random.default_rng(7)
    period = times[1] - times[0]
    for index, time in enumerate(times):
        bar, place = divmod(index, meter)
        chord = _CHORDS[bar % len(_CHORDS)]
        if place == 0:
            for note in chord:
                music.play(time, _held(hertz(note), period * meter - 0.1), 0.12)
        if place in (0, 2):
            music.play(time, tone(hertz(chord[0] - 12), period * 0.9, 0.3), 0.35)
        is_kick = place in (0, 2) if meter == 4 else place == 0
        music.play(time, _kick() if is_kick else _snare(random), 0.9 if is_kick else 0.45)
        music.play(time, _hat(random), 0.15)
        music.play(time + period / 2, _hat(random), 0.12)
    return music


def babble(seconds: float, seed: int) -> Music:
    """Syllables of noise, as irregular as speech."""
    music, random = Music(seconds), np.random.default_rng(seed)
    time = 0.2
    while time < seconds:
        length = random.uniform(0.08, 0.4)
        syllable = np.convolve(random.standard_normal(round(length * RATE)), np.ones(8) / 8, "same")
        music.play(time, syllable * np.hanning(len(syllable)), random.uniform(0.3, 1))
        time += length + random.exponential(0.15)
    return music


def tone(frequency: float, seconds: float, decay_seconds: float) -> Samples:
    time = np.arange(round(seconds * RATE)) / RATE
    return np.asarray(np.sin(2 * np.pi * frequency * time) * np.exp(-time / decay_seconds))


def hertz(note: int) -> float:
    return float(440 * 2 ** ((note - 69) / 12))


def _held(frequency: float, seconds: float) -> Samples:
    time = np.arange(round(seconds * RATE)) / RATE
    return np.asarray(np.sin(2 * np.pi * frequency * time) * (time / 0.02).clip(max=1))


def _kick() -> Samples:
    time = np.arange(round(0.2 * RATE)) / RATE
    falling = 50 + 100 * np.exp(-time / 0.03)
    return np.asarray(np.sin(2 * np.pi * np.cumsum(falling) / RATE) * np.exp(-time / 0.08))


def _snare(random: np.random.Generator) -> Samples:
    noise = random.standard_normal(round(0.15 * RATE))
    return 0.7 * noise * np.exp(-np.arange(len(noise)) / RATE / 0.05) + 0.4 * tone(190, 0.15, 0.05)


def _hat(random: np.random.Generator) -> Samples:
    noise = np.diff(random.standard_normal(round(0.05 * RATE)), prepend=0)
    return np.asarray(noise * np.exp(-np.arange(len(noise)) / RATE / 0.012))
