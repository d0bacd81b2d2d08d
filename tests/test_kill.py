"""kill -9 at random moments, SIGTERM, and resume: the same bits as a run that nobody disturbed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.control import send_command
from flows.log.embedded import EmbeddedLog
from flows.log.errors import LogError
from flows.replay import verify
from operators.market.books.words import BookState
from schemas.kinds import Control, Flag, Kind
from schemas.rows import MarketRows
from schemas.topics import DECISIONS, MARKET
from tests.runs import EURUSD, digests, eurusd, run, table
from venues.tape import open_tapes

UNTIL = "2014-05-05T00:00:00Z"
UNTIL_NS = 1_399_248_000_000_000_000
COMMAND = [sys.executable, "-c", "from cli.main import app; app()", "run"]
KILLS = int(os.environ.get("TRIFECTA_KILLS", "3"))  # the long form takes ten and more
DEADLINE_S = 240


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    ran = run(eurusd(UNTIL_NS), profile="memory", batch_rows=8192, folder=folder)
    return ran.decision_digest, ran.ledger_digest


def test_kills_at_random_moments_change_no_bit(
    undisturbed: tuple[str, str], tmp_path: Path
) -> None:
    out, chance, landed = tmp_path / "run", random.Random(7), 0
    while landed < KILLS:
        process = _start(out)
        _wait_for_rows(process, out, beyond=_rows(out))
        time.sleep(chance.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            break  # it was faster than the axe
        landed += 1
    assert landed > 0, "the run ended before the first kill"
    report = _finish(out)
    assert (report["decision_digest"], report["ledger_digest"]) == undisturbed
    log = EmbeddedLog(out / "log.sqlite")
    assert digests(log) == undisturbed
    log.close()


def test_a_halt_that_comes_after_a_kill_takes_its_place_behind_what_is_written(
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    process = _start(out)
    _wait_for_rows(process, out, beyond=100)  # several snapshots, and rows beyond the last
    process.send_signal(signal.SIGKILL)
    process.communicate()
    send_command(out, Control.HALT, ts_ns=1)
    _finish(out)
    log = EmbeddedLog(out / "log.sqlite")
    market, decisions = table(log, MARKET, [0]), table(log, DECISIONS, [0])
    [halt] = np.flatnonzero(market.kind == Kind.CONTROL)
    assert not decisions.approved[decisions.market_seq > market.seq[halt]].any()
    assert verify(log, progress=lambda n: None).difference is None
    log.close()


def test_a_stop_waits_for_a_snapshot_and_goes_on(
    undisturbed: tuple[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = _start(out)
    _wait_for_rows(process, out, beyond=0)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=DEADLINE_S)
    assert "Traceback" not in said
    assert process.returncode not in (0, -signal.SIGTERM)
    assert _rows(out) > 0
    report = _finish(out)
    assert (report["decision_digest"], report["ledger_digest"]) == undisturbed


def test_a_kill_leaves_whole_messages_of_a_book_and_changes_no_row(
    data_path: Callable[[str], Path], tmp_path: Path
) -> None:
    tape = data_path("book/coinbase_BTC-USD_20180417T0055.parquet")
    whole = run(open_tapes([tape]), profile="memory", batch_rows=8192, folder=tmp_path / "whole")
    out = tmp_path / "run"  # its snapshot has 28,000 rows, a batch 64
    process = _start(out, tape, "2030-01-01T00:00:00Z")
    _wait_for_rows(process, out, beyond=100)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    log = EmbeddedLog(out / "log.sqlite")
    before = table(log, MARKET, [0])
    log.close()
    assert before.seq.size
    assert before.flags[-1] & Flag.MSG_LAST  # batches end inside messages, the log does not
    _finish(out, tape, "2030-01-01T00:00:00Z")
    log = EmbeddedLog(out / "log.sqlite")
    rows, due = table(log, MARKET, [0]), table(whole.log, MARKET, [0])
    for name in MarketRows._fields:
        np.testing.assert_array_equal(getattr(rows, name), getattr(due, name), err_msg=name)
    assert (rows.code[rows.kind == Kind.BOOK_STATUS] == BookState.UNPROVABLE).all()
    assert np.count_nonzero(rows.kind == Kind.BOOK_STATUS) == 1
    log.close()


def _start(out: Path, tape: Path = EURUSD, until: str = UNTIL) -> "subprocess.Popen[str]":
    """Small batches, so that there is time to interfere."""
    options = ["--tape", str(tape), "--to", until, "--batch", "64", "--out", str(out), "--json"]
    return subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _finish(out: Path, tape: Path = EURUSD, until: str = UNTIL) -> dict[str, Any]:
    process = _start(out, tape, until)
    printed, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, said
    report: dict[str, Any] = json.loads(printed)
    return report


def _rows(out: Path) -> int:
    """Messages of the market topic so far."""
    if not (out / "log.sqlite").exists():
        return 0
    try:
        log = EmbeddedLog(out / "log.sqlite")
    except LogError:  # the file is being made
        return 0
    ends = log.ends([("market.v1", lane) for lane in range(8)])
    log.close()
    return sum(ends.values())


def _wait_for_rows(process: "subprocess.Popen[str]", out: Path, *, beyond: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while process.poll() is None and _rows(out) <= beyond:
        assert time.monotonic() < deadline, "the run writes nothing"
        time.sleep(0.01)
