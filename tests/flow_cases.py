"""Rows for the tests of order flow: made-up markets, hand-made ones, and a recorded one."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from operators.features.feature import Terms
from operators.features.flow.events import FlowEvents, FlowInput, flow_input
from operators.features.flow.registry import FEATURES
from operators.features.flow.rows import FlowFeature, FlowRows
from operators.features.signal import SignalBlock
from operators.features.signals import Signals, SignalsState
from schemas.instruments import Instrument, InstrumentArrays, InstrumentKind, InstrumentTable
from schemas.kinds import Flag, Kind
from schemas.rows import F8, I8, MarketRows, empty, take
from tests import feature_cases

START_NS = feature_cases.START_NS
SECOND_NS = 1_000_000_000
LEVELS = 5
NAMES = tuple(feature.name for feature in FEATURES)
N = 3  # instruments: 0 and 2 have quotes, 1 has not
TICK = np.full(N, 0.01)


def instruments() -> InstrumentArrays:
    return feature_cases.instruments()


class Flow(Signals):
    """The chosen features, of rows with the levels of their books beside them."""

    def __init__(
        self,
        table: InstrumentTable,
        names: Iterable[str] = NAMES,
        *,
        daily_qty: F8 | None = None,
    ) -> None:
        super().__init__(Terms.of(table, daily_qty=daily_qty), names)

    def step(self, state: SignalsState, rows: Any) -> tuple[SignalsState, SignalBlock]:
        market = empty(MarketRows, rows.kind.size)
        given = {name: getattr(rows, name) for name in rows._fields if name != "levels"}
        return self.step_behind_books(state, market._replace(**given), rows.levels)


def flow_rows(rows: FlowInput) -> FlowRows:
    operator = FlowEvents(instruments())
    return operator.step(operator.initial(), rows)[1]


def values(operator: FlowFeature[Any], rows: FlowRows) -> dict[str, F8]:
    """What an operator shows, column by column."""
    block = operator.step(operator.initial(), rows)[1].values
    return {name: block[:, j].copy() for j, name in enumerate(operator.NAMES)}


def hand_made(*rows: dict[str, Any]) -> FlowRows:
    """Rows of instrument 0, one second apart, unless they say otherwise; made by the below."""
    market = feature_cases.market([{n: v for n, v in r.items() if n != "levels"} for r in rows])
    levels = np.full((len(rows), 4, LEVELS), np.nan)
    for i, row in enumerate(rows):
        if "levels" in row:
            levels[i] = np.transpose(row["levels"])
    return flow_rows(flow_input(market, levels))


def at(seconds: float) -> int:
    return START_NS + round(seconds * SECOND_NS)


def quote(bid: float, ask: float, bid_qty: float = 1.0, ask_qty: float = 1.0, **more: Any) -> Any:
    return feature_cases.quote(bid, ask, bid_qty=bid_qty, ask_qty=ask_qty, **more)


def trade(price: float, qty: float = 1.0, side: int = 1, **more: Any) -> Any:
    return feature_cases.trade(price, **{"qty": qty, "side": side, **more})


def book(*levels: tuple[float, float, float, float], **more: Any) -> Any:
    """One whole message: bid price and quantity, ask price and quantity of each level."""
    known = [*levels, *[(np.nan,) * 4] * (LEVELS - len(levels))]
    return {"kind": Kind.BOOK, "flags": Flag.MSG_LAST, "levels": known, **more}


def mixed_flow(n: int, seed: int) -> FlowInput:
    """Half an hour or so of quotes, trades and book messages of three instruments.

    Now and then a side, a size, a price or the aggressor is missing, a quote is crossed, a venue
    time is late, nothing happens for half a minute, or a row is about something else.
    """
    random = np.random.default_rng(seed)
    rows = empty(MarketRows, n)
    rows.seq[:] = np.arange(n)
    k = random.integers(0, 3, n)
    rows.lane[:], rows.symbol[:] = np.array([1, 1, 3])[k], np.array([0, 1, 0])[k]
    rows.kind[:] = random.choice(
        [Kind.QUOTE, Kind.TRADE, Kind.BOOK, Kind.MARK], n, p=[0.4, 0.4, 0.18, 0.02]
    )
    rows.flags[:] = np.where(random.random(n) < 0.9, Flag.MSG_LAST, 0)
    rows.ts_event_ns[:] = START_NS + np.cumsum(
        random.integers(0, 800_000_000, n) + (random.random(n) < 0.002) * 30 * SECOND_NS
    )
    rows.ts_event_ns[:] -= random.integers(0, 2 * SECOND_NS, n) * (random.random(n) < 0.05)
    rows.ts_recv_ns[:] = rows.ts_event_ns
    mid = 10_000 + np.cumsum(random.integers(-2, 3, n))  # ticks
    qty = np.round(random.exponential(2.0, (2, n)), 2)
    quoted = rows.kind == Kind.QUOTE
    rows.bid_px[quoted] = ((mid - random.integers(0, 2, n)) / 100.0)[quoted]
    rows.ask_px[quoted] = ((mid + random.integers(0, 3, n)) / 100.0)[quoted]
    rows.bid_qty[quoted], rows.ask_qty[quoted] = qty[0][quoted], qty[1][quoted]
    for column in (rows.bid_px, rows.ask_px, rows.bid_qty, rows.ask_qty):
        column[random.random(n) < 0.003] = np.nan
    rows.bid_px[random.random(n) < 0.003] += 1.0
    traded = rows.kind == Kind.TRADE
    rows.side[traded] = random.choice([-1, 0, 1], n, p=[0.4, 0.1, 0.5])[traded]
    rows.price[traded] = ((mid + random.integers(-2, 3, n)) / 100.0)[traded]
    rows.qty[traded] = np.round(random.exponential(1.0, n) ** 2 + 0.01, 2)[traded]
    rows.price[random.random(n) < 0.003] = np.nan
    rows.qty[random.random(n) < 0.003] = 0.0
    rows.symbol[random.random(n) < 0.01] = 7
    rows.lane[random.random(n) < 0.01] = -1
    levels = np.empty((n, 4, LEVELS))
    gaps = np.cumsum(random.integers(1, 3, (2, n, LEVELS)), axis=2)
    levels[:, 0] = (mid[:, None] + 1 - gaps[0]) / 100.0
    levels[:, 2] = (mid[:, None] + gaps[1]) / 100.0
    levels[:, 1], levels[:, 3] = np.round(random.exponential(3.0, (2, n, LEVELS)), 2)
    gone = random.random(n) < 0.03
    levels[gone, :, 3:] = np.nan
    levels[random.random(n) < 0.003] = np.nan
    return flow_input(rows, levels)


def of(k: int, rows: FlowRows, column: Any) -> Any:
    """The values of one instrument's rows, in order."""
    return column[rows.k == k]


def slot_sums(ts_ns: I8, amounts: F8, *, slot_ns: int = 250_000_000, slots: int = 40) -> F8:
    """At each row the sum of all amounts so far in its slot and the 39 before, added up anew."""
    slot = ts_ns // slot_ns
    out = np.empty(ts_ns.size)
    for i in range(ts_ns.size):
        inside = slot[: i + 1] > slot[i] - slots
        out[i] = np.nansum(amounts[: i + 1][inside])
    return out


def recorded(
    data_path: Callable[[str], Path], name: str, *, tick: str, lot: str
) -> tuple[InstrumentTable, FlowInput]:
    """Quotes and trades of one recorded market, merged by the time of receipt; no levels."""
    trades = pq.read_table(data_path(f"trades/{name}.parquet"))
    quotes = pq.read_table(data_path(f"quotes/{name}.parquet"))
    nt, nq = trades.num_rows, quotes.num_rows
    rows = empty(MarketRows, nt + nq)
    rows.kind[:nt], rows.kind[nt:] = Kind.TRADE, Kind.QUOTE
    for column, theirs in (("price", "price"), ("qty", "size"), ("side", "side")):
        getattr(rows, column)[:nt] = trades[theirs].to_numpy()
    for column, theirs in (
        ("bid_px", "bid_px"), ("bid_qty", "bid_sz"), ("ask_px", "ask_px"), ("ask_qty", "ask_sz"),
    ):  # fmt: skip
        getattr(rows, column)[nt:] = quotes[theirs].to_numpy()
    for column, theirs in (("ts_event_ns", "ts_ns"), ("ts_recv_ns", "recv_ns")):
        getattr(rows, column)[:nt] = trades[theirs].to_numpy()
        getattr(rows, column)[nt:] = quotes[theirs].to_numpy()
    order = np.argsort(rows.ts_recv_ns, kind="stable")
    rows = take(rows, order)
    row = Instrument(
        lane=0, symbol=0, venue="v", name="S", kind=InstrumentKind.LINEAR, base="A", quote="USD",
        settle="USD", contract_size="1", tick=tick, lot=lot, fee_maker="0", fee_taker="0",
        can_short=True, has_quotes=True, binary_payout="0", clock_offset_ns=0, assumed="",
    )  # fmt: skip
    return InstrumentTable(1, "USD", (row,)), flow_input(rows)
