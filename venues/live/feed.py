"""Venues that are connected now, as one feed of market rows in order of receipt."""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from operators.arrays import I2, I4, I8
from operators.market.books.l2 import BookTopRows, L2Books
from operators.market.books.l2_state import BookTerms
from operators.market.books.l3 import L3Books, OrderRows, OrderTopRows
from operators.market.books.status import BookEventRows, BookStatus, BookStatusRows, to_market
from operators.market.books.words import BookEvent, BookReason, BookState
from schemas.instruments import USD_AT_PAR, InstrumentTable
from schemas.kinds import NO_SYMBOL, Kind
from schemas.rows import MarketRows, concat, empty, take
from venues.feed import SourceInfo
from venues.frames import Parsed, market_rows, order_rows, parser_of
from venues.live.clock import SessionClock
from venues.live.connection import Connection, Counts, Happened
from venues.live.errors import LiveError
from venues.live.handover import BYTES_MAX, Handover, Received
from venues.live.instruments import Market, instrument_table
from venues.live.rest import get
from venues.live.session import Pace, Session, SessionCounts
from venues.live.source import SourceSession
from venues.live.thread import SessionThread
from venues.live.venue import LiveVenue, fetchable
from venues.live.venues import live_venue

LANES = 8
MARKETS_MAX = 64  # of all venues; each venue's go over one connection
TICK_NS = 100_000_000  # 0.1 s: how late a stale book may be told
ALIVE_NS = 1_000_000_000  # between signs of life among frames that waited for their reader

_SPARES = (int(BookState.SYNCED), int(BookState.UNPROVABLE), int(BookState.CROSSED))
_BEFORE, _ROWS, _BEHIND = 0, 1, 2  # where status rows stand beside the rows of their message

_LOSES = {  # events after which a book ignores changes until a snapshot
    BookEvent.GAP: BookState.GAP,
    BookEvent.CHECKSUM_FAIL: BookState.CHECKSUM_FAIL,
    BookEvent.RESYNC: BookState.RESYNC,
    BookEvent.HALT: BookState.HALTED,
}

_log = logging.getLogger(__name__)


class _Event(NamedTuple):
    """What happened to a book, and which it is."""

    at: int  # entry of the index
    told: Happened


class LiveFeed:
    """Market rows of live venues; connections open at the first `take`.

    Parameters
    ----------
    markets : sequence of str
        `venue:NAME` with the venue's own name of the market, such as kraken:BTC/USD.
    lanes : int
    venues : mapping of name to LiveVenue, optional
        Rules that replace the known ones.
    pace : Pace, optional
    clock : SessionClock, optional
    bytes_max : int
        What may wait to be taken, before connections are given up.

    Attributes
    ----------
    table : InstrumentTable
        Price and quantity steps are the venues', the fees those of their class.
    terms : BookTerms
        What each feed shows of its book, in the order of the table.
    record : callable or None
        Told of everything that was received, in order, before its rows are given out.

    Notes
    -----
    Rows: `source` is the connection, `source_row` counts its rows without a hole; status rows have
    -1. Each decided frame has its own `ts_recv_ns`, later than every one before; the rows of a
    frame share it. Rows that a book must not use stand behind a status row that says so.
    Status: BOOK_STATUS rows as `operators.market.books.status` makes them, of connections, gaps,
    failed checksums, silence and snapshots. A wall clock that was set is told by a row of each
    book with its present state, reason CLOCK_JUMP, and the jump in seconds as `ref`.
    One thread may read. Memory: `bytes_max`, and what waits for snapshots.

    Raises
    ------
    LiveError
        A venue is unknown or has no live subscription; a market is not offered; a list of
        instruments cannot be had.
    """

    simulated = False
    has_recv = True

    def __init__(
        self,
        markets: Sequence[str],
        *,
        lanes: int = LANES,
        venues: Mapping[str, LiveVenue] | None = None,
        pace: Pace | None = None,
        clock: SessionClock | None = None,
        bytes_max: int = BYTES_MAX,
        at_par: Sequence[str] = USD_AT_PAR,
    ) -> None:
        wanted = parse_markets(markets, venues or {})
        self.table: InstrumentTable = instrument_table(wanted, lanes=lanes, get=get, at_par=at_par)
        self._clock = clock or SessionClock()
        self._handover = Handover(bytes_max)
        self._last_ns = self._start_ns = self._clock.now_ns()
        self._ticked_ns = 0
        self.clock_jumps = 0
        self.record: Callable[[Sequence[Received]], None] | None = None
        self._connections: list[Connection] = []
        self._sessions: list[Session] = []
        self._connect(wanted, pace or Pace())
        self._index = _Index.of(self._connections, self.table)
        self._thread = SessionThread(self._sessions)
        self._source_rows = np.zeros(len(self._connections), np.int64)
        self._heard_ns = [self._start_ns] * len(self._connections)
        self.terms, self._status = self._books()
        self._status_state = self._status.initial()
        self._l2 = L2Books(self.table.arrays(), self.terms)
        self._l2_state = self._l2.initial()
        self._l2.step(self._l2_state, empty(MarketRows))  # compiled before frames wait for it
        self._l3 = L3Books(self.table.arrays())
        self._l3_state = self._l3.initial()
        self._l3.step(self._l3_state, empty(OrderRows))
        self._status.step(self._status_state, empty(BookEventRows))
        self._held: MarketRows | None = None

    @property
    def names(self) -> list[str]:
        """The connections, one for each venue; MarketRows.source is the index."""
        return [connection.venue.name for connection in self._connections]

    @property
    def urls(self) -> list[str]:
        """Each connection's first websocket, or where its source asks."""
        return [connection.venue.ws for connection in self._connections]

    @property
    def description(self) -> list[SourceInfo]:
        """Each connection as of now; `sha256` is that of what it subscribes to."""
        return [
            SourceInfo(
                name=connection.venue.name,
                kind="live",
                rows=connection.counts.rows,
                first_ns=self._start_ns,
                last_ns=self._last_ns,
                sha256=_digest(connection),
                book_depth=connection.venue.depth,
            )
            for connection in self._connections
        ]

    @property
    def counts(self) -> dict[str, tuple[Counts, SessionCounts]]:
        """Per connection what its frames became, and what happened to it."""
        return {
            connection.venue.name: (connection.counts, session.counts)
            for connection, session in zip(self._connections, self._sessions, strict=True)
        }

    @property
    def totals(self) -> dict[tuple[str, ...], float]:
        """The same numbers by venue and name, without the frames' classes; from any thread."""
        return {
            (venue, name): value
            for venue, both in self.counts.items()
            for counts in both
            for name, value in vars(counts).items()
            if isinstance(value, int)
        }

    def take(self, max_rows: int) -> MarketRows:
        """What has arrived since the last call, at most `max_rows`, without waiting.

        A message longer than that is cut; its rest comes first the next time.
        """
        if max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, was {max_rows}")
        self._thread.start()
        rows = self._gather(max_rows) if self._held is None else self._held
        self._held = take(rows, slice(max_rows, None)) if rows.seq.size > max_rows else None
        return take(rows, slice(0, max_rows)) if rows.seq.size > max_rows else rows

    def wait(self, timeout_s: float) -> bool:
        """Until something has arrived, at most so long; whether something has."""
        self._thread.start()
        return self._held is not None or self._handover.wait(timeout_s)

    def resync(self, lane: int, symbol: int) -> None:
        """The book lost a message behind `take`: gap it, and ask the venue for a snapshot."""
        k, book, _ = self._index.of_place[lane, symbol]
        self._connections[k].spoiled(book, self._stamp(self._clock.now_ns()))

    def resume(self, lane: int, symbol: int) -> None:
        """An operator wants the book back: ask the venue for a snapshot, also if it was halted."""
        k, book, _ = self._index.of_place[lane, symbol]
        self._connections[k].resumed(book, self._stamp(self._clock.now_ns()))

    def close(self) -> None:
        """End all connections. What was not taken is gone."""
        self._thread.stop()

    def _gather(self, max_rows: int) -> MarketRows:
        frames: list[tuple[int, Parsed]] = []
        n_rows, heard, drained = 0, set(), False
        received: list[Received] = []
        for k, connection in enumerate(self._connections):
            frames += [(k, parsed) for parsed in connection.late(self._clock.now_ns())]
        while n_rows < max_rows:
            item = self._handover.take()
            if item is None:
                drained = True
                break
            self._still_alive(item)
            heard.add(item.connection)
            received.append(item)
            for parsed in self._connections[item.connection].accept(item):
                frames.append((item.connection, parsed))
                n_rows += parsed.n_rows
        if self.record is not None and received:
            self.record(received)
        for k in heard:
            self._connections[k].alive(self._last_ns)
            self._heard_ns[k] = self._last_ns
        # What still waits was received before now: nothing of ours may be stamped ahead of it.
        now_ns = max(self._clock.now_ns(), self._last_ns) if drained else self._last_ns
        rows, events = self._rows(frames), self._events()
        crossed = self._crossed(rows, events)
        for connection in self._connections:
            connection.look(now_ns)
        statuses = self._statuses(now_ns, events + self._events(), crossed)
        parts = [part for part in (rows, statuses) if part.seq.size]
        jump_ns = self._clock.jump_ns()
        if jump_ns:
            parts.append(self._jumped(jump_ns, self._stamp(now_ns)))
        return _in_order(parts)

    def _still_alive(self, item: Received) -> None:
        """A reader that was late must not take its own pause for the venue's silence."""
        k = item.connection
        if item.ts_recv_ns - self._heard_ns[k] > ALIVE_NS:
            self._connections[k].alive(self._stamp(item.ts_recv_ns))
            self._heard_ns[k] = self._last_ns

    def _rows(self, frames: list[tuple[int, Parsed]]) -> MarketRows:
        """Rows with their places: the parser's symbols are those of its connection."""
        if not frames:
            return empty(MarketRows)
        rows = market_rows([parsed for _, parsed in frames])
        connections = np.array([k for k, _ in frames], np.int16)
        source = np.repeat(connections, [parsed.n_rows for _, parsed in frames])
        at = self._index.first[source] + rows.symbol
        source_row = np.empty(source.size, np.int64)
        for k in set(connections.tolist()):
            mine = source == k
            n, first = int(np.count_nonzero(mine)), int(self._source_rows[k])
            source_row[mine] = np.arange(first, first + n)
            self._source_rows[k] += n
        return rows._replace(
            lane=self._index.lane[at], symbol=self._index.symbol[at],
            source=source, source_row=source_row,
        )  # fmt: skip

    def _events(self) -> list[_Event]:
        """What happened to books since this was asked, in order."""
        found = []
        for k, connection in enumerate(self._connections):
            first = int(self._index.first[k])
            found += [_Event(first + one.book, one) for one in connection.happened]
            connection.happened.clear()
        return sorted(found, key=lambda event: event.told.ts_recv_ns)

    def _crossed(self, rows: MarketRows, events: list[_Event]) -> set[tuple[int, int]]:
        """Books and times at which they are crossed, of the same books that features have."""
        lost = [event for event in events if event.told.event in _LOSES]
        marks = empty(MarketRows, len(lost))
        marks.kind[:], marks.source[:] = Kind.BOOK_STATUS, -1
        for i, event in enumerate(lost):
            marks.lane[i], marks.symbol[i] = self._index.place(event.at)
            marks.ts_recv_ns[i], marks.code[i] = event.told.ts_recv_ns, _LOSES[event.told.event]
        if rows.seq.size + len(lost) == 0:
            return set()
        orders = order_rows(rows)
        levels = (
            take(rows, (rows.kind != Kind.BOOK) | (rows.code == 0)) if orders.seq.size else rows
        )
        self._l2_state, tops = self._l2.step(self._l2_state, _in_order([levels, marks]))
        found = self._topped(tops)
        if orders.seq.size:
            self._l3_state, order_tops = self._l3.step(self._l3_state, orders)
            found |= self._topped(order_tops)
        return found

    def _topped(self, tops: BookTopRows | OrderTopRows) -> set[tuple[int, int]]:
        found: set[tuple[int, int]] = set()
        columns = (tops.lane, tops.symbol, tops.ts_recv_ns, tops.crossed)
        for lane, symbol, at_ns, crossed in zip(*(each.tolist() for each in columns), strict=True):
            k, book, at = self._index.of_place[lane, symbol]
            self._connections[k].topped(book, at_ns, crossed=bool(crossed))
            if crossed:
                found.add((at, at_ns))
        return found

    def _statuses(
        self, now_ns: int, events: list[_Event], crossed: set[tuple[int, int]]
    ) -> MarketRows:
        """Status rows of what happened to books; without news the clock moves them."""
        if not events and now_ns < self._ticked_ns + TICK_NS:
            return empty(MarketRows)
        self._ticked_ns = now_ns
        told = [step for event in events for step in _with_crossed(event, crossed)]
        n = len(told)
        rows = empty(BookEventRows, n + 1)
        rows.symbol[n], rows.event[n] = NO_SYMBOL, BookEvent.ALIVE  # the time alone
        rows.ts_event_ns[n] = rows.ts_recv_ns[n] = max(now_ns, self._last_ns)
        for i, (at, one) in enumerate(told):
            rows.lane[i], rows.symbol[i] = self._index.place(at)
            rows.ts_event_ns[i] = rows.ts_recv_ns[i] = one.ts_recv_ns
            rows.event[i], rows.reason[i] = one.event, one.reason
        self._status_state, found = self._status.step(self._status_state, rows)
        return to_market(found)

    def _jumped(self, jump_ns: int, at_ns: int) -> MarketRows:
        """A row of each book: the wall clock was set, and our times do not follow it."""
        self.clock_jumps += 1
        _log.warning("wall clock was set", extra={"jump_s": jump_ns / 1e9})
        books = self._status_state.of
        rows = empty(BookStatusRows, books.size)
        rows.lane[:] = [one.lane for one in self.table.instruments]
        rows.symbol[:] = [one.symbol for one in self.table.instruments]
        rows.ts_event_ns[:] = rows.ts_recv_ns[:] = at_ns
        rows.state[:] = rows.before[:] = books.state
        rows.epoch[:], rows.reason[:] = books.epoch, BookReason.CLOCK_JUMP
        made = to_market(rows)
        made.ref[:] = jump_ns / 1e9
        return made

    def _stamp(self, ts_recv_ns: int) -> int:
        """A time behind every one before, and not before this one."""
        self._last_ns = max(ts_recv_ns, self._last_ns + 1)
        return self._last_ns

    def _connect(self, wanted: Sequence[Market], pace: Pace) -> None:
        """A connection for each venue, in the order in which they were named."""
        names: dict[str, list[str]] = {}
        venues = {market.venue.name: fetchable(market.venue) for market in wanted}
        for market in wanted:
            names.setdefault(market.venue.name, []).append(market.name)
        for k, (name, symbols) in enumerate(names.items()):
            made = Session if venues[name].source is None else SourceSession
            session = made(
                k, venues[name], symbols, clock=self._clock, handover=self._handover, pace=pace
            )
            self._sessions.append(session)
            self._connections.append(
                Connection(venues[name], symbols, session=session, pace=pace, stamp=self._stamp)
            )

    def _books(self) -> tuple[BookTerms, BookStatus]:
        """What each instrument's feed shows and proves."""
        found = {connection.venue.name: connection.venue for connection in self._connections}
        venues = [found[one.venue] for one in self.table.instruments]
        terms = BookTerms(
            np.array([venue.depth for venue in venues], np.int64),
            np.array([venue.snapshot_depth for venue in venues], np.int64),
        )
        provable = [parser_of(venue.name).venue.proof.provable for venue in venues]
        status = BookStatus(
            self.table.arrays(),
            provable=np.array(provable, np.uint8),
            fresh_ns=np.array([int(venue.silent_s * 1e9) for venue in venues], np.int64),
        )
        return terms, status


class _Index(NamedTuple):
    """From a connection's symbols to the table and back: entry first[connection] + symbol."""

    first: I8
    lane: I2
    symbol: I4
    of_place: dict[tuple[int, int], tuple[int, int, int]]  # connection, its symbol, and the entry

    def place(self, at: int) -> tuple[int, int]:
        return int(self.lane[at]), int(self.symbol[at])

    @classmethod
    def of(cls, connections: Sequence[Connection], table: InstrumentTable) -> "_Index":
        places = {(one.venue, one.name): (one.lane, one.symbol) for one in table.instruments}
        keys = [(each.venue.name, name) for each in connections for name in each.names]
        sizes = [len(each.names) for each in connections]
        owners = [(k, book) for k, size in enumerate(sizes) for book in range(size)]
        return cls(
            np.cumsum([0, *sizes[:-1]], dtype=np.int64),
            np.array([places[key][0] for key in keys], np.int16),
            np.array([places[key][1] for key in keys], np.int32),
            {places[key]: (*owners[at], at) for at, key in enumerate(keys)},
        )


def parse_markets(texts: Sequence[str], venues: Mapping[str, LiveVenue]) -> list[Market]:
    """`venue:NAME` texts, each once and in order; refused by name where they are not live."""
    if not 1 <= len(texts) <= MARKETS_MAX:
        raise LiveError(
            f"{len(texts)} markets were given",
            "live feed",
            f"Name 1 to {MARKETS_MAX}, such as kraken:BTC/USD",
        )
    found: list[Market] = []
    for text in texts:
        name, colon, symbol = text.partition(":")
        if not colon:
            raise LiveError("no venue", f"{text!r}", "Write venue:NAME, such as kraken:BTC/USD")
        venue = venues[name] if name in venues else live_venue(name)
        if not re.fullmatch(venue.names, symbol):
            raise LiveError(
                "not a name of that venue's markets", text, f"Write it as {name}:{venue.example}"
            )
        if Market(venue, symbol) in found:
            raise LiveError("given twice", text, "Name each market once")
        found.append(Market(venue, symbol))
    return found


def _in_order(parts: list[MarketRows]) -> MarketRows:
    """By time; of equal times what spoils a book stands before the rows, all else behind.

    A crossed book is whole, and a snapshot that crosses it says SYNCED first.
    """
    rows = concat(parts) if parts else empty(MarketRows)
    if len(parts) < 2:
        return rows
    spares = np.isin(rows.code, _SPARES)
    place = np.where(rows.kind != Kind.BOOK_STATUS, _ROWS, np.where(spares, _BEHIND, _BEFORE))
    return take(rows, np.lexsort((place, rows.ts_recv_ns)))


def _with_crossed(event: _Event, crossed: set[tuple[int, int]]) -> Iterator[tuple[int, Happened]]:
    """A message that leaves its book crossed says so; a snapshot is one, and crossed."""
    at, told = event.at, event.told
    is_crossed = (at, told.ts_recv_ns) in crossed
    if not (is_crossed and told.event is BookEvent.MESSAGE):
        yield at, told
    if is_crossed and told.event in (BookEvent.MESSAGE, BookEvent.SNAPSHOT):
        yield at, Happened(told.book, told.ts_recv_ns, BookEvent.CROSSED)


def _digest(connection: Connection) -> str:
    lines = connection.venue.lines
    said = json.dumps([text for ws, of in lines for text in (ws, *of(connection.names))])
    return hashlib.sha256(said.encode()).hexdigest()
