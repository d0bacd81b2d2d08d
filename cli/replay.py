"""`trifecta replay`: decide a recorded log again and compare it, row by row."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
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
from cli.times import parse_utc
from console.report.words import UNKNOWN, utc
from flows.desk_run import RECORD, RunRecord
from flows.log.api import Log
from flows.log.errors import LogError
from flows.recovery import code_version
from flows.settings import SettingsError
from schemas.kinds import Engine, Kind, Role, Side
from schemas.reasons import Reason

OTHER_CODE = "the run was recorded by another version of this program, which may decide otherwise."
WORKERS = 2  # of --topology split
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
    def compared(self) -> Mapping[str, int]: ...

    @property
    def first_ns(self) -> int | None: ...

    @property
    def last_ns(self) -> int | None: ...

    @property
    def ended(self) -> bool: ...

    @property
    def difference(self) -> Mapping[str, Any] | None: ...

    @property
    def numeric_matches(self) -> bool: ...

    @property
    def notes(self) -> Sequence[str]: ...


@dataclass(frozen=True)
class ReplayRequest:
    """What `trifecta replay --verify` was asked for; see its options."""

    run_dir: Path | None = None
    profile: str | None = None
    deployment: str | None = None
    from_utc: str | None = None
    to_utc: str | None = None
    topology: str = "fused"
    workers: int | None = None
    json: bool = False

    def __post_init__(self) -> None:
        desk = self.profile is not None or self.deployment is not None
        if self.run_dir is None and not desk:
            raise SettingsError(
                "name the folder of a run, or a desk of workers with --profile kafka --deployment "
                "NAME"
            )
        if self.run_dir is not None and desk:
            raise SettingsError(
                f"{self.run_dir}: a run's folder says where its log is; leave out --profile and "
                "--deployment"
            )
        if self.profile not in (None, "kafka"):
            raise SettingsError(
                f"profile must be kafka, was {self.profile!r}; other logs are in the folder of a "
                "run, so name that"
            )
        if self.topology not in ("fused", "split"):
            raise SettingsError(f"topology must be fused or split, was {self.topology!r}")
        if self.topology == "fused" and self.workers is not None:
            raise SettingsError("--workers belongs to --topology split")


def replay(request: ReplayRequest) -> int:
    """Verify a run or a desk; returns the exit code: 0, or 1 where a row differs."""
    from flows.replay import Span

    console, span = talk(), Span()
    if request.from_utc:
        span = Span(parse_utc(request.from_utc, option="--from"), span.to_ns)
    if request.to_utc:
        span = Span(span.from_ns, parse_utc(request.to_utc, option="--to"))
    if span.from_ns >= span.to_ns:
        raise SettingsError(f"--from {request.from_utc} must be before --to {request.to_utc}")
    opened = _opened(request)
    with closing(opened()) as log:
        text = log.texts().get(RECORD)
        if text is None:
            place = request.run_dir or f"deployment {request.deployment or 'without a name'}"
            raise LogError(f"{place}: the log holds no run; its first record is missing")
        record = RunRecord.from_json(text)
        rows = sum(source["rows"] for source in record.sources)
        with RowProgress(console, rows, doing="deciding again") as progress:
            progress.moved(0)
            found = _verify(request, log, opened, span, progress.moved)
    if request.json:
        sys.stdout.write(_json(record.run_id, found))
        return 0 if found.difference is None else DIFFERENT
    if record.code_version != code_version():
        console.print(Text(f"Note: {OTHER_CODE}", style="yellow"))
    print_verification(found, record.run_id, console)
    return 0 if found.difference is None else DIFFERENT


def _opened(request: ReplayRequest) -> Callable[[], Log]:
    """What opens the log, here and in other processes."""
    if request.run_dir is not None:
        return partial(open_log, request.run_dir)
    from flows.log.kafka import KafkaLog

    return partial(KafkaLog, deployment=request.deployment or "")


def _verify(
    request: ReplayRequest,
    log: Log,
    opened: Callable[[], Log],
    span: Any,
    progress: Callable[[int], None],
) -> Verified:
    if request.topology == "split":
        from flows.replay import verify_in_processes

        workers = request.workers or WORKERS
        return verify_in_processes(opened, workers=workers, progress=progress, span=span)
    from flows.replay import verify

    return verify(log, progress=progress, span=span)


def _json(run_id: str, found: Verified) -> str:
    told = {
        "run_id": run_id,
        "same": found.difference is None,
        "decisions": found.decisions,
        "journal_rows": found.journal_rows,
        "compared": dict(found.compared),
        "first": None if found.first_ns is None else utc(found.first_ns),
        "last": None if found.last_ns is None else utc(found.last_ns),
        "ended": found.ended,
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
        console.print(_extent(found), soft_wrap=True)
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
    if difference["recorded"] is None and found.ended:
        console.print(
            "The log of the market has ended. If its workers are still running, wait until they "
            "are through and ask again.",
            style="dim",
        )
    console.print(Padding(_sides(difference), (1, 0, 0, 0)))


def _extent(found: Verified) -> str:
    """How much was compared, of which span."""
    if found.first_ns is None or found.last_ns is None:
        return "Nothing was compared: no row of the log lies in the span."
    topics = ", ".join(f"{name} {n:,}" for name, n in sorted(found.compared.items()))
    goes_on = "" if found.ended else ", as far as each topic was written; the log goes on"
    return f"Rows from {utc(found.first_ns)} to {utc(found.last_ns)}{goes_on}: {topics}."


def _sides(difference: Mapping[str, Any]) -> Table:
    """Every column of the row; those that differ stand first and in red."""
    recorded, redecided = difference["recorded"], difference["redecided"]
    differ = [str(name) for name in difference["columns"]]
    names = [*(recorded or redecided or {})]
    if recorded and redecided:
        names += [name for name in redecided if name not in recorded]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    table.add_column("column", no_wrap=True)
    sides = difference.get("sides", ("recorded", "decided again"))
    for side, row in zip(sides, (recorded, redecided), strict=True):
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
