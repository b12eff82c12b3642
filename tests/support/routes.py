"""The routes of the application that servers run; nothing is opened for it."""

from aiohttp import web

from dragon.app import build_web
from dragon.engine.engine import Engine
from dragon.engine.lag import LoopLag
from dragon.engine.watching import Watches
from dragon.http.connections import Connections
from dragon.http.drain import Drain
from dragon.registry import Registry
from dragon.settings import Settings
from dragon.store.store import Store


def application() -> web.Application:
    settings = Settings(redis="unix:///none")
    store = Store(settings)
    watches = Watches(store, "AAA")
    engine = Engine(settings, Registry.load(settings.task_packages), store, watches)
    return build_web(settings, store, engine, Drain(watches), LoopLag(), Connections(1.0))


def routes() -> list[str]:
    """`GET /v2/status` and so on; HEAD is where GET is."""
    return [
        f"{route.method} {route.resource.canonical}"
        for route in application().router.routes()
        if route.resource and route.method != "HEAD"
    ]
