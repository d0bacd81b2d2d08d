"""Long form: every recorded session of quotes, trades and bars runs to a report, row for row."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runs import ROOT
from tests.test_complete import BROKEN

pytestmark = pytest.mark.slow
DATA = Path(os.environ.get("TRIFECTA_DATA", ROOT.parent / "shared/data"))
TAPES = [
    path.relative_to(DATA).as_posix()
    for kind in ("quotes", "trades", "bars")
    for path in sorted((DATA / kind).glob("*.parquet"))
] or ["quotes/oanda_EURUSD_20140501_20140509.parquet"]
COMMAND = [sys.executable, "-c", "from cli.main import app; app()", "run", "--json"]


@pytest.mark.parametrize("name", TAPES)
def test_it_runs_to_a_report(name: str, data_path: Callable[[str], Path], tmp_path: Path) -> None:
    tape = data_path(name)
    done = subprocess.run(
        [
            *COMMAND,
            "--profile",
            "memory",
            "--tape",
            str(tape),
            "--out",
            str(tmp_path / "run"),
            *(["--allow-incomplete"] if name.removesuffix(".parquet") in BROKEN else []),
        ],
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["rows"] == report["rows_on_log"] + report["rows_quarantined"] > 0
    assert report["decisions"] == report["trades"] + sum(report["non_trades"].values())
    assert report["ledger"]["balanced"]
    assert report["ledger"]["drift"] == "0"
