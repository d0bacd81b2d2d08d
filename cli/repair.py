"""`trifecta repair`: a new run on what a run recorded, and on what can be mended of the rest."""

import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from cli.errors import Refused, talk
from cli.run import Request, run_feed
from cli.run_dir import open_log
from console.quality.repaired import open_repaired
from flows.settings import RunSettings


@dataclass(frozen=True)
class RepairRequest:
    """What `trifecta repair` was asked for; see its options."""

    run_dir: Path
    out: Path
    json: bool = False
    command: list[str] = field(default_factory=lambda: sys.argv[1:])


def repair(request: RepairRequest) -> int:
    """Run the desk on the mended log, with the recorded run's settings; returns the exit code.

    The recorded log is read only. Refused if nothing of its quarantine can be mended.
    """
    console = talk()
    with closing(open_log(request.run_dir)) as old:
        feed, repaired = open_repaired(old)
        n = sum(each["repaired"] for each in repaired["reasons"].values())
        _tell(console, repaired["reasons"])
        if not n:
            raise Refused(
                f"{request.run_dir}: "
                + (
                    "none of its quarantined rows can be mended"
                    if repaired["reasons"]
                    else "its quarantine is empty, there is nothing to repair"
                )
            )
        settings = RunSettings(**feed.topic.run.record.settings)
        asked = Request(settings, out=request.out, json=request.json, command=request.command)
        cut: dict[str, int | None] = {"from_ns": None, "to_ns": None}
        return run_feed(asked, console, cut, feed, repaired=repaired)


def _tell(console: Console, reasons: Mapping[str, Mapping[str, Any]]) -> None:
    if not reasons:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    table.add_column("refused as", no_wrap=True)
    for title in ("rows", "repaired"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("how", overflow="fold")
    for name, each in reasons.items():
        table.add_row(name, f"{each['refused']:,}", f"{each['repaired']:,}", each["how"])
    console.print(table)
