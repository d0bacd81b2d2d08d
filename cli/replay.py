"""`trifecta replay`: decide a recorded log again and compare it, row by row."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.errors import DIFFERENT, talk
from cli.progress import RowProgress
from cli.run_dir import open_log
from console.report.words import UNKNOWN, utc
from flows.desk_run import RECORD, RunRecord
from flows.log.errors import LogError
from flows.recovery import code_version
from schemas.kinds import Engine, Kind, Role, Side
from schemas.reasons import Reason

OTHER_CODE = "the run was recorded by another version of this program, which may decide otherwise."
TIMES = ("ts_event_ns", "ts_recv_ns")
WORDS = {  # columns whose numbers have names
    name: {int(member): member.name for member in words}
    for name, words in (
        ("kind", Kind), ("engine", Engine), ("reason", Reason), ("role", Role), ("side", Side),
        ("side_second", Side),
    )
}  # fmt: skip


class Verified(Protocol):
    """What is read of `flows.replay.Verification`."""

    @property
    def decisions(self) -> int: ...

    @property
    def journal_rows(self) -> int: ...

    @property
    def difference(self) -> Mapping[str, Any] | None: ...

    @property
    def numeric_matches(self) -> bool: ...

    @property
    def notes(self) -> Sequence[str]: ...


def replay(folder: Path, *, as_json: bool) -> int:
    """Verify a run; returns the exit code: 0, or 1 where a row differs."""
    from flows.replay import verify

    console, log = talk(), open_log(folder)
    try:
        text = log.texts().get(RECORD)
        if text is None:
            raise LogError(f"{folder}: the log holds no run; its first record is missing")
        record = RunRecord.from_json(text)
        rows = sum(source["rows"] for source in record.sources)
        with RowProgress(console, rows, doing="deciding again") as progress:
            progress.moved(0)
            found: Verified = verify(log, progress=progress.moved)
    finally:
        log.close()
    if as_json:
        sys.stdout.write(_json(record.run_id, found))
        return 0 if found.difference is None else DIFFERENT
    if record.code_version != code_version():
        console.print(Text(f"Note: {OTHER_CODE}", style="yellow"))
    print_verification(found, record.run_id, console)
    return 0 if found.difference is None else DIFFERENT


def _json(run_id: str, found: Verified) -> str:
    told = {
        "run_id": run_id,
        "same": found.difference is None,
        "decisions": found.decisions,
        "journal_rows": found.journal_rows,
        "numeric_matches": found.numeric_matches,
        "notes": list(found.notes),
        "difference": None if found.difference is None else dict(found.difference),
    }
    return json.dumps(told, indent=2) + "\n"


def print_verification(found: Verified, run_id: str, console: Console) -> None:
    """Say that every row is the same, or show the first that is not, both sides beside another."""
    for note in found.notes:
        console.print(Text(f"Note: {note}", style="yellow"), soft_wrap=True)
    if not found.numeric_matches:
        console.print(
            Text(
                "Note: this machine calculates differently from the one that recorded (the last "
                "bit of exp, log or the model); a difference may come from that alone.",
                style="yellow",
            )
        )
    compared = f"{found.decisions:,} decisions and {found.journal_rows:,} journal rows"
    if found.difference is None:
        console.print(
            Text.assemble(("The same. ", "bold green"), f"Run {run_id}: {compared} decided again, ")
            + Text("no difference."),
            soft_wrap=True,
        )
        return
    difference = found.difference
    console.print(
        Text.assemble(
            ("NOT the same. ", "bold red"),
            f"Run {run_id}: {difference['topic']} differs first in row {difference['row']:,}, "
            f"after {compared} that are equal.",
        ),
        soft_wrap=True,
    )
    console.print(Padding(_sides(difference), (1, 0, 0, 0)))


def _sides(difference: Mapping[str, Any]) -> Table:
    """Every column of the row; those that differ stand first and in red."""
    recorded, redecided = difference["recorded"], difference["redecided"]
    differ = [str(name) for name in difference["columns"]]
    names = [*(recorded or redecided or {})]
    if recorded and redecided:
        names += [name for name in redecided if name not in recorded]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    table.add_column("column", no_wrap=True)
    for side, row in (("recorded", recorded), ("decided again", redecided)):
        table.add_column(side if row else f"{side} (no such row)", overflow="fold")
    whole = recorded is None or redecided is None
    for name in sorted(names, key=lambda each: (each not in differ, names.index(each))):
        style = "bold red" if name in differ and not whole else ""
        cells = [_cell(name, row) for row in (recorded, redecided)]
        table.add_row(Text(name, style=style), *(Text(cell, style=style) for cell in cells))
    return table


def _cell(name: str, row: Mapping[str, Any] | None) -> str:
    if row is None or name not in row or row[name] is None:
        return UNKNOWN
    value = row[name]
    if name in TIMES and isinstance(value, int):
        return utc(value)  # to the nanosecond
    if name in WORDS and isinstance(value, int):
        return f"{value} {WORDS[name].get(value, UNKNOWN)}"
    if isinstance(value, list | dict):
        return json.dumps(value)
    return str(value)
