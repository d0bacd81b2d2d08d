"""What each price near the best showed last, by whole venue messages, in bounded memory.

A price has one place, its tick modulo 256 on its side. So all of the 256 ticks behind the best
price are remembered; of two prices with the same place the nearer to the best keeps it, and what
the other shows is not known until it is told again.
"""

from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.market.books.words import BookState
from schemas.kinds import Flag, Side
from schemas.rows import F8, I2, I8, U1

TICKS = 256  # a side
PLACES = 2 * TICKS
BIDS, ASKS = 0, 1
NOWHERE = -1
_GAP, _RESYNC = int(BookState.GAP), int(BookState.RESYNC)
_CHECKSUM_FAIL, _HALTED = int(BookState.CHECKSUM_FAIL), int(BookState.HALTED)
_BUY, _SNAPSHOT = int(Side.BUY), int(Flag.SNAPSHOT)


class LevelMemory(NamedTuple):
    """One entry per instrument. 9 kB each."""

    key: I8  # (instruments, PLACES) 2 * tick + side; 0: nothing since the book was known; below
    # 0: a snapshot is being read that has not named this price yet
    qty: F8  # (instruments, PLACES) NaN: not known before its last change
    owner: I2  # (instruments, PLACES) a detector's entry about this price, counted from 1; 0: none
    best: I8  # (instruments, 2) ticks of the best bid and ask; 0: none
    furthest: I8  # (instruments, 2) ticks of the last levels that a snapshot has named so far
    known: U1  # (instruments,) 1: a whole book has been seen and nothing is missing since
    loading: U1  # (instruments,) 1: inside a snapshot


def blank_memory(instruments: int) -> LevelMemory:
    """Nothing is known of any book."""
    return LevelMemory(
        np.zeros((instruments, PLACES), np.int64), np.zeros((instruments, PLACES)),
        np.zeros((instruments, PLACES), np.int16), np.zeros((instruments, 2), np.int64),
        np.zeros((instruments, 2), np.int64), np.zeros(instruments, np.uint8),
        np.zeros(instruments, np.uint8),
    )  # fmt: skip


@kernel
def forget(memory: LevelMemory, k: int) -> None:
    """The book of `k` is not known any more."""
    memory.known[k] = memory.loading[k] = 0
    memory.best[k, BIDS] = memory.best[k, ASKS] = 0
    for at in range(PLACES):
        memory.key[k, at] = memory.owner[k, at] = 0


@kernel
def is_lost(code: int) -> bool:
    """Whether a BOOK_STATUS row with this code says that the book may not be used."""
    return code in (_GAP, _RESYNC, _CHECKSUM_FAIL, _HALTED)


@kernel
def tick_of(price: float, step: float) -> int:
    """The price in steps; 0 where it is none."""
    ticks = price / step
    return int(ticks + 0.5) if 0.0 < ticks < 4e18 else 0


@kernel
def find(memory: LevelMemory, k: int, s: int, tick: int) -> int:
    """Place of a price of side `s`; NOWHERE where it is not remembered."""
    at = 2 * (tick & (TICKS - 1)) + s
    return at if memory.key[k, at] == 2 * tick + s else NOWHERE


@kernel
def enter(memory: LevelMemory, k: int, s: int, tick: int) -> int:
    """Place of a price that a row of the book is about; NOWHERE where a nearer one has it.

    What the price showed before is 0 if nothing had that place since the snapshot, else not known.
    """
    at, key = 2 * (tick & (TICKS - 1)) + s, 2 * tick + s
    if memory.loading[k]:  # no best price yet: that of the rows so far
        best = memory.best[k, s]
        if best == 0 or (tick > best if s == BIDS else tick < best):
            memory.best[k, s] = tick
        last = memory.furthest[k, s]
        if last == 0 or (tick < last if s == BIDS else tick > last):
            memory.furthest[k, s] = tick
    held = memory.key[k, at]
    if held == key or held == -key:
        memory.key[k, at] = key
        return at
    if held == 0:
        memory.qty[k, at] = 0.0
    else:
        best = memory.best[k, s]
        if (
            memory.qty[k, at] != 0.0
            and best != 0
            and abs(abs(held) // 2 - best) <= abs(tick - best)
        ):
            return NOWHERE
        memory.qty[k, at], memory.owner[k, at] = np.nan, 0
    memory.key[k, at] = key
    return at


@kernel
def take_level(
    memory: LevelMemory, k: int, flags: int, side: int, tick: int, qty: float
) -> tuple[int, float]:
    """One row of a book message: the place of its price, and what it showed before.

    NOWHERE for rows of a book that is not known, and as `enter` says.
    """
    if flags & _SNAPSHOT and not memory.loading[k]:
        _begin_snapshot(memory, k)
    if tick == 0 or not (memory.known[k] or memory.loading[k]) or not 0.0 <= qty < np.inf:
        return NOWHERE, np.nan
    at = enter(memory, k, side_of(side), tick)
    if at == NOWHERE:
        return NOWHERE, np.nan
    before = float(memory.qty[k, at])
    memory.qty[k, at] = qty
    return at, before


@kernel
def _begin_snapshot(memory: LevelMemory, k: int) -> None:
    """What was known stays, if the snapshot names it: venues repeat theirs now and then."""
    if not memory.known[k]:
        forget(memory, k)
    memory.loading[k] = 1
    memory.furthest[k, BIDS] = memory.furthest[k, ASKS] = 0
    for at in range(PLACES):
        memory.key[k, at] = -memory.key[k, at]


@kernel
def close_message(memory: LevelMemory, k: int, bid_px: float, ask_px: float, step: float) -> bool:
    """A message of `k` is whole; these are its best prices. False: the book is not known."""
    if np.isnan(bid_px) and np.isnan(ask_px):
        forget(memory, k)
    if not (memory.known[k] or memory.loading[k]):
        return False
    if memory.loading[k]:
        for at in range(PLACES):
            if memory.key[k, at] < 0:
                _not_named(memory, k, at)
    memory.known[k], memory.loading[k] = 1, 0
    memory.best[k, BIDS], memory.best[k, ASKS] = tick_of(bid_px, step), tick_of(ask_px, step)
    return True


@kernel
def _not_named(memory: LevelMemory, k: int, at: int) -> None:
    """A price that a snapshot left out is empty, or beyond its last level: not known."""
    key = -memory.key[k, at]
    s, last = key % 2, memory.furthest[k, key % 2]
    inside = last != 0 and (key // 2 >= last if s == BIDS else key // 2 <= last)
    memory.key[k, at], memory.qty[k, at] = key, 0.0 if inside else np.nan
    if not inside:
        memory.owner[k, at] = 0


@kernel
def side_of(side: int) -> int:
    """BIDS or ASKS of a row's side."""
    return BIDS if side == _BUY else ASKS
