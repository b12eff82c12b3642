"""The `dragon` command: run, serve, worker, create, status, sign."""

import asyncio
import gc
import os
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click
import msgspec

from dragon import __version__
from dragon.errors import DragonError, InvalidSettings
from dragon.log import configure_logs
from dragon.schemas import KINDS, Kind
from dragon.settings import Settings, load_settings

F = TypeVar("F", bound=Callable[..., Any])

MAX_PROCESSES = 64

NAME_LOOKUPS = 64
"""Of Valkey's servers, at once, each in a thread: by default there are four, of which two look
names up. Names that clients give have threads of their own."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dragon")
def cli() -> None:
    """Dragon, a self-hosted media task server."""


def main() -> None:
    """Run the command; what goes wrong is told in one line, with an exit code."""
    # Parameters, credentials and files are nobody else's business on this machine.
    os.umask(0o077)
    # By default the collector runs a hundred times while the rest is imported.
    gc.set_threshold(20_000, 20, 50)
    try:
        cli(prog_name="dragon", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except DragonError as error:
        click.echo(f"dragon: {error.message}", err=True)
        sys.exit(error.exit_code)


def _settings_options(function: F) -> F:
    data = click.option("--data", metavar="DIR", help="Where files and state are kept.")
    config = click.option("--config", metavar="FILE", help="TOML file with settings.")
    return data(config(function))


def _redis_option(function: F) -> F:
    return click.option("--redis", metavar="URL", help="The Valkey that holds the jobs.")(function)


def _address_options(function: F) -> F:
    for option in (
        click.option(
            "--host", default="127.0.0.1", show_default=True, help="Address to listen on."
        ),
        click.option(
            "--port",
            type=click.IntRange(0, 65535),
            default=8080,
            show_default=True,
            help="Port to listen on; 0 picks a free one.",
        ),
    ):
        function = option(function)
    return function


def _count_option(name: str, words: str) -> Callable[[F], F]:
    return click.option(
        name, type=click.IntRange(1, MAX_PROCESSES), default=1, show_default=True, help=words
    )


def _server_options(function: F) -> F:
    words = "The server, also DRAGON_URL; the one that runs here if not given."
    url = click.option("--url", envvar="DRAGON_URL", metavar="URL", help=words)
    words = "The data directory of the Dragon that runs here."
    data = click.option("--data", metavar="DIR", help=words)
    return url(data(function))


def _secret_option(function: F) -> F:
    return click.option(
        "--secret",
        envvar="DRAGON_SECRET",
        metavar="SECRET",
        help="Better given as DRAGON_SECRET: other users of this machine see command lines.",
    )(function)


@cli.command()
@_address_options
@_settings_options
@_count_option("--servers", "How many server processes share the address.")
@_count_option("--workers", "How many worker processes.")
def run(
    host: str, port: int, config: str | None, data: str | None, servers: int, workers: int
) -> None:
    """Run everything on this machine: Valkey, servers and workers."""
    from dragon.local.supervisor import Wanted, supervise

    settings = _load(config, data=data)
    wanted = Wanted(host=host, port=port, servers=servers, workers=workers)
    asyncio.run(supervise(settings, config, wanted, click.echo))


@cli.command()
@_address_options
@_settings_options
@_redis_option
@click.option("--fd", type=int, hidden=True, help="A socket that listens already.")
def serve(
    host: str, port: int, config: str | None, data: str | None, redis: str | None, fd: int | None
) -> None:
    """Run a server process."""
    from dragon.app import serve
    from dragon.local.listening import listen

    settings = _load_with_redis(config, data=data, redis=redis)
    listener = listen(host, port) if fd is None else socket.socket(fileno=fd)
    _run_loop(serve(settings, listener))


@cli.command()
@_settings_options
@_redis_option
@click.option("--classes", metavar="KIND,…", help=f"What to run of {','.join(KINDS)}.")
@click.option("--slots", type=click.IntRange(1), help="How many jobs of each class at once.")
def worker(
    config: str | None, data: str | None, redis: str | None, classes: str | None, slots: int | None
) -> None:
    """Run a worker process."""
    from dragon.app import work

    settings = _load_with_redis(config, data=data, redis=redis)
    kinds = _kinds(classes)
    _run_loop(work(settings, {kind: slots or getattr(settings.slots, kind) for kind in kinds}))


@cli.command()
@click.argument("task")
@click.argument("parameters", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--wait", "mode", flag_value="wait", help="Wait for the end, with a progress bar.")
@click.option("--stream", "mode", flag_value="stream", help="Print each status as it comes.")
@_server_options
@_secret_option
def create(
    task: str,
    parameters: tuple[str, ...],
    mode: str | None,
    url: str | None,
    secret: str | None,
    data: str | None,
) -> None:
    """Create a task.

    For example: dragon create image.thumb url=https://… width=200 --wait

    A value that is JSON is taken as such, so width=200 is a number; any other is text. With
    --wait or --stream, a task that fails ends the command with exit code 1.
    """
    from dragon.client import Client

    definition = {"task_name": task, **dict(map(_parameter, parameters))}
    client = Client.find(url, secret, _load(None, data=data).data)
    client.create(definition, mode or "now")


@cli.command()
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@_server_options
def status(keys: tuple[str, ...], url: str | None, data: str | None) -> None:
    """Print the status of tasks."""
    from dragon.client import Client

    Client.find(url, None, _load(None, data=data).data).status(keys)


@cli.command()
@click.argument("task")
@click.argument("parameters", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--file", "filename", default="", metavar="NAME", help="Which file of the task.")
@click.option(
    "--account", metavar="NAME", help="Whose secret it is; the demo account's if not given."
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=3600,
    show_default=True,
    help="How long the URL is good.",
)
@click.option(
    "--round",
    "round_seconds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="URLs made within so many seconds expire together, and so are the same for caches.",
)
@_server_options
@_secret_option
def sign(
    task: str,
    parameters: tuple[str, ...],
    filename: str,
    account: str | None,
    seconds: float,
    round_seconds: int,
    url: str | None,
    secret: str | None,
    data: str | None,
) -> None:
    """Print a signed URL of a task, for an img tag.

    For example: dragon sign image.thumb url=https://… width=200 --file cat.jpg

    Whoever has the URL gets that picture until it expires, and can change nothing of it. Values
    are written as in a query string. The server is not asked.
    """
    from dragon.client import Client

    if secret and not account:
        raise click.UsageError("which account's secret is it? give --account")
    pairs = [("task_name", task), *map(_split_parameter, parameters)]
    client = Client.find(url, secret, _load(None, data=data).data)
    click.echo(client.sign(pairs, filename, account or "demo", seconds, round_seconds))


def _load(config: str | None, **overrides: Any) -> Settings:
    settings = load_settings(config, **overrides)
    configure_logs(settings.log_format, settings.log_level)
    return settings


def _load_with_redis(config: str | None, **overrides: Any) -> Settings:
    settings = _load(config, **overrides)
    if not settings.redis:
        raise InvalidSettings("which Valkey? give --redis URL, DRAGON_REDIS or `redis` in the file")
    return settings


def _kinds(classes: str | None) -> list[Kind]:
    names = KINDS if classes is None else [name.strip() for name in classes.split(",")]
    try:
        return msgspec.convert(names, list[Kind])
    except msgspec.ValidationError:
        raise InvalidSettings(f"--classes: choose among {', '.join(KINDS)}") from None


def _split_parameter(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise click.UsageError(f"{text!r} is not of the form KEY=VALUE")
    return name, value


def _parameter(text: str) -> tuple[str, Any]:
    name, value = _split_parameter(text)
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def _run_loop(main: Coroutine[Any, Any, None]) -> None:
    import uvloop

    os.environ.setdefault("UV_THREADPOOL_SIZE", str(NAME_LOOKUPS))
    # What was imported stays: the collector need not look at it again and again. Nor now: nothing
    # of it is garbage.
    gc.freeze()
    uvloop.run(main)
