"""What a market row tells of its instrument: few columns, so that kernels take few arrays."""

from typing import NamedTuple

import numpy as np

from operators.arrays import inlined
from operators.features.signal import SignalInput
from schemas.kinds import Kind
from schemas.rows import F8, I4, I8, U1

FUNDING, OPEN_INTEREST = int(Kind.FUNDING), int(Kind.OPEN_INTEREST)
BAR, MARK = int(Kind.BAR), int(Kind.MARK)


class ToldRows(NamedTuple):
    """Columns of `SignalInput` under names of their own."""

    k: I4
    kind: U1
    event_ns: I8  # venue clock
    log_ns: I8  # ours, never back within a lane
    price: F8
    qty: F8
    ref: F8
    mid: F8


def told_rows(rows: SignalInput) -> ToldRows:
    """The same rows, no copies."""
    market = rows.market
    return ToldRows(
        rows.k, market.kind, market.ts_event_ns, market.ts_recv_ns, market.price, market.qty,
        market.ref, rows.flow.mid,
    )  # fmt: skip


@inlined
def price_of(rows: ToldRows, i: int) -> float:
    """What row `i` says its market is worth: mark, a bar's close, else the mid; NaN if nothing."""
    found: float = rows.mid[i]
    if rows.kind[i] == MARK or rows.kind[i] == BAR:
        found = rows.price[i]
    if not 0.0 < found < np.inf:
        found = np.nan
    return found
