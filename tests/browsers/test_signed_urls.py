"""Signed URLs: good until they expire, and for nothing but what they say."""

import asyncio
import re
from itertools import permutations
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from tests.browsers.test_signing import NOW, PATHS, QUERIES, sign
from tests.http.test_authentication import WRONG
from tests.support.accounts import API_KEY, PAGE, SECRET
from tests.support.api import Answer, Api
from tests.support.broker import Broker
from tests.support.origin import Origin
from tests.support.processes import Dragon
from tests.support.waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.usefixtures("no_bugs")


@pytest.fixture
def signed(origin: Origin) -> str:
    """The signed path of a thumbnail."""
    return sign(unsigned_path(origin))


def unsigned_path(origin: Origin, **query: Any) -> str:
    task = {"task_name": "image.thumb", "url": origin.url("rocket.jpg"), "width": 40}
    return f"/v2/create_file/cat.jpg?{urlencode(task | query)}"


async def get(api: Api, path: str, **headers: str) -> Answer:
    return await api.ask("GET", path, headers=headers)


# What it opens


async def test_a_signed_url_needs_no_key_and_no_referrer(api: Api, signed: str) -> None:
    answer = await get(api, signed)
    assert answer.status == 302
    assert (await get(api, signed)).headers["Location"] == answer.headers["Location"]
    async with api.session.get(api.url + signed) as picture:
        assert (picture.status, picture.content_type) == (200, "image/jpeg")


async def test_each_hostile_text_that_is_signed_is_good(api: Api) -> None:
    for path in PATHS:
        for query in QUERIES:
            answer = await get(api, sign(f"{path}?{query}"))
            assert answer.status != 401, (path, query)


async def test_any_secret_of_the_account_signs_so_that_one_can_be_replaced(
    api: Api, origin: Origin
) -> None:
    for secret, status in (("other-secret", 302), ("other-older-secret", 302), (SECRET, 401)):
        path = sign(unsigned_path(origin), account="other", secret=secret)
        assert (await get(api, path)).status == status


async def test_it_runs_as_the_account_and_shares_its_reuse(
    api: Api, origin: Origin, signed: str
) -> None:
    first = await get(api, signed)
    with_secret = await api.ask("GET", unsigned_path(origin), headers=api.headers)
    assert with_secret.headers["Location"] == first.headers["Location"]
    assert origin.hits == ["rocket.jpg"]


async def test_head_is_the_same(api: Api, signed: str) -> None:
    answer = await api.ask("HEAD", signed)
    assert (answer.status, answer.body) == (302, b"")


# What it does not open


def changed(signed: str) -> dict[str, str]:
    """What somebody may try with it, by what they try."""
    path, _, query = signed.partition("?")
    pairs = parse_qsl(query)
    named = dict(pairs)

    def put(**values: Any) -> str:
        return f"{path}?{urlencode(named | values)}"

    def drop(dropped: str) -> str:
        return f"{path}?{urlencode([pair for pair in pairs if pair[0] != dropped])}"

    signature = named["signature"]
    return {
        "size": put(width=41),
        "added size": signed + "&height=10",
        "added option": signed + "&wait=0",
        "added at the front": f"{path}?crop=true&{query}",
        "source": put(url=named["url"] + "x"),
        "task": put(task_name="image.info"),
        "expiry": put(expires=int(named["expires"]) + 1),
        "expiry with a sign": put(expires="+" + named["expires"]),
        "account": put(account="other"),
        "unknown account": put(account="nobody"),
        "no account": put(account=""),
        "signature": put(signature=signature[:-1] + ("A" if signature[-1] != "A" else "B")),
        "longer signature": put(signature=signature + "="),
        "shorter signature": put(signature=signature[:-1]),
        "empty signature": put(signature=""),
        "other letters": put(signature="é" * 43),
        "name": signed.replace("/cat.jpg", "/dog.jpg"),
        "no name": signed.replace("/cat.jpg", ""),
        "path": signed.replace("/v2/", "/v1/"),
        "with a secret": signed + f"&secret={SECRET}",
        "with an api key": f"{path}?api_key={API_KEY}&{query}",
        "dot segment": signed.replace("/cat.jpg", "/%2e%2e%2fcat.jpg"),
        **{f"dropped {name}": drop(name) for name in named if name != "signature"},
        **{f"repeated {name}": f"{signed}&{urlencode({name: named[name]})}" for name in named},
        **{f"repeated before {name}": f"{path}?{urlencode({name: 1})}&{query}" for name in named},
    }


async def test_nobody_can_change_what_it_says(
    api: Api, broker: Broker, origin: Origin, signed: str
) -> None:
    before = await broker.count_jobs()
    for what, path in changed(signed).items():
        # A listed page: no other credentials count where there is a signature.
        answer = await get(api, path, Referer=PAGE)
        assert (answer.status, answer.json) == (401, WRONG), what
        assert answer.headers["Cache-Control"] == "no-store"
    assert (await get(api, signed + "%00")).json == WRONG
    assert await broker.count_jobs() == before
    assert origin.hits == []
    assert (await get(api, signed)).status == 302


async def test_what_was_answered_before_is_not_remembered_for_others(api: Api, signed: str) -> None:
    assert (await get(api, signed)).status == 302
    for what, path in changed(signed).items():
        assert (await get(api, path, Referer=PAGE)).status == 401, what


async def test_without_its_signature_it_is_a_request_without_credentials(
    api: Api, signed: str
) -> None:
    answer = await get(api, signed.partition("&signature=")[0])
    assert (answer.status, answer.json) == (401, WRONG)


async def test_a_signature_counts_alone_and_only_for_get(
    api: Api, origin: Origin, signed: str
) -> None:
    assert (await get(api, signed, Authorization="Secret wrong")).status == 302
    wrong = signed.replace("width=40", "width=41")
    assert (await api.ask("GET", wrong, headers=api.headers)).status == 401
    body = {"task": {"task_name": "image.thumb", "url": origin.url("rocket.jpg")}}
    assert (await api.ask("POST", signed, json=body)).json == WRONG
    query = signed.partition("?")[2]
    assert (await api.ask("POST", f"/v2/create?{query}", json={"tasks": []})).json == WRONG


async def test_the_order_of_parameters_and_their_encoding_may_change_on_the_way(
    api: Api, origin: Origin, signed: str
) -> None:
    path, _, query = signed.partition("?")
    for parts in list(permutations(query.split("&")))[::100]:
        assert (await get(api, f"{path}?{'&'.join(parts)}")).status == 302
    assert (await get(api, signed.replace("%3A", ":").replace("%2F", "/"))).status == 302
    assert (await get(api, signed.replace("cat", "%63at"))).status == 302
    assert origin.hits == ["rocket.jpg"]


async def test_the_order_of_values_of_one_name_may_not_change(api: Api) -> None:
    signed = sign("/v2/create_file?task_name=hello&name=a&name=b")
    assert (await get(api, signed)).status == 400
    answer = await get(api, signed.replace("name=a&name=b", "name=b&name=a"))
    assert (answer.status, answer.json) == (401, WRONG)


# When it ends


async def test_an_expired_one_says_so_and_an_altered_expired_one_does_not(
    api: Api, origin: Origin
) -> None:
    expired = sign(unsigned_path(origin), seconds=1, now=NOW - 500_000_000)
    answer = await get(api, expired)
    assert answer.status == 401
    assert answer.json["message"] == (
        "this signed URL has expired at 2011-03-13T07:06:42+00:00: load the page again"
    )
    assert (await get(api, expired.replace("width=40", "width=41"))).json == WRONG
    assert origin.hits == []


async def test_it_expires_also_while_a_server_remembers_it(api: Api, origin: Origin) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (await get(api, signed := sign(unsigned_path(origin), seconds=1))).status != 302:
            pass
        while (answer := await get(api, signed)).status == 302:
            pass
    assert answer.status == 401
    assert "has expired" in answer.json["message"]


async def test_caches_keep_its_redirect_no_longer_than_it_is_good(api: Api, origin: Origin) -> None:
    caching = (await get(api, sign(unsigned_path(origin), seconds=600))).headers["Cache-Control"]
    match = re.fullmatch(r"public, max-age=(\d+)(, stale-while-revalidate=(\d+))?", caching)
    assert match
    assert 600 - DEADLINE_SECONDS < int(match[1]) + int(match[3] or 0) <= 600


# Where it must not stand


async def test_neither_signatures_nor_secrets_are_logged(
    api: Api, dragon: Dragon, signed: str
) -> None:
    await get(api, signed)
    await get(api, signed.replace("width=40", "width=41"))
    signature = signed.partition("&signature=")[2]
    assert signature not in dragon.log()
