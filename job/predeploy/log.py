"""Logs: one JSON object per line on stdout, or short lines for a person at a terminal.

Platforms read `message` and `level` (debug, info, warn, error). Everything that is logged is
redacted, so that a secret that got into a text by mistake is not printed.
"""

import sys
import time
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from predeploy.contract.secret import Secret, redact_all
from predeploy.settings import LogFormat, LogLevel

_LEVELS = {LogLevel.DEBUG: 10, LogLevel.INFO: 20, LogLevel.WARN: 30, LogLevel.ERROR: 40}

Event = MutableMapping[str, Any]


def is_pretty(log_format: LogFormat, stream: TextIO) -> bool:
    """Whether lines are formatted for a person."""
    return log_format is LogFormat.PRETTY or (log_format is LogFormat.AUTO and stream.isatty())


def configure(
    log_format: LogFormat = LogFormat.AUTO,
    level: LogLevel = LogLevel.INFO,
    secrets: tuple[Secret, ...] = (),
    stream: TextIO | None = None,
) -> None:
    """Configure structlog. May be called again once the settings are known."""
    out = stream or sys.stdout

    def hide(_logger: object, _method: str, event: Event) -> Event:
        return {key: redact_all(value, secrets) for key, value in event.items()}

    renderer = (
        _pretty
        if is_pretty(log_format, out)
        else structlog.processors.JSONRenderer(ensure_ascii=False, separators=(",", ":"))
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _name_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.EventRenamer("message"),
            hide,
            _message_first,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )


def _name_level(_logger: object, _method: str, event: Event) -> Event:
    if event["level"] == "warning":
        event["level"] = "warn"
    return event


def _message_first(_logger: object, _method: str, event: Event) -> Event:
    return {"message": event.pop("message"), "level": event.pop("level"), **event}


def _pretty(_logger: object, _method: str, event: Event) -> str:
    event.pop("timestamp", None)
    clock = time.strftime("%H:%M:%S")
    head = f"{clock} {event.pop('level'):<5} {event.pop('message')}"
    event.pop("lines", None)  # the report, which is last, has them, ready to be pasted
    rest = " ".join(f"{key}={value}" for key, value in event.items())
    return f"{head}  {rest}" if rest else head
