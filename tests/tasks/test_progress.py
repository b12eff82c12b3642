"""What ffmpeg prints of itself becomes progress."""

import msgspec

from tasks.toolkit.media.running import ProgressReader
from tasks.toolkit.progress import Meter, Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def told(*blocks: str, seconds: float | None = 10, **part: float) -> list[Progress]:
    """What is told of blocks of lines that come a second apart."""
    found: list[Progress] = []
    clock = Clock()
    reader = ProgressReader(Meter(found.append, clock=clock, **part), seconds)
    for block in blocks:
        clock.now += 1
        for line in block.split():
            reader.read_line(line)
    return found


def block(out_time: float, progress: str = "continue") -> str:
    microseconds = int(out_time * 1_000_000)
    return (
        f"frame={int(out_time * 25)} fps=0.00 bitrate=238.9kbits/s total_size=87191 "
        f"out_time_us={microseconds} out_time_ms={microseconds} speed=14.1x progress={progress}"
    )


def test_each_block_is_told_with_all_its_figures() -> None:
    assert told(block(2.5)) == [
        Progress(fraction=0.25, frames=62, out_time=2.5, bytes=87191, speed=14.1, seconds_left=3.0)
    ]


def test_the_end_is_the_whole_and_nothing_is_left() -> None:
    last = told(block(2.5), block(9.9, "end"))[-1]
    assert (last.fraction, last.seconds_left) == (1.0, 0.0)


def test_a_part_moves_only_within_its_share() -> None:
    fractions = [each.fraction for each in told(block(5), block(10, "end"), begin=0.5, end=0.7)]
    assert fractions == [0.6, 0.7]


def test_the_estimate_is_of_the_whole_by_the_rate_of_the_part() -> None:
    assert told(block(5), begin=0.5)[0].seconds_left == 1.0


def test_it_never_goes_back_nor_beyond_its_end() -> None:
    fractions = [each.fraction for each in told(block(5), block(4), block(11))]
    assert fractions == [0.5, 0.5, 1.0]


def test_what_is_not_known_yet_is_left_out() -> None:
    [first] = told("frame=0 total_size=N/A out_time_us=N/A speed=N/A progress=continue")
    assert msgspec.to_builtins(first) == {"fraction": 0.0, "frames": 0}


def test_before_anything_is_made_nothing_is_said_of_what_is_left() -> None:
    nothing = "out_time_us=N/A progress=continue"
    assert [each.seconds_left for each in told(nothing, nothing, begin=2 / 3)] == [None, None]


def test_without_a_known_duration_the_figures_are_still_told() -> None:
    [first] = told(block(2.5), seconds=None)
    assert (first.fraction, first.out_time) == (0.0, 2.5)


def test_a_meter_tells_its_share_of_the_whole_with_pace_and_estimate() -> None:
    found: list[Progress] = []
    clock = Clock()
    meter = Meter(found.append, begin=0.2, end=0.8, clock=clock)
    meter.reached(0)
    clock.now += 2
    meter.reached(0.5, frames=3, out_time=30)
    meter.reached(0.4)
    meter.reached(2)
    assert found[:2] == [
        Progress(fraction=0.2),
        Progress(fraction=0.5, frames=3, out_time=30, speed=15, seconds_left=3.3),
    ]
    assert [each.fraction for each in found[2:]] == [0.5, 0.8]
