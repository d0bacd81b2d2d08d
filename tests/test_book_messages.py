"""Promise: on the log a book message is whole or absent, in one process and over deaths of ingest,
and operators take single books out of use and back.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bytewax.testing import TestingSink, TestingSource, run_main

from flows.control import send_to_desk
from flows.log.codec import encode_json
from flows.log.lane_source import ALL
from flows.log.memory import MemoryLog
from flows.meter import Meter
from flows.parcel import Parcel
from flows.place import Place
from flows.replay import verify
from flows.rounds import Numbering
from flows.worker import _ingest_flow
from operators.market.books.words import BookReason, BookState
from schemas.kinds import Control, Flag, Kind
from schemas.reasons import Reason
from schemas.rows import MarketRows, concat, empty, take
from schemas.topics import CONTROL, MARKET, QUARANTINE
from tests.ingest_lives import life, lives, of_source
from tests.made_feed import MadeFeed, made, message, quote, snapshot
from tests.runs import run, table, tables
from tests.worker_desk import rows_of

S, R = BookState, BookReason
NAN = float("nan")
LANES = [0, 2]


def spoiled() -> MadeFeed:
    """A snapshot of many rounds, one with a bad last row, a change with one in the middle."""
    bad_snapshot = snapshot(6, 9, n=2500, k=1)
    bad_snapshot[-1]["price"] = NAN
    bad_change = message(4, 4, 3, n=1300)
    bad_change[700]["qty"] = -1.0
    cut_short = message(5, 12, 11, n=30, k=3)
    cut_short[-1]["flags"] = 0
    return made(
        snapshot(1, 1, n=5000),
        snapshot(2, 1, k=1, n=40),
        snapshot(2, 11, k=3),
        *(quote(1 + 0.1 * i, k=(0, 1, 3)[i % 3]) for i in range(80)),
        message(3, 3, 1, n=1226),
        bad_change,
        cut_short,
        message(5.5, 13, 12, k=3),
        bad_snapshot,
        snapshot(7, 8, n=3000),
        message(8, 9, 8),
        message(9, 20, 19, n=5)[:-1],  # the tape ends inside it
    )


def log_of(feed: MadeFeed, folder: Path, batch_rows: int, log: MemoryLog | None = None) -> Any:
    return run(feed, profile="memory", batch_rows=batch_rows, folder=folder, log=log).log


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return log_of(spoiled(), tmp_path_factory.mktemp("whole"), 100_000)


def refused(log: Any) -> MarketRows:
    rows: MarketRows = concat(
        [empty(MarketRows), *tables(log, QUARANTINE, 0), *tables(log, QUARANTINE, 2)]
    )
    return rows


def statuses(rows: MarketRows, lane: int, symbol: int) -> list[tuple[BookState, BookReason]]:
    mine = (rows.kind == Kind.BOOK_STATUS) & (rows.lane == lane) & (rows.symbol == symbol)
    return [(S(c), R(r)) for c, r in zip(rows.code[mine], rows.reason[mine], strict=True)]


def test_a_message_is_in_one_place(whole: Any) -> None:
    feed, market, out = spoiled(), table(whole, MARKET, LANES), refused(whole)
    books = take(feed.rows, feed.rows.kind == Kind.BOOK)
    for number, k_lane, symbol, expected in (
        (4, 0, 0, {Reason.NOT_POSITIVE: 1, Reason.MESSAGE_REFUSED: 1299}),
        (9, 0, 1, {Reason.NULL_PRICE: 1, Reason.MESSAGE_REFUSED: 2499}),
        (12, 2, 0, {Reason.MESSAGE_UNFINISHED: 30}),
        (20, 0, 0, {Reason.MESSAGE_UNFINISHED: 4}),
    ):
        mine = (out.venue_seq == number) & (out.lane == k_lane) & (out.symbol == symbol)
        reasons, counts = np.unique(out.reason[mine], return_counts=True)
        assert dict(zip(map(Reason, reasons.tolist()), counts.tolist(), strict=True)) == expected
        on_log = (market.venue_seq == number) & (market.kind == Kind.BOOK)
        assert not np.any(on_log & (market.lane == k_lane) & (market.symbol == symbol))
    n_market = int(np.count_nonzero(market.source >= 0))
    assert n_market + out.seq.size == feed.n_rows
    assert np.count_nonzero(market.kind == Kind.BOOK) == books.seq.size - 1300 - 2500 - 30 - 4
    assert statuses(market, 0, 0) == [
        (S.SYNCED, R.OK), (S.GAP, R.BAD_ROW), (S.SYNCED, R.OK), (S.GAP, R.UNFINISHED),
    ]  # fmt: skip
    assert statuses(market, 0, 1) == [(S.SYNCED, R.OK), (S.GAP, R.BAD_ROW)]
    assert statuses(market, 2, 0) == [(S.SYNCED, R.OK), (S.GAP, R.UNFINISHED)]
    assert verify(whole, progress=lambda n: None).difference is None


@pytest.mark.parametrize("batch_rows", [1, 37, 1000])
def test_any_batches_give_the_same_log(whole: Any, batch_rows: int, tmp_path: Path) -> None:
    feed = spoiled()
    if batch_rows == 1:  # the beginning: 20,000 batches would take a minute
        feed = MadeFeed(take(feed.rows, slice(0, 700)))
        whole = log_of(feed, tmp_path, 100_000)
    found = log_of(feed, tmp_path, batch_rows)
    for topic in (MARKET, QUARANTINE):
        due, rows = ([t for k in LANES for t in tables(log, topic, k)] for log in (whole, found))
        for name in MarketRows._fields:
            np.testing.assert_array_equal(
                np.concatenate([getattr(each, name) for each in rows]),
                np.concatenate([getattr(each, name) for each in due]),
                err_msg=name,
            )


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROUND_S", "IDLE_S", "CLOSING_S"):
        monkeypatch.setattr(f"flows.rounds.{name}", 0.0)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("deaths", [[], [1, 2, 3], [2, 2, 2, 2, 2], [7, 1, 9, 4]])
def test_workers_that_die_inside_messages_write_the_same(whole: Any, deaths: list[int]) -> None:
    feed = spoiled()
    log = MemoryLog()
    lives(log, feed, iter(deaths))
    found, due = of_source(log, LANES), of_source(whole, LANES)
    for name in MarketRows._fields:
        if name != "seq":
            np.testing.assert_array_equal(getattr(found, name), getattr(due, name), err_msg=name)
    for name in MarketRows._fields:
        np.testing.assert_array_equal(
            getattr(refused(log), name), getattr(refused(whole), name), err_msg=name
        )
    for lane in LANES:
        reader = log.reader({(MARKET.name, lane): 0})
        messages = [message for _, message in reader.poll(10_000)]
        assert all(Place.of(message) for message in messages)  # each says where ingest stood
        assert max(message.n_rows for message in messages) <= 2048
        rows = rows_of(log, MARKET, lane)
        np.testing.assert_array_equal(rows.seq, np.arange(rows.seq.size))
        ours = np.flatnonzero(rows.kind == Kind.HEARTBEAT)
        assert np.all(rows.flags[ours[ours > 0] - 1] & Flag.MSG_LAST)


# Operators ---------------------------------------------------------------------------------------


def quiet() -> MadeFeed:
    """A book with a snapshot a minute, another one, and quotes of a second lane."""
    return made(
        *(snapshot(60.0 * i, 10 * i + 1) for i in range(4)),
        *(message(60.0 * i + 10 * j, 10 * i + j + 1, 10 * i + j) for i in range(4) for j in (1, 2)),
        *(snapshot(0, 1, k=1), *(message(20.0 * i, i + 1, i, k=1) for i in range(1, 12))),
        *(quote(5.0 * i + 1, k=3) for i in range(45)),
    )


BOOK = "binance_spot:BTCUSDT"
HALTED, ASKED, GOOD = (S.HALTED, R.OPERATOR), (S.RESYNC, R.OPERATOR), (S.SYNCED, R.OK)


def test_a_book_of_a_run_is_halted_and_resumed_at_its_place(tmp_path: Path) -> None:
    feed = quiet()
    log = MemoryLog()
    writer = log.writer()
    rows = []
    for seq, (at, which) in enumerate([(60, Control.HALT_BOOK), (100, Control.RESUME_BOOK)]):
        before = take(feed.rows, slice(at - 1, at))
        rows.append(
            {"seq": seq, "ts_recv_ns": int(before.ts_recv_ns[0]), "lane": int(before.lane[0]),
             "position": at, "command": which.name, "instrument": BOOK}
        )  # fmt: skip
    writer.append(encode_json(CONTROL, lane=0, rows=rows, code_version="test"))
    writer.close()
    log = log_of(feed, tmp_path, 7, log)
    market = table(log, MARKET, LANES)
    assert statuses(market, 0, 0) == [GOOD, HALTED, ASKED, GOOD]
    assert statuses(market, 0, 1) == [GOOD]
    assert np.count_nonzero(market.kind == Kind.CONTROL) == 2
    assert verify(log, progress=lambda n: None).difference is None
    again = log_of(feed, tmp_path, 1000, _with_commands(rows))
    other = table(again, MARKET, LANES)
    for name in MarketRows._fields:
        np.testing.assert_array_equal(getattr(other, name), getattr(market, name), err_msg=name)


def _with_commands(rows: list[dict[str, Any]]) -> MemoryLog:
    log = MemoryLog()
    writer = log.writer()
    writer.append(encode_json(CONTROL, lane=0, rows=rows, code_version="test"))
    writer.close()
    return log


@pytest.mark.usefixtures("hasty")
def test_a_halt_of_a_book_outlives_ingest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.rounds.SOURCE_ROWS", 5)
    log, feed = MemoryLog(), quiet()
    for which, n_parts in ((Control.HALT_BOOK, 12), (None, 22), (Control.RESUME_BOOK, 32)):
        if which is not None:
            send_to_desk(log, which, ts_ns=1, book=BOOK).close()
        assert not life(log, feed, n_parts)
    said = statuses(of_source(log, LANES), 0, 0)
    lives(log, feed, iter(()))
    rows = of_source(log, LANES)
    assert list(dict.fromkeys(said)) == [GOOD, HALTED, ASKED]  # each life says it again
    assert statuses(rows, 0, 0)[-1] == GOOD
    assert statuses(rows, 0, 1) == [GOOD]
    assert rows.code[rows.kind == Kind.CONTROL].tolist() == [
        Control.HALT_BOOK, Control.RESUME_BOOK,
    ]  # fmt: skip


@pytest.mark.usefixtures("hasty")
def test_a_halt_is_not_lost_by_an_ingest_that_dies_before_it_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command stands on the log with all that was read, and its book had no row since."""
    monkeypatch.setattr("flows.rounds.SOURCE_ROWS", 5)
    log, feed = MemoryLog(), quiet()
    life(log, feed, 9)
    send_to_desk(log, Control.HALT_BOOK, ts_ns=1, book=BOOK).close()
    life(log, feed, 13)
    rows = of_source(log, LANES)
    assert np.count_nonzero(rows.kind == Kind.CONTROL) == 1
    assert statuses(rows, 0, 0) == [GOOD]
    lives(log, feed, iter(()))
    assert statuses(of_source(log, LANES), 0, 0) == [GOOD, HALTED]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "commands", [[Control.HALT_BOOK], [Control.HALT_BOOK, Control.RESUME_BOOK]]
)
def test_commands_lose_no_refused_row_of_a_tape_that_is_read_again(
    commands: list[Control], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.rounds.SOURCE_ROWS", 5)
    bad = message(100, 52, 51)
    bad[1]["price"] = NAN
    feed = made(
        snapshot(0, 1),
        *(message(2.0 * i, i + 1, i) for i in range(1, 20)),
        *(message(2.0 * i + 1, i + 1, i) for i in range(1, 20, 3)),  # known already
        snapshot(90, 51), bad, message(101, 53, 52),
    )  # fmt: skip
    log = MemoryLog()
    life(log, feed, 12)
    for n, which in enumerate(commands):
        send_to_desk(log, which, ts_ns=n, book=BOOK).close()
        life(log, feed, 21)
    lives(log, feed, iter(()))
    rows, out = of_source(log, LANES), refused(log)
    found = np.r_[rows.source_row[rows.source >= 0], out.source_row]
    assert np.array_equal(np.sort(found), np.arange(feed.n_rows))


def test_ingest_tells_its_meter_of_books_and_writes_messages_with_their_places() -> None:
    feed = spoiled()
    meter = Meter("ingest", "0-2")
    out: list[Any] = []
    parcel = Parcel(
        feed.rows._replace(seq=np.arange(feed.n_rows)), feed.n_rows, last=True, born_s=0.0,
        places=dict.fromkeys(LANES, Place(rows=feed.n_rows)),
    )  # fmt: skip
    numbering = Numbering(dict.fromkeys(LANES, Place()), dict.fromkeys(LANES, 0))
    record: Any = SimpleNamespace(code_version="test")
    source: Any = TestingSource([(ALL, parcel)])
    sink: Any = TestingSink(out)
    run_main(_ingest_flow(source, sink, feed, numbering, record, meter))
    messages = [message for _, bundle in out for message in bundle]
    market = [message for message in messages if message.topic == MARKET.name]
    assert max(message.n_rows for message in market) <= 2048
    assert [Place.of(message).rows for message in market][-1] == feed.n_rows
    assert meter.snapshot()["books"] == {
        feed.table.instruments[k].id: "GAP" for k in (0, 1, 3)
    }  # fmt: skip
