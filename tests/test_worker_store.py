"""The store's worker on a real broker: killed at random moments, it stores each row once."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.log.kafka import KafkaLog
from flows.log.kafka_topics import apply_topics, planned_topics
from flows.log.memory import MemoryLog
from flows.store import layout
from flows.store.copy import export
from tests.store_log import files, made, write

ROWS = made(300)
KILLS = 3
BLOCK = 64
# Small blocks, open ones written all the time, a second instead of thirty at the end.
PROGRAM = f"""
import flows.store.copy, flows.store.layout
from cli.main import app
flows.store.layout.BLOCK_ROWS = {BLOCK}
flows.store.copy.FLUSH_S, flows.store.copy.SETTLED_S = 0.0, 1.0
app()
"""


def test_kills_of_the_worker_change_no_byte(
    kafka_servers: str, deployment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "BLOCK_ROWS", BLOCK)
    deployment += "-store"  # the fixture has made topics of fewer lanes
    apply_topics(kafka_servers, deployment, planned_topics())
    log = KafkaLog(kafka_servers, deployment=deployment)
    chance = random.Random(3)
    for k in range(KILLS):
        write(log, ROWS, until=(k + 1) / (KILLS + 1))
        n = len(list((tmp_path / "store").rglob("*.parquet")))
        process = start(kafka_servers, deployment, tmp_path)
        wait_for_files(tmp_path / "store", n, process)
        time.sleep(chance.uniform(0.0, 0.2))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    write(log, ROWS)
    log.close()
    process = start(kafka_servers, deployment, tmp_path)
    assert process.wait(timeout=120) == 0, (tmp_path / "log").read_text()[-3000:]
    memory = MemoryLog()
    write(memory, ROWS)
    export(memory, tmp_path / "expected", progress=lambda n: None)
    assert files(tmp_path / "store") == files(tmp_path / "expected")


def start(servers: str, deployment: str, folder: Path) -> "subprocess.Popen[bytes]":
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "worker", "store", "--deployment", deployment,
             "--state", str(folder)],
            env=os.environ | {"TRIFECTA_KAFKA": servers}, stdout=log, stderr=log,
        )  # fmt: skip


def wait_for_files(store: Path, n: int, process: "subprocess.Popen[bytes]") -> None:
    """Until it has written more files than that."""
    end = time.monotonic() + 120
    while len(list(store.rglob("*.parquet"))) <= n:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
