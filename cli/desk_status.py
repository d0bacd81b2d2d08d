"""How a desk's workers are: a table for a terminal, a line or a JSON object for everything else."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.supervisor import Phase, Status
from flows.meter import STATES
from operators.market.books.words import BookState
from operators.risk.safety import LATCHED
from schemas.reasons import Reason

UNKNOWN = "-"
BY_HAND = "started by hand"
DOT = "\N{BLACK CIRCLE}"
HALTED = BookState.HALTED.name
WIDE = 110  # characters that the whole table needs
_STYLES: dict[Phase, str] = {
    "starting": "cyan",
    "up": "green",
    "silent": "yellow",
    "down": "red",
    "finished": "dim",
    "refused": "bold red",
    "stopping": "yellow",
    "stopped": "dim",
}


def status_table(
    statuses: Sequence[Status], *, title: str, logs: Path, width: int, note: str = ""
) -> RenderableType:
    """All workers, one line each; below it what does not fit there: waits and last errors.

    Parameters
    ----------
    statuses : sequence of Status
    title : str
        What runs.
    logs : Path
        Where the workers' logs are.
    width : int
        Characters of the terminal; below 110 process ids, kills and dates are left out.
    note : str
        What else stands below, of no worker.
    """
    wide = width >= WIDE
    table = Table(box=None, pad_edge=False, padding=(0, 2 if wide else 1, 0, 0), header_style="dim")
    for name in ("flow", "lanes", "state"):
        table.add_column(name, no_wrap=True)
    numbers = ["rows/s", "lag", "last seq", "event time", "restarts"]
    for name in [*numbers, *(["killed", "pid"] if wide else [])]:
        table.add_column(name, justify="right", no_wrap=True)
    for status in statuses:
        table.add_row(*_cells(status, wide=wide))
    n_up = sum(status.phase == "up" and status.healthy for status in statuses)
    head = Text.assemble(
        (title, "bold"), (f"  {n_up} of {len(statuses)} up, logs in {logs}{os.sep}", "dim")
    )
    for reason in [name for status in statuses for name in status.stopped or ()]:
        head.append(f"  STOPPED: {reason}", style="bold red")
    parts: list[RenderableType] = [head, Padding(table, (1, 0, 0, 0))]
    names: dict[tuple[str, str], list[str]] = {}  # often many say the same
    for status in statuses:
        for said in _notes(status):
            names.setdefault(said, []).append(status.worker.name)
    if names:
        below = Table.grid(padding=(0, 2, 0, 0))
        below.add_column(no_wrap=True)
        below.add_column(overflow="fold")
        for (text, style), who in names.items():
            more = f" and {len(who) - 1} more" if len(who) > 1 else ""
            below.add_row(Text(who[0] + more, style=style), Text(text, style=style))
        parts.append(Padding(below, (1, 0, 0, 0)))
    if note:
        parts.append(Padding(Text(note, style="dim"), (1, 0, 0, 0)))
    return Group(*parts)


def status_line(status: Status) -> str:
    """One worker as one line of text."""
    parts = [
        f"{_now()} {status.worker.flow} {status.worker.lanes}: {status.state}",
        f"{_count(status.rows_per_s)} rows/s",
        f"lag {_count(status.lag)}",
        f"last seq {_count(status.last_seq)}",
        f"event time {_moment(status.event_time_ns)}",
        f"restarts {status.restarts}",
        f"killed {status.kills}",
        f"pid {UNKNOWN if status.pid is None else status.pid}",
        *(f"STOPPED: {name}" for name in status.stopped or ()),
        *(f"book of {name}: {state}" for name, state in status.books),
        *([BY_HAND] if status.by_hand else []),
    ]
    return ", ".join(parts) + (f"; last error: {status.last_error}" if status.last_error else "")


def status_json(status: Status) -> dict[str, Any]:
    """One worker as what JSON can hold."""
    return {
        "time": _now(),
        "flow": status.worker.flow,
        "lanes": status.worker.lanes,
        "phase": status.phase,
        "state": status.state,
        "healthy": status.healthy,
        "pid": status.pid,
        "port": status.worker.port,
        "rows_per_s": status.rows_per_s,
        "lag": status.lag,
        "last_seq": status.last_seq,
        "event_time_ns": status.event_time_ns,
        "restarts": status.restarts,
        "kills": status.kills,
        "last_error": status.last_error or None,
        "stopped": None if status.stopped is None else list(status.stopped),
        "books": dict(status.books),
        "by_hand": status.by_hand,
        "log": None if status.log is None else str(status.log),
    }


def _cells(status: Status, *, wide: bool) -> list[Text]:
    style = _STYLES[status.phase]
    if status.phase == "up" and not status.healthy:
        style = "yellow"
    quiet = "" if status.phase == "up" else "dim"
    moment = _moment(status.event_time_ns)
    cells = [
        Text(status.worker.flow, style="bold"),
        Text(status.worker.lanes),
        Text(f"{DOT} {_short(status.state)}", style=style),
        Text(_count(status.rows_per_s), style=quiet),
        Text(_count(status.lag), style=quiet),
        Text(_count(status.last_seq), style=quiet),
        Text(moment if wide else moment.split(" ")[-1], style=quiet),
        Text(str(status.restarts), style="red" if status.restarts else "dim"),
    ]
    pid = UNKNOWN if status.pid is None else str(status.pid)
    kills = Text(str(status.kills), style="red" if status.kills else "dim")
    return [*cells, kills, Text(pid, style="dim")] if wide else cells


def _short(state: str) -> str:
    """Without what a worker says it waits for."""
    word = state.split(" ", 1)[0].rstrip(":")
    return word if word in STATES else state


def _notes(status: Status) -> list[tuple[str, str]]:
    """Text and style of what is said below the table."""
    notes = []
    if _short(status.state) != status.state:
        notes.append((status.state, "dim" if status.healthy else "yellow"))
    if status.last_error:
        notes.append((status.last_error, "red"))
    notes += [(_stop(Reason[name]), "bold red") for name in status.stopped or ()]
    notes += [(_book(name, state), "yellow") for name, state in status.books]
    if status.by_hand:
        notes.append((f"{BY_HAND}: whoever did starts it again", "dim"))
    return notes


def _stop(reason: Reason) -> str:
    """A stop in words, and what ends it."""
    ends = "'trifecta resume' lifts it" if reason in LATCHED else "it lapses at midnight UTC"
    return f"opens no position: {reason.text} ({reason.name}); {ends}"


def _book(name: str, state: str) -> str:
    """An order book that nobody may use, and what ends that where nothing does by itself."""
    ends = f"; 'trifecta resume --book {name}' lifts it" if state == HALTED else ""
    return f"order book of {name}: {state}{ends}"


def _count(number: float | None) -> str:
    return UNKNOWN if number is None else f"{number:,.0f}"


def _moment(ns: int | None) -> str:
    if ns is None:
        return UNKNOWN
    return f"{datetime.fromtimestamp(ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M:%S}"


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
