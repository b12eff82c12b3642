"""Tells statuses at a steady rate, each with its time: `python -m tests.bench.teller KIND URL`."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

import redis.asyncio as redis
import uvloop

from dragon.schemas import new_key
from dragon.settings import Settings
from dragon.store.store import Store
from tests.bench.servers import CHANNEL
from tests.support.jobs import line_of, submission

JOBS = 200
RATE = 200.0

Tell = Callable[[int, bytes], Awaitable[object]]


async def _run(target: str, url: str) -> None:
    """Print the keys; for each line of input, a number of seconds, tell for so long."""
    if target == "dragon":
        await _tell_as_worker(url)
    else:
        await _publish(url)


async def _tell_as_worker(url: str) -> None:
    """Progress of jobs that this process claimed, by the store's own script."""
    async with Store(Settings(redis=url)) as store:
        await store.submit(submission(store, JOBS))
        claims = (await store.claim("teller", {"fast": JOBS}, 0)).claims

        async def tell(index: int, line: bytes) -> None:
            assert await store.progress(claims[index], line)

        await _tell_when_asked([claim.job.key for claim in claims], tell)


async def _publish(url: str) -> None:
    """The least that tells anything: a script that publishes."""
    async with redis.Redis.from_url(url) as client:
        script = client.register_script("return redis.call('PUBLISH', KEYS[1], ARGV[1])")
        keys = [new_key() for _ in range(JOBS)]

        async def tell(index: int, line: bytes) -> None:
            await script(keys=[CHANNEL], args=[keys[index].encode() + b" " + line])

        await _tell_when_asked(keys, tell)


async def _tell_when_asked(keys: list[str], tell: Tell) -> None:
    print(*keys, flush=True)
    while command := await asyncio.to_thread(sys.stdin.readline):
        began = time.perf_counter()
        for number in range(int(float(command) * RATE)):
            await asyncio.sleep(began + number / RATE - time.perf_counter())
            index = number % JOBS
            await tell(index, line_of(keys[index], "executing", progress=time.perf_counter()))
        print("done", flush=True)


if __name__ == "__main__":
    uvloop.run(_run(*sys.argv[1:]))
