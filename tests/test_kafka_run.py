"""A fused run on real Kafka: the digests of every other profile, after kills too."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cli.run_dir import open_log
from flows.replay import verify
from tests.runs import EURUSD, eurusd, run

COMMAND = [sys.executable, "-c", "from cli.main import app; app()", "run"]
UNTIL, UNTIL_NS = "2014-05-01T13:00:00Z", 1_398_949_200_000_000_000
DEADLINE_S = 240


def test_kafka_changes_no_bit(kafka_servers: str, tmp_path: Path) -> None:
    here = run(eurusd(UNTIL_NS), profile="memory", batch_rows=8192, folder=tmp_path / "memory")
    report = _report(_start(tmp_path / "kafka", kafka_servers, batch_rows=777))
    assert report["profile"] == "kafka"
    assert [report["decision_digest"], report["ledger_digest"]] == [
        here.decision_digest,
        here.ledger_digest,
    ]
    log = open_log(tmp_path / "kafka")
    assert verify(log, progress=lambda n: None).difference is None
    log.close()


def test_kills_on_kafka_change_no_bit(kafka_servers: str, tmp_path: Path) -> None:
    here = run(eurusd(UNTIL_NS), profile="memory", batch_rows=8192, folder=tmp_path / "memory")
    out = tmp_path / "kafka"
    for _ in range(2):
        process = _start(out, kafka_servers, batch_rows=32)
        _wait_for_a_snapshot(process, out)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    report = _report(_start(out, kafka_servers, batch_rows=512))
    assert [report["decision_digest"], report["ledger_digest"]] == [
        here.decision_digest,
        here.ledger_digest,
    ]


def _start(out: Path, servers: str, *, batch_rows: int) -> "subprocess.Popen[str]":
    options = ["--tape", str(EURUSD), "--to", UNTIL, "--profile", "kafka", "--out", str(out)]
    return subprocess.Popen(
        [*COMMAND, *options, "--batch", str(batch_rows), "--json"],
        env=os.environ | {"TRIFECTA_KAFKA": servers},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _report(process: "subprocess.Popen[str]") -> dict[str, Any]:
    printed, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, said
    report: dict[str, Any] = json.loads(printed)
    return report


def _wait_for_a_snapshot(process: "subprocess.Popen[str]", out: Path) -> None:
    """Until the run has begun to flow: its recovery store has been written to."""
    deadline = time.monotonic() + DEADLINE_S
    store = out / "recovery" / "store"
    before = _written(store)
    while process.poll() is None and _written(store) <= before:
        assert time.monotonic() < deadline, "the run stores nothing"
        time.sleep(0.05)


def _written(store: Path) -> int:
    """Bytes that Bytewax's store and its write-ahead log hold."""
    return sum(file.stat().st_size for file in store.glob("*")) if store.exists() else 0
