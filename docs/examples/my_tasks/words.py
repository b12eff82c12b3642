"""text.words: count the words of a text file, and list them in a table."""

import csv
from collections import Counter
from typing import Annotated, Literal

from msgspec import Meta, Struct

from dragon.task import (
    Context,
    Descriptor,
    File,
    Media,
    Params,
    Result,
    SourceUrl,
    TaskFailed,
    task,
)

AtMost100 = Annotated[int, Meta(ge=1, le=100, description="a whole number from 1 to 100")]


class WordsParams(Params, frozen=True):
    url: SourceUrl
    most: AtMost100 = 3
    letters: Literal["as written", "lower case"] = "lower case"


class Words(Result, frozen=True):
    """`most_frequent` begins with the word that comes most often; `table` has all of them."""

    count: int
    most_frequent: list[str]
    table: Annotated[File, Media("text/csv")]


class Counted(Struct, frozen=True, kw_only=True):
    count: int
    most_frequent: list[str]


@task("text.words", timeout_seconds=30)
async def words(params: WordsParams, ctx: Context) -> Words:
    source = await ctx.fetch(params.url)
    ctx.progress("counting")
    table = ctx.output("table", "text/csv")
    counted = await ctx.isolated(count, params, source, table)
    return Words(count=counted.count, most_frequent=counted.most_frequent, table=table)


def count(params: WordsParams, source: Descriptor, table: Descriptor) -> Counted:
    """Runs in a decoder child; the descriptors are files opened by the worker."""
    with open(source, "rb", closefd=False) as file:
        data = file.read()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise TaskFailed(f"File '{params.url}' is not a text in UTF-8") from None
    if params.letters == "lower case":
        text = text.lower()
    counts = Counter(text.split()).most_common()
    with open(table, "w", encoding="utf-8", newline="", closefd=False) as file:
        csv.writer(file).writerows([("word", "count"), *counts])
    return Counted(
        count=sum(number for _, number in counts),
        most_frequent=[word for word, _ in counts[: params.most]],
    )
