"""Promise: venues that come through ccxt, a bridge or a chain pass a reduced form of the spec.

Quotes, books and trades are the venue's own, each trade once; a book is never called SYNCED. A
fault that can be seen is told and counted, and the feed ends in the venue's own state again.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flows.books import book_feeds
from flows.encode import encode
from flows.log.memory import MemoryLog
from flows.log.stop import STOP
from flows.rounds import rounds_on
from operators.features.tier import Features
from operators.market.books.words import BookReason, BookState
from operators.market.intake import Intake
from schemas.instruments import InstrumentTable
from schemas.kinds import Flag, Kind
from schemas.topics import MARKET
from tests.live_cases import FAST, HANG_S, check_rows
from tests.relayed_cases import (
    SHORT_S,
    BitvavoStand,
    BridgeStand,
    ChainStand,
    FeedReader,
    Stand,
)
from tests.worker_desk import rows_of
from venues.live import LiveError, LiveFeed, SessionClock

S = BookState
STANDS: dict[str, type[Stand]] = {
    "ccxt-bitvavo": BitvavoStand, "mt5": BridgeStand, "uniswap_v2": ChainStand,
}  # fmt: skip
each_venue = pytest.mark.parametrize("venue", STANDS)


@pytest.fixture(name="stand")
def fixture_stand() -> Iterator[Callable[[str], Any]]:
    stands: list[Stand] = []

    def begin(venue: str) -> Stand:
        if venue.startswith("ccxt-"):
            pytest.importorskip("ccxt", reason="needs the extra `live`: pip install '.[live]'")
        stands.append(STANDS[venue]())
        return stands[-1]

    yield begin
    for one in stands:
        one.close()


@each_venue
def test_rows_are_the_venues_own(venue: str, stand: Any) -> None:
    at = stand(venue)
    with FeedReader(at) as reader:
        reader.begin()
        for _ in range(12):
            reader.finish()
        assert reader.states == [S.RESYNC, S.UNPROVABLE]
        assert reader.session.opened == 1
        assert (reader.session.holes, reader.counts.trade_gaps, reader.counts.refused) == (0, 0, 0)
        check_rows(reader)
        [one] = reader.feed.table.instruments
        assert one.conflated == at.conflated
        assert one.id == f"{venue}:{at.market}"
        [about] = reader.feed.description
        assert (about.name, about.kind, about.rows) == (venue, "live", reader.counts.rows)
        assert "secret" not in str((reader.feed.urls, about, reader.feed.table))
        _assert_gate_takes_all(reader)


@each_venue
def test_silence_is_told_and_ends_in_a_new_connection(venue: str, stand: Any) -> None:
    at = stand(venue)
    at.silent_s = SHORT_S
    with FeedReader(at) as reader:
        reader.begin()
        reader.finish()
        at.stall(on=True)
        reader.until(lambda: reader.session.stalls >= 1)
        reader.until(lambda: S.GAP in reader.states)
        assert BookReason.DISCONNECTED in reader.reasons
        at.stall(on=False)
        reader.until(lambda: reader.session.opened >= 2 and reader.states[-1] == S.UNPROVABLE)
        reader.finish()
        assert S.SYNCED not in reader.states
        check_rows(reader)


@each_venue
def test_clock_that_is_set_is_told_and_changes_no_time(venue: str, stand: Any) -> None:
    wall = [0]
    clock = SessionClock(wall_ns=lambda: time.time_ns() + wall[0])
    at = stand(venue)
    with FeedReader(at, clock=clock) as reader:
        reader.begin()
        wall[0] += 3_600_000_000_000
        reader.until(lambda: BookReason.CLOCK_JUMP in reader.reasons)
        reader.finish()
        rows = reader.rows
        jumps = rows.reason == BookReason.CLOCK_JUMP
        np.testing.assert_allclose(rows.ref[jumps], [3600.0], atol=1.0)
        assert (np.diff(rows.ts_recv_ns) >= 0).all()
        assert reader.states[-1] == S.UNPROVABLE


@each_venue
def test_market_that_is_not_there_is_refused(venue: str, stand: Any) -> None:
    at = stand(venue)
    wrong = {
        "ccxt-bitvavo": "ABC/EUR", "mt5": "USDJPY", "uniswap_v2": f"WETH/USDC@0x{'9' * 40}",
    }[venue]  # fmt: skip
    with pytest.raises(LiveError, match="not in the venue's instrument list"):
        LiveFeed([f"{venue}:{wrong}"], venues={venue: at.venue()})


@each_venue
def test_venue_goes_into_the_log_over_a_restart(venue: str, stand: Any) -> None:
    at, log = stand(venue), MemoryLog()
    table = _life(log, at)
    n_first = rows_of(log, MARKET, 0).seq.size
    _life(log, at)
    rows = rows_of(log, MARKET, 0)
    np.testing.assert_array_equal(rows.seq, np.arange(rows.seq.size))
    assert (np.diff(rows.ts_recv_ns) >= 0).all()
    statuses = rows.kind == Kind.BOOK_STATUS
    assert (rows.code[n_first], rows.reason[n_first]) == (S.GAP, BookReason.RESTARTED)
    assert rows.code[statuses][-1] == S.UNPROVABLE
    assert S.SYNCED not in rows.code[statuses]
    assert np.count_nonzero(rows.kind == Kind.TRADE) == len(at.trades) == 6
    features = Features(table.arrays())
    assert features.step(features.initial(), rows)[1].seq.size == rows.seq.size


def _life(log: MemoryLog, at: Stand) -> InstrumentTable:
    """Ingest runs until three more trades and the quote behind them stand on the log, and dies."""
    STOP.arm()
    venue = at.venue()
    feed = LiveFeed([f"{venue.name}:{at.market}"], venues={venue.name: venue}, pace=FAST)
    writer = log.writer()
    source, numbering = rounds_on(log, writer, feed, speed=None, polled=lambda *told: None)
    part = source.build_part("rounds", "all", None)
    intake = Intake(feed.table.arrays(), 1, book_feeds(feed))
    state, before = intake.initial(), _written(log)
    steps, end_s = 0, time.monotonic() + HANG_S
    while _written(log)[1] < before[1] + 3 or _written(log)[2] != at.quote():
        assert time.monotonic() < end_s, f"hangs; {feed.counts}"
        feed.wait(0.01)
        for _, parcel in part.next_batch():
            state, (good, bad, lost, held, _) = intake.step(state, parcel.market)
            assert (bad.seq.size, lost.size, held) == (0, 0, 0)
            done = numbering.number(replace(parcel, market=good))
            packed = {lane: place.pack() for lane, place in done.places.items()}
            writer.append(encode(MARKET, done.market, "test", positions=packed.__getitem__))
        if _written(log)[0] > before[0] + steps and steps < 3:  # behind its first quote
            at.step()
            steps += 1
    part.close()
    writer.close()
    return feed.table


def _written(log: MemoryLog) -> tuple[int, int, tuple[float, float] | None]:
    """Quotes and trades on the log, and the last quote."""
    rows = rows_of(log, MARKET, 0)
    if isinstance(rows, list):  # nothing yet
        return 0, 0, None
    quotes = np.flatnonzero(rows.kind == Kind.QUOTE)
    last = (float(rows.bid_px[quotes[-1]]), float(rows.ask_px[quotes[-1]])) if quotes.size else None
    return quotes.size, int(np.count_nonzero(rows.kind == Kind.TRADE)), last


def _assert_gate_takes_all(reader: FeedReader) -> None:
    """Every row of the feed may enter the log, and no book is called better than it is."""
    intake = Intake(reader.feed.table.arrays(), 1, book_feeds(reader.feed))
    _, (good, bad, lost, held, _) = intake.step(intake.initial(), reader.rows)
    assert (bad.seq.size, lost.size, held) == (0, 0, 0)
    assert good.seq.size >= reader.rows.seq.size
    states = set(good.code[good.kind == Kind.BOOK_STATUS].tolist())
    assert S.SYNCED not in states
    assert good.flags[-1] & Flag.MSG_LAST
