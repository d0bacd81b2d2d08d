"""Promise: a desk of workers that goes on tells how it stands, and when it is stopped."""

import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.by_hand import ingest_by_hand
from flows.log.kafka_topics import delete_topics, planned_topics
from flows.replay import verify
from schemas.kinds import Kind
from schemas.reasons import Reason
from schemas.topics import DECISIONS, LEDGER
from tests.test_worker_faults import BUSY
from tests.worker_desk import Desk, rows_of, wait_for_rows

COMMAND = [sys.executable, "-c", "from cli.main import app; app()"]
PATIENCE_S = 240.0  # a bound for a hung test, never a measurement


@pytest.fixture
def desk(kafka_servers: str, tmp_path: Path) -> Iterator[Desk]:
    """An hour of a made-up market, at twenty times its time."""
    settings = tmp_path / "busy.toml"
    settings.write_text(BUSY)
    options = ["--simulate", "--rows", "360000", "--rate", "100", "--speed", "20"]
    folder = tmp_path / "desk"
    folder.mkdir()
    name = f"desk{uuid.uuid4().hex[:8]}"
    desk = Desk(kafka_servers, name, folder, [*options, "--config", str(settings)])
    yield desk
    desk.end()
    delete_topics(kafka_servers, name, planned_topics())


@pytest.mark.timeout(900)
def test_a_desk_that_goes_on_is_reported_and_its_halt_is_seen(desk: Desk, tmp_path: Path) -> None:
    desk.start_all()
    log = desk.log()
    wait_for_rows(log, LEDGER, 0, 5)
    first = reported(desk, tmp_path / "one")
    assert (tmp_path / "one" / "report.html").is_file()
    assert not first["finished"]
    assert first["warnings"][0].startswith(f"As of {first['as_of'][:19]}Z")
    assert first["ledger"]["transactions"] > 0
    assert first["ledger"]["problems"] == []
    ingest = ingest_by_hand(desk.folder)
    assert ingest is not None
    assert (ingest.phase, ingest.pid) == ("up", desk.processes["ingest"].pid)

    decide = f"http://127.0.0.1:{port_of(desk, 'decide')}"
    soon(lambda: stopped(decide) == [])
    trifecta(desk, "halt", "--deployment", desk.deployment)
    soon(lambda: stopped(decide) == ["HALTED"])
    with urllib.request.urlopen(f"{decide}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    said = {line.rsplit(" ", 1)[1] for line in lines if 'reason="HALTED"' in line}
    assert said == {"1.0"}

    second = reported(desk, tmp_path / "two")
    assert second["as_of"] > first["as_of"]
    assert second["rows"] > first["rows"]
    decisions = rows_of(log, DECISIONS, 0)
    progress = decisions.reason[decisions.kind == Kind.PROGRESS]
    assert (progress[0], progress[-1]) == (Reason.OK, Reason.HALTED)
    assert verify(log, progress=lambda rows: None).difference is None
    log.close()


def reported(desk: Desk, folder: Path) -> dict[str, Any]:
    """The report as JSON."""
    told = trifecta(desk, "report", "--deployment", desk.deployment, "--out", str(folder), "--json")
    found: dict[str, Any] = json.loads(told)
    assert json.loads((folder / "report.json").read_text()) == found
    return found


def trifecta(desk: Desk, *words: str) -> str:
    done = subprocess.run(
        [*COMMAND, *words],
        env=os.environ | {"TRIFECTA_KAFKA": desk.servers},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def port_of(desk: Desk, flow: str) -> int:
    """Where a worker listens, from its own log."""
    lines = (desk.folder / f"{flow}.log").read_text().splitlines()
    started = next(json.loads(line) for line in lines if '"started"' in line)
    return int(started["port"])


def stopped(place: str) -> list[str] | None:
    with urllib.request.urlopen(f"{place}/healthz") as answer:
        found: list[str] | None = json.loads(answer.read())["stopped"]
    return found


def soon(holds: Callable[[], bool]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until_s
        time.sleep(0.1)
