"""What became of web hooks: /v2/webhooks/…"""

import re
from typing import Annotated

from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType, field

from dragon.errors import UnknownDelivery
from dragon.http.answers import Failure, json_response
from dragon.http.describing.routes import WRONG, About, Answer, BodyCredentials, Route, told
from dragon.http.requests.authentication import Accounts
from dragon.http.requests.bodies import read_body
from dragon.http.requests.parameters import Parameters
from dragon.schemas import Key, Status, is_key
from dragon.settings import Settings
from dragon.store.deliveries import DELIVERY_STATES, Deliveries, DeliveryState, HookDelivery, Page
from dragon.store.store import Store

DEFAULT_LIMIT = 100
_LIMIT = re.compile(r"0*([1-9][0-9]{0,2}|1000)")
CURSOR = "what `next` of another answer was"
_CURSOR = re.compile(r"[0-9T:.+-]{32}[A-Z2-7]{26}")
_KEY = re.compile(r"[A-Z2-7]{26}")
_STATE = re.compile("|".join(DELIVERY_STATES))


class DeliveriesQuery(Struct, frozen=True, kw_only=True):
    task: Key | UnsetType = UNSET
    state: DeliveryState | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=1000)] = DEFAULT_LIMIT
    after: (
        Annotated[str, Meta(pattern=rf"\A{_CURSOR.pattern}\Z", description=CURSOR)] | UnsetType
    ) = UNSET


class DeliveryPath(Struct, frozen=True):
    id: Key


class HookHeaders(Struct, frozen=True, kw_only=True):
    """As Standard Webhooks has them."""

    id: Annotated[Key, Meta(description="the same for each attempt and replay")] = field(
        name="webhook-id"
    )
    timestamp: Annotated[str, Meta(description="when it was sent, in seconds of Unix time")] = (
        field(name="webhook-timestamp")
    )
    signature: Annotated[str, Meta(description="`v1,…` for each secret")] | UnsetType = field(
        name="webhook-signature", default=UNSET
    )


class ReplayBody(BodyCredentials, frozen=True, kw_only=True):
    pass


LIST = About(
    summary="Tell the deliveries of web hooks, newest first",
    credentials="secret",
    query=(DeliveriesQuery,),
    answers={200: told("Some, and where those after them begin.", Page), 400: WRONG},
)
REPLAY = About(
    summary="Deliver once more",
    credentials="secret",
    path=DeliveryPath,
    body=ReplayBody,
    is_body_required=False,
    answers={
        200: told("The delivery.", HookDelivery),
        400: WRONG,
        404: told("There is no such delivery, or it has expired.", Failure),
    },
)

TASK_ENDED = About(
    summary="The end of a task, told to its url_callback or url_errback",
    headers=(HookHeaders,),
    body=Status,
    answers={
        200: Answer("Taken, as by any 2xx; what else is answered has it tried again."),
        410: Answer("Not wanted: it is not tried again."),
    },
)


class WebHookDeliveries:
    """For whoever has an account's secret, and of that account alone."""

    def __init__(self, settings: Settings, accounts: Accounts, store: Store) -> None:
        self._settings = settings
        self._accounts = accounts
        self._keys = store.keys
        self._deliveries = Deliveries(store)

    def routes(self) -> list[Route]:
        path = "/v2/webhooks/deliveries"
        return [
            Route("GET", path, self.list, LIST),
            Route("POST", path + "/{id}/replay", self.replay, REPLAY),
        ]

    async def list(self, request: web.Request) -> web.Response:
        account = self._accounts.authenticate_owner(request, None).name
        parameters = Parameters.of_query(request, is_strict=True)
        task = parameters.take_text("task", _KEY, "one task key")
        text = parameters.take_text("state", _STATE, "one of: " + ", ".join(DELIVERY_STATES))
        limit = parameters.take_text("limit", _LIMIT, "a number from 1 to 1000")
        after = parameters.take_text("after", _CURSOR, CURSOR)
        parameters.check()
        state = next((one for one in DELIVERY_STATES if one == text), None)
        if task:
            return json_response(await self._of_task(account, task, state))
        page = await self._deliveries.page(account, state, int(limit or DEFAULT_LIMIT), after)
        return json_response(page)

    async def replay(self, request: web.Request) -> web.Response:
        body = await read_body(request, self._settings) if request.can_read_body else {}
        account = self._accounts.authenticate_owner(request, body).name
        Parameters(body, "body").check()
        key = request.match_info["id"]
        if is_key(key) and await self._deliveries.replay(account, key):
            for delivery in await self._deliveries.read(account, [key]):
                return json_response(delivery)
        raise UnknownDelivery("there is no such delivery, or it has expired")

    async def _of_task(self, account: str, task: str, state: DeliveryState | None) -> Page:
        """A task has one at most, whose key follows from its own."""
        found = await self._deliveries.read(account, [self._keys.hook_key(task)])
        return Page(deliveries=[one for one in found if state in (None, one.state)])
