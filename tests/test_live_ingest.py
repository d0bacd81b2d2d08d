"""Promise: a live feed's rows reach the log whole, in order and once, over a restart of ingest too.

The venue is a server on this machine that speaks the venue's protocol.
"""

import time
from dataclasses import replace
from typing import Any, ClassVar

import bytewax.operators as op
import numpy as np
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main

from flows import ingest
from flows.books import book_feeds
from flows.encode import encode
from flows.log.lane_source import ALL
from flows.log.memory import MemoryLog
from flows.log.stop import STOP
from flows.parcel import Parcel
from flows.place import Place
from flows.rounds import Numbering, rounds_on
from operators.features.tier import Features
from operators.market.books.l2_state import BookTerms
from operators.market.books.words import BookReason, BookState
from operators.market.intake import Intake
from schemas.instruments import InstrumentTable
from schemas.kinds import NO_SYMBOL, Control, Flag, Kind
from schemas.rows import MarketRows, empty, take
from schemas.topics import MARKET
from tests.book_cases import BUY, MARKETS, SELL, market, message
from tests.book_cases import table as book_table
from tests.live_cases import FAST, HANG_S, NAMES, RowBook, rules
from tests.venue_server import VenueServer, made_up
from tests.worker_desk import rows_of
from venues.feed import SourceInfo
from venues.frames import PARSERS
from venues.live import LIVE, LiveFeed

CODE = "test"


@pytest.mark.parametrize("venue", LIVE)
def test_a_venue_goes_into_the_log_over_a_restart(venue: str) -> None:
    script = made_up(venue, NAMES[venue][:1], 60)
    log = MemoryLog()
    with VenueServer(script) as server:
        life(log, server, n_frames=30)
        begun_again = rows_of(log, MARKET, 0).seq.size
        table = life(log, server, n_frames=30)
        rows = rows_of(log, MARKET, 0)
        np.testing.assert_array_equal(rows.seq, np.arange(rows.seq.size))
        assert np.all(np.diff(rows.ts_recv_ns) >= 0)
        second = take(rows, slice(begun_again, None))
        books = {False: book_of(rows), True: book_of(second)}
        truth = server.truths[script.names[0]].numbers()
        assert (books[True].bids, books[True].asks) == truth
        assert (books[False].bids, books[False].asks) == truth
    assert {Kind.BOOK, Kind.BOOK_STATUS, Kind.HEARTBEAT} <= {Kind(k) for k in rows.kind}
    assert states(rows)[-1] == GOOD[venue]
    first = take(second, slice(0, 1))  # the log may have ended inside a message
    assert (first.kind, first.code, first.reason) == (
        Kind.BOOK_STATUS, BookState.GAP, BookReason.RESTARTED,
    )  # fmt: skip
    assert BookState.SYNCED not in states(rows) or GOOD[venue] == BookState.SYNCED
    features = Features(table.arrays())
    _, made = features.step(features.initial(), rows)
    assert made.seq.size == rows.seq.size
    ours = np.flatnonzero((rows.source < 0) & (rows.kind == Kind.HEARTBEAT))
    before = rows.flags[ours[ours > 0] - 1]
    assert np.all(before & Flag.MSG_LAST)  # nothing of ours stands inside a venue's message


@pytest.mark.parametrize("venue", LIVE)
def test_a_message_that_the_gate_refuses_brings_a_new_snapshot(venue: str) -> None:
    script = made_up(venue, NAMES[venue][:1], 60)
    log = MemoryLog()
    with VenueServer(script) as server:
        life(log, server, n_frames=60, spoil=30)
    rows = rows_of(log, MARKET, 0)
    lost = states(rows).index(BookState.GAP)
    gap = int(np.flatnonzero(rows.kind == Kind.BOOK_STATUS)[lost])
    assert rows.reason[gap] == BookReason.BAD_ROW
    assert states(rows)[lost - 1] == states(rows)[-1] == GOOD[venue]
    later = take(rows, slice(gap, None))
    snapshots = (later.kind == Kind.BOOK) & (later.flags & Flag.SNAPSHOT != 0)
    mended = np.flatnonzero((later.kind == Kind.BOOK_STATUS) & (later.code == GOOD[venue]))[0]
    assert snapshots[:mended].any()


def test_the_workers_steps_ask_for_snapshots_and_tell_of_clocks() -> None:
    """A refused row, and then five seconds of changes, through the flow of the worker."""
    synced = {"kind": Kind.BOOK_STATUS, "code": BookState.SYNCED, "flags": Flag.MSG_LAST}
    rows = market(
        message([(BUY, 99.0, 1.0), (SELL, 101.0, 1.0)], snapshot=True),
        [{**synced, "source": -1, "source_row": -1}],
        message([(BUY, 98.0, 1.0), (BUY, -1.0, 1.0)]),
        *(message([(BUY, 97.0, 1.0)]) for _ in range(50)),
    )
    rows.ts_recv_ns[:] = 10**18 + np.arange(rows.seq.size) * 10**8
    rows.ts_event_ns[:] = rows.ts_recv_ns - 10**6 - 5 * 10**9
    later = market(
        [{**synced, "code": BookState.HALTED, "source": -1, "source_row": -1}],
        [{"kind": Kind.CONTROL, "code": Control.RESUME_BOOK, "ref_id": 0, "symbol": NO_SYMBOL,
          "flags": Flag.MSG_LAST, "source": -1, "source_row": -1}],
    )  # fmt: skip
    later.ts_recv_ns[:] = rows.ts_recv_ns[-1] + 1
    later.seq[:] = rows.seq.size
    asked: list[tuple[int, int]] = []
    resumed: list[tuple[int, int]] = []
    clocks: list[tuple[str, int]] = []

    class Told:
        """A live feed as far as the steps know it."""

        table, terms = book_table(), BookTerms.full(len(MARKETS))
        names, simulated = ["venue"], False
        description: ClassVar[list[SourceInfo]] = []
        resync = staticmethod(lambda lane, symbol: asked.append((lane, symbol)))
        resume = staticmethod(lambda lane, symbol: resumed.append((lane, symbol)))
        take = close = resync  # never called

    feed: Any = Told()
    lanes = feed.table.active_lanes()
    numbering = Numbering(dict.fromkeys(lanes, Place()), dict.fromkeys(lanes, 0))
    parcels = [
        Parcel(each, position=rows.seq.size, last=False, born_s=0.0) for each in (rows, later)
    ]
    out: list[tuple[str, Parcel]] = []
    flow = Dataflow("ingest")
    stream = op.input("rounds", flow, TestingSource([(ALL, parcel) for parcel in parcels]))
    stream = ingest.worker_steps(
        stream,
        feed,
        numbering,
        clocked=lambda venue, offset_ns, *_: clocks.append((venue, offset_ns)),
    )
    op.output("log_out", stream, TestingSink(out))
    run_main(flow)
    [(_, done), (_, behind)] = out
    assert asked == resumed == [MARKETS[0][:2]]
    assert clocks == [("venue", 5 * 10**9)]
    assert done.market.seq.tolist() == list(range(done.market.seq.size))
    assert states(done.market) == [BookState.SYNCED, BookState.GAP]
    assert states(behind.market) == [BookState.HALTED]
    assert done.quarantine is not None
    assert done.quarantine.price.tolist() == [98.0, -1.0]  # the whole message


GOOD = {
    venue: BookState.SYNCED if PARSERS[venue].venue.proof.provable else BookState.UNPROVABLE
    for venue in LIVE
}


def states(rows: MarketRows) -> list[BookState]:
    return [BookState(code) for code in rows.code[rows.kind == Kind.BOOK_STATUS]]


def life(log: MemoryLog, server: VenueServer, *, n_frames: int, spoil: int = -1) -> InstrumentTable:
    """One life of ingest; behind the frame `spoil` a book row that comes loses its price."""
    """Ingest runs until the venue's frames stand on the log, and dies."""
    STOP.arm()
    venue = server.script.venue
    feed = LiveFeed(
        [f"{venue}:{name}" for name in server.script.names],
        venues={venue: rules(server)},
        pace=FAST,
    )
    writer = log.writer()
    source, numbering = rounds_on(log, writer, feed, speed=None, polled=lambda *told: None)
    part = source.build_part("rounds", "all", None)
    intake = Intake(feed.table.arrays(), len(feed.names), book_feeds(feed))
    intake.compile()  # no frame waits for that
    intake.step(intake.initial(), empty(MarketRows, 1))
    state = intake.initial()
    first = rows_of(log, MARKET, 0)
    begun = 0 if isinstance(first, list) else first.seq.size
    played, end_s = 0, time.monotonic() + HANG_S
    while True:
        assert time.monotonic() < end_s, f"hangs; {feed.counts}"
        feed.wait(0.01)
        for _, parcel in part.next_batch():
            changes = np.flatnonzero((parcel.market.kind == Kind.BOOK) & (played >= spoil >= 0))
            if changes.size:
                parcel.market.price[changes[-1]], spoil = np.nan, -1
            state, (good, bad, lost, held, _) = intake.step(state, parcel.market)
            assert (bad.seq.size > 0) == (changes.size > 0)
            assert (lost.size > 0) == (changes.size > 0)
            for _ in lost:
                feed.resync(0, 0)
            for piece in numbering.parts(replace(parcel, market=good, held=held)):
                done = numbering.number(piece)
                packed = {lane: place.pack() for lane, place in done.places.items()}
                writer.append(encode(MARKET, done.market, CODE, positions=packed.__getitem__))
        if server.n_subscribed and played < n_frames:  # one by one: a snapshot needs a next change
            server.play()
            played += 1
        rows = rows_of(log, MARKET, 0)
        if played == n_frames and not isinstance(rows, list):
            book = book_of(take(rows, slice(begun, None)))
            if book.synced and (book.bids, book.asks) == (
                server.truths[server.script.names[0]].numbers()
            ):
                break
    part.close()
    writer.close()
    return feed.table


def book_of(rows: MarketRows) -> RowBook:
    book = RowBook(10)
    for k in range(rows.seq.size):
        if rows.kind[k] == Kind.BOOK_STATUS and rows.code[k] == BookState.GAP:
            book.forget_message()  # its rest was refused
        if rows.symbol[k] == 0:
            book.row(rows, k)
    return book
