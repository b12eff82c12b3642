"""Files that name other files and addresses, in every way that a decoder may know of."""

import os
import random
from pathlib import Path

import pytest
from aiohttp import web

from tests.chaos.check import check
from tests.chaos.families import filmed, heard, pictured, scraped, thumb, watched
from tests.chaos.harness import Definition, Fleet
from tests.chaos.test_inputs import CANARY_SONG, told_by
from tests.support.clips import PICTURE, SOUND, Clips
from tests.support.fetching import Canary
from tests.support.origin import Origin
from tests.tasks.test_containers import BEGINNINGS, PLAYLISTS, refer

ADDRESSES = (
    "file:{path}",
    "file://{path}",
    "{path}",
    "../../../{path}",
    "concat:{path}|{path}",
    "subfile,,start,0,end,9999,,:{path}",
    "crypto:{path}",
    "cache:{path}",
    "data:,{path}",
    "pipe:0",
    "http://127.0.0.1:{port}/canary",
    "tcp://127.0.0.1:{port}",
    "rtmp://127.0.0.1:{port}/canary",
    "hls+http://127.0.0.1:{port}/canary.m3u8",
    "gopher://127.0.0.1:{port}/canary",
)


def entities(address: str) -> dict[str, bytes]:
    """Documents that would hold another one, if their reader did as they say."""
    head = f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "{address}">'
    head += f'<!ENTITY % c SYSTEM "{address}"> %c;]>'
    links = f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{address}"/>'
    links += f'<iframe src="{address}"></iframe><link rel="stylesheet" href="{address}">'
    links += f'<script src="{address}"></script><!--#include file="{address}"-->'
    title = "<head><title>&b;</title><meta property='og:title' content='&b;'/></head>"
    svg = f'<image href="{address}"/><text>&b;</text><style>@import url("{address}");</style>'
    return {
        "page": f"{head}<html>{title}<body>{links}<img src='/a.png' alt='&b;'/></body>".encode(),
        "svg": f'{head}<svg xmlns="http://www.w3.org/2000/svg">{svg}</svg>'.encode(),
    }


def films(clips: Clips, directory: Path, address: str, path: Path) -> dict[str, bytes]:
    """Whole ones, which name a file beside what they show."""
    subtitles, notes = directory / "a.ass", directory / "a.txt"
    subtitles.write_text(
        f"[Script Info]\nScriptType: v4.00+\n[Fonts]\nfontname: {address}\n[Events]\n"
        "Format: Start, End, Text\n"
        f"Dialogue: 0:00:00.00,0:00:01.00,{{\\fn{address}\\img({address})}}words\n"
    )
    notes.write_text(f";FFMETADATA1\ntitle={address}\nfilename={address}\n[STREAM]\nurl={address}")
    clip = f"{directory.name}.mkv"
    made = clips(clip, *PICTURE, *SOUND, "-i", str(subtitles), "-i", str(notes), *ASS)
    url = address.encode()
    cover = b"\0-->\0\3\0" + url
    return {
        "mkv": made.read_bytes(),
        "metadata": notes.read_bytes(),
        "mov": refer(clips("h264.mov").read_bytes(), os.fsencode(path)),
        "mp3": b"ID3\3\0\0" + frames(b"APIC", cover) + clips("mp3.mp3").read_bytes(),
    }


ASS = ("-map", "0", "-map", "1", "-map", "2", "-map_metadata", "3", "-c:v", "mpeg4", "-c:s", "ass")


def frames(name: bytes, data: bytes) -> bytes:
    """The length and the only frame of an ID3 tag."""
    size = len(data) + 10
    return (
        bytes([0, 0, size >> 7, size & 127]) + name + len(data).to_bytes(4, "big") + b"\0\0" + data
    )


def everything(url: str, good: str) -> list[Definition]:
    return [
        thumb(url),
        *pictured(url, good),
        {"task_name": "image.info", "url": url},
        *watched(url),
        *filmed(url),
        *heard(url),
        *scraped(url),
    ]


@pytest.mark.chaos(ci=25, long=20_000)
async def test_p31_what_a_file_names_is_not_read(
    fleet: Fleet,
    chance: random.Random,
    origin: Origin,
    canary: Canary,
    clips: Clips,
    tmp_path: Path,
    n: int,
) -> None:
    film, song = fleet.data / "canary.mp4", fleet.data / "canary"
    film.write_bytes(clips("h264.mp4").read_bytes())
    song.write_bytes(CANARY_SONG)
    good = origin.url("rocket.jpg")
    for number in range(n):
        path = chance.choice([film, song])
        address = chance.choice(ADDRESSES).format(path=path, port=canary.port)
        list_name = chance.choice([*PLAYLISTS])
        playlist = PLAYLISTS[list_name].replace(b"file:{}", address.encode())
        playlist = playlist.replace(b"{}", address.encode())
        begun = chance.choice([*BEGINNINGS.values()]) + b"\n" + playlist
        hostile = {"list": playlist, "begun": begun, **entities(address)}
        if number % 20 == 0:
            directory = tmp_path / f"references{number}"
            directory.mkdir()
            hostile |= films(clips, directory, address, path)
        origin.bodies |= {f"{number}-{name}": data for name, data in hostile.items()}
        tasks = [
            task
            for name in hostile
            for task in draw(chance, everything(origin.url(f"{number}-{name}"), good), name)
        ]
        for task, final in zip(tasks, await fleet.wait(await fleet.submit(tasks)), strict=True):
            is_list = any(name in str(task) for name in ("-list", "-begun"))
            assert not is_list or final["status"] == "error" or "html" in task["task_name"], task
    assert not canary.was_touched
    assert CANARY_SONG not in b"".join([*told_by(fleet)])
    assert song.read_bytes() == CANARY_SONG
    await check(fleet, is_exact=True)


def draw(chance: random.Random, tasks: list[Definition], name: str) -> list[Definition]:
    """All for a film, which takes some making; else some."""
    return tasks if name in ("mkv", "metadata", "mov", "mp3") else chance.sample(tasks, 3)


@pytest.mark.chaos(ci=1, long=1)
async def test_p31_what_a_client_or_a_redirect_names_is_not_read(
    fleet: Fleet, origin: Origin, canary: Canary, n: int
) -> None:
    (fleet.data / "canary").write_bytes(CANARY_SONG)
    for _ in range(n):
        # The tests' own servers are at 127.0.0.1: what is fetched over HTTP is another promise.
        for number, form in enumerate(form for form in ADDRESSES if not form.startswith("http:")):
            address = form.format(path=fleet.data / "canary", port=canary.port)

            async def redirect(_: web.Request, to: str = address) -> web.Response:
                return web.Response(status=302, headers={"Location": to})

            origin.handlers[f"{number}"] = redirect
            url = origin.url(f"{number}")
            tasks = [thumb(url), watched(url)[0], filmed(url)[0], heard(url)[0], *scraped(url)]
            finals = await fleet.wait(await fleet.submit(tasks))
            assert {final["status"] for final in finals} == {"error"}
            refused = await fleet.submit(everything(address, origin.url("rocket.jpg")))
            words = [fleet.ledger.ends[key]["result"] for key in refused]
            assert [one for one in words if "must be an http or https URL" not in one] == []
    assert not canary.was_touched
    assert CANARY_SONG not in b"".join([*told_by(fleet)])
    await check(fleet, is_exact=True)
