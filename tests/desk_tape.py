"""A made market of two lanes that keeps the whole desk busy: for properties, not for prices."""

from typing import Any

import numpy as np

from schemas.instruments import InstrumentKind, InstrumentTable
from schemas.kinds import NO_ID, NO_SYMBOL, Flag, Kind
from schemas.rows import FeatureRows, MarketRows, empty
from tests.desk_cases import DAY, MS, SECOND, START, instrument, lonely, table

PLACES = [(0, 0), (0, 1), (0, 2), (2, 0), (2, 1)]  # (lane, symbol) of the table's rows
OFFSETS_NS = [0, 250 * MS, -3 * MS, 0, 2 * SECOND]


def desk_table(lanes: int = 4) -> InstrumentTable:
    """Lane 0: an asset at three venues, one of them inverse. Lane 2: two, one of trades alone."""
    coin: dict[str, Any] = {
        "base": "BTC",
        "quote": "USDT",
        "settle": "USDT",
        "fee_taker": "0.00002",
    }
    return table(
        instrument(0, clock_offset_ns=OFFSETS_NS[0], **coin),
        instrument(1, clock_offset_ns=OFFSETS_NS[1], kind=InstrumentKind.LINEAR,
                   **{**coin, "contract_size": "0.01", "lot": "1"}),
        instrument(2, clock_offset_ns=OFFSETS_NS[2], kind=InstrumentKind.INVERSE,
                   **{**coin, "quote": "USD", "settle": "BTC", "contract_size": "10", "lot": "1"}),
        lonely(0, lane=2, clock_offset_ns=OFFSETS_NS[3], fee_taker="0.0001"),
        lonely(1, lane=2, clock_offset_ns=OFFSETS_NS[4], has_quotes=False, quote="EUR",
               base="JPY"),
        lanes=lanes,
    )  # fmt: skip


def desk_tape(
    n: int, seed: int, *, step_ns: int = 150 * MS, start_ns: int = START + 10 * SECOND
) -> tuple[MarketRows, FeatureRows]:
    """Rows in (ts_recv_ns, lane) order, without seq.

    Swings and the model's mind are drawn at random around the price, so that each engine often
    finds a zone; a fifth of the receive times are equal to the one before; quotes, trades,
    heartbeats and book rows are mixed; venue times lie in disorder between the kinds. Five
    hundred restless rows and five hundred quiet ones take turns, and now and then one venue leaps
    away from the others, so that quiet spreads are stretched.
    """
    random = np.random.default_rng(seed)
    market, features = empty(MarketRows, n), empty(FeatureRows, n)
    place = random.integers(0, len(PLACES), n)
    lane = np.array([lane for lane, _ in PLACES])[place]
    recv = start_ns + np.cumsum(random.integers(0, 2 * step_ns, n) * (random.random(n) > 0.2))
    order = np.lexsort((lane, recv))
    place, recv = place[order], recv[order]
    lane = np.array([lane for lane, _ in PLACES])[place]
    symbol = np.array([symbol for _, symbol in PLACES])[place]
    trades_only = place == 4
    kind = random.choice(
        [Kind.QUOTE, Kind.TRADE, Kind.HEARTBEAT, Kind.BOOK], n, p=[0.7, 0.2, 0.05, 0.05]
    )
    kind[trades_only & (kind == Kind.QUOTE)] = Kind.TRADE
    event = recv - np.array(OFFSETS_NS)[place] - random.integers(0, 40, n) * MS
    restless = np.where(np.arange(n) // 500 % 2, 0.1, 1.0)
    log_price = np.cumsum(random.normal(0.0, 2e-4, n) * restless) + np.log(100.0)
    apart = 1e-3 * restless * random.normal(size=n)
    apart += 4e-3 * random.choice([-1.0, 0.0, 1.0], n, p=[0.005, 0.99, 0.005])
    log_price += apart * (place < 3)
    level = np.array([1.0, 1.0, 1.0, 2.0, 1.0])[place]
    mid = np.exp(log_price) * level
    half = 0.05 * level
    beat = kind == Kind.HEARTBEAT
    symbol = np.where(beat, NO_SYMBOL, symbol)
    tick = (kind == Kind.QUOTE) | (kind == Kind.TRADE)
    quoted = tick & ~trades_only
    for rows in (market, features):
        rows.lane[:], rows.symbol[:], rows.kind[:] = lane, symbol, kind
        rows.ts_recv_ns[:], rows.ts_event_ns[:] = recv, np.where(beat, recv, event)
        rows.flags[:], rows.ref_id[:] = Flag.MSG_LAST, NO_ID
        rows.price[kind == Kind.TRADE] = mid[kind == Kind.TRADE]
        rows.qty[kind == Kind.TRADE] = 1.0
        rows.bid_px[quoted], rows.ask_px[quoted] = (mid - half)[quoted], (mid + half)[quoted]
    market.source_row[:] = np.arange(n)
    features.mid[tick] = mid[tick]
    _evidence(random, features, tick, mid)
    return market, features


def _evidence(
    random: np.random.Generator, features: FeatureRows, tick: np.ndarray, mid: np.ndarray
) -> None:
    n = tick.size
    leg = random.choice([-1.0, 1.0], n) * random.uniform(3.0, 6.0, n)
    given_back = random.choice([0.382, 0.5, 0.618, 0.786, 0.95], n)
    end = mid + given_back * leg
    columns = {
        "atr": random.uniform(0.3, 0.6, n),
        "pivot_px": end,
        "pivot_before_px": end - leg,
        "window_std": np.full(n, 1e-3),
        "window_std_slow": random.choice([0.6e-3, 1e-3], n),
        "window_change": random.choice([1e-4, 3e-3], n),
        "n_ticks": np.where(random.random(n) < 0.05, 100.0, 5000.0),
        "p_up": random.uniform(0.3, 0.7, n),
    }
    for name, values in columns.items():
        getattr(features, name)[tick] = values[tick]
    features.pivot_px[random.random(n) < 0.03] = np.nan


def across_midnights(n: int, seed: int, days: int) -> tuple[MarketRows, FeatureRows]:
    """The same, stretched over some days."""
    market, features = desk_tape(n, seed)
    origin = int(market.ts_recv_ns[0])
    span = int(market.ts_recv_ns[-1]) - origin
    for rows in (market, features):
        gap = np.int64(DAY) * ((rows.ts_recv_ns - origin) * days // (span + 1))
        rows.ts_recv_ns[:] += gap
        rows.ts_event_ns[:] += gap
    return market, features
