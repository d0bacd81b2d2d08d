"""Promise: a lost update of a book stops quoting, a snapshot brings it back 30 s later, and a desk
in one process and workers that die write the same states.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from console.report.collect import collect
from console.report.summary import build_report
from flows.log.memory import MemoryLog
from flows.replay import verify
from flows.topic_feed import open_topic
from operators.market.books.health import RETURN_AFTER_NS
from operators.market.books.words import BookReason, BookState
from schemas.kinds import Flag, Kind
from schemas.reasons import Reason
from schemas.rows import MarketRows, take
from schemas.topics import DECISIONS, MARKET
from tests.book_cases import BUY, SELL, SlowBook
from tests.ingest_lives import lives, of_source
from tests.runs import run, table
from tests.worker_desk import rows_of
from venues.feed import Feed
from venues.tape import open_tapes

S, R = BookState, BookReason
SECOND = 1_000_000_000
NAME = "binance_usdm_BTCUSDT_20240808T2354.parquet"


class Faulty(NamedTuple):
    """A recorded market without one of its book's updates, and with a snapshot afterwards."""

    paths: list[Path]
    lost_ns: int  # our time of the update behind the lost one
    mended_ns: int  # and of the snapshot
    end_ns: int

    def feed(self) -> Feed:
        return open_tapes(self.paths, to_ns=self.end_ns)


def with_fault(book: pa.Table, folder: Path, *, lost_s: int, mended_s: int, end_s: int) -> Faulty:
    """Seconds count from the first update on."""
    recv, seq = book["recv_ns"].to_numpy(), book["seq"].to_numpy()
    start_ns = int(recv[~book["is_snapshot"].to_numpy()][0])
    lost = int(seq[np.searchsorted(recv, start_ns + lost_s * SECOND)])
    mended_row = int(np.searchsorted(recv, start_ns + mended_s * SECOND))
    until = int(np.flatnonzero(seq == seq[mended_row])[-1]) + 1
    behind = recv[np.flatnonzero(seq == lost)[-1] + 1]
    made = [
        book.slice(0, until).filter(pa.array(seq[:until] != lost)),
        snapshot_of(book.slice(0, until)),
        book.slice(until),
    ]
    pq.write_table(pa.concat_tables(made), folder / NAME)
    return Faulty([folder / NAME], int(behind), int(recv[until - 1]), start_ns + end_s * SECOND)


@pytest.fixture(scope="module")
def book(data_path: Callable[[str], Path]) -> pa.Table:
    return pq.read_table(data_path(f"book/{NAME}"))


@pytest.fixture(scope="module")
def faulty(
    book: pa.Table, data_path: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Faulty:
    """Beside its quotes, long enough for features to be warm when the update is lost."""
    found = with_fault(book, tmp_path_factory.mktemp("long"), lost_s=85, mended_s=110, end_s=150)
    return found._replace(paths=[*found.paths, data_path(f"quotes/{NAME}")])


@pytest.fixture(scope="module")
def short(book: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Faulty:
    """A few seconds."""
    return with_fault(book, tmp_path_factory.mktemp("short"), lost_s=3, mended_s=5, end_s=6)


def snapshot_of(rows: pa.Table) -> pa.Table:
    """The book as it stands behind these rows, as rows of the same tape."""
    found = rows.to_pydict()
    slow = SlowBook()
    slow.take([], snapshot=True)
    levels = zip(found["side"], found["price"], found["size"], strict=True)
    slow.take(list(levels), snapshot=False)
    made = []
    for side in (BUY, SELL):
        for price, size in slow.sides[side].items():
            last = {name: values[-1] for name, values in found.items()}
            level = {"side": side, "price": price, "size": size, "is_snapshot": True}
            made.append(last | level | {"prev_seq": None})
    return pa.Table.from_pylist(made, schema=rows.schema)


def status_rows(rows: MarketRows) -> MarketRows:
    return take(rows, rows.kind == Kind.BOOK_STATUS)


def test_quoting_stops_at_a_lost_update_and_returns_30_s_behind_the_snapshot(
    faulty: Faulty, tmp_path: Path
) -> None:
    feed = faulty.feed()
    log = run(feed, profile="memory", batch_rows=8192, folder=tmp_path).log
    lanes = feed.table.active_lanes()
    rows = table(log, MARKET, lanes)
    told = status_rows(rows)
    assert [(S(c), R(r)) for c, r in zip(told.code, told.reason, strict=True)] == [
        (S.SYNCED, R.OK), (S.GAP, R.SEQUENCE_GAP), (S.SYNCED, R.OK),
    ]  # fmt: skip
    assert told.ts_recv_ns[1:].tolist() == [faulty.lost_ns, faulty.mended_ns]
    np.testing.assert_array_equal(rows.seq, np.arange(rows.seq.size))
    decided = table(log, DECISIONS, [0])
    decided = take(decided, (decided.kind == Kind.DECISION) & (decided.reason != Reason.WARMING_UP))
    pulled = decided.reason == Reason.BOOK_UNHEALTHY
    back_ns = faulty.mended_ns + RETURN_AFTER_NS
    due = (decided.ts_recv_ns > faulty.lost_ns) & (decided.ts_recv_ns < back_ns)
    np.testing.assert_array_equal(pulled, due)
    assert np.count_nonzero(pulled) > 50  # a decision a second
    assert np.count_nonzero(~pulled & (decided.ts_recv_ns < faulty.lost_ns)) > 5
    assert np.count_nonzero(~pulled & (decided.ts_recv_ns > back_ns)) > 5
    assert verify(log, progress=lambda n: None).difference is None  # decided again from the log


def test_the_report_tells_how_far_books_could_be_trusted(short: Faulty, tmp_path: Path) -> None:
    report = build_report(
        collect(run(short.feed(), profile="memory", batch_rows=8192, folder=tmp_path).log)
    )
    [book] = report["books"]
    lost_s = (short.mended_ns - short.lost_ns) / SECOND
    assert book["states"] == {"SYNCED": 2, "GAP": 1}
    assert (book["gaps"], book["resyncs"], book["evicted"], book["last"]) == (1, 0, 0, "SYNCED")
    assert book["instrument"] == "binance_usdm:BTCUSDT"
    assert book["lost_s"] == pytest.approx(lost_s)
    assert book["synced_s"] == pytest.approx(7 - lost_s, abs=1.1)  # to the second's end
    [said] = [text for text in report["warnings"] if "Order books" in text]
    assert said == (
        "Order books that could not be trusted: binance_usdm:BTCUSDT for 2 s (gaps: 1; at the end "
        "synced)."
    )


def test_any_batches_give_the_same_log(short: Faulty, tmp_path: Path) -> None:
    logs = [
        table(run(short.feed(), profile="memory", batch_rows=n, folder=tmp_path).log, MARKET, [0])
        for n in (8192, 777)
    ]
    assert np.count_nonzero(logs[0].kind == Kind.BOOK_STATUS) == 3
    for name in MarketRows._fields:
        np.testing.assert_array_equal(getattr(logs[0], name), getattr(logs[1], name))


def test_a_backtest_of_its_topics_has_the_same_states(short: Faulty, tmp_path: Path) -> None:
    """Also where a refused row is not among them."""
    tape = pq.read_table(short.paths[0])
    refused = int(np.flatnonzero(tape["recv_ns"].to_numpy() > short.mended_ns)[3])
    price = tape["price"].to_numpy().copy()
    price[refused] = -1.0
    spoiled = tape.set_column(tape.column_names.index("price"), "price", pa.array(price))
    pq.write_table(spoiled, tmp_path / NAME)
    feed = open_tapes([tmp_path / NAME], to_ns=short.end_ns)
    log = run(feed, profile="memory", batch_rows=8192, folder=tmp_path).log
    again = run(open_topic(log), profile="memory", batch_rows=512, folder=tmp_path).log
    first, second = table(log, MARKET, [0]), table(again, MARKET, [0])
    told = status_rows(first)
    assert [R(reason) for reason in told.reason] == [R.OK, R.SEQUENCE_GAP, R.OK, R.BAD_ROW]
    for name in MarketRows._fields:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


def test_workers_that_die_inside_messages_write_the_states_of_one_process(
    short: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ROUND_S", "IDLE_S", "CLOSING_S"):
        monkeypatch.setattr(f"flows.rounds.{name}", 0.0)
    feed = short.feed()
    lanes = feed.table.active_lanes()
    due = of_source(run(feed, profile="memory", batch_rows=8192, folder=tmp_path).log, lanes)
    log = MemoryLog()
    lives(log, feed, iter([1, 7, 30, 2, 111]))  # the opening snapshot has ten parts
    found = of_source(log, lanes)
    assert np.count_nonzero(found.kind == Kind.BOOK_STATUS) == 3
    for name in MarketRows._fields:
        if name != "seq":
            np.testing.assert_array_equal(getattr(found, name), getattr(due, name), err_msg=name)
    rows = rows_of(log, MARKET, lanes[0])
    np.testing.assert_array_equal(rows.seq, np.arange(rows.seq.size))
    ours = np.flatnonzero(rows.source < 0)
    before: Any = rows.flags[ours[ours > 0] - 1]
    assert np.all(before & Flag.MSG_LAST)  # no heartbeat stands inside a message
