"""The columns that detectors read: a third of SignalInput, and a call costs by these."""

from typing import NamedTuple

from operators.features.flow.rows import mask as mask
from operators.features.signal import SignalInput
from schemas.rows import F8, I1, I4, I8, U1


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
