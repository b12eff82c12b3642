"""Files and addresses that are broken, hostile or too large, and a disk that is full."""

import asyncio
import json
import random
import resource
import shutil
import struct
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.bombs import assert_refused
from tests.chaos.check import check, has_tidied_up
from tests.chaos.families import pictured, thumb
from tests.chaos.harness import Definition, Fleet
from tests.chaos.test_crashes import mixed
from tests.support.fetching import Canary
from tests.support.origin import Origin
from tests.support.paths import matching
from tests.support.pictures import CAT, animation
from tests.support.waiting import eventually

BAITED = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">'
    b'<image href="BAIT"/><image href="FILE"/></svg>',
    "m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nBAIT\n#EXTINF:9,\nFILE\n",
    "mvg": b"push graphic-context\nimage over 0,0 9,9 'BAIT'\nimage over 0,0 9,9 'FILE'\n",
}
FAMILIES = ("jpg", "png", "webp", "gif", "avif", "tif", *BAITED)
CANARY_SONG = b"canary-that-nobody-may-hear"
HOSTILE_ADDRESSES = (
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:10.0.0.1]/a.png",
    "http://[64:ff9b::a00:1]/a.png",
    "http://2130706433:99/a.png",
    "http://10.0.0.1/a.png",
)


@pytest.mark.chaos(ci=1, long=5)
async def test_p09_bad_input_is_tried_once(fleet: Fleet, origin: Origin, n: int) -> None:
    origin.bodies |= {
        "empty": b"",
        "text": b"hello",
        "cut.png": CAT.read_bytes()[:5000],
        "bomb.png": png_bomb(11_000, 11_000),
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "film": b"#EXTM3U\nfile:///etc/passwd\n",
    }
    names = ("empty", "text", "cut.png", "bomb.png", "svg", "film", "missing")
    for _ in range(n):
        urls = [*HOSTILE_ADDRESSES, *map(origin.url, names)]
        keys = await fleet.submit([*map(thumb, urls), {"task_name": "site.crash"}])
        finals = await fleet.wait(keys)
        assert {final["status"] for final in finals} == {"error"}
        assert set(await fleet.attempts(keys)) == {1}
    await check(fleet, is_exact=True)


def png_bomb(width: int, height: int) -> bytes:
    """A small file that says that it has so many pixels, and has them."""
    packer = zlib.compressobj(9)
    row = bytes(1 + width)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


@pytest.mark.chaos(ci=5, long=100)
async def test_p21_nothing_is_left_behind(
    short_leased: Fleet, chance: random.Random, n: int
) -> None:
    fleet = short_leased
    for _ in range(n):
        await fleet.submit(mixed(chance, 20), chance)
        await asyncio.sleep(chance.uniform(0, 0.3))
        await fleet.kill(chance.choice(fleet.workers))
        await fleet.start("worker")
    await check(fleet, is_exact=True)
    kept = {file.path for record in await fleet.records() for file in record.files}
    root = fleet.data / "files"
    found = {str(path.relative_to(root)) for path in matching(root, "**/*") if path.is_file()}
    assert kept <= found
    # A run that was killed between keeping a file and saying so leaves that to the expiry.
    assert {path.split("/")[2] for path in found} <= set(fleet.ledger.keys)
    await asyncio.gather(*(fleet.drain(worker) for worker in list(fleet.workers)))
    assert list((fleet.data / "work").iterdir()) == []


LARGE = {"task_name": "site.write", "text": "word", "repeats": 500_000, "steps": 10}
"""Writes 20 MB."""


@pytest.mark.chaos(ci=3, long=50)
async def test_p22_a_full_disk_is_an_error_that_passes(
    fleet_on_small_disk: Fleet, small_disk: Path, chance: random.Random, n: int
) -> None:
    fleet, ballast = fleet_on_small_disk, small_disk / "ballast"
    for _ in range(n):
        await eventually(partial(has_tidied_up, fleet))
        # Less than what is free: the files of the rounds before are kept.
        room = chance.randint(1, 19_000_000)
        ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - room))
        [final] = await fleet.wait(await fleet.submit([LARGE]))
        assert final["status"] == "error"
        assert "No space left on device" in final["result"]
        ballast.unlink()
        [final] = await fleet.wait(await fleet.submit([LARGE | {"repeats": 1000}]))
        assert final["status"] == "success"
    await check(fleet, is_exact=True)


@pytest.mark.chaos(ci=3, long=50)
async def test_p22_a_file_that_may_not_grow_is_an_error_that_passes(
    fleet: Fleet, chance: random.Random, n: int
) -> None:
    """What a quota does as well, and it needs no root."""
    infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    for _ in range(n):
        most = chance.randint(1_000_000, 19_000_000), resource.RLIM_INFINITY
        for worker in fleet.workers:
            worker.process.rlimit(resource.RLIMIT_FSIZE, most)
        [final] = await fleet.wait(await fleet.submit([LARGE]))
        assert final["status"] == "error"
        assert "File too large" in final["result"]
        for worker in fleet.workers:
            worker.process.rlimit(resource.RLIMIT_FSIZE, infinite)
        [final] = await fleet.wait(await fleet.submit([LARGE]))
        assert final["status"] == "success"
    await check(fleet, is_exact=True)


@pytest.mark.chaos(ci=1, long=5)
async def test_p33_bombs_are_refused_and_others_go_on(fleet: Fleet, origin: Origin, n: int) -> None:
    origin.bodies |= {
        "pixels.png": png_bomb(11_000, 11_000),
        "frames.gif": animation(2).gifsave_buffer()[:-1] + 3000 * FRAME + b";",
    }
    for _ in range(n):
        moving = thumb(origin.url("frames.gif")) | {"format": "gif"}
        pixels = origin.url("pixels.png")
        bombs = [*2 * [thumb(pixels), moving], *pictured(pixels, origin.url("rocket.jpg"))]
        good = 20 * [thumb(origin.url("rocket.jpg"))]
        await assert_refused(fleet, bombs, good)
    await check(fleet, is_exact=True)


FRAME = b"!\xf9\x04\0\x05\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0"
"""Of a GIF: one pixel."""


@pytest.mark.chaos(ci=20, long=10_000)
async def test_p36_mutated_files_hurt_nobody(
    fleet: Fleet, chance: random.Random, origin: Origin, canary: Canary, n: int
) -> None:
    """So many of each family."""
    (fleet.data / "canary").write_bytes(CANARY_SONG)
    baits = [
        f"http://127.0.0.1:{canary.port}/canary.png".encode(),
        f"file://{fleet.data}/canary".encode(),
        f"../../../canary\0{fleet.data}/canary".encode(),
    ]
    for family in FAMILIES:
        whole = picture(family, b" ".join(baits))
        for first in range(0, n, 100):
            numbers = range(first, min(first + 100, n))
            origin.bodies |= {f"{one}.{family}": mutated(whole, baits, chance) for one in numbers}
            tasks = [by_turns(origin, one, f"{one}.{family}") for one in numbers]
            await fleet.wait(await fleet.submit(tasks))
    [final] = await fleet.wait(await fleet.submit([thumb(origin.url("rocket.jpg"))]))
    assert final["status"] == "success"
    assert not canary.was_touched
    assert CANARY_SONG not in b"".join([*told_by(fleet)])
    await check(fleet, is_exact=True)


def by_turns(origin: Origin, number: int, name: str) -> Definition:
    """Each task gets its share of the mutated files."""
    url = origin.url(name)
    tasks = [thumb(url), *pictured(url, origin.url("rocket.jpg"))]
    return tasks[number % len(tasks)]


def told_by(fleet: Fleet) -> Iterator[bytes]:
    """All that anybody learns: files, statuses, logs."""
    yield from (path.read_bytes() for path in (fleet.data / "files").rglob("*") if path.is_file())
    yield json.dumps(fleet.ledger.ends).encode()
    yield fleet.logs().encode()


def picture(family: str, bait: bytes) -> bytes:
    """A small picture that names, in its metadata, what it hopes will be read."""
    if family in BAITED:
        return BAITED[family].replace(b"BAIT", bait.split()[0]).replace(b"FILE", bait.split()[1])
    from pyvips import GValue, Image

    from tasks.toolkit.geometry import Size
    from tasks.toolkit.pictures import vips

    image = vips.resize(Image.new_from_file(str(CAT)), Size(150, 100)).copy()
    image.set_type(GValue.blob_type, "xmp-data", bait)
    data: bytes = image.write_to_buffer(f".{family}")
    return data


def mutated(whole: bytes, baits: Sequence[bytes], chance: random.Random) -> bytes:
    """Some bytes changed, left out or replaced by a bait, the end cut off; often near the front."""
    data = bytearray(whole)
    for _ in range(chance.randint(1, 20)):
        place = int(len(data) * chance.random() ** chance.choice([1, 4]))
        change: Any = chance.choice(["flip", "most", "drop", "repeat", "bait"])
        if change == "flip":
            data[place] ^= 1 << chance.randrange(8)
        elif change == "most":
            data[place] = chance.choice([0, 255, 127, 128])
        elif change == "drop":
            del data[place : place + chance.randint(1, 9)]
        elif change == "bait":
            bait = chance.choice(baits)
            data[place : place + len(bait)] = bait
        else:
            data[place:place] = data[place : place + chance.randint(1, 40)]
    return bytes(data[: chance.randint(1, len(data))] if chance.random() < 0.2 else data)
