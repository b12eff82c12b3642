"""Reads requests that create tasks: who asks, for what, and what answers a repetition."""

from aiohttp import web

from dragon.engine.definitions import Definition
from dragon.engine.engine import Engine
from dragon.http.requests.authentication import Accounts
from dragon.http.requests.base_url import base_url
from dragon.http.requests.bodies import read_body
from dragon.http.requests.idempotency import read_idempotency
from dragon.http.requests.parameters import Parameters
from dragon.settings import Account, Settings
from dragon.store.submission import Submission


async def read_creation(
    request: web.Request, accounts: Accounts, settings: Settings
) -> tuple[Account, Parameters]:
    """The account that a request speaks for, and the parameters of its body."""
    body = await read_body(request, settings)
    return accounts.authenticate(request, body), Parameters(body, "body")


async def prepare(
    request: web.Request,
    engine: Engine,
    settings: Settings,
    account: Account,
    definitions: list[Definition],
) -> Submission:
    """The request's jobs; raises BadRequest for an Idempotency-Key that cannot be one."""
    idempotency = await read_idempotency(request, account, settings)
    url = base_url(request, settings)
    return engine.prepare(definitions, account, url, idempotency=idempotency)
