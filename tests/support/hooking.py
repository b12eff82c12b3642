"""Tasks whose end is told, and what became of the telling."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.support.api import Api
from tests.support.receivers import Receiver
from tests.support.waiting import until


def hello(receiver: Receiver, **more: Any) -> dict[str, Any]:
    """A task whose end is told, whatever it is."""
    urls = {"url_callback": receiver.url, "url_errback": receiver.url}
    return {"task_name": "hello", "name": "John", **urls, **more}


async def created(api: Api, *definitions: dict[str, Any], **headers: str) -> list[str]:
    status, statuses = await api.post("/v2/create", {"tasks": definitions}, **headers)
    assert status == 200
    return [one["key"] for one in statuses]


async def delivery_of(api: Api, task: str, **headers: str) -> dict[str, Any]:
    """The record of the delivery that tells a task's end, once that is made."""

    async def ask() -> Any:
        status, page = await api.get(f"/v2/webhooks/deliveries?task={task}", **headers)
        assert status == 200
        return page["deliveries"]

    [delivery] = await until(ask)
    return dict(delivery)


async def settled(api: Api, task: str, **headers: str) -> dict[str, Any]:
    """The same, once it was delivered or has failed."""

    async def ask() -> Any:
        delivery = await delivery_of(api, task, **headers)
        return None if delivery["state"] == "pending" else delivery

    return dict(await until(ask))


async def waiting_seconds(api: Api, key: str) -> float:
    """Until the next attempt, once one was made."""

    async def ask() -> Any:
        delivery = await delivery_of(api, key)
        return delivery if "next_attempt" in delivery else None

    return pause_seconds(await until(ask))


def pause_seconds(delivery: dict[str, Any]) -> float:
    """From its last attempt to the next."""
    last, following = delivery["attempts"][-1]["at"], delivery["next_attempt"]
    return (datetime.fromisoformat(following) - datetime.fromisoformat(last)).total_seconds()


def outcomes(delivery: dict[str, Any]) -> Sequence[Any]:
    """Of each attempt: the status that it got, or why it got none."""
    return [one.get("status") or one["error"] for one in delivery["attempts"]]
