"""audio.convert makes sounds as loud as asked, by the meter of ffmpeg, and clips no peak."""

import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from imageio_ffmpeg import get_ffmpeg_exe

from tests.support.clips import SOUND, Clips
from tests.support.pictures import write
from tests.support.studio import Studio, open_studio
from tests.tasks.audio.converting_sounds import made, samples

LOUD_AND_SOFT = "aevalsrc='(0.05+0.3*gt(mod(t,2),1))*sin(2*PI*440*t)':d=6:s=48000"
PLUCKED = "aevalsrc='0.7*exp(-8*mod(t,0.5))*sin(2*PI*220*t)':d=6:s=48000"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def studio(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Studio]:
    async with open_studio(tmp_path_factory.mktemp("studio")) as studio:
        yield studio


def metered(path: Path) -> tuple[float, float]:
    """LUFS and the true peak in dB, as ffmpeg's own meter sums them up."""
    command = [get_ffmpeg_exe(), "-nostats", "-i", str(path), "-af", "ebur128=peak=true"]
    done = subprocess.run([*command, "-f", "null", "-"], check=True, capture_output=True, text=True)
    summary = done.stderr.rpartition("Summary:")[2]
    found = re.findall(r"(?:I|Peak):\s+(-?[\d.]+|-inf)", summary)
    return float(found[0]), float(found[1])


@pytest.mark.parametrize(
    ("sound", "target"), [(LOUD_AND_SOFT, -14), (LOUD_AND_SOFT, -23), (PLUCKED, -16)]
)
async def test_loudness_is_what_was_asked_for_by_the_meter_of_ffmpeg(
    studio: Studio, clips: Clips, sound: str, target: int
) -> None:
    source = clips(f"sound{len(sound)}.wav", "-f", "lavfi", "-i", sound)
    result = await made(studio, source, codec="aac", bitrate=256, loudness=target)
    loudness, peak = metered(result.output.path)
    assert loudness == pytest.approx(target, abs=0.5)
    assert result.loudness == pytest.approx(loudness, abs=0.5)
    assert peak <= -0.5
    fractions = [told["fraction"] for told in studio.told]
    assert fractions == sorted(fractions)


async def test_where_there_is_room_it_only_becomes_louder(studio: Studio, clips: Clips) -> None:
    source = clips("soft.wav", "-f", "lavfi", "-i", LOUD_AND_SOFT.replace("0.3*", "0.1*"))
    result = await made(studio, source, codec="wav", loudness=-20)
    before, after = samples(source), samples(result.output.path)
    gain = np.abs(after).max() / np.abs(before).max()
    assert gain > 1.3
    assert after == pytest.approx(before * gain, abs=1e-3)


async def test_peaks_that_would_clip_are_held_down(studio: Studio, clips: Clips) -> None:
    clicks = "aevalsrc='0.9*lt(mod(t,1),0.0002)+0.02*sin(2*PI*300*t)':d=5:s=48000"
    source = clips("clicks.wav", "-f", "lavfi", "-i", clicks)
    result = await made(studio, source, codec="flac", loudness=-16)
    loudness, peak = metered(result.output.path)
    assert loudness == pytest.approx(-16, abs=1)
    assert peak < -0.5


async def test_silence_stays_silent(studio: Studio, clips: Clips) -> None:
    source = clips("silent.wav", "-f", "lavfi", "-i", "anullsrc=d=1")
    result = await made(studio, source, loudness=-14)
    assert result.loudness is None
    assert not samples(result.output.path).any()


async def test_samples_that_are_no_numbers_have_no_loudness(
    studio: Studio, clips: Clips, tmp_path: Path
) -> None:
    data = bytearray(clips("float.wav", *SOUND, "-c:a", "pcm_f32le").read_bytes())
    data[1000:9000] = np.full(2000, np.nan, "<f4").tobytes()
    result = await made(
        studio, write(tmp_path / "nan.wav", bytes(data)), codec="flac", loudness=-20
    )
    assert result.loudness is None or np.isfinite(result.loudness)
    assert result.duration == pytest.approx(2, abs=0.05)
