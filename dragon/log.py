"""Logs: one JSON line for each event in production, coloured lines on a terminal, no secret."""

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import msgspec
import structlog

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
MAX_LOGGED = 4096
"""Characters of a value that may hold URLs: looking for them in more takes too long."""

_QUERY = re.compile(r"(https?://[^\s?'\"]*)\?[^\s'\"]*")


def configure_logs(log_format: str, log_level: str) -> None:
    """`auto` means coloured lines if standard error is a terminal, else JSON."""
    is_console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact,
            _CONSOLE if is_console else _JSON,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[log_level]),
        logger_factory=(
            structlog.PrintLoggerFactory(sys.stderr)
            if is_console
            else structlog.BytesLoggerFactory(sys.stderr.buffer)
        ),
        cache_logger_on_first_use=True,
    )
    # Libraries log through the standard module: warnings of theirs are worth a line, too.
    logging.basicConfig(level=logging.WARNING, handlers=[_FromLibraries()], force=True)


class _FromLibraries(logging.Handler):
    """Passes records on without the words of exceptions: aiohttp's quote requests, keys and all."""

    def emit(self, record: logging.LogRecord) -> None:
        details = {}
        if record.exc_info and (error := record.exc_info[1]):
            stack = "".join(traceback.format_tb(error.__traceback__))
            details = {"error": type(error).__name__, "stack": stack}
        level = min(record.levelno // 10 * 10, logging.CRITICAL)
        structlog.get_logger(library=record.name).log(level, record.getMessage(), **details)


def _redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Query strings of URLs may hold signatures and keys; the rest tells enough."""
    for name, value in event.items():
        if isinstance(value, str) and "?" in value:
            event[name] = _QUERY.sub(r"\1?…", value[:MAX_LOGGED])
    return event


_encoder = msgspec.json.Encoder(enc_hook=repr)

# Plain tracebacks: the pretty ones show local variables, and so secrets.
_CONSOLE = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
_JSON = structlog.processors.JSONRenderer(serializer=lambda event, **_: _encoder.encode(event))
