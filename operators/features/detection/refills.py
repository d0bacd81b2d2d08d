"""Refills at a price, told apart by their size: which of them come from one hidden order?"""

import numpy as np

from operators.arrays import kernel
from operators.features.detection.kaplan_meier import expected_of_those_that_last
from operators.features.detection.thresholds import IcebergThresholds
from operators.records import Record, Records
from schemas.rows import I8

SIZES = 3  # of refills that are told apart at a price
REFILLS_TOLD = 64  # more refills than this count as so many in the statistics
ENDED_MIN = 5  # icebergs that have ended before the next one's size is expected
NETTED_MAX = 8  # refills within one message
NOT_ALIKE = -1

SIZE_FIELDS = {
    "peak": "<f8",  # mean of the refills; 0: free
    "refills": "<i8",
    "tries": "<i8",  # times since the first that something came back and could have been one
    "hidden": "<f8",  # their sum
    "mark": "<f8",  # traded at the price up to the last of them
    "gone": "<f8",  # that, and what went without a trade
    "shown": "<f8",  # what the level showed then, this order being its last
    "refill_ns": "<i8",  # venue time of that
    "expected": "<f8",  # whole size of the iceberg, NaN where not known
}


@kernel
def came_back(
    one: Record,
    sizes: Records,
    first: int,
    limits: IcebergThresholds,
    half_lot: float,
    back: float,
    netted: float,
    ts_ns: int,
) -> int:
    """Size is back soon after a trade: of which order, as its size tells?

    `sizes` are those of the price `one` from `first` on. Gives the place of the one that was
    refilled now, which may be the price's iceberg since; NOT_ALIKE where it was none.
    """
    slack = limits.size_tolerance * back + half_lot
    gone = one.total + one.left
    like, least, times, known = -1, first, 0, False
    for j in range(first, first + SIZES):
        size = sizes[j]
        if j == first or _is_older(size, sizes[least]):
            least = j
        if size.refills == 0:
            continue
        n = max(int(back / size.peak + 0.5), 1)
        alike = abs(back - n * size.peak) <= slack
        known = known or alike
        if one.total - size.mark < size.peak - slack or gone - size.gone < size.shown - slack:
            continue  # the order of the last refill cannot have been filled yet
        size.tries += 1
        within = n == 1 or (n <= NETTED_MAX and netted >= back - slack)
        if alike and within and (like < 0 or size.refills > sizes[like].refills):
            like, times = j, n
    if like < 0:
        if not known and one.total >= back - slack and least != one.named - 1 + first:
            new = sizes[least]
            new.peak, new.refills, new.tries, new.hidden = back, 1, 0, back
            new.mark, new.gone, new.shown = one.total, gone, one.visible
            new.refill_ns, new.expected = ts_ns, np.nan
        return NOT_ALIKE
    size = sizes[like]
    size.refills += times
    size.tries += times - 1
    size.hidden += back
    size.mark, size.gone, size.shown = one.total, gone, one.visible
    size.peak, size.refill_ns = size.hidden / size.refills, ts_ns
    one.active_ns = max(one.active_ns, ts_ns)
    if (
        one.named == 0
        and size.refills >= limits.refills_min
        and chance(size.tries, size.refills - 1, limits.alike_share) <= limits.chance_max
    ):
        one.named = 1 + like - first
    return like


@kernel
def _is_older(size: Record, other: Record) -> bool:
    """Whether a size has shown less of being an iceberg's, or as little and longer ago."""
    if size.refills != other.refills:
        return bool(size.refills < other.refills)
    return bool(size.refill_ns < other.refill_ns)


@kernel
def chance(tries: int, hits: int, share: float) -> float:
    """About how likely so many of the tries are hits, if each is with this probability.

    The first term of the binomial tail: an upper bound of each way to get them.
    """
    ways = 1.0
    for j in range(hits):
        ways *= share * (tries - j) / (j + 1.0)
    return ways


@kernel
def expected_qty(ended: I8, censored: I8, size: Record) -> float:
    """Whole size of an iceberg with so many refills, where others ended after so many."""
    n = 0
    for t in range(REFILLS_TOLD):
        n += ended[t]
    if n < ENDED_MIN:
        return np.nan
    so_far = min(size.refills, REFILLS_TOLD - 1)
    more = expected_of_those_that_last(ended, censored, so_far) - so_far
    return float(size.peak * (1.0 + size.refills + more))
