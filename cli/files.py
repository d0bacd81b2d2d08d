"""report.json, trades.csv and report.html of a run, each there as a whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from console.report.data import RunData
from console.report.page import write_page
from console.report.summary import build_report, write_json
from console.report.trades_csv import write_trades_csv
from console.report.trips import build_trips

REPORT_JSON, TRADES_CSV, REPORT_HTML = "report.json", "trades.csv", "report.html"


def write_files(data: RunData, folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """Write the three files; returns the report and their paths."""
    trips = build_trips(data)
    report = build_report(data, trips)
    made = {
        REPORT_HTML: lambda path: write_page(data, report, trips, path),
        TRADES_CSV: lambda path: write_trades_csv(trips, path),
        REPORT_JSON: lambda path: write_json(report, path),  # the last: where it is, all are
    }
    for name, write in made.items():
        _whole(folder / name, write)
    return report, [folder / name for name in made]


def _whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write beside the place and rename, so that no reader ever sees half a file."""
    draft = path.with_name(f".{path.name}.tmp")
    write(draft)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(path)
