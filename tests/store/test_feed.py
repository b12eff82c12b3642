"""A feed on a real Valkey: what is told on its channels comes in order, up to a point asked for."""

from dragon.store.feed import Feed
from dragon.store.store import Store
from tests.support.waiting import DEADLINE_SECONDS


async def test_after_catching_up_all_that_was_published_before_is_passed_on(store: Store) -> None:
    heard: list[bytes] = []
    async with Feed(store.client, DEADLINE_SECONDS, lambda: None) as feed:
        await feed.subscribe(["news"], heard.append)
        for round_ in range(1, 4):
            for number in range(100):
                await store.client.publish("news", str(number))
            await feed.catch_up()
            assert heard == [b"%d" % number for number in range(100)] * round_
