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


def quarantined_rows(log: Log, table: InstrumentTable) -> MarketRows:
    """Every row of `quarantine.v1` as of now, by receive time."""
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
    return take(rows, np.argsort(rows.ts_recv_ns, kind="stable"))
