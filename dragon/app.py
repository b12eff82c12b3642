"""START HERE: builds the parts of a process, opens them in order and closes them in reverse."""

import os
import socket
from contextlib import AsyncExitStack

import structlog
from aiohttp import web

from dragon.background import Background, stop_signal
from dragon.engine.durability_log import DurabilityLog
from dragon.engine.engine import Engine
from dragon.engine.files.expiry import Expiry
from dragon.engine.files.file_jobs import FileJobs
from dragon.engine.files.outputs import Outputs
from dragon.engine.files.stored_files import StoredFiles
from dragon.engine.isolation.pool import Decoders, DecoderSettings
from dragon.engine.isolation.program import Programs, ProgramSettings
from dragon.engine.lag import LoopLag
from dragon.engine.network.fetching import Fetcher
from dragon.engine.network.webhooks import WebHooks
from dragon.engine.reaper import Reaper
from dragon.engine.watching import Watches
from dragon.engine.worker.announcer import Announcer
from dragon.engine.worker.run import Tools
from dragon.engine.worker.workdir import WorkDirectory
from dragon.engine.worker.worker import Worker
from dragon.faces.descriptions import Descriptions
from dragon.faces.dragon_files import DragonFiles
from dragon.faces.dragon_tasks import DragonTasks
from dragon.faces.dragon_v1 import V1
from dragon.faces.dragon_v2 import V2
from dragon.faces.file_requests import FileRequests
from dragon.faces.operations import Operations
from dragon.faces.pages import Pages
from dragon.faces.storage import Storage
from dragon.faces.webhooks import WebHookDeliveries
from dragon.http.connections import Connections
from dragon.http.describing.routes import Face
from dragon.http.drain import Drain
from dragon.http.files.files import FilesHandler
from dragon.http.files.placeholders import Placeholders
from dragon.http.middleware import allow_all_origins, answer, forbid_caching_of_errors
from dragon.http.requests.authentication import Accounts
from dragon.http.requests.signed_urls import SignedUrls
from dragon.http.streams.heartbeats import Heartbeats
from dragon.registry import Registry
from dragon.schemas import CHANNEL_LENGTH, Kind, new_key
from dragon.settings import Settings
from dragon.store.store import Store

log = structlog.get_logger()

MAX_LINE_BYTES = 32 * 1024
"""A GET carries a whole task definition in its first line."""


async def serve(settings: Settings, listener: socket.socket) -> None:
    """The server process, until SIGTERM or SIGINT, then until it has drained."""
    stopped = stop_signal()
    registry = Registry.load(settings.task_packages)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(Store(settings))
        channel = new_key()[:CHANNEL_LENGTH]
        watches = await stack.enter_async_context(Watches(store, channel))
        engine = Engine(settings, registry, store, watches)
        drain = Drain(watches)
        lag = LoopLag()
        connections = Connections(settings.write_timeout_seconds)
        runner = web.AppRunner(
            build_web(settings, store, engine, drain, lag, connections),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=1.0,
            max_line_size=MAX_LINE_BYTES,
            auto_decompress=False,
        )
        background = await stack.enter_async_context(Background())
        background.start(connections.run(), "connections")
        background.start(DurabilityLog(store).run(), "durability")
        background.start(lag.run(), "lag")
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        stack.callback((await connections.listen(runner, listener)).close)
        host, port = listener.getsockname()[:2]
        log.info("server_started", host=host, port=port, accounts=len(settings.accounts))
        await stopped.wait()
        log.info("server_drains")
        await drain.run(settings.drain_seconds)
    log.info("server_stopped")


async def work(settings: Settings, slots: dict[Kind, int]) -> None:
    """A worker process, until SIGTERM or SIGINT, then until it has drained."""
    stopped = stop_signal()
    registry = Registry.load(settings.task_packages)
    name = f"{socket.gethostname()}-{os.getpid()}-{new_key()[:6]}"
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(Store(settings))
        directory = stack.enter_context(WorkDirectory(settings.data, name))
        outputs = Outputs(settings)
        decoders = await stack.enter_async_context(_decoders(settings, registry))
        tools = Tools(
            settings=settings,
            registry=registry,
            store=store,
            outputs=outputs,
            downloads=await stack.enter_async_context(Fetcher(settings)),
            watches=await stack.enter_async_context(Watches(store)),
            decoders=decoders,
            programs=_programs(settings),
            hooks=await stack.enter_async_context(WebHooks(settings, store.clock)),
            directory=directory.path,
        )
        background = await stack.enter_async_context(Background())
        about = {"slots": slots, "confinement": decoders.confinement}
        lag = LoopLag()
        background.start(lag.run(), "lag")
        background.start(Announcer(store, name, about, lag).run(), "announcer")
        background.start(Reaper(store).run(), "reaper")
        background.start(Expiry(store, outputs).run(), "expiry")
        background.start(directory.run(), "sweep")
        await stack.enter_async_context(Worker(tools, name, slots))
        log.info("worker_started", worker=name, slots=slots, confinement=decoders.confinement)
        await stopped.wait()
        log.info("worker_drains")
    log.info("worker_stopped")


def _decoders(settings: Settings, registry: Registry) -> Decoders:
    chosen = DecoderSettings(
        count=settings.decoders,
        memory_bytes=settings.decoder_memory_bytes,
        cpu_seconds=settings.decoder_cpu_seconds,
        max_jobs=settings.decoder_max_jobs,
        warm=(*settings.task_packages, *registry.warm),
        environment=registry.environment,
    )
    return Decoders(chosen)


def _programs(settings: Settings) -> Programs:
    chosen = ProgramSettings(
        ffmpeg=settings.program_ffmpeg,
        memory_bytes=settings.program_memory_bytes,
        max_file_bytes=settings.program_max_file_bytes,
        cpu_seconds=settings.program_cpu_seconds,
    )
    return Programs(chosen)


def build_web(
    settings: Settings,
    store: Store,
    engine: Engine,
    drain: Drain,
    lag: LoopLag,
    connections: Connections,
) -> web.Application:
    """All faces on one application."""
    app = web.Application(
        middlewares=[connections.note, answer, drain.refuse],
        client_max_size=settings.max_body_bytes,
    )
    app.on_response_prepare.extend((allow_all_origins, forbid_caching_of_errors))
    accounts = Accounts(settings)
    outputs = Outputs(settings)
    jobs = FileJobs(settings, engine, store.clock)
    signed_urls = SignedUrls(settings.accounts, store.clock)
    requests = FileRequests(settings, accounts, signed_urls, engine.registry, jobs)
    heartbeats = Heartbeats()
    faces: list[Face] = [Pages(), Operations(store, engine, drain, lag)]
    for version in (V1, V2):
        faces.append(DragonTasks(version, settings, accounts, engine, heartbeats))
        faces.append(DragonFiles(version, settings, engine, jobs, requests, outputs, store.clock))
    faces += [FilesHandler(jobs, outputs), Placeholders()]
    faces.append(WebHookDeliveries(settings, accounts, store))
    files = StoredFiles(settings, store, outputs, jobs)
    faces.append(Storage(settings, accounts, files))
    routes = [route for face in faces for route in face.routes()]
    app.add_routes([*routes, *Descriptions(settings, engine.registry, routes).routes()])
    return app
