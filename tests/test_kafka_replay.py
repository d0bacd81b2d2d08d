"""A desk's topics on a real broker: verified and backtested by the commands that people type."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.log.kafka import KafkaLog
from flows.log.kafka_topics import apply_topics, delete_topics, planned_topics
from flows.log.memory import MemoryLog
from flows.replay import verify, verify_in_processes
from flows.topic_feed import open_topic
from schemas.kinds import Kind
from schemas.rows import concat
from schemas.topics import DECISIONS, ORDERS
from tests.runs import tables
from tests.split_log import changed, write_split_log
from tests.test_replay_topics import LANES, market, nudged
from tests.worker_desk import Desk, wait_for_rows

COMMAND = [sys.executable, "-c", "from cli.main import app; app()"]
DEADLINE_S = 240


@pytest.fixture(scope="module")
def desk(kafka_servers: str) -> Iterator[str]:
    """The deployment of a desk that has come to its end."""
    name = f"desk{uuid.uuid4().hex[:8]}"
    apply_topics(kafka_servers, name, planned_topics())
    kept = MemoryLog()
    write_split_log(kept, market())
    _fill(kafka_servers, name, kept)
    yield name
    delete_topics(kafka_servers, name, planned_topics())


def _fill(servers: str, name: str, log: MemoryLog, **changes: Any) -> None:
    desk = KafkaLog(servers, deployment=name)
    changed(log, desk, changes.get("rows", {}), LANES)
    desk.close()


def trifecta(servers: str, *words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        env=os.environ | {"TRIFECTA_KAFKA": servers},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.mark.parametrize("topology", [["fused"], ["split", "--workers", "2"]], ids=lambda t: t[0])
def test_a_desk_on_kafka_is_verified(topology: list[str], desk: str, kafka_servers: str) -> None:
    where = ["--profile", "kafka", "--deployment", desk]
    done = trifecta(kafka_servers, "replay", *where, "--verify", "--topology", *topology, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["same"]
    assert found["ended"]
    log = KafkaLog(kafka_servers, deployment=desk)
    rows = [rows for lane in LANES for rows in tables(log, ORDERS, lane)]
    decisions = tables(log, DECISIONS, 0)
    log.close()
    assert found["compared"]["orders.v1"] == len(rows) > 50
    decided = sum(int(np.count_nonzero(each.kind == Kind.DECISION)) for each in decisions)
    assert found["decisions"] == decided


def test_a_changed_order_on_kafka_is_shown(kafka_servers: str) -> None:
    name = f"desk{uuid.uuid4().hex[:8]}"
    apply_topics(kafka_servers, name, planned_topics())
    kept = MemoryLog()
    write_split_log(kept, market())
    _fill(kafka_servers, name, kept, rows={(ORDERS.name, 0): nudged("qty", 10)})
    done = trifecta(kafka_servers, "replay", "--deployment", name, "--verify")
    delete_topics(kafka_servers, name, planned_topics())
    assert done.returncode == 1
    assert "orders.v1 differs first in row 10" in done.stderr
    assert "qty" in done.stderr


def test_a_desk_is_verified_while_it_goes_on(kafka_servers: str, tmp_path: Path) -> None:
    """Workers are at different places whenever they are asked."""
    options = ["--simulate", "--rows", "200000", "--rate", "20", "--speed", "25"]
    desk = Desk(kafka_servers, f"desk{uuid.uuid4().hex[:8]}", tmp_path, options)
    try:
        desk.start_all()
        log = desk.log()
        wait_for_rows(log, DECISIONS, 0, 100)
        opened = partial(KafkaLog, kafka_servers, deployment=desk.deployment)
        here = verify(log, progress=lambda rows: None)
        there = verify_in_processes(opened, workers=2, progress=lambda rows: None)
        for found in (here, there):
            assert found.difference is None
            assert not found.ended
            assert found.decisions > 0
        feed = open_topic(log)
        rows = concat(list(feed.read(0, 1000)))
        assert rows.seq.size == feed.n_rows
        tape = rows.source_row[rows.source >= 0]  # the others say how books are
        assert np.array_equal(tape, np.arange(tape.size))
        log.close()
    finally:
        desk.end()
        delete_topics(kafka_servers, desk.deployment, planned_topics())


def test_a_span_of_a_desk_is_backtested(desk: str, kafka_servers: str, tmp_path: Path) -> None:
    cut = ["--from", "2024-01-01T00:05", "--to", "2024-01-01T00:40"]
    command = ["run", "--from-topic", desk, *cut, "--out", tmp_path / "a", "--json"]
    done = trifecta(kafka_servers, *command)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    feed = market()
    times = np.concatenate([rows.ts_recv_ns for rows in feed.read(0, 8192)]) // 1_000_000_000
    start = 1_704_067_200
    due = np.count_nonzero((times >= start + 300) & (times < start + 2400))
    log = KafkaLog(kafka_servers, deployment=desk)
    n_books = open_topic(log, from_ns=(start + 300) * 1_000_000_000).n_before
    log.close()
    assert 0 < n_books < 500  # since each book's newest snapshot
    assert abs(report["rows"] - due - n_books) <= 2  # the desk stamped some a nanosecond later
    assert report["decisions"] > 1000
    again = trifecta(kafka_servers, "replay", tmp_path / "a", "--verify")
    assert again.returncode == 0, again.stderr
    nowhere = trifecta(kafka_servers, "run", "--from-topic", "nobody", "--out", tmp_path / "b")
    assert nowhere.returncode == 2
    assert "there is no topic nobody." in nowhere.stderr
