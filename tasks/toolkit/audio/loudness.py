"""Brings a sound to a loudness: measured first, then made louder or softer as a whole.

By EBU R 128, as FFmpeg's meter reads it.
"""

import math
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct

from dragon.task import Context
from tasks.toolkit.media.ffmpeg import Arguments
from tasks.toolkit.media.running import ProgressReader
from tasks.toolkit.progress import Meter

PEAK = -1.0
"""The highest true peak, in dB of full scale; what is higher clips in some players."""
LIMIT = -1.5
"""Where peaks are held down, which lets them through a little."""
NEAR = 0.2
"""LU from the target that are near enough."""
TRIALS = 4
LEAST_HELP = 0.2
SILENCE = -70.0
"""LUFS; the meter counts nothing that is softer."""

_LIMITER_RATE = 192_000
_METER = (
    "ebur128=peak=true:metadata=1:framelog=quiet",
    # Straight to the pipe, line by line: else lines of progress would come amid them.
    *(f"ametadata=mode=print:key=lavfi.r128.{key}:file=-:direct=1" for key in ("I", "true_peak")),
)


class Loudness(Struct, frozen=True, kw_only=True):
    """`integrated` in LUFS, `peak` in dB of full scale."""

    integrated: float
    peak: float

    @property
    def is_silent(self) -> bool:
        return self.integrated <= SILENCE


class Gain(Struct, frozen=True, kw_only=True):
    """How a sound gets its loudness: by a filter, and how loud it is then, in LUFS."""

    filter: str
    loudness: float


class LoudnessReader:
    """Reads what the meter's filter prints; all other lines go to `read_other`."""

    def __init__(self, read_other: Callable[[str], None]) -> None:
        self._integrated = SILENCE
        self._peak = 0.0
        self._read_other = read_other

    @property
    def loudness(self) -> Loudness:
        return Loudness(
            integrated=self._integrated,
            peak=20 * math.log10(self._peak) if self._peak > 0 else -math.inf,
        )

    def read_line(self, line: str) -> None:
        name, _, value = line.partition("=")
        if name == "lavfi.r128.I":
            self._integrated = _finite(value, self._integrated)
        elif name == "lavfi.r128.true_peak":
            self._peak = _finite(value, self._peak)
        elif not name.startswith("frame:"):
            self._read_other(line)


class Leveller:
    """Measures one sound; `arguments` make ffmpeg read it, `shaping` are filters of it."""

    def __init__(
        self, ctx: Context, arguments: Arguments, shaping: str, seconds: float | None
    ) -> None:
        self._ctx = ctx
        self._arguments = arguments
        self._shaping = shaping
        self._seconds = seconds

    async def find_gain(self, target: float, *, end: float) -> Gain | None:
        """What brings the sound to `target` LUFS; None of silence. Progress goes to `end`.

        Peaks that would clip are held down, and the rest made louder in turn, as far as that
        helps. Raises as `Context.run_program`.
        """
        found = await self._measure(None, 0.0, end / 2)
        if found.is_silent:
            return None
        gain = target - found.integrated
        if found.peak + gain <= PEAK:
            return Gain(filter=_amplifier(gain), loudness=target)
        return await self._find_limited(gain, target, end / 2, end)

    async def _find_limited(self, gain: float, target: float, begin: float, end: float) -> Gain:
        """Try until it is near; the last trial is what is made."""
        step = (end - begin) / TRIALS
        tried: list[tuple[float, float]] = []
        for now in (begin + step * number for number in range(TRIALS)):
            if tried:
                gain += (target - tried[-1][1]) / _help(tried)
            found = await self._measure(_limiter(gain), now, now + step)
            tried.append((gain, found.integrated))
            if abs(target - found.integrated) <= NEAR:
                break
        return Gain(filter=_limiter(gain), loudness=found.integrated)

    async def _measure(self, filter: str | None, begin: float, end: float) -> Loudness:
        progress = ProgressReader(Meter(self._ctx.progress, begin=begin, end=end), self._seconds)
        reader = LoudnessReader(progress.read_line)
        filters = ",".join((self._shaping, *([filter] if filter else []), *_METER))
        arguments = [*self._arguments, "-af", filters, "-f", "null", "-"]
        await self._ctx.run_program(arguments, reader.read_line)
        return reader.loudness


def _finite(text: str, otherwise: float) -> float:
    """Samples that are no numbers, of which files with a decimal point can be full, have none."""
    with suppress(ValueError):
        return value if math.isfinite(value := float(text)) else otherwise
    return otherwise


def _help(tried: list[tuple[float, float]]) -> float:
    """By how many dB a sound became louder for each dB of gain that was added last."""
    if len(tried) == 1:
        return 1.0
    (last_gain, last_loudness), (gain, loudness) = tried[-2:]
    return max(LEAST_HELP, (loudness - last_loudness) / (gain - last_gain))


def _amplifier(gain: float) -> str:
    return f"volume={gain:.2f}dB:precision=double"


def _limiter(gain: float) -> str:
    """At a high rate, at which samples come near to the true peaks between them."""
    return (
        f"aresample={_LIMITER_RATE},{_amplifier(gain)},"
        f"alimiter=limit={10 ** (LIMIT / 20):.4f}:level=0:attack=5:release=50:latency=1"
    )
