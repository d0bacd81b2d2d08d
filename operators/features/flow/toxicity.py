"""Flow toxicity: how one-sided the last buckets of equal volume were."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.flow.rows import TRADE, FlowFeature, FlowRows, show, show_nothing
from schemas.rows import F8, I8

SIGNED, BULK = 0, 1  # by the aggressors, by the price change of the whole bucket
SIGMA_FADE = 1.0 - 0.5 ** (1.0 / 50.0)  # half-life of 50 buckets
FULL = 1e-9  # share of a bucket that may miss: decimal quantities do not add up in binary
_LOG_KEPT = math.log(1.0 - SIGMA_FADE)
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Buckets:
    """How large a bucket is, never by what is still to come.

    `per_day` > 0: a share of the configured daily volume. 0: a `per_measure`-th of what traded in
    the first `measure_ns` of the instrument, from then on for ever.
    """

    n: int  # buckets in the mean
    per_day: int = 0
    measure_ns: int = 0
    per_measure: int = 0


PAPER = Buckets(n=50, per_day=50)
# At an even pace 30 s of measuring and 30 buckets of 1 s: warm within 2 minutes as long as the pace
# does not fall below a third. Buckets of 2 s took 125 s on a coin-margined perpetual of Binance.
SHORT = Buckets(n=30, measure_ns=30_000_000_000, per_measure=30)


class ToxicityState(NamedTuple):
    """One entry per instrument."""

    start_ns: I8  # time of the first trade, _NEVER before
    measured: F8  # volume while the bucket's size is being measured
    bucket: F8  # its size, NaN until it is known
    filled: F8  # volume in the open bucket
    buys: F8  # of it by buyers; half of what has no known aggressor
    price: F8  # of the trade that closed the bucket before
    square: F8  # exponential mean of squared price changes from bucket to bucket
    n: I8  # (instruments, 2) buckets closed
    ring: F8  # (instruments, 2, n) their |buys - sells|, bucket j at j % n
    held: F8


class Toxicity(FlowFeature[ToxicityState]):
    """Mean imbalance of the last buckets, known as VPIN: 0 balanced, 1 all on one side.

    Parameters
    ----------
    daily_qty : float64, shape (instruments,)
        What usually trades in a day, instrument's units; NaN where not configured. Only read if
        the buckets are a share of it.
    buckets : Buckets
        PAPER or SHORT.
    suffix : str
        Behind the names, to tell two of them apart.

    Notes
    -----
    In: FlowRows. Out: FlowBlock of toxicity, sum |Vb - Vs| / (n V) with the aggressors' sides, and
    toxicity_bvc, with Vb = V Phi(dP / sigma) from the price change of the bucket, for feeds that do
    not tell the aggressor. sigma^2 is the exponential mean of dP^2, half-life 50 buckets, of the
    buckets before. A trade is split at a bucket's edge, so that volume is conserved.
    Nulls: until n buckets are full; PAPER also where no daily volume is configured.
    Time: volume; SHORT measures its bucket over 30 s of market time.
    Chunks: any split gives the same bytes. State: 88 bytes and 16 n per instrument.
    Errors: ValueError for a daily volume that is not positive.
    Source: Easley, Lopez de Prado, O'Hara (2012), Flow Toxicity and Liquidity in a High-frequency
    World. Andersen, Bondarenko (2013) find the bulk form inferior: prefer the first.
    """

    def __init__(self, daily_qty: F8, *, buckets: Buckets, suffix: str = "") -> None:
        if (daily_qty <= 0.0).any() or np.isinf(daily_qty).any():
            raise ValueError(f"daily_qty must be positive, or NaN if not known, was {daily_qty}")
        self.NAMES = (f"toxicity{suffix}", f"toxicity{suffix}_bvc")
        self._daily_qty, self._buckets = daily_qty, buckets

    def initial(self) -> ToxicityState:
        n, per_day = self._daily_qty.size, self._buckets.per_day
        size = self._daily_qty / per_day if per_day else np.full(n, np.nan)
        zero = np.zeros(n)
        return ToxicityState(
            start_ns=np.full(n, _NEVER), measured=zero, bucket=size, filled=zero.copy(),
            buys=zero.copy(), price=np.full(n, np.nan), square=np.full(n, np.nan),
            n=np.zeros((n, 2), np.int64), ring=np.zeros((n, 2, self._buckets.n)),
            held=np.full((n, 2), np.nan),
        )  # fmt: skip

    def fill(self, state: ToxicityState, rows: FlowRows, values: F8, columns: I8) -> None:
        terms = self._buckets
        _walk(state, terms.measure_ns, terms.per_measure, rows, values, columns)


@kernel
def bulk_share(change: float, sigma: float) -> float:
    """Share of a bucket's volume that is taken for buying: Phi(change / sigma)."""
    if change == 0.0 or sigma == 0.0:
        return 0.5 if change == 0.0 else 1.0 if change > 0.0 else 0.0
    return 0.5 * math.erfc(-change / (sigma * math.sqrt(2.0)))


@kernel
def _walk(
    memory: ToxicityState, measure_ns: int, per_measure: int, rows: FlowRows, values: F8,
    columns: I8,
) -> None:  # fmt: skip
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < memory.start_ns.size:
            show_nothing(values, i, columns)
            continue
        if rows.event[i] & TRADE:
            ts_ns, qty = rows.ts_ns[i], rows.qty[i]
            if memory.start_ns[k] == _NEVER:
                memory.start_ns[k] = ts_ns
            if np.isnan(memory.bucket[k]) and measure_ns > 0:
                if ts_ns - memory.start_ns[k] >= measure_ns:
                    memory.bucket[k] = memory.measured[k] / per_measure
                else:
                    memory.measured[k] += qty
            if not np.isnan(memory.bucket[k]):
                _pour(memory, k, qty, rows.sign[i], rows.price[i])
        show(values, i, columns, memory.held, k)


@kernel
def _pour(memory: ToxicityState, k: int, qty: float, sign: float, price: float) -> None:
    """Fill buckets with one trade."""
    size, share = memory.bucket[k], (1.0 + sign) / 2.0
    kept = memory.ring.shape[2]
    skipped = math.floor(qty / size) - (kept + 2)
    if skipped > 0:  # buckets alike that would only push each other out: they are counted, not made
        qty -= skipped * size
    while qty > 0.0:
        room = size - memory.filled[k]
        poured = min(qty, room)
        memory.buys[k] += share * poured
        if qty < room - FULL * size:
            memory.filled[k] += qty
            break
        qty -= poured
        _close(memory, k, price)
    if skipped > 0:
        memory.n[k, SIGNED] += skipped
        if not np.isnan(memory.square[k]):
            memory.n[k, BULK] += skipped
            memory.square[k] *= math.exp(skipped * _LOG_KEPT)


@kernel
def _close(memory: ToxicityState, k: int, price: float) -> None:
    """The open bucket is full; the trade that filled it had this price."""
    size = memory.bucket[k]
    _count(memory, k, SIGNED, math.fabs(2.0 * memory.buys[k] - size))
    change, square = price - memory.price[k], memory.square[k]
    if not np.isnan(square):
        share = bulk_share(change, math.sqrt(square))
        _count(memory, k, BULK, math.fabs(2.0 * share - 1.0) * size)
        memory.square[k] = square + SIGMA_FADE * (change * change - square)
    elif change != 0.0:  # NaN after the first bucket; a 0 says nothing of the scale
        memory.square[k] = change * change
    memory.price[k] = price
    memory.filled[k] = memory.buys[k] = 0.0


@kernel
def _count(memory: ToxicityState, k: int, which: int, imbalance: float) -> None:
    ring = memory.ring[k, which]
    ring[memory.n[k, which] % ring.size] = imbalance
    memory.n[k, which] += 1
    if memory.n[k, which] >= ring.size:
        total = 0.0
        for j in range(ring.size):
            total += ring[j]
        memory.held[k, which] = total / (ring.size * memory.bucket[k])
