"""The promise: what a log has recorded is a feed like its tape, and backtests to its digest."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.log.api import Log
from flows.log.errors import LogError
from flows.log.memory import MemoryLog
from flows.replay import verify
from flows.settings import RunSettings
from flows.topic_feed import open_topic
from operators.market.books.health import BookHealth, HealthRows
from schemas.instruments import InstrumentTable
from schemas.kinds import Kind
from schemas.rows import MarketRows, concat, take
from schemas.topics import MARKET, SIGNALS
from tests.made_feed import START_NS, MadeFeed, made, message, quote, snapshot
from tests.runs import Ran, eurusd, run, table
from tests.split_log import write_split_log
from tests.tape_files import quotes, write
from venues.simulator import Simulator
from venues.tape import open_tapes

EIGHT_NS = 1_398_931_200_000_000_000  # 2014-05-01 08:00: 6,167 quotes and the first trades
SECOND_NS = 1_000_000_000


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A fused run over a tape."""
    folder = tmp_path_factory.mktemp("recorded")
    return run(eurusd(EIGHT_NS), profile="memory", batch_rows=999, folder=folder)


def digests(ran: Ran) -> tuple[str, str]:
    return ran.decision_digest, ran.ledger_digest


def test_a_backtest_of_its_topics_decides_what_the_run_decided(
    recorded: Ran, tmp_path: Path
) -> None:
    feed = open_topic(recorded.log)
    again = run(feed, profile="memory", batch_rows=512, folder=tmp_path)
    assert digests(again) == digests(recorded)
    once_more = run(open_topic(again.log), profile="memory", batch_rows=4096, folder=tmp_path)
    assert digests(once_more) == digests(recorded)
    found = verify(again.log, progress=lambda n: None)
    assert found.difference is None
    assert found.journal_rows > 10


def test_three_lanes_of_which_each_has_reports(tmp_path: Path) -> None:
    feed = Simulator(seed=5, n_rows=8000, rate_hz=5, lanes=3)
    ran = run(feed, profile="memory", batch_rows=777, folder=tmp_path)
    again = run(open_topic(ran.log), profile="memory", batch_rows=8192, folder=tmp_path)
    assert digests(again) == digests(ran)


def test_rows_are_the_feeds_own(recorded: Ran) -> None:
    """Batches are as asked, from any position, and the rows those of the tape."""
    feed, tape = open_topic(recorded.log), eurusd(EIGHT_NS)
    assert (feed.n_rows, feed.names, feed.table) == (tape.n_rows, tape.names, tape.table)
    due = concat(list(tape.read(0, 1000)))
    for start, batch_rows in ((0, 1000), (1, 7), (2500, 3000), (feed.n_rows - 1, 10)):
        batches = list(feed.read(start, batch_rows))
        assert {batch.seq.size for batch in batches[:-1]} <= {batch_rows}
        left: Any = take(due, slice(start, None))
        right: Any = concat(batches)
        for name, a, b in zip(due._fields, left, right, strict=True):
            assert a.tobytes() == b.tobytes(), name
    assert list(feed.read(feed.n_rows, 10)) == []


def test_a_desk_of_workers_is_a_feed_without_what_the_desk_itself_wrote() -> None:
    log = MemoryLog()
    feed = Simulator(seed=1, n_rows=20_000, rate_hz=10, lanes=3)
    write_split_log(log, feed)
    assert np.any(table(log, MARKET, [0, 1, 2]).kind == Kind.REPORT)
    found = concat(list(open_topic(log).read(0, 500)))
    assert np.array_equal(found.source_row, np.arange(feed.n_rows))
    assert not np.any(found.seq)
    assert not np.isin(found.kind, [Kind.REPORT, Kind.HEARTBEAT, Kind.CONTROL]).any()


def test_of_a_desk_that_goes_on_only_what_is_certain_is_read() -> None:
    """A lane that is behind may still bring rows that stand before those of the others."""
    log, whole = MemoryLog(), MemoryLog()
    feed = Simulator(seed=1, n_rows=20_000, rate_hz=10, lanes=3)
    write_split_log(whole, feed, rounds=20)
    from flows.encode import encode

    writer = log.writer()
    writer.append([], {k: v for k, v in whole.texts().items() if not k.startswith("schema/")})
    least_ns = 2**63
    for lane, less in ((0, 0), (1, 100), (2, 30)):
        rows = table(whole, MARKET, [lane])
        rows = take(rows, slice(0, rows.seq.size - less))
        least_ns = min(least_ns, int(rows.ts_recv_ns[-1]))
        writer.append(encode(MARKET, rows, "x"))
    found = concat(list(open_topic(log).read(0, 500)))
    due = table(whole, MARKET, [0, 1, 2])
    n = np.count_nonzero((due.source >= 0) & (due.ts_recv_ns < least_ns))
    assert np.array_equal(found.source_row, np.arange(n))


def test_a_span_of_it(recorded: Ran) -> None:
    rows = concat(list(eurusd(EIGHT_NS).read(0, 1000)))
    times = rows.ts_recv_ns
    from_ns, to_ns = int(times[1000]), int(times[3000])
    feed = open_topic(recorded.log, from_ns=from_ns, to_ns=to_ns)
    inside = (times >= from_ns) & (times < to_ns)
    assert feed.n_rows == feed.description[0].rows == np.count_nonzero(inside)
    found = concat(list(feed.read(0, 100)))
    assert np.array_equal(found.ts_recv_ns, times[inside])
    with pytest.raises(LogError, match="no source row stands in the span"):
        open_topic(recorded.log, from_ns=int(times[-1]) + SECOND_NS)


def test_refused_rows_are_missing_and_no_difference(tmp_path: Path) -> None:
    """A tape with bad rows: the backtest has the accepted ones, and is verified like any other."""
    rows = quotes(300)
    rows["bid_px"][40] = rows["ask_px"][40] + 1.0  # crossed
    tape = write(tmp_path / "bad.parquet", rows)
    ran = run(open_tapes([tape]), profile="memory", batch_rows=64, folder=tmp_path)
    feed = open_topic(ran.log)
    assert feed.n_rows == 299
    again = run(feed, profile="memory", batch_rows=100, folder=tmp_path)
    assert digests(again) == digests(ran)
    assert verify(ran.log, progress=lambda n: None).difference is None
    assert verify(again.log, progress=lambda n: None).difference is None


def faulty() -> MadeFeed:
    """A book of rare snapshots that loses a message twice, one that stays gapped, and quotes."""
    return made(
        snapshot(0, 0),
        *(message(float(i), i, i - 1, n=4 + i % 9) for i in range(1, 60) if i not in (20, 50)),
        snapshot(25.5, 25),
        snapshot(55.5, 55),
        *(snapshot(0, 0, k=3), *(message(float(i), i, i - 1, k=3) for i in range(1, 60) if i != 7)),
        message(3, 3, 2, k=1),  # never any
        *(quote(0.5 + 0.25 * i, k=k) for i in range(238) for k in (0, 3)),
    )


DEPTH = RunSettings(features={"sets": ["imbalance_levels", "ofi_level_1", "ofi_level_2"]})


@pytest.fixture(scope="module")
def booked(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("booked")
    return run(faulty(), profile="memory", batch_rows=999, folder=folder, settings=DEPTH)


@pytest.mark.parametrize("from_s", [10.0, 19.2, 22.0, 25.5, 30.7, 53.0, 56.0])
def test_the_books_of_a_span_are_what_they_were(booked: Ran, from_s: float, tmp_path: Path) -> None:
    """Levels, states and health from its first row on; what is made of changes where it is warm."""
    from_ns = START_NS + int(from_s * SECOND_NS)
    feed = open_topic(booked.log, from_ns=from_ns)
    ran = run(feed, profile="memory", batch_rows=333, folder=tmp_path, settings=DEPTH)
    assert 0 < feed.n_before < feed.n_rows
    whole, part = (table(each.log, MARKET, [0, 2]) for each in (booked, ran))
    due, found = (
        take(each, (each.ts_recv_ns >= from_ns) & (each.source >= 0)) for each in (whole, part)
    )
    np.testing.assert_array_equal(found.source_row, due.source_row)
    seen = [health_since(each, feed.table, from_ns) for each in (whole, part)]
    for name, a, b in zip(HealthRows._fields, *seen, strict=True):
        if name != "seq":
            np.testing.assert_array_equal(a, b, err_msg=name)
    values = [signals_since(each.log, from_ns) for each in (booked, ran)]
    assert values[0].shape == values[1].shape
    np.testing.assert_array_equal(values[0][:, 0], values[1][:, 0])  # the book alone
    assert np.isfinite(values[0][:, 0]).any()
    both = np.isfinite(values[0]).all(axis=1) & np.isfinite(values[1]).all(axis=1)
    np.testing.assert_array_equal(values[0][both], values[1][both])
    assert both.any() or from_s > 50.0  # then it is not warm before the end


def health_since(rows: MarketRows, instruments: InstrumentTable, from_ns: int) -> HealthRows:
    operator = BookHealth(instruments.arrays())
    order = np.argsort(rows.ts_recv_ns, kind="stable")
    _, out = operator.step(operator.initial(), take(rows, order))
    return take(out, out.ts_recv_ns >= from_ns)


def signals_since(log: Log, from_ns: int) -> Any:
    """Values at quotes, in the order of our clock."""
    rows = table(log, SIGNALS, [0, 2])
    mine = (rows.ts_recv_ns >= from_ns) & (rows.kind == Kind.QUOTE)
    order = np.lexsort((rows.lane[mine], rows.ts_recv_ns[mine]))
    return rows.values[mine][order]


def test_before_a_span_only_what_makes_its_books_is_read(booked: Ran) -> None:
    from_ns = START_NS + 30 * SECOND_NS
    feed = open_topic(booked.log, from_ns=from_ns)
    rows = concat(list(feed.read(0, 100)))
    before, span = take(rows, slice(0, feed.n_before)), take(rows, slice(feed.n_before, None))
    assert before.ts_recv_ns.max() < from_ns <= span.ts_recv_ns.min()
    assert set(before.kind) == {Kind.BOOK, Kind.BOOK_STATUS}
    first = take(before, (before.kind == Kind.BOOK) & (before.lane == 0) & (before.symbol == 0))
    assert first.venue_seq.min() == 25  # its newest snapshot, and not the one before
    assert feed.description[0].rows == np.count_nonzero(rows.source >= 0)
    assert open_topic(booked.log).n_before == 0
    with pytest.raises(LogError, match="no source row stands in the span"):
        open_topic(booked.log, from_ns=START_NS + 900 * SECOND_NS)


def test_a_log_without_a_run_is_refused() -> None:
    with pytest.raises(LogError, match="holds no run"):
        open_topic(MemoryLog())
