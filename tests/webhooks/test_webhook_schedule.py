"""When web hooks are tried again, if the settings do not say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dragon.engine.network.webhooks import hook_of
from dragon.settings import Settings
from dragon.store.store import Store
from tests.support.accounts import CONFIG
from tests.support.api import Api
from tests.support.hooking import created, delivery_of, hello, outcomes, pause_seconds
from tests.support.jobs import submission
from tests.support.processes import Dragon
from tests.support.receivers import Receiver
from tests.support.waiting import DEADLINE_SECONDS, until

DEFAULTS = "".join(line for line in CONFIG.splitlines(True) if "webhook_retry" not in line)
MINUTE, HOUR = 60, 3600
PAUSES = (
    5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR
)  # fmt: skip


async def test_the_first_pause_is_not_the_same_each_time_either(store: Store) -> None:
    settings = Settings(webhook_retry_seconds=(100.0,))
    [job] = submission(store).jobs
    hooks = [hook_of(settings, store.keys, job, "http://receiver/", None) for _ in range(200)]
    pauses = [hook.pause_seconds for hook in hooks if hook]
    assert 90 <= min(pauses) < 97
    assert 103 < max(pauses) <= 110


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Dragon]:
    with Dragon(tmp_path / "d", config=DEFAULTS) as own:
        yield own


async def test_pauses_grow_up_to_a_day_and_no_two_are_the_same(
    client: Api, receiver: Receiver
) -> None:
    """Whoever replays a delivery that waits need not wait for the next attempt."""
    receiver.answers.extend([500] * 20)
    keys = await created(client, hello(receiver), hello(receiver))
    factors = []
    for key in keys:
        count = 0
        while (delivery := await tried(client, key, count))["state"] == "pending":
            # The first pause is so short that it may have ended by itself.
            count = len(delivery["attempts"])
            pause, seconds = PAUSES[count - 1], pause_seconds(delivery)
            # What a request takes comes on top of it; two clocks may differ a little.
            assert 0.9 * pause - 2 < seconds < 1.1 * pause + DEADLINE_SECONDS
            factors += [seconds / pause] if count > 1 else []
            status, _ = await client.post(f"/v2/webhooks/deliveries/{delivery['id']}/replay", {})
            assert status == 200
        assert (delivery["state"], outcomes(delivery)) == ("failed", [500] * 10)
    assert max(factors) - min(factors) > 0.05


async def tried(client: Api, key: str, count: int) -> dict[str, Any]:
    """A task's delivery once it was tried more often than that, and has failed or waits."""

    async def ask() -> dict[str, Any] | None:
        delivery = await delivery_of(client, key)
        is_under_way = delivery["state"] == "pending" and "next_attempt" not in delivery
        return None if is_under_way or len(delivery["attempts"]) <= count else delivery

    delivery = await until(ask)
    assert delivery is not None
    return delivery
