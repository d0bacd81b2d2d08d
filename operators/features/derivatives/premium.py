"""The premium: what a fund or perpetual trades at against what it stands for."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.flow.rows import show, show_nothing
from operators.features.scores import Scores, blank_scores, fade_of, score
from operators.features.signal import Signal, SignalInput
from operators.features.told import MARK, ToldRows, told_rows
from schemas.rows import F8, I8

SLOT_NS = 60_000_000_000  # the z-score takes one premium a minute
HALF_LIFE = 480.0  # minutes: 8 h
SLOTS_MIN = 60
PREMIUM, PREMIUM_Z = 0, 1


class PremiumState(NamedTuple):
    """One entry per instrument."""

    slot: I8  # number of the newest minute
    scores: Scores
    held: F8


class Premium(Signal[PremiumState]):
    """Price over index, less one.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.

    Notes
    -----
    In: SignalInput; rows of kind MARK, whose `price` is what the market pays and whose `ref` is the
    index: for an exchange-traded fund its price and its (indicative) net asset value per share, for
    a perpetual its mark and the index of its venue.
    Out: premium_bps, (price / ref - 1) * 10,000; premium_z, the z-score of the first premium of a
    minute against those before, half-life 8 h.
    Nulls: before the first MARK row with both; the z-score until 60 minutes with one. A row that
    lacks either, or where one is not positive, counts for nothing.
    Time: venue time, never back. Chunks: any split gives the same bytes.
    State: 56 bytes per instrument. Errors: none.
    Source: Petajisto (2017), Inefficiencies in the Pricing of Exchange-Traded Funds.
    """

    NAMES = ("premium_bps", "premium_z")

    def __init__(self, n_instruments: int) -> None:
        self.n_instruments = n_instruments

    def initial(self) -> PremiumState:
        n = self.n_instruments
        return PremiumState(
            np.zeros(n, np.int64), blank_scores(n), np.full((n, len(self.NAMES)), np.nan)
        )

    def fill(self, state: PremiumState, rows: SignalInput, values: F8, columns: I8) -> None:
        _walk(state, told_rows(rows), values, columns)


_FADE = fade_of(HALF_LIFE)


@kernel
def _walk(memory: PremiumState, rows: ToldRows, values: F8, columns: I8) -> None:
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < memory.slot.size:
            show_nothing(values, i, columns)
            continue
        if rows.kind[i] == MARK and rows.price[i] > 0.0 and rows.ref[i] > 0.0:
            premium = (rows.price[i] / rows.ref[i] - 1.0) * 1e4
            if math.fabs(premium) < np.inf:
                memory.held[k, PREMIUM] = premium
                slot = rows.event_ns[i] // SLOT_NS
                if slot > memory.slot[k]:
                    memory.slot[k] = slot
                    memory.held[k, PREMIUM_Z] = score(memory.scores, k, _FADE, SLOTS_MIN, premium)
        show(values, i, columns, memory.held, k)
