"""Promise: every log line of a worker has time, level, event, flow and lanes, and no secret."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog

from cli.logs import HIDDEN, log_to
from flows.settings import SettingsError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_lines_of_both_kinds_have_all_that_every_line_has() -> None:
    stream = io.StringIO()
    log_to(stream, flow="features", lanes="0-3")
    logging.getLogger("flows.worker").warning("broker_lost", extra={"broker": 2})
    structlog.get_logger().info("port_taken", port=9470)
    logging.getLogger("x").info("took %d s", 3)
    logging.getLogger("x").debug("not shown")
    found = lines(stream)
    assert [list(line)[:5] for line in found] == [["time", "level", "event", "flow", "lanes"]] * 3
    for line in found:
        moment = datetime.fromisoformat(line.pop("time"))
        assert moment.utcoffset() == timedelta(0)
    own = {"flow": "features", "lanes": "0-3"}
    assert found == [
        {"level": "warning", "event": "broker_lost", **own, "broker": 2},
        {"level": "info", "event": "port_taken", **own, "port": 9470},
        {"level": "info", "event": "took 3 s", **own},
    ]


def test_a_failure_is_one_line_with_its_trace() -> None:
    stream = io.StringIO()
    log_to(stream, flow="decide", lanes="0-7")
    try:
        raise ValueError("of kafka://user:pass@host:1")
    except ValueError:
        logging.getLogger("x").exception("failed")
    (line,) = lines(stream)
    assert line["level"] == "error"
    assert line["exception"].endswith(f"ValueError: of kafka://{HIDDEN}@host:1")


# fmt: off
SECRETS = [  # a field, its value, what is shown
    ("password",          "hunter2",                  HIDDEN),
    ("sasl_PASSWORD",     "hunter2",                  HIDDEN),
    ("api_key",           "k",                        HIDDEN),
    ("client_secret",     "k",                        HIDDEN),
    ("auth_token",        12,                         HIDDEN),
    ("Authorization",     "Bearer x",                 HIDDEN),
    ("url",               "https://me:pw@host/a?b=1", f"https://{HIDDEN}@host/a?b=1"),
    ("url",               "https://host/a@b",         "https://host/a@b"),
    ("servers",           "127.0.0.1:19092",          "127.0.0.1:19092"),
    ("key",               "lane 3",                   "lane 3"),
]
# fmt: on


@pytest.mark.parametrize(("field", "value", "shown"), SECRETS)
@pytest.mark.parametrize("style", ["json", "text"])
def test_secrets_are_not_shown(field: str, value: object, shown: str, style: str) -> None:
    stream = io.StringIO()
    log_to(stream, flow="ingest", lanes="0-7", style=style)
    logging.getLogger("x").info("connected", extra={field: value})
    if style == "json":
        assert lines(stream)[0][field] == shown
    else:
        assert f" {field}={shown}" in stream.getvalue().replace("'", "")


def test_text_on_a_terminal_and_json_elsewhere() -> None:
    terminal, file, forced = Terminal(), io.StringIO(), Terminal()
    for stream, style in ((terminal, "auto"), (file, "auto"), (forced, "json")):
        log_to(stream, flow="ingest", lanes="0-7", style=style)
        logging.getLogger("x").info("started", extra={"port": 1})
    assert "\x1b[" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")
    for as_json in (file, forced):
        assert lines(as_json)[0]["event"] == "started"


def test_the_last_call_counts() -> None:
    first, second = io.StringIO(), io.StringIO()
    log_to(first, flow="a", lanes="0")
    log_to(second, flow="b", lanes="0")
    logging.getLogger("x").info("started")
    assert first.getvalue() == ""
    assert [line["flow"] for line in lines(second)] == ["b"]


def test_another_style_is_refused() -> None:
    with pytest.raises(SettingsError, match="--log must be one of auto, json, text, was 'xml'"):
        log_to(io.StringIO(), flow="a", lanes="0", style="xml")
