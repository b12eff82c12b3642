"""video.hls: an adaptive stream: the video in several renditions, under one playlist."""

import asyncio
import time
from collections import Counter
from typing import Annotated, Any

from msgspec import Meta, Struct

from dragon.task import (
    Catalogue,
    ChildResult,
    Context,
    File,
    Media,
    Params,
    Result,
    SourceUrl,
    task,
)
from tasks.toolkit.geometry import Size
from tasks.toolkit.sources import forget
from tasks.toolkit.streaming.ladder import USUAL, Name, Rendition, choose, size_of, title
from tasks.toolkit.streaming.playlists import (
    PLAYLIST_TYPE,
    Packing,
    SegmentSeconds,
    Variant,
    master_playlist,
)
from tasks.toolkit.together import together
from tasks.toolkit.video.clips import fetch_clip

Renditions = Annotated[
    list[Name | Rendition],
    Meta(
        min_length=1,
        max_length=10,
        description='a list of 1 to 10 renditions, such as ["360p", "720p"]',
    ),
]


class HlsParams(Params, frozen=True):
    """`renditions` are names, `240p`, `360p`, `480p`, `720p`, `1080p`, `1440p` and `2160p`, or
    objects with `lines` (the shorter side in pixels) and `video_bitrate` (kbit/s), and perhaps
    `audio_bitrate` (128) and `name`. Those with more lines than the source are left out unless
    `enlarge`; if all are, there is one of the source's size. The usual are 360p to 1080p.
    """

    url: SourceUrl
    renditions: Renditions | None = None
    enlarge: bool = False
    packing: Packing = "cmaf"
    segment_seconds: SegmentSeconds = 4


class Told(Struct, frozen=True, kw_only=True):
    """`bandwidth` is the most that any segment takes, in bits a second."""

    name: str
    width: int
    height: int
    bandwidth: int
    average_bandwidth: int
    codecs: str
    playlist: str


class Hls(Result, frozen=True):
    """`playlist` is the master playlist. While the task runs, a partial result has the renditions
    that can be played already.
    """

    duration: float
    renditions: list[Told]
    content_type: str
    playlist: Annotated[File, Media("application/vnd.apple.mpegurl")]


def check(params: HlsParams, _: Catalogue) -> dict[str, list[str]]:
    """Each rendition has a name of its own."""
    names = Counter(title(one) for one in params.renditions or ())
    twice = [f"two are called {name!r}: give them names" for name in names if names[name] > 1]
    return {"renditions": twice} if twice else {}


@task("video.hls", kind="flow", timeout_seconds=600, check=check)
async def stream(params: HlsParams, ctx: Context) -> Hls:
    clip = await fetch_clip(ctx, params.url)
    source = clip.video.display
    renditions = choose(source, params.renditions or USUAL, enlarges=params.enlarge)
    ladder = Ladder(params, ctx, source, renditions)
    # It may wait long for its renditions, each of which fetches the source for itself.
    forget(clip.source)
    await together(ladder.make(one) for one in renditions)
    return ladder.result()


class Ladder:
    """The renditions of one run: which are made, and how far the others are."""

    def __init__(
        self, params: HlsParams, ctx: Context, source: Size, renditions: list[Rendition]
    ) -> None:
        self._params = params
        self._ctx = ctx
        self._sizes = {title(one): size_of(source, one) for one in renditions}
        self._made: dict[str, ChildResult] = {}
        self._progress: dict[str, dict[str, Any]] = {}
        self._began = time.monotonic()
        self._partials = asyncio.Lock()

    async def make(self, rendition: Rendition) -> None:
        def note(progress: dict[str, Any]) -> None:
            self._progress[title(rendition)] = progress
            self._tell()

        size = self._sizes[title(rendition)]
        self._made[title(rendition)] = await self._ctx.run(
            "video.rendition",
            on_progress=note,
            url=self._params.url,
            width=size.width,
            height=size.height,
            video_bitrate=rendition.video_bitrate,
            audio_bitrate=rendition.audio_bitrate,
            packing=self._params.packing,
            segment_seconds=self._params.segment_seconds,
        )
        self._progress[title(rendition)] = {"fraction": 1}
        self._tell()
        if len(self._made) < len(self._sizes):
            # The playlist of one must be in its place before that of the next is written.
            async with self._partials:
                await self._ctx.partial(self.result())

    def result(self) -> Hls:
        """Of what is made so far, small ones first: players begin with the first."""
        made = {name: self._made[name] for name in self._sizes if name in self._made}
        playlist = self._ctx.output("playlist", PLAYLIST_TYPE)
        variants = [_variant(child) for child in made.values()]
        playlist.path.write_text(master_playlist(variants, self._params.packing), "ascii")
        return Hls(
            duration=max(child.value["duration"] for child in made.values()),
            renditions=[_told(name, child) for name, child in made.items()],
            content_type=PLAYLIST_TYPE,
            playlist=playlist,
        )

    def _tell(self) -> None:
        """All of it together, each rendition by its pixels."""
        weights = {name: size.width * size.height for name, size in self._sizes.items()}
        done = sum(
            weight * self._progress.get(name, {}).get("fraction", 0)
            for name, weight in weights.items()
        )
        fraction = done / sum(weights.values())
        took = time.monotonic() - self._began
        left = {"seconds_left": round(took * (1 - fraction) / fraction, 1)} if fraction else {}
        self._ctx.progress(
            {"fraction": round(fraction, 4), **left, "renditions": dict(self._progress)}
        )


def _variant(child: ChildResult) -> Variant:
    """Files lie at /files/KEY/NAME: one level up are those of other tasks."""
    value = child.value
    return Variant(
        uri=f"../{child.key}/{child.files['playlist'].filename}",
        bandwidth=value["bandwidth"],
        average_bandwidth=value["average_bandwidth"],
        codecs=value["codecs"],
        width=value["width"],
        height=value["height"],
        frame_rate=value["frame_rate"],
    )


def _told(name: str, child: ChildResult) -> Told:
    value = child.value
    return Told(
        name=name,
        width=value["width"],
        height=value["height"],
        bandwidth=value["bandwidth"],
        average_bandwidth=value["average_bandwidth"],
        codecs=value["codecs"],
        playlist=value["playlist"],
    )
