"""The columns that detectors read: a third of SignalInput, and a call costs by these."""

from typing import NamedTuple

from operators.arrays import kernel
from operators.features.detection.level_memory import is_lost
from operators.features.flow.rows import LEVELS, TRADE
from operators.features.flow.rows import mask as mask
from operators.features.signal import SignalInput
from schemas.kinds import Flag, Kind
from schemas.rows import F8, I1, I4, I8, U1

OTHER, CHANGED, TRADED, LOST = 0, 1, 2, 3  # what `what_is` says

_BOOK, _TRADE, _STATUS = int(Kind.BOOK), int(Kind.TRADE), int(Kind.BOOK_STATUS)
_LAST = int(Flag.MSG_LAST)


class DetectorRows(NamedTuple):
    """One row per market row; columns of the market, then of its flow."""

    k: I4
    kind: U1
    flags: U1
    code: U1
    side: I1
    price: F8
    qty: F8
    ts_event_ns: I8
    ts_recv_ns: I8
    event: U1
    sign: F8
    levels: F8


def detector_rows(rows: SignalInput, *, levels: int = 1) -> DetectorRows:
    """The columns. ValueError where the rows have fewer levels of the book."""
    found = rows.flow.levels.shape[2]
    if found < levels:
        raise ValueError(
            f"detectors need {levels} {'levels' if levels > 1 else 'level'} a side, the rows have "
            f"{found}: give `levels` to flow_input"
        )
    market, flow = rows.market, rows.flow
    return DetectorRows(
        rows.k, market.kind, market.flags, market.code, market.side, market.price, market.qty,
        market.ts_event_ns, market.ts_recv_ns, flow.event, flow.sign, flow.levels,
    )  # fmt: skip


@kernel
def what_is(rows: DetectorRows, i: int) -> int:
    """What row `i` is to a detector that watches a book by levels, and its trades.

    CHANGED: a row about a level; TRADED: a trade whose aggressor is known; LOST: the book may not
    be used from here on.
    """
    kind = rows.kind[i]
    if kind == _BOOK and rows.code[i] == 0:
        return CHANGED
    if kind == _TRADE and rows.event[i] & TRADE and rows.sign[i] != 0.0:
        return TRADED
    if kind == _STATUS and is_lost(rows.code[i]):
        return LOST
    return OTHER


@kernel
def ends_message(rows: DetectorRows, i: int) -> bool:
    """Whether a row about a level is its message's last, so that the best levels stand beside."""
    return bool(rows.flags[i] & _LAST and rows.event[i] & LEVELS)
