"""Which assets of a lane lead and which lag, and how many beat the first one."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.cross.members import NO_MEMBER, Members, asset_members
from operators.features.flow.rows import show, show_nothing
from operators.features.signal import Signal, SignalInput
from operators.features.told import ToldRows, price_of, told_rows
from schemas.instruments import InstrumentTable
from schemas.rows import F8, I8

RANK, STRENGTH, BREADTH = 0, 1, 2


class RotationState(NamedTuple):
    """Per instrument, and per place of an asset in its lane."""

    bar: I8  # (lanes,) number of the open bar
    price: F8  # (instruments,) last known, quote units
    ring: F8  # (lanes, places, bars + 1) ln of the price at the end of each bar
    strength: F8  # (lanes, places) ln change over the window
    held: F8


class Rotation(Signal[RotationState]):
    """Rank of an asset's relative strength among those of its lane, and their breadth.

    Parameters
    ----------
    table : InstrumentTable
        The first 16 assets of each lane are compared, each by the price of its first instrument in
        the desk's currency; the first of all is the leader.
    bar_ns : int
        Length of a bar.
    bars : int
        Bars of the window, 1 to 60.
    suffix : str
        Ends every name.

    Notes
    -----
    In: SignalInput; whatever has a price (mid of quotes or trades, mark, a bar's close).
    Out, on rows of all instruments of an asset: rotation_rank, the share of the other assets whose
    ln change over the window is smaller, those with the same one counting half, 0 weakest to 1
    strongest; rotation_strength_bps, that change less the leader's; rotation_breadth, the share of
    the others than the leader that beat it.
    Nulls: until the window has passed since the asset was first told a price, and in a lane where
    fewer than two assets have one; the last two also until the leader has. A price counts until the
    next one, however old.
    Time: bars are cut by our clock. Chunks: any split gives the same bytes. Only rows of its own
    lane matter. State: 32 bytes per instrument, at most 8 kB per lane with 60 bars.
    Errors: ValueError if bar_ns is not positive or bars not 1 to 60.
    Source: Levy (1967), Relative Strength as a Criterion for Investment Selection; Jegadeesh,
    Titman (1993), Returns to Buying Winners and Selling Losers.
    """

    NAMES: tuple[str, ...] = ("rotation_rank", "rotation_strength_bps", "rotation_breadth")

    def __init__(self, table: InstrumentTable, *, bar_ns: int, bars: int, suffix: str = "") -> None:
        if bar_ns <= 0:
            raise ValueError(f"bar_ns must be positive, was {bar_ns}")
        if not 1 <= bars <= 60:
            raise ValueError(f"bars must be 1 to 60, was {bars}")
        self.NAMES = tuple(name + suffix for name in type(self).NAMES)
        self._members = asset_members(table)
        self._bar_ns, self._bars = bar_ns, bars

    def initial(self) -> RotationState:
        n, (lanes, places) = self._members.place.size, self._members.row.shape
        return RotationState(
            bar=np.full(lanes, np.iinfo(np.int64).min // 2), price=np.full(n, np.nan),
            ring=np.full((lanes, places, self._bars + 1), np.nan),
            strength=np.full((lanes, places), np.nan),
            held=np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: RotationState, rows: SignalInput, values: F8, columns: I8) -> None:
        _walk(state, self._members, self._bar_ns, told_rows(rows), values, columns)


@kernel
def _end(memory: RotationState, members: Members, lane: int, bar: int) -> None:
    """Bars of a lane have ended: the window moves, and strengths are those over it."""
    ring = memory.ring[lane]
    size, before = ring.shape[1], memory.bar[lane]
    for place in range(members.row.shape[1]):
        k = members.row[lane, place]
        if k == NO_MEMBER:
            break
        level = math.log(memory.price[k])
        for ended in range(max(before, bar - size), bar):
            ring[place, ended % size] = level
        memory.strength[lane, place] = level - ring[place, bar % size]  # the oldest of the ring
    memory.bar[lane] = bar


@kernel
def _rank(memory: RotationState, members: Members, lane: int, place: int, held: F8) -> None:
    """What the rows of one asset show of the strengths as they are."""
    strength = memory.strength[lane]
    own, leader = strength[place], strength[0]
    others, below, alts, better = 0, 0.0, 0, 0
    for other in range(members.row.shape[1]):
        if members.row[lane, other] == NO_MEMBER:
            break
        if np.isnan(strength[other]):
            continue
        if other != place:
            others += 1
            below += 1.0 if strength[other] < own else 0.5 if strength[other] == own else 0.0
        if other > 0:
            alts += 1
            better += strength[other] > leader
    held[RANK] = below / others if others > 0 and not np.isnan(own) else np.nan
    held[STRENGTH] = (own - leader) * 1e4 if others > 0 else np.nan
    held[BREADTH] = better / alts if alts > 0 and not np.isnan(own + leader) else np.nan


@kernel
def _walk(
    memory: RotationState, members: Members, bar_ns: int, rows: ToldRows, values: F8, columns: I8
) -> None:
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < memory.price.size:
            show_nothing(values, i, columns)
            continue
        lane, bar, place = members.lane[k], rows.log_ns[i] // bar_ns, members.place[k]
        if bar > memory.bar[lane]:
            _end(memory, members, lane, bar)
            for other in range(memory.price.size):
                if members.lane[other] == lane and members.place[other] != NO_MEMBER:
                    _rank(memory, members, lane, members.place[other], memory.held[other])
        price = price_of(rows, i)
        if place != NO_MEMBER and members.row[lane, place] == k and not np.isnan(price):
            memory.price[k] = price
        show(values, i, columns, memory.held, k)
