"""`trifecta book`: rebuild the books of recordings and say which checks hold."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Literal

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from cli.errors import talk
from venues.verify import (
    Count,
    FileReport,
    Job,
    Refusal,
    StreamReport,
    exit_code,
    jobs,
)
from venues.verify.books import said

SHOWN_AFTER_S = 2.0  # a run that is shorter shows no bar
WIDE = 200  # characters where output is no terminal: nothing is cut off
BOOKS_SHOWN = 12  # of a file; --json has all of them
STREAMS_SHOWN = 12
REASONS_SHOWN = 6
PLACES_SHOWN = 5
STYLES = {"passed": "green", "failed": "bold red", "unverified": "yellow", "refused": "bold red"}


def book(files: Sequence[Path], *, as_json: bool) -> int:
    """Verify the files; returns the exit code: 0 passed, 1 a check failed, 2 refused or nothing."""
    found: list[FileReport | Refusal] = []
    out = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    todo = list(jobs(files))
    with _Bar(talk(), sum(one.size for one in todo if isinstance(one, Job))) as bar:
        for one in todo:
            found.append(one.run(bar.advance) if isinstance(one, Job) else one)
            if not as_json:
                bar.pause()
                _show(found[-1], out)
    code = exit_code(found)
    if as_json:
        told = {"exit_code": code, "files": [_json(one) for one in found]}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    elif len(found) > 1:
        out.print(_summary(found))
    return code


class _Bar:
    """A bar over all files, on a terminal, from the third second on."""

    def __init__(self, console: Console, total: int) -> None:
        self._bar = Progress(
            TextColumn("[bold]rebuilding"), BarColumn(bar_width=None), TaskProgressColumn(),
            TimeRemainingColumn(compact=True), console=console, transient=True,
            disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=total)
        self._begun_s = monotonic()

    def advance(self, n: int) -> None:
        self._bar.advance(self._task, n)
        if monotonic() - self._begun_s > SHOWN_AFTER_S:
            self._bar.start()

    def pause(self) -> None:
        """Nothing else may be printed while it is shown."""
        self._bar.stop()

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()


def _json(found: FileReport | Refusal) -> dict[str, Any]:
    return asdict(found)


def _show(found: FileReport | Refusal, out: Console) -> None:
    if isinstance(found, Refusal):
        talk().print(Text.assemble(("refused: ", STYLES["refused"]), found.why), soft_wrap=True)
        return
    out.print(
        Text.assemble(
            (Path(found.file).name, "bold"), f"  {', '.join(found.venues)}  ",
            (str(found.outcome), STYLES[found.outcome]),
        ),
        soft_wrap=True,
    )  # fmt: skip
    for other in found.against:
        out.print(f"  compared with {other}", style="dim", soft_wrap=True)
    out.print(Padding(_checks(found), (0, 0, 1, 2), expand=False))
    out.print(Padding(_streams(found), (0, 0, 1, 2), expand=False))
    if found.books:
        out.print(Padding(_books(found), (0, 0, 1, 2), expand=False))
    for count in sorted(found.counts, key=lambda one: -one.n)[:REASONS_SHOWN]:
        what = "frames" if found.frames else "rows"
        out.print(Padding(Text(_said(count, what), style="dim"), (0, 0, 0, 2), expand=False))
    _and_more(len(found.counts) - REASONS_SHOWN, "reasons", out)
    out.print()


def _checks(found: FileReport) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in found.checks:
        outcome = Text(str(check.outcome), style=STYLES[check.outcome])
        table.add_row(check.name, outcome, Text(check.says))
    return table


def _streams(found: FileReport) -> Table:
    """Message types, the most frequent first; classes that no frame has are left out."""
    names = ["frames", "data", "superseded", "control", "unused", "quarantined", "rows", "refused"]
    each = sorted(found.streams, key=lambda one: -one.frames)
    shown = [n for n in names if n in _ALWAYS or any(getattr(one, n) for one in each)]
    table = _table("stream")
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    several = len(found.venues) > 1
    for one in each[:STREAMS_SHOWN]:
        title = f"{one.venue} {one.stream}" if several else one.stream
        table.add_row(title, *_sums([one], shown))
    if len(each) > STREAMS_SHOWN:
        others = each[STREAMS_SHOWN:]
        table.add_row(f"{len(others)} others", *_sums(others, shown))
    if len(each) > 1:
        table.add_row("all", *_sums(each, shown), style="bold")
    return table


def _sums(streams: Sequence[StreamReport], names: Sequence[str]) -> list[str]:
    return [f"{sum(getattr(one, name) for one in streams):,}" for name in names]


def _books(found: FileReport) -> Table:
    table = _table("book", "state")
    for name in ("messages", "snapshots", "gaps", "crossed", "covered", "held"):
        table.add_column(name, justify="right", no_wrap=name != "held")
    for one in found.books[:BOOKS_SHOWN]:
        covered = "-" if one.covered_share is None else f"{_down(one.covered_share)} %"
        table.add_row(
            one.symbol, one.state, f"{one.messages:,}", f"{one.snapshots:,}", f"{one.gaps:,}",
            f"{one.crossed:,}", covered, f"{one.held:,} {'orders' if one.by_order else 'levels'}",
        )  # fmt: skip
    if len(found.books) > BOOKS_SHOWN:
        table.add_row(f"{len(found.books) - BOOKS_SHOWN} others", "see --json")
    return table


def _summary(found: Sequence[FileReport | Refusal]) -> Table:
    table = _table("outcome", "file")
    table.add_column("what shows it", overflow="fold")
    for one in found:
        shows = ""
        if isinstance(one, FileReport):
            decided = [c.name for c in one.checks if c.outcome == one.outcome and c.proves]
            failed = [c.name for c in one.checks if c.outcome == "failed"]
            shows = "" if one.outcome == "unverified" else ", ".join(failed or decided)
        outcome = Text(str(one.outcome), style=STYLES[one.outcome])
        table.add_row(outcome, Path(one.file).name, shows)
    return table


def _and_more(n: int, what: str, out: Console) -> None:
    if n > 0:
        out.print(f"  and {n} more {what}; --json has all", style="dim")


def _said(count: Count, each: str) -> str:
    """Why frames or elements became no rows, and where the first of them are."""
    what = "elements refused" if count.what == "refused" else f"{each} {count.what}"
    places = ", ".join(said(place) for place in count.first[:PLACES_SHOWN])
    more = " ..." if places and count.n > PLACES_SHOWN else ""
    return f"{count.n:,} {what}: {count.reason}" + (f" - {places}{more}" if places else "")


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in names:
        justify: Literal["left"] = "left"
        table.add_column(name, justify=justify, no_wrap=True)
    return table


def _down(share: float) -> str:
    """Percent, rounded down: 99.99 never reads as all of it."""
    return f"{int(share * 1_000) / 10:g}"


_ALWAYS = ("frames", "data", "rows")
