"""What a log's gate has refused, as rows."""

import numpy as np

from flows.log.api import Log
from flows.log.lane_source import WAIT_S
from flows.log.reader import LaneReader
from flows.replay.extent import lanes_of
from schemas.instruments import InstrumentTable
from schemas.rows import MarketRows, concat, empty, take
from schemas.topics import QUARANTINE

WINDOW_ROWS = 32_768


def quarantined_rows(
    log: Log, table: InstrumentTable, *, from_ns: int | None = None, to_ns: int | None = None
) -> MarketRows:
    """Every row of `quarantine.v1` as of now with from_ns <= ts_recv_ns < to_ns, by that time."""
    inputs = [(QUARANTINE.name, lane) for lane in lanes_of(QUARANTINE, table)]
    reader = LaneReader(log, inputs, state=None, merge=False, ends=log.ends(inputs))
    parts = [empty(MarketRows)]
    try:
        while not reader.done():
            window = reader.window(WINDOW_ROWS)
            if not window:
                reader.wait(WAIT_S)
            parts += window.values()
    finally:
        reader.close()
    rows = concat(parts)
    rows = take(rows, np.argsort(rows.ts_recv_ns, kind="stable"))
    first = 0 if from_ns is None else int(np.searchsorted(rows.ts_recv_ns, from_ns))
    last = rows.seq.size if to_ns is None else int(np.searchsorted(rows.ts_recv_ns, to_ns))
    return take(rows, slice(first, max(first, last)))
