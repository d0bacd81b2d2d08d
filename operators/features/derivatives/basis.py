"""The basis: a perpetual or future against the spot market of the same asset."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.flow.rows import show, show_nothing
from operators.features.signal import Signal, SignalInput
from operators.features.told import ToldRows, price_of, told_rows
from schemas.instruments import InstrumentArrays, InstrumentKind, InstrumentTable
from schemas.rows import F8, I4, I8

STALE_NS = 300_000_000_000  # 5 min: the longest that a price counts against a newer one
YEAR_NS = 365 * 86_400_000_000_000
TERM_NS_MIN = 86_400_000_000_000  # a day: below it a tick of basis is hundreds of percent a year
BASIS, ANNUAL = 0, 1


class BasisState(NamedTuple):
    """One entry per instrument."""

    price: F8  # last known, quote units
    log_ns: I8  # our clock, when it came
    held: F8


class Basis(Signal[BasisState]):
    """How far a perpetual or future stands above its spot market.

    Parameters
    ----------
    table : InstrumentTable
        Its kinds, expiries and partners are used.

    Notes
    -----
    In: SignalInput; whatever has a price (mid of quotes or trades, mark, a bar's close).
    Out: basis_bps, (F / S - 1) * 10,000, with S the first spot market among the partners of the
    instrument (same lane, same base, quote assets worth the same); basis_annual, ln(F / S) per year
    of 365 days to expiry, a fraction. Inverse contracts are quoted in dollars as the others are, so
    their prices compare as they stand; only their payoff differs.
    Nulls: for an instrument that is no contract or has no spot partner, while one of the prices is
    not known or 5 min older than the other's; basis_annual also for what has no expiry, and on its
    last day.
    Time: ages by our clock, terms by the venue's. Chunks: any split gives the same bytes.
    State: 32 bytes per instrument. Errors: none.
    Source: Hull, Options, Futures, and Other Derivatives, chapter 5.
    """

    NAMES = ("basis_bps", "basis_annual")

    def __init__(self, table: InstrumentTable) -> None:
        self._spot = spot_partners(table.arrays())
        self._expiry_ns = np.array([i.expiry_ns for i in table.instruments], np.int64)

    def initial(self) -> BasisState:
        n = self._spot.size
        return BasisState(
            np.full(n, np.nan), np.zeros(n, np.int64), np.full((n, len(self.NAMES)), np.nan)
        )

    def fill(self, state: BasisState, rows: SignalInput, values: F8, columns: I8) -> None:
        _walk(state, self._spot, self._expiry_ns, told_rows(rows), values, columns)


def spot_partners(instruments: InstrumentArrays) -> I4:
    """Per instrument the row of its first partner that is a spot market.

    -1 where there is none, and for what is no perpetual or future.
    """
    contracts = (InstrumentKind.LINEAR, InstrumentKind.INVERSE)
    found = np.full(instruments.lane.size, -1, np.int32)
    for k in np.flatnonzero(np.isin(instruments.kind, contracts)):
        spots = [p for p in instruments.partners[k] if p >= 0
                 and instruments.kind[p] == InstrumentKind.SPOT]  # fmt: skip
        found[k] = spots[0] if spots else -1
    return found


@kernel
def _walk(
    memory: BasisState, spot: I4, expiry_ns: I8, rows: ToldRows, values: F8, columns: I8
) -> None:
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < spot.size:
            show_nothing(values, i, columns)
            continue
        price = price_of(rows, i)
        if not np.isnan(price):
            memory.price[k], memory.log_ns[k] = price, rows.log_ns[i]
        other = spot[k]
        if other >= 0:
            held = memory.held[k]
            held[BASIS] = held[ANNUAL] = np.nan
            ratio = memory.price[k] / memory.price[other]
            apart_ns = abs(memory.log_ns[k] - memory.log_ns[other])
            if not np.isnan(ratio) and apart_ns <= STALE_NS:
                held[BASIS] = (ratio - 1.0) * 1e4
                left_ns = expiry_ns[k] - rows.event_ns[i]
                if left_ns >= TERM_NS_MIN:
                    held[ANNUAL] = math.log(ratio) * YEAR_NS / left_ns
        show(values, i, columns, memory.held, k)
