"""`hello`, the task that does nothing: one for each request, and a thousand in each stream."""

import asyncio
import time
from collections.abc import Mapping

from tests.bench.load import Load, Target, UnexpectedAnswer, load, request
from tests.bench.plan import HEADERS, Plan
from tests.bench.report import LOAD_COLUMNS, Part, load_rows, median_per_second, rate_cells
from tests.bench.servers import bare_server
from tests.support.valkey import valkey_server

STREAMS = 10
DEADLINE_SECONDS = 120.0
# 60 bytes of JSON.
BODY = {"tasks": {"task_name": "hello", "name": "Johann"}, "block": True}
CREATE = request("POST", "/v1/create", BODY, **HEADERS)
SUCCESS = b'"status":"success"'


async def measure_hello(plan: Plan) -> list[Part]:
    """`create` with `block`, beside a constant answer and one round trip to Valkey."""
    with (
        plan.dragon("hello") as dragon,
        valkey_server(plan.directory / "valkey") as valkey,
        bare_server("ceiling") as ceiling,
        bare_server("constant") as constant,
        bare_server("round_trip", valkey) as round_trip,
    ):
        targets = {
            "dragon": create_target(dragon.port),
            "constant": create_target(constant.port),
            "one round trip": create_target(round_trip.port),
            "generator's ceiling": create_target(ceiling.port),
        }
        return [await _measure_creates(plan, targets, connections) for connections in (64, 1)]


async def measure_many(plan: Plan) -> list[Part]:
    """Thousands of tasks in ten requests of create_stream at once."""
    with plan.dragon("many") as dragon, bare_server("constant") as constant:
        rates: list[float] = []
        bare: list[Load] = []
        await _stream_tasks(dragon.port, plan.tasks // STREAMS)
        for _ in range(min(plan.rounds, 3)):
            rates.append(await _stream_tasks(dragon.port, plan.tasks))
            bare.append(await load(create_target(constant.port), 64, plan.seconds))
    dragon_rate, bare_rate = sorted(rates)[len(rates) // 2], median_per_second(bare)
    return [
        Part(
            title=f"{plan.tasks:,} hello in {STREAMS} requests of create_stream",
            columns=("", "a second", "least to most"),
            rows=[
                ("dragon, tasks", *rate_cells(rates)),
                ("constant, requests at 64", *rate_cells([each.per_second for each in bare])),
            ],
            ratios={"dragon tasks / constant requests": dragon_rate / bare_rate},
        )
    ]


def create_target(port: int) -> Target:
    return Target(port=port, make_request=lambda: CREATE, proof=SUCCESS)


async def alternate(
    targets: Mapping[str, Target], connections: int, rounds: int, seconds: float
) -> dict[str, list[Load]]:
    """A B C A B C …: what disturbs the machine for a while disturbs all of them."""
    loads: dict[str, list[Load]] = {name: [] for name in targets}
    for _ in range(rounds):
        for name, target in targets.items():
            loads[name].append(await load(target, connections, seconds))
    return loads


async def _measure_creates(plan: Plan, targets: Mapping[str, Target], connections: int) -> Part:
    loads = await alternate(targets, connections, plan.rounds, plan.seconds)
    dragon = median_per_second(loads["dragon"])
    return Part(
        title=f"hello with block, {connections} connection{'s' * (connections > 1)}",
        columns=LOAD_COLUMNS,
        rows=load_rows(loads),
        ratios={
            f"dragon / {name}": dragon / median_per_second(loads[name])
            for name in ("constant", "one round trip")
        },
        notes=("ceiling: a server that answers without reading what it was asked",),
    )


async def _stream_tasks(port: int, count: int) -> float:
    """Tasks a second, from the first byte sent until the last stream has ended."""
    tasks = [{"task_name": "hello", "name": str(number)} for number in range(count // STREAMS)]
    data = request("POST", "/v1/create_stream", {"tasks": tasks}, Connection="close", **HEADERS)
    began = time.perf_counter()
    async with asyncio.timeout(DEADLINE_SECONDS):
        successes = await asyncio.gather(*(_stream(port, data) for _ in range(STREAMS)))
    took_seconds = time.perf_counter() - began
    if sum(successes) != count:
        raise UnexpectedAnswer(f"{sum(successes)} of {count} tasks succeeded")
    return count / took_seconds


async def _stream(port: int, data: bytes) -> int:
    """How many tasks succeeded."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await reader.read()
    writer.close()
    return answer.count(SUCCESS)
