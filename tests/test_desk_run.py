"""The promise: one tape, one digest, whatever the profile, the batches or the replay."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.log.codec import encode_json, encode_rows
from flows.log.embedded import EmbeddedLog
from flows.log.memory import MemoryLog
from flows.replay import verify
from schemas.kinds import Control, Flag, Kind
from schemas.rows import DecisionRows, take
from schemas.topics import DECISIONS, FEATURES, LEDGER, MARKET, PROPOSALS, TOPICS
from tests.runs import ROOT, Ran, btc, eurusd, nothing, run, table, tables

MORNING_NS = 1_398_949_200_000_000_000  # 2014-05-01 13:00: 12,622 quotes and a few dozen trades
EIGHT_NS = 1_398_931_200_000_000_000  # 08:00: 4,600 quotes and the first trades
AN_HOUR_NS = 1_398_906_000_000_000_000  # 01:00: enough for the slow batches of one row


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The reference run: embedded, batches of 777."""
    folder = tmp_path_factory.mktemp("morning")
    return run(eurusd(MORNING_NS), profile="embedded", batch_rows=777, folder=folder)


@pytest.mark.parametrize(
    ("profile", "batch_rows"), [("memory", 512), ("memory", 5000), ("embedded", 20_000)]
)
def test_profile_and_batch_change_no_bit(
    morning: Ran, profile: str, batch_rows: int, tmp_path: Path
) -> None:
    other = run(eurusd(MORNING_NS), profile=profile, batch_rows=batch_rows, folder=tmp_path)
    assert (other.decision_digest, other.ledger_digest) == (
        morning.decision_digest,
        morning.ledger_digest,
    )
    for topic in (MARKET, FEATURES, PROPOSALS):
        left, right = table(morning.log, topic, [0]), table(other.log, topic, [0])
        for name, a, b in zip(left._fields, left, right, strict=True):
            assert a.tobytes() == b.tobytes(), (topic.name, name)


def test_batches_of_one_and_seven_rows(tmp_path: Path) -> None:
    found = {
        _digests(run(eurusd(AN_HOUR_NS), profile="memory", batch_rows=n, folder=tmp_path))
        for n in (1, 7, 100_000)
    }
    assert len(found) == 1


def test_without_numba(tmp_path: Path) -> None:
    """The same bits from plain Python, in a process of its own."""
    program = (
        "import sys; from pathlib import Path; from tests.runs import eurusd, nothing, run; "
        f"feed, folder = eurusd({EIGHT_NS}), Path(sys.argv[1]); "
        "ran = run(feed, profile='memory', batch_rows=500, folder=folder); "
        "print(ran.decision_digest, ran.ledger_digest)"
    )
    environment = os.environ | {"TRIFECTA_NO_NUMBA": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], env=environment, cwd=ROOT, check=True,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    ran = run(eurusd(EIGHT_NS), profile="memory", batch_rows=8192, folder=tmp_path)
    assert tuple(done.stdout.split()) == _digests(ran)


def test_three_markets_of_one_asset(tmp_path: Path) -> None:
    ran = run(btc(), profile="memory", batch_rows=5000, folder=tmp_path)
    again = run(btc(), profile="memory", batch_rows=333, folder=tmp_path)
    assert _digests(ran) == _digests(again)
    found = verify(ran.log, progress=nothing)
    assert found.difference is None
    assert found.decisions > 900


def test_a_replay_finds_no_difference(morning: Ran) -> None:
    found = verify(morning.log, progress=nothing)
    assert found.difference is None
    assert found.numeric_matches
    assert found.decisions > 5000
    assert found.journal_rows > 20


@pytest.mark.parametrize("topic", ["decisions.v1", "ledger.v1", "features.v1", "market.v1"])
def test_a_replay_finds_one_flipped_byte(topic: str, tmp_path: Path) -> None:
    run(eurusd(MORNING_NS), profile="embedded", batch_rows=2000, folder=tmp_path).log.close()
    _flip_a_byte(tmp_path / "log.sqlite", topic)
    log = EmbeddedLog(tmp_path / "log.sqlite")
    found = verify(log, progress=nothing)
    log.close()
    assert found.difference is not None
    assert found.difference["topic"] == topic
    assert "cannot be read" in found.difference["recorded"]["unreadable"]


def test_a_replay_shows_both_sides_of_a_changed_decision(morning: Ran) -> None:
    def tamper(rows: DecisionRows) -> DecisionRows:
        changed = rows._replace(confidence=rows.confidence.copy())
        changed.confidence[np.flatnonzero(changed.approved)[0]] += 1e-12
        return changed

    approved = np.flatnonzero(table(morning.log, DECISIONS, [0]).approved)[0]
    found = verify(_copy(morning, {DECISIONS.name: tamper}), progress=nothing).difference
    assert found is not None
    assert (found["topic"], found["row"], found["columns"]) == (
        "decisions.v1",
        approved,
        ["confidence"],
    )
    assert found["recorded"]["confidence"] != found["redecided"]["confidence"]


def test_a_replay_finds_a_changed_amount_and_a_missing_tail(morning: Ran) -> None:
    def tamper(rows: list[dict[str, object]]) -> list[dict[str, object]]:
        return [row | {"memo": "another"} if row["seq"] == 3 else row for row in rows]

    found = verify(_copy(morning, {LEDGER.name: tamper}), progress=nothing).difference
    assert found is not None
    assert (found["topic"], found["row"], found["columns"]) == ("ledger.v1", 3, ["memo"])
    short = verify(_copy(morning, {LEDGER.name: lambda rows: rows[:-1]}), progress=nothing)
    assert short.difference is not None
    assert short.difference["recorded"] is None


def test_every_row_is_on_the_log_or_in_quarantine(morning: Ran) -> None:
    market = table(morning.log, MARKET, [0])
    tape = market.source >= 0
    assert np.array_equal(market.source_row[tape], np.arange(eurusd(MORNING_NS).n_rows))
    assert np.array_equal(market.seq, np.arange(market.seq.size))
    assert market.flags[-1] & Flag.END
    assert np.all(np.diff(market.ts_recv_ns) >= 0)


def test_reports_come_after_what_caused_them(morning: Ran) -> None:
    market, decisions = table(morning.log, MARKET, [0]), table(morning.log, DECISIONS, [0])
    reports = take(market, market.kind == Kind.REPORT)
    assert reports.seq.size > 40
    caused = decisions.market_seq[reports.ref_id]
    assert np.all(reports.seq > caused)
    assert np.all(reports.ts_recv_ns > decisions.ts_recv_ns[reports.ref_id])


def test_a_halt_stops_trading_and_is_replayed(tmp_path: Path) -> None:
    from flows.control import send_command

    folder = tmp_path / "halted"
    folder.mkdir()
    send_command(folder, Control.HALT, ts_ns=1)
    ran = run(eurusd(MORNING_NS), profile="embedded", batch_rows=3000, folder=folder)
    market, decisions = table(ran.log, MARKET, [0]), table(ran.log, DECISIONS, [0])
    halt = np.flatnonzero((market.kind == Kind.CONTROL) & (market.code == Control.HALT))
    assert halt.size == 1
    after = decisions.market_seq > market.seq[halt[0]]
    assert after.any()
    assert not decisions.approved[after].any()
    assert verify(ran.log, progress=nothing).difference is None
    ran.log.close()


def _digests(ran: Ran) -> tuple[str, str]:
    return ran.decision_digest, ran.ledger_digest


def _flip_a_byte(path: Path, topic: str) -> None:
    """In the middle of the topic's largest message, as a failing disk would."""
    import sqlite3

    with sqlite3.connect(path) as db:
        partition, position, body = db.execute(
            "select partition, position, body from messages "
            "join partitions on partition = id where topic = ? order by length(body) desc limit 1",
            (topic,),
        ).fetchone()
        damaged = bytearray(body)
        damaged[len(damaged) // 2] ^= 1
        db.execute(
            "update messages set body = ? where partition = ? and position = ?",
            (bytes(damaged), partition, position),
        )
    db.close()


def _copy(ran: Ran, tamper: dict[str, Callable[[Any], Any]]) -> MemoryLog:
    """The same log with some topics' rows changed, and sound checksums."""
    log = MemoryLog()
    writer = log.writer()
    writer.append([], {k: v for k, v in ran.log.texts().items() if not k.startswith("schema/")})
    for topic in TOPICS.values():
        found = tables(ran.log, topic, 0)
        if not found:
            continue
        change = tamper.get(topic.name, lambda rows: rows)
        if isinstance(found[0], list):
            rows = [row for part in found for row in part]
            writer.append(encode_json(topic, lane=0, rows=change(rows), code_version="x"))
        else:
            whole = change(table(ran.log, topic, [0]))
            writer.append(encode_rows(topic, lane=0, rows=whole, code_version="x"))
    writer.flush()
    return log
