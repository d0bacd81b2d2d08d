"""Why a process has ended, in one line, from what it wrote."""

import json
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

TAIL_BYTES = 16_384  # of the log, in which the line is looked for


def last_error(log: Path, begin: int, code: int) -> str:
    """In one line why a process has ended: its own last words, or its signal or exit code.

    Parameters
    ----------
    log : Path
    begin : int
        Byte of the log at which the process began to write.
    code : int
        Exit code; negative for a signal, as `subprocess` has it.
    """
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    with log.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(begin, end - TAIL_BYTES))
        text = file.read().decode(errors="replace")
    lines = [line for line in (raw.strip(" \t│╭╮╰╯─") for raw in text.splitlines()) if line]
    complaints = [n for n, line in enumerate(lines) if _complains(line)]
    traces = [n for n, line in enumerate(lines) if line.startswith("Traceback (most recent")]
    if complaints and complaints[-1] > max(traces, default=-1):
        return _words(lines[complaints[-1]])
    return _words(lines[-1]) if lines else f"ended with exit code {code} and said nothing"


def _complains(line: str) -> bool:
    return line.startswith("error: ") or _event(line).get("level") in ("error", "critical")


def _words(line: str) -> str:
    event = _event(line)
    if not event:
        return line.removeprefix("error: ")
    trace = str(event.get("exception", "")).strip().splitlines()
    return ": ".join([str(event.get("event")), *trace[-1:]])


def _event(line: str) -> dict[str, Any]:
    """A log line in JSON; empty if it is none."""
    if line.startswith("{"):
        with suppress(ValueError):
            found = json.loads(line)
            return found if isinstance(found, dict) else {}
    return {}
