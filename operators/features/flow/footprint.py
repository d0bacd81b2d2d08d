"""Delta footprint: volume by price and aggressor within a bar, with its value area."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.flow.rows import TRADE, FlowFeature, FlowRows, show, show_nothing
from schemas.rows import F8, I8

BAR_NS = 60_000_000_000
ROWS = 256  # prices of one bar; a wider bar makes each twice as tall
ROW_SHARE = 1e-4  # height of a row as a share of the price: 1 bp, in whole ticks
VALUE_SHARE = 0.7  # of the bar's volume that the value area holds
RATIO = 3.0  # buys over the sells a row below that make an imbalance; the same for sells
STACK = 3  # imbalances one above the other that make a stack
TICKS_MAX = 2.0**53  # a price of more ticks is not told from its neighbours; its trade is left out
BUYS, SELLS = 0, 1
DELTA, POC, LOW, HIGH, STACKS = 0, 1, 2, 3, 4


class FootprintState(NamedTuple):
    """One entry per instrument."""

    bar: I8  # number of the open bar
    height: I8  # ticks per row, 0 before the first trade
    base: I8  # number of the row at place 0; row r holds ticks r * height to (r + 1) * height - 1
    low: I8  # lowest row with volume; above `high` while the bar has none
    high: I8
    volume: F8  # (instruments, ROWS, 2)
    held: F8


class Footprint(FlowFeature[FootprintState]):
    """The last closed bar's volume profile.

    Parameters
    ----------
    tick : float64, shape (instruments,)
        Price step, quote units.

    Notes
    -----
    In: FlowRows. Out: FlowBlock about the last closed bar with trades:
    footprint_delta, buys minus sells, instrument's units; footprint_poc, middle of the row with the
    most volume, the lowest of equals; value_area_low and value_area_high, the edges of the rows
    around it that hold 70 %: of the rows next to the area the one with more volume joins, of equals
    the lower; prices in quote units. footprint_stacks: stacks of buying minus stacks of selling; a
    stack is three or more rows in a row whose buys are at least three times the sells one row below
    (sells: the buys one row above), both not 0.
    A bar is a minute of market time and closes with the first row after it. Rows are 1 bp of the
    bar's first price, in whole ticks, at least one; a bar that needs more than 256 of them makes
    each twice as tall. A trade without a known aggressor counts half on each side.
    Nulls: until a bar with trades has closed.
    Time: venue time. Chunks: any split gives the same bytes. State: 4.2 kB per instrument.
    Errors: ValueError for a tick that is not positive.
    Source: Steidlmayer, Hawkins (2003), Steidlmayer on Markets, for profile and value area.
    """

    NAMES = (
        "footprint_delta", "footprint_poc", "value_area_low", "value_area_high", "footprint_stacks",
    )  # fmt: skip

    def __init__(self, tick: F8) -> None:
        if not (tick > 0.0).all():
            raise ValueError(f"tick must be positive, was {tick}")
        self._tick = tick

    def initial(self) -> FootprintState:
        n = self._tick.size
        zero = np.zeros(n, np.int64)
        return FootprintState(
            bar=zero, height=zero.copy(), base=zero.copy(), low=np.full(n, ROWS), high=zero - 1,
            volume=np.zeros((n, ROWS, 2)), held=np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: FootprintState, rows: FlowRows, values: F8, columns: I8) -> None:
        _walk(state, self._tick, rows, values, columns)


@kernel
def value_area(volume: F8, low: int, high: int) -> tuple[int, int, int]:
    """Row with the most volume, and first and last row of the value area, among low to high."""
    poc, most, total = low, -1.0, 0.0
    for r in range(low, high + 1):
        there = volume[r, BUYS] + volume[r, SELLS]
        total += there
        if there > most:
            poc, most = r, there
    first, last, inside = poc, poc, most
    while inside < VALUE_SHARE * total and (first > low or last < high):
        below = volume[first - 1, BUYS] + volume[first - 1, SELLS] if first > low else -1.0
        above = volume[last + 1, BUYS] + volume[last + 1, SELLS] if last < high else -1.0
        if below >= above:
            first, inside = first - 1, inside + below
        else:
            last, inside = last + 1, inside + above
    return poc, first, last


@kernel
def stacks(volume: F8, low: int, high: int) -> int:
    """Stacks of buying minus stacks of selling among the rows low to high."""
    found, buying, selling = 0, 0, 0
    for r in range(low, high):  # the pair of row r's sells and the buys above them
        sells, buys = volume[r, SELLS], volume[r + 1, BUYS]
        both = sells > 0.0 and buys > 0.0
        buying = buying + 1 if both and buys >= RATIO * sells else 0
        selling = selling + 1 if both and sells >= RATIO * buys else 0
        found += (buying == STACK) - (selling == STACK)
    return found


@kernel
def _close(memory: FootprintState, k: int, tick: float) -> None:
    """Say what the bar was, and begin an empty one."""
    low, high, volume, held = memory.low[k], memory.high[k], memory.volume[k], memory.held[k]
    if low > high:
        return
    delta = 0.0
    for r in range(low, high + 1):
        delta += volume[r, BUYS] - volume[r, SELLS]
    poc, first, last = value_area(volume, low, high)
    row, base = memory.height[k] * tick, memory.base[k]
    # Row r covers the prices of its ticks: from the middle of the gap before to that behind.
    held[DELTA] = delta
    held[POC] = (base + poc + 0.5) * row - tick / 2.0
    held[LOW] = (base + first) * row - tick / 2.0
    held[HIGH] = (base + last + 1) * row - tick / 2.0
    held[STACKS] = stacks(volume, low, high)
    for r in range(low, high + 1):
        volume[r, BUYS] = volume[r, SELLS] = 0.0
    memory.low[k], memory.high[k] = ROWS, -1


@kernel
def _fits(memory: FootprintState, k: int, row: int) -> bool:
    """Whether a row can join those with volume."""
    base = memory.base[k]
    return bool(max(base + memory.high[k], row) - min(base + memory.low[k], row) < ROWS)


@kernel
def _double(memory: FootprintState, k: int) -> None:
    """Make each row twice as tall: rows 2 r and 2 r + 1 become row r."""
    volume, base, low, high = memory.volume[k], memory.base[k], memory.low[k], memory.high[k]
    new_base = (base + low) // 2
    for r in range(low, high + 1):
        to = (base + r) // 2 - new_base
        buys, sells = volume[r, BUYS], volume[r, SELLS]
        volume[r, BUYS] = volume[r, SELLS] = 0.0
        volume[to, BUYS] += buys
        volume[to, SELLS] += sells
    memory.low[k], memory.high[k] = 0, (base + high) // 2 - new_base
    memory.base[k] = new_base
    memory.height[k] *= 2


@kernel
def _move(memory: FootprintState, k: int, row: int) -> None:
    """Place the rows so that this one has a place too; it fits, but lies outside."""
    volume, base, low, high = memory.volume[k], memory.base[k], memory.low[k], memory.high[k]
    lowest = min(base + low, row)
    spare = ROWS - (max(base + high, row) - lowest + 1)
    new_base = lowest - spare // 2
    by = base - new_base
    if by > 0:
        for r in range(high, low - 1, -1):
            for side in range(2):
                volume[r + by, side], volume[r, side] = volume[r, side], 0.0
    else:
        for r in range(low, high + 1):
            for side in range(2):
                volume[r + by, side], volume[r, side] = volume[r, side], 0.0
    memory.base[k], memory.low[k], memory.high[k] = new_base, low + by, high + by


@kernel
def _add(
    memory: FootprintState, k: int, tick: float, price: float, qty: float, sign: float
) -> None:
    if not price / tick < TICKS_MAX:
        return
    at = math.floor(price / tick + 0.5)
    if memory.low[k] > memory.high[k]:  # the bar's first trade
        memory.height[k] = max(1, math.floor(ROW_SHARE * price / tick + 0.5))
        memory.base[k] = at // memory.height[k] - ROWS // 2
        memory.low[k] = memory.high[k] = ROWS // 2
    while not _fits(memory, k, at // memory.height[k]):
        _double(memory, k)
    row = at // memory.height[k]
    if not 0 <= row - memory.base[k] < ROWS:
        _move(memory, k, row)
    place = row - memory.base[k]
    memory.volume[k, place, BUYS] += (1.0 + sign) / 2.0 * qty
    memory.volume[k, place, SELLS] += (1.0 - sign) / 2.0 * qty
    memory.low[k], memory.high[k] = min(memory.low[k], place), max(memory.high[k], place)


@kernel
def _walk(memory: FootprintState, tick: F8, rows: FlowRows, values: F8, columns: I8) -> None:
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < memory.bar.size:
            show_nothing(values, i, columns)
            continue
        bar = rows.ts_ns[i] // BAR_NS
        if bar != memory.bar[k]:
            _close(memory, k, tick[k])
            memory.bar[k] = bar
        if rows.event[i] & TRADE:
            _add(memory, k, tick[k], rows.price[i], rows.qty[i], rows.sign[i])
        show(values, i, columns, memory.held, k)
