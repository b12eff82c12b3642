"""How late event loops come to what is due is measured, logged and told."""

import asyncio
import time

from prometheus_client.samples import Sample

from dragon.engine.lag import LoopLag
from tests.running.test_health import read_metrics, value
from tests.support.api import Api
from tests.support.decoders import Logs
from tests.support.processes import Dragon
from tests.support.waiting import eventually, until


async def test_a_server_tells_how_late_it_comes_to_what_is_due(api: Api, dragon: Dragon) -> None:
    before = value(await read_metrics(api), "dragon_loop_lag_seconds_count")

    async def is_counted() -> list[Sample]:
        samples = await read_metrics(api)
        count = value(samples, "dragon_loop_lag_seconds_count")
        return samples if count > before else []

    samples = await until(is_counted)
    buckets = [one for one in samples if one.name == "dragon_loop_lag_seconds_bucket"]
    counts = [one.value for one in buckets]
    assert counts == sorted(counts)
    assert counts[-1] == value(samples, "dragon_loop_lag_seconds_count")
    assert value(samples, "dragon_loop_lag_seconds_sum") > 0


async def test_a_loop_that_stands_still_is_logged_and_counted(logs: Logs) -> None:
    lag = LoopLag()
    measuring = asyncio.create_task(lag.run())
    await eventually(lambda: sum(lag.counts))
    time.sleep(0.4)  # noqa: ASYNC251
    await eventually(lambda: logs)
    measuring.cancel()
    # On a busy machine it may stand still by itself as well.
    assert {line["event"] for line in logs} == {"loop_was_held_up"}
    assert 0.25 < max(line["seconds"] for line in logs) <= round(lag.take_worst(), 3)
    assert lag.take_worst() == 0
