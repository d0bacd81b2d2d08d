"""Log lines of a worker: events with fields, as JSON for machines or as readable text for people.

Modules log through the standard library (`logging.getLogger(__name__)`); fields are its `extra`.
"""

import logging
import re
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from flows.settings import SettingsError

LOG_STYLES = ("auto", "json", "text")
HIDDEN = "***"

_SECRET_NAME = re.compile(r"passw|secret|token|credential|api_?key|private_?key|authori[sz]ation")
_SECRET_URL = re.compile(r"(\w+://)[^\s/@]+@")  # user and password in an address


def log_to(stream: TextIO | None = None, *, flow: str, lanes: str, style: str = "auto") -> None:
    """Send all log lines of this process to a stream; the last call counts.

    Every line has time (ISO 8601, UTC), level, event, flow and lanes. Values of fields whose name
    tells of a secret, and user and password in addresses, are not shown.

    Parameters
    ----------
    stream : text file
        By default standard error.
    flow, lanes : str
        Of the worker.
    style : {"auto", "json", "text"}
        "auto" is text on a terminal and JSON elsewhere.
    """
    if style not in LOG_STYLES:
        raise SettingsError(f"--log must be one of {', '.join(LOG_STYLES)}, was {style!r}")
    stream = sys.stderr if stream is None else stream
    as_json = style == "json" or (style == "auto" and not stream.isatty())
    text = structlog.dev.ConsoleRenderer(
        colors=stream.isatty(),
        timestamp_key="time",
        pad_event_to=0,
        sort_keys=False,
        exception_formatter=structlog.dev.plain_traceback,
    )
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _Named(flow, lanes),
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _without_secrets,
                structlog.processors.JSONRenderer(default=str) if as_json else text,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    structlog.configure(
        processors=[
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


class _Named:
    """Puts the worker's name on every line, and what every line has first."""

    def __init__(self, flow: str, lanes: str) -> None:
        self._names = {"flow": flow, "lanes": lanes}

    def __call__(self, logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
        first = {name: line[name] for name in ("time", "level", "event")}
        return {**first, **self._names, **{k: v for k, v in line.items() if k not in self._names}}


def _without_secrets(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    return {
        name: HIDDEN if _SECRET_NAME.search(name.lower()) else _without_address(value)
        for name, value in line.items()
    }


def _without_address(value: object) -> object:
    return _SECRET_URL.sub(rf"\1{HIDDEN}@", value) if isinstance(value, str) else value
