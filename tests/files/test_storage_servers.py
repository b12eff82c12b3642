"""Two servers over one Valkey: what one deletes the other serves no more, whatever it remembers."""

from collections.abc import Iterator

import pytest

from tests.support.api import Api
from tests.support.keeper import Keeper
from tests.support.processes import PATIENCE, Dragon, Part
from tests.support.waiting import until


@pytest.fixture
def second(dragon: Dragon) -> Iterator[str]:
    """The URL of another server of the shared Dragon."""
    redis = dragon.settings().redis
    with Part(dragon.data, "serve", "--port", "0", "--redis", redis, **PATIENCE) as server:
        yield server.url()


async def test_a_server_forgets_what_another_one_deletes(
    api: Api, dragon: Dragon, second: str
) -> None:
    keeper, other = Keeper(api), Api(api.session, second)
    ask = {"task_name": "site.text", "text": "two servers", "secret": "keeper-secret"}

    async def place() -> str:
        return (await other.ask("GET", "/v2/create_file/x", params=ask)).headers["Location"]

    async def status(url: str) -> int:
        return (await other.ask("GET", url.removeprefix(second))).status

    first = await place()
    assert (await place(), await status(first)) == (first, 200)
    # It remembers: a record that is gone would be missed only once it reads again.
    assert (await keeper.delete(urls=first))["deleted"] == 1

    async def is_gone() -> bool:
        return await status(first) == 404

    await until(is_gone)
    anew = await place()
    assert anew != first
    assert (await status(anew), await status(first)) == (200, 404)
