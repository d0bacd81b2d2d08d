"""What a frame became: its class, its market rows, and what of it was refused and why.

Two identities hold for any number of frames, and `Account` adds them up:

    frames              = data + superseded + control + known-unused + quarantined
    elements of data    = rows + quarantined elements

An element is what becomes one row: a level, an order, a trade, a quote, a bar, or one figure of a
message that carries several (mark price, funding rate, open interest).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from operators.market.books.words import OrderAction
from schemas.kinds import NO_ID, Flag, Kind, Side
from schemas.rows import MarketRows, dtypes

NO_TIME = 0  # neither the venue nor we know when: for books only, never merged by time
NO_SEQ = -1  # the venue numbers no such message
EMPTY_SNAPSHOT = (1.0, 0.0)  # the row of a snapshot without levels: this level is not there
NAN = float("nan")

Levels = Sequence[tuple[float, float]]  # price and quantity; quantity 0 removes the level
Texts = Sequence[tuple[str, str]]  # the same as the venue wrote them


class FrameClass(IntEnum):
    """What a frame is; every frame is exactly one of these."""

    DATA = 0  # it has rows, or is a book message without changes
    SUPERSEDED = 1  # right, but replaced by what is already known; the reason says by what
    CONTROL = 2  # the session talking about itself: subscriptions, heartbeats, our own requests
    KNOWN_UNUSED = 3  # a listed message type that the desk does not use
    QUARANTINED = 4  # not understood; the reason names the field or the type


class Link(NamedTuple):
    """Which numbers a message covers, and which number must have come before it."""

    first: int
    last: int
    prev: int | None  # None: numbers only order messages, they do not prove that none is missing


class Book(NamedTuple):
    """One venue message about one order book: BOOK rows, bids before asks, in written order.

    `orders` is not empty where the book is kept order by order: the venue's order id of each row
    (the rows' `ref_id`), and in `actions` what happens to it (the rows' `code`). Such rows are no
    levels; `order_rows` turns them into what `L3Books` reads.
    """

    symbol: int
    ts_event_ns: int
    snapshot: bool
    bids: Levels
    asks: Levels
    link: Link | None = None
    checksum: int | None = None
    depth: int = 0  # levels a side that the subscription is cut to; 0: not cut
    bid_texts: Texts = ()  # the digits, where the venue's checksum is over them
    ask_texts: Texts = ()
    orders: Sequence[int] = ()
    actions: Sequence[OrderAction] = ()

    @property
    def n_rows(self) -> int:
        """An empty snapshot is one row, which removes nothing: it must still empty the book."""
        return len(self.bids) + len(self.asks) or int(self.snapshot)


class Event(NamedTuple):
    """One row that is no book level; columns as in MarketRows for its kind."""

    kind: Kind
    symbol: int
    ts_event_ns: int
    venue_seq: int = NO_SEQ
    side: Side = Side.UNKNOWN
    price: float = NAN
    qty: float = NAN
    bid_px: float = NAN
    bid_qty: float = NAN
    ask_px: float = NAN
    ask_qty: float = NAN
    open: float = NAN
    high: float = NAN
    low: float = NAN
    ref: float = NAN


class Refused(NamedTuple):
    """Elements of a data frame that became no rows. A book loses its whole message."""

    elements: int
    reason: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """One frame, understood or refused. `rows()` of all its parts, `market_rows` of many frames."""

    kind: FrameClass
    stream: str  # the venue's message type
    reason: str  # why superseded or quarantined, "" for data
    ts_recv_ns: int
    elements: int  # of a data frame, counted where it is decoded; 0 of any other
    parts: tuple[Book | Event, ...] = ()
    refused: tuple[Refused, ...] = ()
    broken: tuple[int, ...] = ()  # symbols whose book lost a message; NO_SYMBOL: any of them
    link: Link | None = None  # number of the frame in its connection, where the venue counts these

    @property
    def n_rows(self) -> int:
        return sum(p.n_rows if isinstance(p, Book) else 1 for p in self.parts)

    @property
    def books(self) -> list[Book]:
        return [part for part in self.parts if isinstance(part, Book)]

    @property
    def timed(self) -> bool:
        """False: some row has no time at all, so the frame's rows must not be merged by time."""
        return bool(self.ts_recv_ns) or all(part.ts_event_ns for part in self.parts)

    def rows(self) -> MarketRows:
        return market_rows([self])


def market_rows(frames: Iterable[Parsed]) -> MarketRows:
    """MarketRows of frames in order; seq, lane, source and source_row stay 0 for the caller.

    `symbol` indexes the parser's instruments. `ts_event_ns` is the venue's time, or the receive
    time where the message has none. The last row of a book message, and the last of neighbouring
    rows of one symbol in a frame, has MSG_LAST.
    """
    columns: dict[str, list[Any]] = {name: [] for name in _WRITTEN}
    events: list[tuple[int, Event]] = []  # row, and the event that fills its other columns
    at = 0
    for parsed in frames:
        for k, part in enumerate(parsed.parts):
            if isinstance(part, Book):
                at += _add_book(columns, part, parsed.ts_recv_ns)
                continue
            after = parsed.parts[k + 1] if k + 1 < len(parsed.parts) else None
            last = not isinstance(after, Event) or after.symbol != part.symbol
            _add_event(columns, part, parsed.ts_recv_ns, last=last)
            events.append((at, part))
            at += 1
    return _table(columns, events, at)


@dataclass
class Account:
    """Adds up frames and elements of one stream or file; `problems()` is empty while both close."""

    frames: int = 0
    classes: Counter[FrameClass] = field(default_factory=Counter)
    reasons: Counter[tuple[FrameClass, str]] = field(default_factory=Counter)
    elements: int = 0
    rows: int = 0
    refused: int = 0

    def add(self, parsed: Parsed) -> None:
        self.frames += 1
        self.classes[parsed.kind] += 1
        if parsed.reason:
            self.reasons[parsed.kind, parsed.reason] += 1
        if parsed.kind == FrameClass.DATA:
            self.elements += parsed.elements
            self.rows += parsed.n_rows
            for refused in parsed.refused:
                self.refused += refused.elements
                self.reasons[FrameClass.DATA, refused.reason] += refused.elements

    def problems(self) -> list[str]:
        """What does not add up, in words."""
        found = []
        if self.frames != self.classes.total():
            found.append(f"{self.frames} frames, but {self.classes.total()} have a class")
        if self.elements != self.rows + self.refused:
            found.append(
                f"{self.elements} elements, but {self.rows} rows and {self.refused} quarantined"
            )
        return found


_WRITTEN = (
    "flags",
    "kind",
    "symbol",
    "ts_event_ns",
    "ts_recv_ns",
    "side",
    "venue_seq",
    "ref_id",
    "code",
)
_FLOATS = ("price", "qty", "bid_px", "bid_qty", "ask_px", "ask_qty", "open", "high", "low", "ref")


def _add_book(columns: dict[str, list[Any]], book: Book, ts_recv_ns: int) -> int:
    n = book.n_rows
    if n == 0:
        return 0
    bids = book.bids if book.bids or book.asks else [EMPTY_SNAPSHOT]
    flags = [int(Flag.SNAPSHOT) if book.snapshot else 0] * n
    flags[-1] |= int(Flag.MSG_LAST)
    columns["flags"] += flags
    columns["kind"] += [int(Kind.BOOK)] * n
    columns["symbol"] += [book.symbol] * n
    columns["ts_event_ns"] += [book.ts_event_ns or ts_recv_ns] * n
    columns["ts_recv_ns"] += [ts_recv_ns] * n
    columns["side"] += [int(Side.BUY)] * len(bids) + [int(Side.SELL)] * len(book.asks)
    columns["venue_seq"] += [book.link.last if book.link else NO_SEQ] * n
    columns["ref_id"] += list(book.orders) or [NO_ID] * n
    columns["code"] += list(book.actions) or [0] * n
    columns.setdefault("level", []).extend(bids)
    columns["level"].extend(book.asks)
    return n


def _add_event(columns: dict[str, list[Any]], event: Event, ts_recv_ns: int, *, last: bool) -> None:
    columns["flags"].append(int(Flag.MSG_LAST) if last else 0)
    columns["kind"].append(int(event.kind))
    columns["symbol"].append(event.symbol)
    columns["ts_event_ns"].append(event.ts_event_ns or ts_recv_ns)
    columns["ts_recv_ns"].append(ts_recv_ns)
    columns["side"].append(int(event.side))
    columns["venue_seq"].append(event.venue_seq)
    columns["ref_id"].append(NO_ID)
    columns["code"].append(0)
    columns.setdefault("level", []).append((event.price, event.qty))


def _table(columns: dict[str, list[Any]], events: list[tuple[int, Event]], n: int) -> MarketRows:
    types = dtypes(MarketRows)
    made = {name: np.zeros(n, dtype) for name, dtype in types.items()}
    for name in _FLOATS:
        made[name] = np.full(n, NAN)
    for name in _WRITTEN:
        made[name] = np.array(columns[name], types[name])
    level = np.array(columns.get("level", []), np.float64).reshape(n, 2)
    made["price"], made["qty"] = (
        np.ascontiguousarray(level[:, 0]),
        np.ascontiguousarray(level[:, 1]),
    )
    for kind, names in _BESIDE.items():
        index = [row for row, event in events if event.kind == kind]
        if index:
            for name in names:
                made[name][index] = [getattr(e, name) for _, e in events if e.kind == kind]
    return MarketRows(**made)


_BESIDE = {  # columns that a kind fills besides price and qty
    Kind.QUOTE: ("bid_px", "bid_qty", "ask_px", "ask_qty"),
    Kind.BAR: ("open", "high", "low", "ref"),
    Kind.FUNDING: ("ref",),
    Kind.MARK: ("ref",),
}
