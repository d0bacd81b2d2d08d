"""What a trade costs: effective spread, realised spread and price impact, and Roll's measure."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.flow.regression import Regression, add_point, blank_regression
from operators.features.flow.rows import TRADE, FlowFeature, FlowRows, show, show_nothing
from schemas.rows import F8, I8

SLOT_NS = 250_000_000  # trades of one slot are judged together
HORIZON_NS = 5_000_000_000  # after the slot: the mid that a realised spread is measured against
HORIZON_SLOTS = HORIZON_NS // SLOT_NS
RING = HORIZON_SLOTS + 1
HALF_LIFE_NS = 86_400_000_000_000  # a day
TRADES_MIN = 100  # before a mean is shown
EFFECTIVE, REALISED, IMPACT, ROLL = 0, 1, 2, 3


class SpreadsState(NamedTuple):
    """One entry per instrument."""

    slot: I8  # number of the newest slot
    mid: F8  # last mid so far; NaN where the last row had none
    ring: F8  # (instruments, RING, 4) of a slot's trades: n, and sums of effective, 2s, 2s/mid
    judged: I8  # number of the newest slot in the three means
    weight: F8  # of them
    trades: I8  # in them, unweighted
    means: F8  # (instruments, 3) effective, realised, impact; fractions of the mid
    price: F8  # of the last trade
    change: F8  # the price's last change
    price_ns: I8  # time of the last trade
    changes: Regression  # of each change on the one before
    n_changes: I8
    held: F8


class Spreads(FlowFeature[SpreadsState]):
    """Means of what trades cost against the mid, and of how their prices bounce.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.
    half_life_ns : int
        Market time after which a trade counts half.

    Notes
    -----
    In: FlowRows. Out: FlowBlock of spread_effective_bps, mean of 2 s (p - m) / m with the mid m at
    the trade; spread_realised_bps, mean of 2 s (p - m') / m with the mid m' 5 s after the end of
    the trade's slot of 250 ms; impact_bps, mean of 2 s (m' - m) / m. All three are of the same
    trades, so effective = realised + impact, and a trade enters them when m' is known. Rows count
    in the order of the log: where a venue's quotes arrive before the trades that made them, m is
    already the mid after the trade, and what is effective comes out too small.
    roll_spread: 2 sqrt(-cov) of consecutive changes of the trades' price, quote units; 0 where the
    covariance is positive.
    Nulls: until 100 trades; trades without a known aggressor or a mid at both times count for
    nothing in the first three.
    Time: venue time. Chunks: any split gives the same bytes. State: 856 bytes per instrument.
    Errors: ValueError if half_life_ns is not positive.
    Source: Huang, Stoll (1996), Dealer versus Auction Markets; Roll (1984), A Simple Implicit
    Measure of the Effective Bid-Ask Spread.
    """

    NAMES = ("spread_effective_bps", "spread_realised_bps", "impact_bps", "roll_spread")

    def __init__(self, n_instruments: int, *, half_life_ns: int = HALF_LIFE_NS) -> None:
        if half_life_ns <= 0:
            raise ValueError(f"half_life_ns must be positive, was {half_life_ns}")
        self.n_instruments = n_instruments
        self._tau_ns = half_life_ns / math.log(2.0)

    def initial(self) -> SpreadsState:
        n = self.n_instruments
        nan, zero = np.full(n, np.nan), np.zeros(n)
        count = np.zeros(n, np.int64)
        return SpreadsState(
            slot=count, mid=nan, ring=np.zeros((n, RING, 4)), judged=count.copy(), weight=zero,
            trades=count.copy(),
            means=np.zeros((n, 3)), price=nan.copy(), change=nan.copy(), price_ns=count.copy(),
            changes=blank_regression(n), n_changes=count.copy(),
            held=np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: SpreadsState, rows: FlowRows, values: F8, columns: I8) -> None:
        _walk(state, self._tau_ns, rows, values, columns)


@kernel
def _mature(memory: SpreadsState, tau_ns: float, k: int, slot: int) -> None:
    """Slots whose horizon has passed are judged by the last mid before this slot."""
    ahead = slot - memory.slot[k]
    if ahead <= 0:
        return
    ring, mid = memory.ring[k], memory.mid[k]
    for old in range(min(ahead, RING)):  # the newest slot is at slot % RING, the oldest behind it
        place = (memory.slot[k] + 1 + old) % RING
        trades = ring[place, 0]
        if trades > 0.0 and not np.isnan(mid):
            number = memory.slot[k] - HORIZON_SLOTS + old
            fade = math.exp((memory.judged[k] - number) * SLOT_NS / tau_ns)
            moved = mid * ring[place, 3] - ring[place, 2]
            weight = fade * memory.weight[k] + trades
            means, effective = memory.means[k], ring[place, 1]
            means[0] += (effective - trades * means[0]) / weight
            means[1] += (effective - moved - trades * means[1]) / weight
            means[2] += (moved - trades * means[2]) / weight
            memory.weight[k], memory.judged[k] = weight, number
            memory.trades[k] += int(trades)
        for j in range(4):
            ring[place, j] = 0.0
    memory.slot[k] = slot
    if memory.trades[k] >= TRADES_MIN:
        for j in range(3):
            memory.held[k, EFFECTIVE + j] = memory.means[k, j] * 1e4


@kernel
def _bounce(memory: SpreadsState, tau_ns: float, k: int, ts_ns: int, price: float) -> None:
    change, before = price - memory.price[k], memory.change[k]
    passed_ns = ts_ns - memory.price_ns[k]
    memory.price[k], memory.change[k], memory.price_ns[k] = price, change, ts_ns
    if np.isnan(change + before):
        return
    add_point(memory.changes, k, math.exp(-passed_ns / tau_ns), before, change)
    memory.n_changes[k] += 1
    if memory.n_changes[k] >= TRADES_MIN:
        covariance = memory.changes.xy[k] / memory.changes.weight[k]
        memory.held[k, ROLL] = 2.0 * math.sqrt(max(-covariance, 0.0))


@kernel
def _walk(memory: SpreadsState, tau_ns: float, rows: FlowRows, values: F8, columns: I8) -> None:
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < memory.slot.size:
            show_nothing(values, i, columns)
            continue
        ts_ns, mid = rows.ts_ns[i], rows.mid[i]
        _mature(memory, tau_ns, k, ts_ns // SLOT_NS)
        memory.mid[k] = mid
        if rows.event[i] & TRADE:
            price, sign = rows.price[i], rows.sign[i]
            _bounce(memory, tau_ns, k, ts_ns, price)
            quoted = rows.bid_px[i] + rows.ask_px[i]
            if sign != 0.0 and not np.isnan(quoted):
                sums = memory.ring[k, memory.slot[k] % RING]
                sums[0] += 1.0
                sums[1] += 2.0 * sign * (price - mid) / mid
                sums[2] += 2.0 * sign
                sums[3] += 2.0 * sign / mid
        show(values, i, columns, memory.held, k)
