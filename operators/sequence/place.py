"""Which rows the predictor steps on, and to which instrument they belong."""

import math

from operators.arrays import kernel
from schemas.kinds import Kind
from schemas.rows import I4

_TRADE = int(Kind.TRADE)
_QUOTE = int(Kind.QUOTE)


@kernel
def tick_place(base: I4, count: I4, kind: int, mid: float, lane: int, symbol: int) -> int:
    """Instrument row of a trade or quote with a finite mid; -1 for every other row.

    Takes numbers, not the tables: a table handed from kernel to kernel counts the references of all
    its columns, which costs 0.4 us a row.
    """
    if (kind != _TRADE and kind != _QUOTE) or not math.isfinite(mid):
        return -1
    if not 0 <= lane < base.size:  # kernels do not check an index from outside
        return -1
    if not 0 <= symbol < count[lane]:
        return -1
    return int(base[lane] + symbol)
