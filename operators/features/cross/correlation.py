"""How closely the markets of a lane move together: fading correlations of their bars."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.cross.members import NO_MEMBER, Members, instrument_members
from operators.features.flow.rows import show, show_nothing
from operators.features.signal import Signal, SignalInput
from operators.features.told import ToldRows, price_of, told_rows
from schemas.instruments import InstrumentArrays
from schemas.rows import F8, I8

MINUTE_NS = 60_000_000_000
HOUR_NS, DAY_NS = 60 * MINUTE_NS, 1440 * MINUTE_NS
FADE_INTRADAY, FADE_DAILY = 0.97, 0.94  # RiskMetrics: monthly and daily factors
BARS_MIN = 30  # that a pair has in common before it counts
LEADER, MEAN = 0, 1


class CorrelationState(NamedTuple):
    """Per lane, per instrument, and per pair of places in a lane."""

    bar: I8  # (lanes,) number of the open bar
    price: F8  # (instruments,) last known, quote units
    told: I8  # the bar in which it was last told
    close: F8  # at the end of `close_bar`
    close_bar: I8  # the last bar that ended with a price told in it
    change: F8  # ln of the bar that ended last; NaN where it has none
    bars: I8  # (lanes, places, places) that both have a change in
    own: F8  # fading mean square of the first one's changes in those bars
    both: F8  # fading mean product
    held: F8


class Correlation(Signal[CorrelationState]):
    """Correlation of an instrument with the leader of its lane, and with all others there.

    Parameters
    ----------
    instruments : InstrumentArrays
        The table; the first 16 of each lane are compared, but for options and event contracts.
    bar_ns : int
        Length of a bar.
    fade : float
        Weight that one bar leaves to those before, below 1.
    suffix : str
        Ends every name.

    Notes
    -----
    In: SignalInput; whatever has a price (mid of quotes or trades, mark, a bar's close).
    Out: correlation_leader, with the first instrument of the lane (the first one's own is with the
    second); correlation_mean, the mean of those with all others that are known.
    Correlation is sum of products over the root of the sums of squares, all with weights
    (1 - fade) fade^age, the first bar's fade^age, about a mean of zero. Where all have a price in
    every bar the matrix is positive semidefinite.
    Bars are cut by our clock, the same for all of a lane: venues' clocks are seconds apart. A bar
    counts for an instrument if it was told a price in it and in the one before, since a price that
    stands still only because nobody told it would bias the correlation to zero (Epps); a pair
    counts the bars that both have.
    Nulls: until a pair has 30 bars; where one has not moved; for others than the first 16.
    Time: our clock. Chunks: any split gives the same bytes. Only rows of its own lane matter.
    State: 56 bytes per instrument, 24 per pair of places in the fullest lane, at most 6 kB, for
    each lane; a bar's end costs pairs.
    Errors: ValueError if bar_ns is not positive or fade not between 0 and 1.
    Source: RiskMetrics Technical Document (1996); Epps (1979), Comovements in Stock Prices in the
    Very Short Run.
    """

    NAMES: tuple[str, ...] = ("correlation_leader", "correlation_mean")

    def __init__(
        self, instruments: InstrumentArrays, *, bar_ns: int, fade: float, suffix: str = ""
    ) -> None:
        if bar_ns <= 0:
            raise ValueError(f"bar_ns must be positive, was {bar_ns}")
        if not 0.0 < fade < 1.0:
            raise ValueError(f"fade must be between 0 and 1, was {fade}")
        self.NAMES = tuple(name + suffix for name in type(self).NAMES)
        self._members = instrument_members(instruments)
        self._bar_ns, self._fade = bar_ns, fade

    def initial(self) -> CorrelationState:
        n, (lanes, places) = self._members.place.size, self._members.row.shape
        nan = np.full((3, n), np.nan)
        never = np.full((2, n), np.iinfo(np.int64).min // 2)
        pairs = (lanes, places, places)
        return CorrelationState(
            bar=np.full(lanes, np.iinfo(np.int64).min), price=nan[0], told=never[0], close=nan[1],
            close_bar=never[1], change=nan[2], bars=np.zeros(pairs, np.int64), own=np.zeros(pairs),
            both=np.zeros(pairs), held=np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: CorrelationState, rows: SignalInput, values: F8, columns: I8) -> None:
        _walk(state, self._members, self._bar_ns, self._fade, told_rows(rows), values, columns)


@kernel
def _changes(memory: CorrelationState, members: Members, lane: int) -> None:
    """The change of each member over the bar that ends."""
    bar = memory.bar[lane]
    for place in range(members.row.shape[1]):
        k = members.row[lane, place]
        if k == NO_MEMBER:
            break
        memory.change[k] = np.nan
        if memory.told[k] == bar:
            if memory.close_bar[k] == bar - 1:
                memory.change[k] = math.log(memory.price[k] / memory.close[k])
            memory.close[k], memory.close_bar[k] = memory.price[k], bar


@kernel
def _correlation(memory: CorrelationState, lane: int, a: int, b: int) -> float:
    """Of two places, the second of which may not be there."""
    if b >= memory.own.shape[2]:
        return np.nan
    squares = memory.own[lane, a, b] * memory.own[lane, b, a]
    if memory.bars[lane, a, b] < BARS_MIN or not squares > 0.0:
        return np.nan
    found: float = memory.both[lane, a, b] / math.sqrt(squares)
    return found


@kernel
def _end(memory: CorrelationState, members: Members, lane: int, fade: float) -> None:
    """A bar of a lane ends: pairs take it in, and members show what comes of it."""
    _changes(memory, members, lane)
    own, both, bars = memory.own[lane], memory.both[lane], memory.bars[lane]
    for a in range(members.row.shape[1]):
        k = members.row[lane, a]
        if k == NO_MEMBER:
            break
        for b in range(members.row.shape[1]):
            other = members.row[lane, b]
            if other == NO_MEMBER:
                break
            x, y = memory.change[k], memory.change[other]
            if not np.isnan(x + y):
                keep = fade if bars[a, b] > 0 else 0.0
                own[a, b] = keep * own[a, b] + (1.0 - keep) * x * x
                both[a, b] = keep * both[a, b] + (1.0 - keep) * x * y
                bars[a, b] += 1
    for a in range(members.row.shape[1]):
        k = members.row[lane, a]
        if k == NO_MEMBER:
            break
        total, known = 0.0, 0
        for b in range(members.row.shape[1]):
            if b != a:
                found = _correlation(memory, lane, a, b)
                if not np.isnan(found):
                    total, known = total + found, known + 1
        memory.held[k, LEADER] = _correlation(memory, lane, a, 0 if a > 0 else 1)
        memory.held[k, MEAN] = total / known if known > 0 else np.nan


@kernel
def _walk(
    memory: CorrelationState, members: Members, bar_ns: int, fade: float, rows: ToldRows,
    values: F8, columns: I8,
) -> None:  # fmt: skip
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < memory.price.size:
            show_nothing(values, i, columns)
            continue
        lane, bar = members.lane[k], rows.log_ns[i] // bar_ns
        if bar > memory.bar[lane]:
            _end(memory, members, lane, fade)
            memory.bar[lane] = bar
        price = price_of(rows, i)
        if not np.isnan(price):
            memory.price[k], memory.told[k] = price, memory.bar[lane]
        show(values, i, columns, memory.held, k)
