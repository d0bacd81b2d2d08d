"""Bars and rows for the tests of market structure."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from operators.features.flow.events import FlowEvents, FlowInput, flow_input
from operators.features.flow.rows import FlowRows
from operators.features.signal import Signal, SignalInput
from operators.features.structure.marks import MarkRows, Marks
from schemas.kinds import Kind
from schemas.rows import F8, MarketRows, empty, take
from tests import feature_cases
from tests.flow_cases import instruments, mixed_flow

BAR_NS = 60_000_000_000
START_NS = (feature_cases.START_NS // BAR_NS + 1) * BAR_NS
ROWS_OF_BAR = 4  # trades: open, one end, the other end, close


class Bar(NamedTuple):
    open: float
    high: float
    low: float
    close: float
    qty: float = 4.0


def signal_input(rows: FlowInput, market: MarketRows) -> SignalInput:
    events = FlowEvents(instruments())
    flow = events.step(events.initial(), rows)[1]
    known = (market.lane == 1) & (market.symbol >= 0) & (market.symbol < 2)
    k = np.where(known, market.symbol, -1)
    k[(market.lane == 3) & (market.symbol == 0)] = 2
    return SignalInput(market, k.astype(np.int32), flow)


def rows_of(bars: Sequence[Sequence[float]]) -> SignalInput:
    """Four trades a minute of instrument 1, which has no quotes, and one after the last bar.

    A bar that rose was at its low first, others at their high.
    """
    n = len(bars) * ROWS_OF_BAR + 1
    market = empty(MarketRows, n)
    market.seq[:], market.lane[:], market.symbol[:] = np.arange(n), 1, 1
    market.kind[:] = Kind.TRADE
    market.ts_event_ns[:] = START_NS + np.arange(n) * (BAR_NS // ROWS_OF_BAR)
    market.price[-1], market.qty[:] = bars[-1][3], 1.0
    for b, bar in enumerate(bars):
        o, h, low, c, qty = Bar(*bar)
        ends = (low, h) if c > o else (h, low)
        at = slice(b * ROWS_OF_BAR, (b + 1) * ROWS_OF_BAR)
        market.price[at], market.qty[at] = (o, *ends, c), qty / ROWS_OF_BAR
    return signal_input(flow_input(market), market)


def quoted_rows_of(bars: Sequence[Sequence[float]]) -> SignalInput:
    """The same of instrument 0, whose quotes have the prices: a quote, then a trade a bit off."""
    trades = rows_of(bars).market
    market = take(trades, np.repeat(np.arange(trades.seq.size), 2))
    market.seq[:], market.symbol[:] = np.arange(market.seq.size), 0
    market.kind[::2], market.bid_px[::2], market.ask_px[::2] = (
        Kind.QUOTE,
        trades.price,
        trades.price,
    )
    market.price[1::2] += 0.25
    return signal_input(flow_input(market), market)


def per_bar(
    operator: Signal[Any], bars: Sequence[Sequence[float]], *, quoted: bool = False
) -> dict[str, F8]:
    """What is shown when each bar has closed, column by column."""
    rows = quoted_rows_of(bars) if quoted else rows_of(bars)
    each = ROWS_OF_BAR * (2 if quoted else 1)
    closed = operator.step(operator.initial(), rows)[1].values[each::each]
    return {name: closed[:, j].copy() for j, name in enumerate(operator.NAMES)}


def marks_of(bars: Sequence[Sequence[float]]) -> MarkRows:
    operator = Marks(3)
    return operator.step(operator.initial(), rows_of(bars))[1]


def bar_of(ts_ns: Any) -> Any:
    """The number of the bar in which a time lies; for marks, that of the bar which closed then."""
    return (ts_ns - START_NS) // BAR_NS


def walk(n: int, seed: int, *, low: int = 60, high: int = 10_000) -> list[Bar]:
    """A random walk of bars on a grid of 64ths about 150, reflected at two ends (in 64ths)."""
    random = np.random.default_rng(seed)
    bars, x = [], (low + min(high, 19_140)) // 2
    for _ in range(n):
        steps = random.integers(-9, 10, 12)
        path = [x]
        for step in steps:
            x += int(step) if low <= x + step <= high else -int(step)
            path.append(x)
        if path[-1] == path[0]:  # a bar that neither rose nor fell has no first end
            x += 1 if x < high else -1
            path.append(x)
        prices = [p / 64.0 for p in path]
        bars.append(
            Bar(prices[0], max(prices), min(prices), prices[-1], float(random.integers(4, 40)))
        )
    return bars


def mirrored(bars: Sequence[Sequence[float]], about: float) -> list[Bar]:
    """Upside down."""
    return [
        Bar(about - b.open, about - b.low, about - b.high, about - b.close, b.qty)
        for b in (Bar(*bar) for bar in bars)
    ]


def scaled(bars: Sequence[Sequence[float]], by: float) -> list[Bar]:
    return [
        Bar(b.open * by, b.high * by, b.low * by, b.close * by, b.qty)
        for b in (Bar(*bar) for bar in bars)
    ]


def mixed_rows(n: int, seed: int, *, faster: int = 1) -> SignalInput:
    """`mixed_flow` as signal input; time runs `faster` times as fast, so that bars go by."""
    rows = mixed_flow(n, seed)
    ts_ns = START_NS + (rows.ts_event_ns - feature_cases.START_NS) * faster
    rows = rows._replace(ts_event_ns=ts_ns)
    market = empty(MarketRows, n)
    market.seq[:] = np.arange(n)
    for name in FlowInput._fields[:-1]:
        getattr(market, name)[:] = getattr(rows, name)
    return signal_input(rows, market)


def take_input(rows: SignalInput, index: Any) -> SignalInput:
    return SignalInput(take(rows.market, index), np.array(rows.k[index]), take(rows.flow, index))


class Columns(NamedTuple):
    """Signal input as one flat table, as `check_operator` wants it."""

    seq: Any
    lane: Any
    symbol: Any
    k: Any
    flow_k: Any
    event: Any
    ts_ns: Any
    mid: Any
    qty: Any


class OfColumns:
    """An operator that is fed by flat tables."""

    def __init__(self, operator: Any) -> None:
        self._operator = operator
        self.initial, self.dump, self.load = operator.initial, operator.dump, operator.load

    def step(self, state: Any, rows: Columns) -> Any:
        market = empty(MarketRows, rows.k.size)._replace(
            seq=rows.seq, lane=rows.lane, symbol=rows.symbol
        )
        flow = blank_flow(rows.k.size)._replace(
            k=rows.flow_k, event=rows.event, ts_ns=rows.ts_ns, mid=rows.mid, qty=rows.qty
        )
        return self._operator.step(state, SignalInput(market, rows.k, flow))


def blank_flow(n: int) -> FlowRows:
    blank: list[Any] = [np.full(n, np.nan)] * (len(FlowRows._fields) - 1)
    return FlowRows._make([*blank, np.empty((n, 4, 0))])


def columns(rows: SignalInput) -> Columns:
    market, flow = rows.market, rows.flow
    return Columns(
        market.seq, market.lane, market.symbol, rows.k, flow.k, flow.event, flow.ts_ns, flow.mid,
        flow.qty,
    )  # fmt: skip
