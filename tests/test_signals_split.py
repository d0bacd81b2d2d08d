"""A desk of workers computes the features that a fused run computes, and they can be checked."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cli.run_dir import open_log
from flows.log.api import Log
from flows.recorded import recorded_run, signal_names
from flows.replay import verify
from flows.settings import RunSettings
from schemas.kinds import Kind
from schemas.topics import SIGNALS
from tests.runs import BTC, run, table
from venues.tape import open_tapes

COMMAND = [sys.executable, "-c", "from cli.main import app; app()", "run"]
UNTIL, UNTIL_NS = "2024-08-08T23:55:00Z", 1_723_161_300_000_000_000
DEADLINE_S = 400


def test_workers_show_what_a_fused_run_shows(kafka_servers: str, tmp_path: Path) -> None:
    """But for heartbeats, which go their own pace, and the numbers of rows behind them."""
    options = [part for tape in BTC for part in ("--tape", str(tape))]
    options += ["--to", UNTIL, "--profile", "kafka", "--topology", "split", "--speed", "20"]
    done = subprocess.run(
        [*COMMAND, *options, "--features", "flow,depth", "--out", str(tmp_path / "run"), "--json"],
        env=os.environ | {"TRIFECTA_KAFKA": kafka_servers}, capture_output=True, text=True,
        timeout=DEADLINE_S, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    shares = json.loads(done.stdout)["signals"]
    feed = open_tapes(BTC, to_ns=UNTIL_NS)
    settings = RunSettings(features={"sets": ["flow", "depth"]})
    fused = run(feed, profile="memory", batch_rows=5000, folder=tmp_path, settings=settings)
    log = open_log(tmp_path / "run")
    assert tuple(shares) == signal_names(log) == signal_names(fused.log)
    assert shares["microprice"] > 0.9
    for lane in recorded_run(log)[1].active_lanes():
        found, expected = _market_data(log, lane), _market_data(fused.log, lane)
        assert found["values"].tobytes() == expected["values"].tobytes()
        for name in ("kind", "symbol", "ts_event_ns"):
            np.testing.assert_array_equal(found[name], expected[name])
    again = verify(log, progress=lambda n: None)
    assert again.difference is None
    assert again.compared[SIGNALS.name] > 10_000
    log.close()


def _market_data(log: Log, lane: int) -> dict[str, Any]:
    rows = table(log, SIGNALS, [lane])
    kept = rows.kind != Kind.HEARTBEAT
    return {name: column[kept] for name, column in zip(rows._fields, rows, strict=True)}
