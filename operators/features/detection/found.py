"""How kernels tell of what they found: rows of arrays that their caller made large enough."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from schemas.rows import F8, I1, I8, U1


class AlarmKind(IntEnum):
    """What was found. Append-only."""

    ICEBERG = 1  # size came back again and again, or more was traded than was shown
    SPOOF = 2  # a large order, soon cancelled unfilled, and a trade on the other side
    LAYERING = 3  # several of them at several prices of one side
    ABSORPTION = 4  # one-sided volume left the price where it was
    HIDDEN = 5  # order-by-order feeds: an execution of size that was not shown, by the venue's word


class Found(NamedTuple):
    """Alarms of one walk over rows, in order; places for them, the first `n[0]` used."""

    at: I8  # row
    kind: U1  # AlarmKind
    side: I1  # of the resting orders: +1 bids, -1 asks
    price: F8
    size: F8
    strength: F8
    onset_ns: I8
    n: I8  # (1,)


def blank_found(places: int) -> Found:
    """Room for so many alarms."""
    price, size, strength = np.empty((3, places))
    return Found(
        np.empty(places, np.int64), np.empty(places, np.uint8), np.empty(places, np.int8), price,
        size, strength, np.empty(places, np.int64), np.zeros(1, np.int64),
    )  # fmt: skip


@kernel
def tell(
    found: Found,
    at: int,
    kind: int,
    side: int,
    price: float,
    size: float,
    strength: float,
    onset_ns: int,
) -> None:
    """Note an alarm; without any places nobody wants to know."""
    n = found.n[0]
    if found.at.size == 0:
        return
    found.at[n], found.kind[n], found.side[n] = at, kind, side
    found.price[n], found.size[n], found.strength[n] = price, size, strength
    found.onset_ns[n] = onset_ns
    found.n[0] = n + 1
