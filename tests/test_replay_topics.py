"""The promise: what workers left on their topics is decided again bit for bit, while they go on."""

import random
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.log.api import Log
from flows.log.embedded import EmbeddedLog
from flows.log.memory import MemoryLog
from flows.replay import Span, Verification, verify, verify_in_processes
from schemas.kinds import Kind, ReportCode
from schemas.rows import take
from schemas.topics import (
    DECISIONS,
    FEATURES,
    LEDGER,
    MARKET,
    ORDERS,
    PROPOSALS,
    QUARANTINE,
    REPORTS,
    Topic,
)
from tests.runs import run, table, tables
from tests.split_log import changed, write_split_log
from venues.simulator import Simulator

LANES = [0, 1, 2]
ROUNDS = 50  # of the log that goes on
COMPARED = (FEATURES, PROPOSALS, DECISIONS, ORDERS, REPORTS, LEDGER)
Change = Callable[[Any], Any]


def market() -> Simulator:
    """Fifty minutes of three lanes."""
    return Simulator(seed=1, n_rows=30_000, rate_hz=10, lanes=3)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of a desk of workers that has come to its end."""
    path = tmp_path_factory.mktemp("desk") / "log.sqlite"
    log = EmbeddedLog(path, create=True)
    write_split_log(log, market())
    log.close()
    return path


def verified(path: Path, processes: int, span: Span | None = None) -> Verification:
    """In this process, or in others."""
    if processes:
        opened = partial(EmbeddedLog, path)
        return verify_in_processes(opened, workers=processes, progress=nobody, span=span)
    log = EmbeddedLog(path)
    found = verify(log, progress=nobody, span=span)
    log.close()
    return found


def nobody(rows: int) -> None:
    """Nobody watches."""


def n_rows(log: Log, topic: Topic, lane: int) -> int:
    return sum(size(rows) for rows in tables(log, topic, lane))


def size(rows: Any) -> int:
    return len(rows) if isinstance(rows, list) else rows.seq.size


def copied(path: Path, into: Path, changes: dict[tuple[str, int], Change]) -> Path:
    """The log with some rows changed."""
    log, other = EmbeddedLog(path), EmbeddedLog(into, create=True)
    changed(log, other, changes, LANES)
    log.close()
    other.close()
    return into


@pytest.mark.parametrize("processes", [0, 2, 5])
def test_workers_are_decided_again(desk: Path, processes: int) -> None:
    found = verified(desk, processes)
    assert found.difference is None
    assert found.ended
    log = EmbeddedLog(desk)
    due = {
        topic.name: sum(
            n_rows(log, topic, lane) for lane in ([0] if topic.partitions == "single" else LANES)
        )
        for topic in COMPARED
    }
    log.close()
    assert found.compared == due
    assert due["orders.v1"] > 50
    assert due["reports.v1"] > 50
    assert found.journal_rows == due["ledger.v1"] > 50


def test_a_fused_run_is_decided_again_in_processes(tmp_path: Path) -> None:
    feed = Simulator(seed=5, n_rows=8000, rate_hz=5, lanes=3)
    ran = run(feed, profile="embedded", batch_rows=777, folder=tmp_path)
    here = verify(ran.log, progress=nobody)
    ran.log.close()
    there = verified(tmp_path / "log.sqlite", 2)
    assert here.difference is there.difference is None
    assert here == there
    assert here.journal_rows > 0


@pytest.mark.parametrize("case", range(6))
def test_topics_that_end_at_other_places(case: int, tmp_path: Path) -> None:
    """Each worker is somewhere in the last round; reports and decisions are still to come."""
    draw = random.Random(case)
    before, after = MemoryLog(), MemoryLog()
    write_split_log(before, market(), rounds=ROUNDS + case)
    write_split_log(after, market(), rounds=ROUNDS + case + 1)
    changes: dict[tuple[str, int], Change] = {}
    for topic in (DECISIONS, ORDERS, REPORTS, LEDGER):
        for lane in [0] if topic.partitions == "single" else LANES:
            changes[(topic.name, lane)] = first(n_rows(before, topic, lane))
    for lane in LANES:
        upto = n_rows(after, MARKET, lane)
        for topic in (MARKET, FEATURES):
            upto = draw.randint(n_rows(before, topic, lane) + 1, upto)
            changes[(topic.name, lane)] = first(upto)
        changes[(PROPOSALS.name, lane)] = partial(caused_before, upto)
    path = tmp_path / "log.sqlite"
    log = EmbeddedLog(path, create=True)
    changed(after, log, changes, LANES)
    log.close()
    for processes in (0, 2) if case == 0 else (0,):
        found = verified(path, processes)
        assert found.difference is None
        assert not found.ended
        assert found.compared["decisions.v1"] == n_rows(before, DECISIONS, 0)
        assert found.compared["orders.v1"] == sum(n_rows(before, ORDERS, k) for k in LANES)


def first(n: int) -> Change:
    return lambda rows: rows[:n] if isinstance(rows, list) else take(rows, slice(0, n))


def caused_before(seq: int, rows: Any) -> Any:
    return take(rows, rows.market_seq < seq)


def test_a_recorded_row_that_nothing_has_caused(tmp_path: Path) -> None:
    """Decisions beyond the end of the market are no worker's."""
    after = MemoryLog()
    write_split_log(after, market(), rounds=ROUNDS)
    path = tmp_path / "log.sqlite"
    log = EmbeddedLog(path, create=True)
    cut = n_rows(after, MARKET, 1) - 200
    changed(after, log, {(MARKET.name, 1): first(cut)}, LANES)
    log.close()
    different = verified(path, 0).difference
    assert different is not None
    assert different["topic"] in ("features.v1", "decisions.v1", "ledger.v1")
    assert different["redecided"] is None


def nudged(column: str, index: int) -> Change:
    """One column of one row a little different."""

    def change(rows: Any) -> Any:
        if isinstance(rows, list):
            row = rows[index]
            value = row[column]
            other = value + 1 if isinstance(value, int) else value + "1"
            return [*rows[:index], row | {column: other}, *rows[index + 1 :]]
        made = getattr(rows, column).copy()
        assert made[index] == made[index], "choose a row that is not null there"
        made[index] = np.nextafter(made[index], 9e9) if made.dtype.kind == "f" else made[index] + 1
        return rows._replace(**{column: made})

    return change


# fmt: off
DAMAGE = [  # topic, lane, row, column
    (FEATURES,  1, 3000, "momentum"),
    (PROPOSALS, 2, 2016, "confidence"),
    (DECISIONS, 0, 2005, "worst_loss"),
    (ORDERS,    0,   10, "qty"),
    (ORDERS,    2,    5, "market_seq"),
    (REPORTS,   1,    7, "fee"),
    (LEDGER,    0,   20, "memo"),
]
# fmt: on


@pytest.mark.parametrize(("topic", "lane", "row", "column"), DAMAGE)
def test_a_changed_row_is_shown_with_both_sides(
    topic: Topic, lane: int, row: int, column: str, desk: Path, tmp_path: Path
) -> None:
    change = {(topic.name, lane): nudged(column, row)}
    path = copied(desk, tmp_path / "log.sqlite", change)
    for processes in (0, 2) if topic in (PROPOSALS, ORDERS) else (0,):
        different = verified(path, processes).difference
        assert different is not None
        assert (different["topic"], different["row"]) == (topic.name, row)
        assert different["columns"] == [column]
        assert different["recorded"][column] != different["redecided"][column]


@pytest.mark.parametrize("topic", [DECISIONS, ORDERS, REPORTS], ids=lambda topic: topic.name)
def test_a_flipped_byte_is_found(topic: Topic, desk: Path, tmp_path: Path) -> None:
    path = copied(desk, tmp_path / "log.sqlite", {})
    with sqlite3.connect(path) as db:
        partition, position, body = db.execute(
            "select partition, position, body from messages join partitions on partition = id "
            "where topic = ? order by position limit 1 offset 6",
            (topic.name,),
        ).fetchone()
        damaged = bytearray(body)
        damaged[len(damaged) // 2] ^= 1
        place = (bytes(damaged), partition, position)
        db.execute("update messages set body = ? where partition = ? and position = ?", place)
    db.close()
    different = verified(path, 0).difference
    assert different is not None
    assert different["topic"] == topic.name
    assert "cannot be read" in different["recorded"]["unreadable"]
    assert different["redecided"]["seq"] == different["row"]


def test_only_the_span_is_compared(desk: Path, tmp_path: Path) -> None:
    log = EmbeddedLog(desk)
    decisions = table(log, DECISIONS, [0])
    log.close()
    n = decisions.seq.size
    start, damaged, stop = (int(decisions.ts_recv_ns[k]) for k in (n // 4, n // 2, 3 * n // 4))
    path = copied(desk, tmp_path / "log.sqlite", {(DECISIONS.name, 0): nudged("equity", n // 2)})
    inside = verified(path, 0, Span(start, stop)).difference
    assert inside is not None
    assert inside["row"] == n // 2
    for processes, from_ns, to_ns in ((0, start, damaged), (2, damaged + 1, stop)):
        found = verified(path, processes, Span(from_ns, to_ns))
        assert found.difference is None
        times = decisions.ts_recv_ns
        due = np.count_nonzero((times >= from_ns) & (times < to_ns))
        assert found.compared["decisions.v1"] == due
        assert found.first_ns is not None
        assert found.last_ns is not None
        assert from_ns <= found.first_ns <= found.last_ns < to_ns


# fmt: off
LOST = [  # what happened to a report on its way into market.v1
    ("lost",      lambda reports: take(reports, np.arange(reports.seq.size) != 4)),
    ("twice",     lambda reports: take(reports, np.r_[0:5, 4 : reports.seq.size])),
    ("swapped",   lambda reports: take(reports, np.r_[0:4, 5, 4, 6 : reports.seq.size])),
    ("the last",  lambda reports: take(reports, slice(0, -1))),
    ("other fee", lambda reports: nudged("ref", 4)(reports)),
    ("other row", lambda reports: nudged("ref_id", 4)(reports)),
]
# fmt: on


@pytest.mark.parametrize(("what", "change"), LOST, ids=[what for what, _ in LOST])
def test_every_report_stands_in_the_market_once(what: str, change: Change, desk: Path) -> None:
    from flows.replay.extent import recorded_now
    from flows.replay.found import DifferentError
    from flows.replay.placed import ReportsPlaced

    log = EmbeddedLog(desk)
    rows = table(log, MARKET, [0])
    reports = take(rows, rows.kind == Kind.REPORT)
    run = recorded_now(log)

    def place(found: Any) -> None:
        placed = ReportsPlaced(log, run, span=Span())
        placed.take_in(found)
        for lane in (1, 2):
            placed.take_in(table(log, MARKET, [lane]))
        placed.finish()
        placed.close()

    place(reports)
    with pytest.raises(DifferentError) as raised:
        place(change(reports))
    assert raised.value.told["sides"] == ["in reports.v1", "in market.v1"]
    log.close()


def test_a_drained_lane_says_so_last(desk: Path) -> None:
    """What is left out of the market is in reports.v1, once per lane and at its end."""
    log = EmbeddedLog(desk)
    for lane in LANES:
        codes = [row["code"] for part in tables(log, REPORTS, lane) for row in part]
        assert codes.index(ReportCode.DRAINED.name) == len(codes) - 1
    log.close()


# fmt: off
ROWS = [  # what happened to source rows 0 to 99, three of which are in quarantine
    ("all there",             lambda rows: rows,                                None),
    ("one is missing",        lambda rows: np.delete(rows, 50),                 "market.v1"),
    ("one stands twice",      lambda rows: np.insert(rows, 51, rows[50]),       "market.v1"),
    ("the last is missing",   lambda rows: rows[:-1],                           "market.v1"),
    ("a refused one as well", lambda rows: np.insert(rows, 7, 7),               "quarantine.v1"),
]
# fmt: on


@pytest.mark.parametrize(("what", "change", "topic"), ROWS, ids=[each[0] for each in ROWS])
def test_every_source_row_stands_once(what: str, change: Change, topic: str | None) -> None:
    from flows.desk_run import RECORD, TABLE, first_record
    from flows.encode import encode
    from flows.replay.extent import recorded_now
    from flows.replay.found import DifferentError
    from flows.replay.placed import SourceRowsPlaced
    from flows.settings import RunSettings

    feed = Simulator(seed=1, n_rows=100, lanes=1)
    rows = next(feed.read(0, 100))
    refused = np.array([7, 8, 60])
    kept = np.delete(np.arange(100), refused)
    log = MemoryLog()
    writer = log.writer()
    record = first_record(
        "x", RunSettings(), profile="memory", topology="split", feed=feed, model=None, notice=""
    )
    writer.append([], {RECORD: record.to_json(), TABLE: feed.table.to_json()})
    quarantine = take(rows, refused)._replace(seq=np.arange(3))
    writer.append(encode(QUARANTINE, quarantine, "x"))
    end = take(rows, slice(99, 100))._replace(flags=np.full(1, 5, np.uint8))
    writer.append(encode(MARKET, end._replace(seq=np.zeros(1, np.int64)), "x"))
    placed = SourceRowsPlaced(log, recorded_now(log), span=Span())
    found = None
    try:
        for part in np.array_split(change(kept), 3):
            placed.take_in(take(rows, part))
        placed.finish()
    except DifferentError as different:
        found = different.told["topic"]
    assert found == topic


@pytest.mark.parametrize("processes", [0, 2], ids=["fused", "split"])
def test_a_desk_of_one_lane_that_goes_on_is_the_same(processes: int, tmp_path: Path) -> None:
    """Its workers wait for no other lane, so they are through with the very last row."""
    path = tmp_path / "log.sqlite"
    log = EmbeddedLog(path, create=True)
    write_split_log(log, Simulator(seed=1, n_rows=30_000, rate_hz=10, lanes=1), rounds=ROUNDS)
    log.close()
    found = verified(path, processes)
    assert found.difference is None
    assert found.decisions > 100
    assert not found.ended
