"""Rows for the tests of detectors: a small book by hand, made-up markets, and recorded ones."""

from typing import Any, NamedTuple

import numpy as np

from operators.arrays import ArrayOperator
from operators.features.detection.alarms import AlarmKind, AlarmRows, Alarms
from operators.features.detection.thresholds import Thresholds
from operators.features.flow.events import FlowEvents, flow_input
from operators.features.flow.rows import NO_INSTRUMENT
from operators.features.signal import Signal, SignalBlock, SignalInput
from operators.market.books.l2 import L2Books
from operators.market.books.l2_state import BookTerms, levels
from operators.market.books.sides import ASK, BID
from operators.market.books.words import BookState
from schemas.instruments import InstrumentArrays
from schemas.kinds import Flag, Kind
from schemas.rows import F8, MarketRows, empty, take
from tests import feature_cases

START_NS = feature_cases.START_NS
MS = 1_000_000
DEPTH = 5
BUY, SELL = 1, -1
LAST, SNAP = int(Flag.MSG_LAST), int(Flag.SNAPSHOT)
TICK = 0.01
_LAST_OF_MARKET = int(Kind.BOOK_STATUS)

Event = dict[str, Any]


def instruments() -> InstrumentArrays:
    """Three of them, tick 0.01, lot 0.01."""
    return feature_cases.instruments()


def book(at_ms: float, *changes: tuple[int, float, float], snapshot: bool = False) -> list[Event]:
    """One whole message: (side, price, quantity)."""
    flags = SNAP if snapshot else 0
    rows: list[Event] = [
        {"kind": Kind.BOOK, "side": side, "price": price, "qty": qty, "flags": flags, "ms": at_ms}
        for side, price, qty in changes
    ]
    rows[-1]["flags"] |= LAST
    return rows


def trade(at_ms: float, side: int, price: float, qty: float) -> list[Event]:
    """Somebody takes: `side` is the aggressor's."""
    return [
        {"kind": Kind.TRADE, "side": side, "price": price, "qty": qty, "flags": LAST, "ms": at_ms}
    ]


def opening(qty: float = 5.0, levels_: int = 8) -> list[Event]:
    """A snapshot around 100: bids at 99.99, 99.98, ..., asks at 100.01, 100.02, ..."""
    changes = [(BUY, round(100.0 - TICK * (1 + j), 2), qty) for j in range(levels_)]
    changes += [(SELL, round(100.0 + TICK * (1 + j), 2), qty) for j in range(levels_)]
    return book(0, *changes, snapshot=True)


def market(*parts: list[Event]) -> MarketRows:
    """Rows of instrument 0 at `ms` after the start; our clock is 3 ms behind the venue's."""
    events = [event for part in parts for event in part]
    rows = empty(MarketRows, len(events))
    rows.lane[:] = 1
    for i, event in enumerate(events):
        rows.seq[i] = rows.source_row[i] = i
        rows.ts_event_ns[i] = START_NS + round(event["ms"] * MS)
        rows.ts_recv_ns[i] = rows.ts_event_ns[i] + 3 * MS
        for name, value in event.items():
            if name != "ms":
                getattr(rows, name)[i] = value
    return rows


def best_levels(rows: MarketRows) -> F8:
    """The best levels after each whole message, by the real book."""
    table = instruments()
    operator = L2Books(table, BookTerms.full(table.lane.size))
    state, out = operator.initial(), np.full((rows.seq.size, 4, DEPTH), np.nan)
    for i in range(rows.seq.size):
        state, top = operator.step(state, take(rows, slice(i, i + 1)))
        if top.seq.size:
            k = int(table.base[rows.lane[i]] + rows.symbol[i])
            levels(state, 2 * k + BID, out[i, 0], out[i, 1])
            levels(state, 2 * k + ASK, out[i, 2], out[i, 3])
    return out


class Marked(NamedTuple):
    """The columns of MarketRows that differ in these tests, and the levels, to be cut by rows."""

    seq: Any
    lane: Any
    kind: Any
    flags: Any
    symbol: Any
    ts_event_ns: Any
    ts_recv_ns: Any
    side: Any
    code: Any
    ref_id: Any
    price: Any
    qty: Any
    bid_px: Any
    bid_qty: Any
    ask_px: Any
    ask_qty: Any
    levels: Any


def marked(rows: MarketRows) -> Marked:
    """The rows with their levels."""
    columns: dict[str, Any] = {name: getattr(rows, name) for name in Marked._fields[:-1]}
    return Marked(**columns, levels=best_levels(rows))


def market_of(rows: Marked) -> MarketRows:
    out = empty(MarketRows, rows.seq.size)
    return out._replace(**{name: getattr(rows, name) for name in Marked._fields[:-1]})


def known_k(rows: MarketRows, table: InstrumentArrays) -> Any:
    """The instrument of each row that is about one."""
    k = np.full(rows.seq.size, NO_INSTRUMENT, np.int32)
    for i in range(rows.seq.size):
        lane, symbol = int(rows.lane[i]), int(rows.symbol[i])
        known = rows.kind[i] <= _LAST_OF_MARKET and 0 <= lane < table.base.size
        if known and 0 <= symbol < table.n_of_lane[lane]:
            k[i] = table.base[lane] + symbol
    return k


class BehindState(NamedTuple):
    events: Any
    own: Any


class Behind(ArrayOperator[BehindState]):
    """A detector with what stands before it, so that its input is one flat table."""

    def __init__(self, operator: Any) -> None:
        self._operator = operator
        self._events = FlowEvents(instruments())

    def initial(self) -> BehindState:
        return BehindState(self._events.initial(), self._operator.initial())

    def step(self, state: BehindState, rows: Marked) -> tuple[BehindState, Any]:
        plain = market_of(rows)
        _, flow = self._events.step(state.events, flow_input(plain, rows.levels))
        _, out = self._operator.step(
            state.own, SignalInput(plain, known_k(plain, instruments()), flow)
        )
        return state, out


def signal_input(rows: MarketRows, table: InstrumentArrays, best: F8) -> SignalInput:
    events = FlowEvents(table)
    _, flow = events.step(events.initial(), flow_input(rows, best))
    return SignalInput(rows, known_k(rows, table), flow)


def alarms(rows: MarketRows, thresholds: Thresholds | None = None, **more: Any) -> AlarmRows:
    """All alarms of these rows."""
    operator = Alarms(instruments(), thresholds=thresholds, **more)
    made = signal_input(rows, instruments(), best_levels(rows))
    return operator.step(operator.initial(), made)[1]


def told(rows: AlarmRows, kind: AlarmKind) -> list[tuple[int, float, float, float]]:
    """(side, price, size, strength) of the alarms of a kind; numbers rounded."""
    return [
        (int(side), round(float(price), 4), round(float(size), 4), round(float(strength), 4))
        for k, side, price, size, strength in zip(
            rows.kind, rows.side, rows.price, rows.size, rows.strength, strict=True
        )
        if k == kind
    ]


def shown(operator: Signal[Any], rows: MarketRows) -> dict[str, F8]:
    """What a detector's features are after each row."""
    made = signal_input(rows, instruments(), best_levels(rows))
    block: SignalBlock = operator.step(operator.initial(), made)[1]
    return {name: block.values[:, j].copy() for j, name in enumerate(operator.NAMES)}


def busy_market(n: int, seed: int) -> MarketRows:
    """About `n` rows of three instruments' books and trades, around 100 ticks of 0.01.

    Orders come and go, some large, trades take from the best price, which is now and then filled up
    again with the same size. Messages have one to three rows; some are never finished, a gap is
    told, snapshots come again, rows have impossible numbers, times go back, and a few rows are
    about something else.
    """
    random = np.random.default_rng(seed)
    books: list[dict[int, dict[int, float]]] = []
    events: list[Event] = []
    places = [(1, 0), (1, 1), (3, 0)]

    def put(k: int, kind: Kind, **more: Any) -> None:
        lane, symbol = places[k]
        events.append({"kind": kind, "lane": lane, "symbol": symbol, "ms": now, **more})

    def snapshot(k: int) -> None:
        rows = [(s, t, q) for s in (BUY, SELL) for t, q in books[k][s].items() if q > 0.0]
        for j, (side, tick, qty) in enumerate(rows):
            flags = SNAP | (LAST if j == len(rows) - 1 else 0)
            put(k, Kind.BOOK, side=side, price=tick * TICK, qty=qty, flags=flags)

    now = 0.0
    for k in range(3):
        books.append(
            {side: {10_000 - side * (1 + j): 1.0 + j for j in range(6)} for side in (BUY, SELL)}
        )
        snapshot(k)
    while len(events) < n:
        now += float(random.exponential(25.0))
        k, side = int(random.integers(3)), int(random.choice([BUY, SELL]))
        levels_ = books[k][side]
        best = max(levels_) * 1 if side == BUY else min(levels_)
        what = random.random()
        if what < 0.45:
            tick = best - side * int(random.integers(0, 6))
            large = 8.0 if random.random() < 0.1 else 1.0
            levels_[tick] = round(levels_.get(tick, 0.0) + large * random.integers(1, 4) / 2.0, 2)
            rows = [(side, tick, levels_[tick])]
            for _ in range(int(random.integers(0, 3))):
                other = int(random.choice(list(levels_)))
                if len(levels_) > 3 and other != best:
                    left = 0.0 if random.random() < 0.5 else round(levels_[other] / 2.0, 2)
                    rows.append((side, other, left))
                    if left > 0.0:
                        levels_[other] = left
                    else:
                        del levels_[other]
            for j, (s, t, q) in enumerate(rows):
                last = LAST if j == len(rows) - 1 else 0
                put(k, Kind.BOOK, side=s, price=t * TICK, qty=q, flags=last)
        elif what < 0.55 and len(levels_) > 4:
            tick = int(random.choice([t for t in levels_ if t != best]))
            del levels_[tick]
            put(k, Kind.BOOK, side=side, price=tick * TICK, qty=0.0, flags=LAST)
        elif what < 0.9:
            take_qty = round(min(levels_[best], float(random.integers(1, 5)) / 2.0), 2)
            late = random.random() < 0.2
            left = round(levels_[best] - take_qty, 2)
            if random.random() < 0.4:
                left = round(left + 1.0, 2)
            if left <= 0.0 and len(levels_) < 4:
                left = 1.0
            if left > 0.0:
                levels_[best] = left
            else:
                del levels_[best]
            rows_: list[Event] = [
                {"kind": Kind.TRADE, "side": -side, "price": best * TICK, "qty": take_qty},
                {"kind": Kind.BOOK, "side": side, "price": best * TICK, "qty": left},
            ]
            for row in reversed(rows_) if late else rows_:
                put(k, row.pop("kind"), flags=LAST, **row)
        elif what < 0.93:
            put(k, Kind.QUOTE, flags=LAST, bid_px=99.9, bid_qty=1.0, ask_px=100.1, ask_qty=1.0)
        elif what < 0.94:
            snapshot(k)
        elif what < 0.945:
            put(k, Kind.BOOK, side=side, price=best * TICK, qty=np.nan, flags=LAST)
            snapshot(k)
        elif what < 0.95:
            put(k, Kind.BOOK_STATUS, code=int(BookState.GAP), flags=LAST)
            snapshot(k)
        elif what < 0.955:
            put(k, Kind.TRADE, side=0, price=np.nan, qty=-1.0, flags=LAST)
        elif what < 0.96:
            put(k, Kind.BOOK, side=side, price=best * TICK, qty=levels_[best], flags=0)
    rows_made = market(events)
    random_rows = random.random(rows_made.seq.size)
    rows_made.ts_event_ns[random_rows < 0.03] -= 40 * MS
    rows_made.symbol[random_rows > 0.998] = 7
    return rows_made
