"""Rows for the tests of the feature tier."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from operators.features.prices import PriceRows
from schemas.instruments import Instrument, InstrumentArrays, InstrumentKind, InstrumentTable
from schemas.kinds import NO_SYMBOL, Kind
from schemas.rows import MarketRows, empty

START_NS = 1_400_000_000_000_000_000


def instrument(lane: int, symbol: int, *, has_quotes: bool) -> Instrument:
    return Instrument(
        lane=lane, symbol=symbol, venue=f"v{lane}", name=f"S{symbol}", kind=InstrumentKind.SPOT,
        base=f"A{lane}{symbol}", quote="USD", settle="USD", contract_size="1", tick="0.01",
        lot="0.01", fee_maker="0", fee_taker="0", can_short=True, has_quotes=has_quotes,
        binary_payout="0", clock_offset_ns=0, assumed="",
    )  # fmt: skip


def instruments() -> InstrumentArrays:
    return table().arrays()


def table() -> InstrumentTable:
    """Lane 1: rows 0 (quotes) and 1 (trades only). Lane 3: row 2 (quotes). Lanes 0, 2: none."""
    rows = (
        instrument(1, 0, has_quotes=True),
        instrument(1, 1, has_quotes=False),
        instrument(3, 0, has_quotes=True),
    )
    return InstrumentTable(lanes=4, desk_currency="USD", instruments=rows)


def market(rows: list[dict[str, Any]]) -> MarketRows:
    """Market rows of lane 1, symbol 0, one second apart, unless a row says otherwise."""
    table = empty(MarketRows, len(rows))
    for i, row in enumerate(rows):
        common = {"seq": i, "lane": 1, "symbol": 0, "ts_event_ns": START_NS + i * 1_000_000_000}
        for name, value in {**common, **row}.items():
            getattr(table, name)[i] = value
    return table


def quote(bid: float, ask: float, **more: Any) -> dict[str, Any]:
    return {"kind": Kind.QUOTE, "bid_px": bid, "ask_px": ask, **more}


def trade(price: float, **more: Any) -> dict[str, Any]:
    return {"kind": Kind.TRADE, "price": price, "qty": 1.0, **more}


def mixed_market(n: int, seed: int) -> MarketRows:
    """Quotes and trades of three instruments, one side missing now and then, and in between
    unknown symbols and lanes, heartbeats, reports, book rows and late venue times.
    """
    random = np.random.default_rng(seed)
    rows = empty(MarketRows, n)
    rows.seq[:] = np.arange(n)
    k = random.integers(0, 3, n)
    rows.lane[:] = np.array([1, 1, 3])[k]
    rows.symbol[:] = np.array([0, 1, 0])[k]
    rows.kind[:] = random.choice(
        [Kind.QUOTE, Kind.TRADE, Kind.BOOK, Kind.REPORT, Kind.HEARTBEAT],
        n, p=[0.6, 0.3, 0.04, 0.03, 0.03],
    )  # fmt: skip
    heartbeat = rows.kind == Kind.HEARTBEAT
    rows.symbol[heartbeat] = NO_SYMBOL
    rows.symbol[random.random(n) < 0.02] = 7
    rows.lane[random.random(n) < 0.01] = 9
    rows.lane[random.random(n) < 0.01] = -1
    start = np.array([1.38, 61_000.0, 0.5])[k]
    mid = start * np.exp(np.cumsum(random.normal(0.0, 2e-4, n)) * (random.random(n) > 0.3))
    rows.price[rows.kind == Kind.TRADE] = mid[rows.kind == Kind.TRADE]
    rows.bid_px[rows.kind == Kind.QUOTE] = (mid * 0.9999)[rows.kind == Kind.QUOTE]
    rows.ask_px[rows.kind == Kind.QUOTE] = (mid * 1.0001)[rows.kind == Kind.QUOTE]
    rows.bid_px[random.random(n) < 0.01] = np.nan
    rows.ask_px[random.random(n) < 0.01] = np.nan
    rows.ts_event_ns[:] = START_NS + np.cumsum(random.integers(0, 700_000_000, n))
    rows.ts_event_ns[:] -= random.integers(0, 2_000_000_000, n) * (random.random(n) < 0.1)
    rows.ts_recv_ns[:] = START_NS + np.arange(n) * 1_000_000
    return rows


def recorded_quotes(path: Path, n: int) -> MarketRows:
    """The first quotes of a recording, as instrument 0 of lane 1."""
    table = pq.read_table(path, columns=["ts_ns", "bid_px", "ask_px"]).slice(0, n)
    rows = empty(MarketRows, n)
    rows.seq[:], rows.lane[:], rows.kind[:] = np.arange(n), 1, Kind.QUOTE
    rows.ts_event_ns[:] = rows.ts_recv_ns[:] = table["ts_ns"].to_numpy()
    rows.bid_px[:], rows.ask_px[:] = table["bid_px"].to_numpy(), table["ask_px"].to_numpy()
    return rows


def prices(mid: Any, *, k: Any = 0, ts_event_ns: Any = None, spread: float = 0.0) -> PriceRows:
    """Price rows of these mids; rows of a negative `k` are no ticks."""
    mid = np.array(mid, dtype=np.float64)
    n = mid.size
    ks = np.broadcast_to(np.asarray(k, np.int32), n).copy()
    times = START_NS + 1_000_000_000 * np.arange(n) if ts_event_ns is None else ts_event_ns
    mid[ks < 0] = np.nan
    return PriceRows(
        k=ks, ts_event_ns=np.array(times, np.int64), mid=mid, log_mid=np.log(mid),
        bid=mid - spread / 2, ask=mid + spread / 2, n_ticks=np.full(n, np.nan),
    )  # fmt: skip


def random_prices(n: int, seed: int, *, instruments: int = 3) -> PriceRows:
    """Random walks of a few instruments with flat stretches, jumps and rows that are no ticks."""
    random = np.random.default_rng(seed)
    k = random.integers(-1, instruments, n)
    step = random.normal(0.0, 3e-4, n) * (random.random(n) > 0.4)
    step[random.random(n) < 0.002] = 0.01
    times = START_NS + np.cumsum(random.integers(0, 900_000_000, n))
    times -= random.integers(0, 3_000_000_000, n) * (random.random(n) < 0.05)
    return prices(1.38 * np.exp(np.cumsum(step)), k=k, ts_event_ns=times, spread=1e-4)


def of(k: int, rows: Any, column: Any) -> Any:
    """The values of one instrument's ticks, in order."""
    return column[rows.k == k]
