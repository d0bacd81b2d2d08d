"""One side of a book: its levels in a sorted block of a pool, the best first.

A price is held as a key that grows from the best outwards: the price of an ask, minus that of a
bid. The block has room at both ends, so that a level near the best moves the few levels before it
and a level far out the few behind it. Measured on the recorded perpetual of 2024-08-08, 9,600
levels: two changes in three only set a quantity, the others move 370 levels, which takes 40 ns.
A hash by price knows no neighbours, and an array by tick merges levels when the tick changes.
"""

import numpy as np

from operators.arrays import F8, kernel
from operators.records import Record, Records, blank_records

SIDE_FIELDS = {
    "at": "<i8",  # first place of the block in the pool
    "cap": "<i8",  # places of the block
    "first": "<i8",  # place of the best level
    "n": "<i8",  # levels
    "evicted": "<i8",  # levels that were dropped for want of room, ever
    "cover": "<f8",  # the key up to which every level is known; NaN before the first snapshot
}
BID, ASK = 0, 1  # the sides of book k are 2 * k + BID and 2 * k + ASK
KEY, QTY = 0, 1  # columns of the pool; a book may have more
FIRST_LEVELS = 256  # places of a new side; they double as needed
SPARE = 8  # a block grows before less than one place in so many is free

# Unsigned places: numba looks at every signed one for a wrap-around, and then neither turns a loop
# into one move of memory nor a search into ten instructions (measured: 342 ns and 38 ns for 370).
_PLACE = np.uint64
_NONE, _ONE = np.uint64(0), np.uint64(1)


def blank_sides(books: int, columns: int, places: int = FIRST_LEVELS) -> tuple[Records, F8]:
    """Two empty sides of so many places for each book, and their pool, shape (columns, places)."""
    sides = blank_records(SIDE_FIELDS, 2 * books)
    sides.cap[:] = places
    sides.at[:] = np.arange(2 * books) * places
    sides.first[:] = sides.at + places // 2
    sides.cover[:] = np.nan
    return sides, np.zeros((columns, 2 * books * places))


def with_room(sides: Records, pool: F8, s: int, limit: int) -> F8:
    """A pool in which side `s` has twice the places, at most `limit`; `sides` says where."""
    side = sides[s]
    extra = min(int(side.cap), limit - int(side.cap))
    end = int(side.at + side.cap)
    larger = np.zeros((pool.shape[0], pool.shape[1] + extra))
    larger[:, : side.at] = pool[:, : side.at]
    larger[:, end + extra :] = pool[:, end:]
    first, n = int(side.first), int(side.n)
    sides.at[s + 1 :] += extra
    sides.first[s + 1 :] += extra
    sides.cap[s] += extra
    sides.first[s] = side.at + (sides.cap[s] - n) // 2
    larger[:, sides.first[s] : sides.first[s] + n] = pool[:, first : first + n]
    return larger


@kernel
def is_tight(side: Record, limit: int) -> bool:
    """Whether the side needs a larger block before its next level."""
    return bool(side.n >= side.cap - side.cap // SPARE and side.cap < limit)


@kernel
def clear(side: Record) -> None:
    """Forget every level: a snapshot begins, and what it leaves out is not there."""
    side.n = 0
    side.cover = np.inf
    side.first = side.at + side.cap // 2


@kernel
def find(key: F8, first: int, n: int, wanted: float) -> int:
    """Place of the first of `n` sorted keys that is not below `wanted`; first + n if none is."""
    low, left = _PLACE(first), _PLACE(n)
    while left > _NONE:
        half = left >> _ONE
        if key[low + half] < wanted:
            low = low + half + _ONE
            left = left - half - _ONE
        else:
            left = half
    return int(np.int64(low))  # signed and unsigned together would be a float


@kernel
def insert(side: Record, pool: F8, place: int) -> int:
    """Make a free place for a new level between two neighbours; gives where it is.

    The block must not be full. The caller fills every column.
    """
    start, stop = side.first, side.first + side.n
    at_head = place - start < stop - place
    if (at_head and start == side.at) or (not at_head and stop == side.at + side.cap):
        place += _centre(side, pool)
        start, stop = side.first, side.first + side.n
    at_head = at_head and start > side.at  # the last free place of a block is behind its levels
    side.n += 1
    if not at_head:
        for column in range(pool.shape[0]):
            _move_up(pool[column], place, stop)
        return int(place)
    for column in range(pool.shape[0]):
        _move_down(pool[column], start, place)
    side.first = start - 1
    return int(place - 1)


@kernel
def remove(side: Record, pool: F8, place: int) -> None:
    """Close the place of a level."""
    start, stop = side.first, side.first + side.n
    side.n -= 1
    if place - start < stop - 1 - place:
        for column in range(pool.shape[0]):
            _move_up(pool[column], start, place)
        side.first = start + 1
    else:
        for column in range(pool.shape[0]):
            _move_down(pool[column], place + 1, stop)


@kernel
def _move_up(column: F8, start: int, stop: int) -> None:
    """Move places start to stop - 1 up by one."""
    last = _PLACE(stop)
    for step in range(_PLACE(stop - start)):
        to = last - _PLACE(step)
        column[to] = column[to - _ONE]


@kernel
def _move_down(column: F8, start: int, stop: int) -> None:
    """Move places start to stop - 1 down by one."""
    for place in range(_PLACE(start), _PLACE(stop)):
        column[_PLACE(place) - _ONE] = column[_PLACE(place)]


@kernel
def _centre(side: Record, pool: F8) -> int:
    """Move the levels to the middle of their block; gives by how much."""
    first = side.at + (side.cap - side.n) // 2
    shift = first - side.first
    for column in range(pool.shape[0]):
        values = pool[column]
        if shift < 0:
            for place in range(side.first, side.first + side.n):
                values[place + shift] = values[place]
        else:
            for place in range(side.first + side.n - 1, side.first - 1, -1):
                values[place + shift] = values[place]
    side.first = first
    return int(shift)
