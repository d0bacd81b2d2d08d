"""Reads a live feed against the local venue server, with an obvious book as the oracle."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from operators.market.books.words import BookReason, BookState
from schemas.kinds import Flag, Kind, Side
from schemas.rows import MarketRows, concat, empty
from tests.venue_server import Script, VenueServer, made_up
from tests.venue_tongues import order_levels
from venues.frames import FrameClass, Parsed, Synchroniser, market_rows, parser_for
from venues.live import LIVE, LiveFeed, LiveVenue, Pace, SessionClock, at
from venues.live.holes import Missed
from venues.live.rules.bybit import bybit, bybit_inverse, bybit_linear
from venues.live.rules.hyperliquid import hyperliquid
from venues.live.rules.kraken import kraken

NAMES = {
    "kraken": ["BTC/USD", "ETH/USD"],
    "binance_spot": ["BTCUSDT", "ETHUSDT"],
    "binance_coinm": ["BTCUSD_PERP", "ETHUSD_PERP"],
    "coinbase": ["BTC-USD", "ETH-USD"],
    "bitstamp": ["btcusd", "ethusd"],
    "binance_usdm": ["BTCUSDT", "ETHUSDT"],
    "kraken_futures": ["PF_XBTUSD", "PI_ETHUSD"],
    "bybit": ["BTCUSDT", "ETHUSDT"],
    "bybit_linear": ["BTCUSDT", "ETHPERP"],
    "bybit_inverse": ["BTCUSD", "ETHUSD"],
    "okx": ["BTC-USDT", "ETH-USDT-SWAP"],
    "deribit": ["BTC-PERPETUAL", "ETH-27DEC26"],
    "bitfinex": ["tBTCUSD", "tETHF0:USTF0"],
    "gemini": ["BTCUSD", "ETHGUSDPERP"],
    "hyperliquid": ["BTC", "ETH"],
}
UNPROVEN = ["coinbase", "bitstamp", "gemini"]
PROVEN = [venue for venue in NAMES if venue not in UNPROVEN]
BY_REST = ["binance_spot", "binance_coinm", "binance_usdm", "bitstamp"]  # snapshots
each_venue = pytest.mark.parametrize("venue", LIVE)
HANG_S = 20.0  # a test that waits longer has failed; none passes by waiting
BAD = {BookState.GAP, BookState.RESYNC, BookState.CHECKSUM_FAIL, BookState.HALTED}
GOOD = {BookState.SYNCED, BookState.UNPROVABLE}
FAST = Pace(
    backoff_s_min=0.01, backoff_s_max=0.1, patience_s=1.0, too_old_s=0.05, frozen_s=1.0,
    calm_s=60.0, before_s=0.2, audit_slack_s=0.1, missed_s=15.0,
)  # fmt: skip


def _missed(venue: LiveVenue) -> Missed:
    assert venue.missed is not None
    return venue.missed


# Depths of the recordings; the local server cannot be posted to.
CHANGED = {
    "kraken": kraken(depth=10),
    "bybit": bybit(depth=500),
    "bybit_linear": bybit_linear(depth=500),
    "bybit_inverse": bybit_inverse(depth=500),
    "hyperliquid": replace(
        hyperliquid(), list_body="", missed=replace(_missed(hyperliquid()), posts=False)
    ),
}


def rules(server: VenueServer, **changed: Any) -> LiveVenue:
    """The venue's own rules, at the local server; audits and polls only where asked for."""
    name = server.script.venue
    venue = CHANGED.get(name, LIVE[name])
    usual: dict[str, Any] = {"audit_s": 0.0, "polls": ()}
    return replace(at(venue, ws=server.ws, rest=server.rest), **(usual | changed))


def serving() -> Iterator[Callable[[Script], VenueServer]]:
    """A test's servers, ended with it."""
    servers: list[VenueServer] = []

    def begin(script: Script) -> VenueServer:
        servers.append(VenueServer(script).__enter__())
        return servers[-1]

    yield begin
    for server in servers:
        server.__exit__()


def one_market(venue: str, n_frames: int = 40) -> Script:
    return made_up(venue, NAMES[venue][:1], n_frames)


class Reader:
    """A live feed of a server's markets, all rows that it gave, and the books that they make."""

    def __init__(
        self,
        server: VenueServer,
        *,
        pace: Pace = FAST,
        clock: SessionClock | None = None,
        bytes_max: int = 1 << 26,
        **changed: Any,
    ) -> None:
        venue = rules(server, **changed)
        self.server, self.venue = server, server.script.venue
        self.feed = LiveFeed(
            [f"{self.venue}:{name}" for name in server.script.names],
            venues={self.venue: venue}, pace=pace, clock=clock, bytes_max=bytes_max,
        )  # fmt: skip
        self.parts: list[MarketRows] = []
        depths = self.feed.terms.depth.tolist()
        self.books = {
            (one.lane, one.symbol): RowBook(depth)
            for one, depth in zip(self.feed.table.instruments, depths, strict=True)
        }
        self.name_of = {(i.lane, i.symbol): i.name for i in self.feed.table.instruments}

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.close()

    def until(self, what: Callable[[], bool]) -> None:
        """Take rows until it is so."""
        give_up_s = time.monotonic() + HANG_S
        while not what():
            assert time.monotonic() < give_up_s, f"hangs; {self.feed.counts}"
            self.feed.wait(0.02)
            self.take()

    def take(self, max_rows: int = 512) -> MarketRows:
        rows = self.feed.take(max_rows)
        if rows.seq.size:
            self.parts.append(rows)
        for k in range(rows.seq.size):
            book = self.books.get((int(rows.lane[k]), int(rows.symbol[k])))
            if book is not None:
                book.row(rows, k)
        return rows

    def begin(self) -> None:
        """Connect, and play until every book has its snapshot."""
        self.until(lambda: self.server.n_subscribed == len(self.server.script.names))
        if rules(self.server).snapshot is not None:
            waiting = set(self.server.script.names)  # a snapshot is asked for at the first change
            parser = parser_for(self.venue, self.server.script.names)
            while waiting:
                frame = self.server.script.frames[self.server.n_played]
                books = parser.parse(frame).books
                self.server.play()
                waiting -= {self.server.script.names[book.symbol] for book in books}
        self.until(self.synced)

    def finish(self) -> None:
        """Play the rest, until every book is the venue's own again and no row waits for trades."""
        self.server.play(self.server.rest_of())
        self.until(lambda: self.synced() and self.is_true() and self.counts.rows == self.n_rows())

    def n_rows(self) -> int:
        """That were given out, without those that tell the states of books."""
        return sum(int(np.count_nonzero(rows.kind != Kind.BOOK_STATUS)) for rows in self.parts)

    def read_all(self) -> None:
        """Until everything that was sent up to now has been read; for unbroken connections."""
        n_sent = len(self.server.sent)
        self.until(lambda: self.counts.frames >= n_sent)

    def synced(self) -> bool:
        return all(book.synced for book in self.books.values())

    def is_true(self) -> bool:
        return all(
            (book.bids, book.asks) == self.server.truths[self.name_of[key]].numbers()
            for key, book in self.books.items()
        )

    @property
    def rows(self) -> MarketRows:
        return concat(self.parts) if self.parts else empty(MarketRows)

    @property
    def counts(self) -> Any:
        return self.feed.counts[self.venue][0]

    @property
    def session(self) -> Any:
        return self.feed.counts[self.venue][1]

    def states(self, *, of: int = 0) -> list[BookState]:
        """The states that one market's status rows told, in order."""
        key = list(self.books)[of]
        return self.books[key].states

    def reasons(self) -> set[BookReason]:
        rows = self.rows
        return {BookReason(r) for r in rows.reason[rows.kind == Kind.BOOK_STATUS] if r}


class RowBook:
    """A book of dicts, made of nothing but a feed's rows, and cut to the subscription's depth."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        self.synced = False
        self.states: list[BookState] = []
        self._orders: dict[int, tuple[bool, float, float]] = {}
        self._message: list[tuple[int, float, float]] = []
        self._ids: list[int] = []  # of a message about orders

    def forget_message(self) -> None:
        """The rest of it will not come."""
        self._message, self._ids = [], []

    def row(self, rows: MarketRows, k: int) -> None:
        if rows.kind[k] == Kind.BOOK_STATUS:
            assert not self._message, "a status row inside a message"
            self.states.append(BookState(rows.code[k]))
            if self.states[-1] in BAD:
                self.synced = False
        if rows.kind[k] != Kind.BOOK:
            return
        self._message.append((int(rows.side[k]), float(rows.price[k]), float(rows.qty[k])))
        self._ids += [int(rows.ref_id[k])] if rows.code[k] else []
        if not rows.flags[k] & Flag.MSG_LAST:
            return
        if rows.flags[k] & Flag.SNAPSHOT:
            self.bids, self.asks, self.synced, self._orders = {}, {}, True, {}
        if self._ids:
            self._change_orders()
            return
        for side, price, qty in self._message if self.synced else []:
            book = self.bids if side == Side.BUY else self.asks
            if qty:
                book[price] = qty
            else:
                book.pop(price, None)
        for price in sorted(self.bids)[::-1][self.depth :] if self.depth else []:
            del self.bids[price]
        for price in sorted(self.asks)[self.depth :] if self.depth else []:
            del self.asks[price]
        self._message = []

    def _change_orders(self) -> None:
        for order, (side, price, qty) in zip(self._ids, self._message, strict=True):
            if qty:
                self._orders[order] = side == Side.BUY, price, qty
            else:
                self._orders.pop(order, None)
        if self.synced:
            self.bids = order_levels(self._orders, is_bid=True)
            self.asks = order_levels(self._orders, is_bid=False)
        self._message, self._ids = [], []


def parsed_alike(server: VenueServer) -> MarketRows:
    """What parser and synchroniser make of the frames that a client was sent."""
    parser = parser_for(server.script.venue, server.script.names)
    sync = Synchroniser(parser.venue)
    found: list[Parsed] = []
    for label, frame in server.sent:
        found += [one.parsed for one in sync.accept(parser.parse(frame, label=label))]
    return market_rows([parsed for parsed in found if parsed.kind is FrameClass.DATA])


def assert_alike(reader: Reader) -> None:
    """The feed's rows are the parser's, save for what the feed adds."""
    rows, expected = reader.rows, parsed_alike(reader.server)
    rows = MarketRows._make(column[rows.kind != Kind.BOOK_STATUS] for column in rows)
    assert rows.seq.size == expected.seq.size
    np.testing.assert_array_equal(rows.source_row, np.arange(rows.seq.size))
    assert (np.diff(rows.ts_recv_ns) >= 0).all()
    markets = [reader.name_of[key] for key in zip(rows.lane, rows.symbol, strict=True)]
    symbol = np.array([reader.server.script.names.index(name) for name in markets])
    venue = rules(reader.server)
    keys: tuple[Any, Any] = np.zeros(symbol.size), np.zeros(symbol.size)
    if venue.beside is not None:  # two websockets keep no common order
        keys = symbol * 100 + rows.kind, expected.symbol * 100 + expected.kind
    elif venue.snapshot is not None:  # two REST answers may come in either order
        keys = symbol, expected.symbol
    symbol = symbol[np.argsort(keys[0], kind="stable")]
    rows, expected = _by_market(rows, keys[0]), _by_market(expected, keys[1])
    np.testing.assert_array_equal(symbol, expected.symbol)
    ours = {"seq", "lane", "symbol", "ts_recv_ns", "ts_event_ns", "source", "source_row"}
    for column in sorted(set(MarketRows._fields) - ours):
        np.testing.assert_array_equal(getattr(rows, column), getattr(expected, column), column)
    timed = expected.ts_event_ns > 0  # where the venue gives none, the receive time stands in
    np.testing.assert_array_equal(rows.ts_event_ns[timed], expected.ts_event_ns[timed])
    np.testing.assert_array_equal(rows.ts_event_ns[~timed], rows.ts_recv_ns[~timed])


def _by_market(rows: MarketRows, keys: Any) -> MarketRows:
    order = np.argsort(keys, kind="stable")
    return MarketRows._make(column[order] for column in rows)


def check_rows(reader: Any) -> None:
    """Times rise from frame to frame, messages are whole, and the counts close."""
    rows, counts = reader.rows, reader.counts
    assert (np.diff(rows.ts_recv_ns) >= 0).all()
    ends = rows.flags & Flag.MSG_LAST != 0
    said = rows.kind != Kind.BOOK_STATUS
    assert (np.diff(rows.ts_recv_ns[said])[ends[said][:-1]] > 0).all()
    assert ends[-1]
    same = (rows.lane[1:] == rows.lane[:-1]) & (rows.symbol[1:] == rows.symbol[:-1])
    assert (ends[:-1] | same).all()
    assert counts.elements == counts.rows + counts.refused
    assert counts.rows == np.count_nonzero(rows.kind != Kind.BOOK_STATUS)
    assert counts.frames == counts.classes.total() + counts.too_old
