"""Positions against the price: who opens, who gives up, and who pays for it."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.derivatives.rates import Rates, blank_rates, stretch_of
from operators.features.flow.rows import show, show_nothing
from operators.features.scores import Scores, blank_scores, fade_of, score
from operators.features.signal import Signal, SignalInput
from operators.features.told import (
    FUNDING,
    OPEN_INTEREST,
    ToldRows,
    price_of,
    told_rows,
)
from schemas.rows import F8, I1, I8

SLOTS = 32  # the window moves by a 32nd of its length
HOUR_NS = 3_600_000_000_000
CHANGE_HALF_LIFE = 672.0  # slots: a week of 15 min, 21 h of slots of the window of 1 h
CHANGE_MIN = SLOTS
SLOTS_MAX = 16_384  # of a silence that are counted: three weeks of the window of 1 h
STRETCHED = 2.0  # funding z from which on a side counts as crowded
CHANGE_Z, CELL, DIVERGENCE = 0, 1, 2

# By the cell 4 [price rises] + 2 [open interest rises] + [funding above its mean], what a stretched
# funding then says of the price. Mirrored: swapping longs and shorts changes every sign.
# fmt: off
VERDICTS: I1 = np.array([
    +1,  # - - -  longs give up and shorts pay: the fall goes on without new money
    0,   # - - +  longs give up and still pay: a liquidation that is under way
    +1,  # - + -  shorts crowd in and pay for it
    -1,  # - + +  longs build against the fall: what a liquidation feeds on
    0,   # + - -  shorts give up and still pay: a squeeze that is under way
    -1,  # + - +  shorts give up and longs pay: the rise goes on without new money
    +1,  # + + -  shorts build against the rise: what a squeeze feeds on
    -1,  # + + +  longs crowd in and pay for it
], np.int8)
# fmt: on


class PositioningState(NamedTuple):
    """One entry per instrument."""

    ts_ns: I8  # latest venue time so far
    price: F8  # last known, quote units
    interest: F8  # last open interest, instrument's units
    funding: Rates
    stretch: F8  # z of the last funding rate
    slot: I8  # number of the newest slot
    filled: I8  # slots of the ring that were closed, at most SLOTS
    ring: F8  # (instruments, SLOTS, 2) ln of price and open interest at the end of each slot
    changes: Scores  # of the window's change of ln open interest, slot by slot
    held: F8


class Positioning(Signal[PositioningState]):
    """The sign table of price, open interest and funding over a window.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.
    window_ns : int
        Market time over which price and open interest change; a multiple of 32 ns.
    suffix : str
        Ends every name.

    Notes
    -----
    In: SignalInput; rows of kind FUNDING, OPEN_INTEREST, and whatever has a price (mid of quotes or
    trades, mark, a bar's close; the last of them counts).
    Out: open_interest_z, the change of ln open interest over the window to the end of the last
    slot, as a z-score against those slot by slot before, half-life 672 slots; funding_oi_cell,
    4 [price rises over the window] + 2 [open interest rises] + [funding_z of `Funding` above 0];
    funding_oi_divergence, +1 or -1, what VERDICTS says of that cell where |funding_z| is 2 or more,
    and 0 below.
    Open interest is compared in the instrument's own units: in money a rise of the price would look
    like new positions.
    Nulls: until 10 funding intervals are over, and until the window has passed since price and open
    interest are known; open_interest_z also for its first 32 slots. The cell and the divergence are
    null while price or open interest is what it was.
    Time: venue time of the instrument, never back. The window starts from what was known at the end
    of a slot, and moves in 32nds of its length. Chunks: any split gives the same bytes.
    State: 672 bytes per instrument. Errors: ValueError if window_ns is no positive multiple of 32.
    Source: practitioners' sign table; fading means as in RiskMetrics (1996).
    """

    NAMES: tuple[str, ...] = ("open_interest_z", "funding_oi_cell", "funding_oi_divergence")

    def __init__(
        self, n_instruments: int, *, window_ns: int = 8 * HOUR_NS, suffix: str = ""
    ) -> None:
        if window_ns <= 0 or window_ns % SLOTS:
            raise ValueError(f"window_ns must be a positive multiple of {SLOTS}, was {window_ns}")
        self.NAMES = tuple(name + suffix for name in type(self).NAMES)
        self.n_instruments = n_instruments
        self._slot_ns = window_ns // SLOTS

    def initial(self) -> PositioningState:
        n = self.n_instruments
        nan = np.full((3, n), np.nan)
        return PositioningState(
            ts_ns=np.full(n, np.iinfo(np.int64).min), price=nan[0], interest=nan[1],
            funding=blank_rates(n), stretch=nan[2], slot=np.zeros(n, np.int64),
            filled=np.zeros(n, np.int64), ring=np.full((n, SLOTS, 2), np.nan),
            changes=blank_scores(n), held=np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: PositioningState, rows: SignalInput, values: F8, columns: I8) -> None:
        _walk(state, self._slot_ns, told_rows(rows), values, columns)


_CHANGE_FADE = fade_of(CHANGE_HALF_LIFE)


@kernel
def _roll(memory: PositioningState, k: int, slot: int) -> None:
    """Slots that have ended keep what was known at their end, and score the window to there."""
    price, interest = math.log(memory.price[k]), math.log(memory.interest[k])
    ring, ended = memory.ring[k], memory.slot[k]
    memory.slot[k] = slot
    if np.isnan(price + interest):
        return
    for number in range(max(ended, slot - SLOTS_MAX), slot):
        place = number % SLOTS  # where the end of the slot stands that lies a window back
        if memory.filled[k] == SLOTS:
            growth = interest - ring[place, 1]
            memory.held[k, CHANGE_Z] = score(memory.changes, k, _CHANGE_FADE, CHANGE_MIN, growth)
        ring[place, 0], ring[place, 1] = price, interest
        memory.filled[k] = min(memory.filled[k] + 1, SLOTS)


@kernel
def _judge(memory: PositioningState, k: int) -> None:
    """The cell as of now, against the end of the slot that lies a window back."""
    held = memory.held[k]
    held[CELL] = held[DIVERGENCE] = np.nan
    if memory.filled[k] < SLOTS:
        return
    place = memory.slot[k] % SLOTS  # the oldest: the newest slot has not ended
    rise = math.log(memory.price[k]) - memory.ring[k, place, 0]
    growth = math.log(memory.interest[k]) - memory.ring[k, place, 1]
    stretch = memory.stretch[k]
    if np.isnan(stretch) or rise == 0.0 or growth == 0.0:
        return
    cell = 4 * (rise > 0.0) + 2 * (growth > 0.0) + 1 * (stretch > 0.0)
    held[CELL] = cell
    held[DIVERGENCE] = VERDICTS[cell] if math.fabs(stretch) >= STRETCHED else 0.0


@kernel
def _walk(memory: PositioningState, slot_ns: int, rows: ToldRows, values: F8, columns: I8) -> None:
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < memory.slot.size:
            show_nothing(values, i, columns)
            continue
        memory.ts_ns[k] = max(memory.ts_ns[k], rows.event_ns[i])
        slot = memory.ts_ns[k] // slot_ns
        turned = slot > memory.slot[k]
        if turned:
            _roll(memory, k, slot)
        price, kind = price_of(rows, i), rows.kind[i]
        if not np.isnan(price):
            memory.price[k] = price
        if kind == OPEN_INTEREST and 0.0 < rows.qty[i] < np.inf:
            memory.interest[k] = rows.qty[i]
        memory.stretch[k] = stretch_of(memory.funding, k, rows, i, memory.stretch[k])
        if turned or not np.isnan(price) or kind in (OPEN_INTEREST, FUNDING):
            _judge(memory, k)
        show(values, i, columns, memory.held, k)
