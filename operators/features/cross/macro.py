"""How near the next scheduled release is: the windows in which markets jump."""

from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.feature import Happenings
from operators.features.flow.rows import show, show_nothing
from operators.features.signal import Signal, SignalInput
from schemas.rows import F8, I4, I8

HIGH = 3  # weight of what counts
MINUTE_NS = 60_000_000_000
BEFORE_NS, AFTER_NS = 30 * MINUTE_NS, 60 * MINUTE_NS  # the window about a happening, ends included
NEXT, SINCE, WINDOW = 0, 1, 2


class MacroState(NamedTuple):
    """One entry per instrument."""

    place: I8  # of the first happening after the latest time so far
    ts_ns: I8  # that time, venue clock
    held: F8


class Macro(Signal[MacroState]):
    """Minutes to and since a happening of high importance, and whether its window is open.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.
    happenings : Happenings
        Those of weight 3 count; the others are passed over.

    Notes
    -----
    In: SignalInput; only times. Out: macro_next_min, minutes until the next one, 0 at its moment;
    macro_since_min, minutes since the last one before now; macro_window, 1 from 30 min before to
    60 min after any, else 0.
    Nulls: macro_next_min after the last one of the calendar, macro_since_min before its first one;
    all for an empty calendar.
    Time: venue time of the instrument, never back. When something happens is known beforehand, what
    comes of it is not read at all. Chunks: any split gives the same bytes.
    State: 40 bytes per instrument. Errors: ValueError if the happenings are not sorted by time.
    Source: Andersen, Bollerslev, Diebold, Vega (2003), Micro Effects of Macro Announcements.
    """

    NAMES = ("macro_next_min", "macro_since_min", "macro_window")

    def __init__(self, n_instruments: int, happenings: Happenings) -> None:
        if (np.diff(happenings.ts_ns) < 0).any():
            raise ValueError("happenings must be sorted by time")
        self.n_instruments = n_instruments
        self._ts_ns = np.ascontiguousarray(happenings.ts_ns[happenings.weight >= HIGH])

    def initial(self) -> MacroState:
        n = self.n_instruments
        return MacroState(
            np.zeros(n, np.int64), np.full(n, np.iinfo(np.int64).min),
            np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: MacroState, rows: SignalInput, values: F8, columns: I8) -> None:
        _walk(state, self._ts_ns, rows.k, rows.market.ts_event_ns, values, columns)


@kernel
def _walk(memory: MacroState, ts_ns: I8, rows_k: I4, event_ns: I8, values: F8, columns: I8) -> None:
    for i in range(rows_k.size):
        k = rows_k[i]
        if not 0 <= k < memory.place.size:
            show_nothing(values, i, columns)
            continue
        now = max(memory.ts_ns[k], event_ns[i])
        memory.ts_ns[k] = now
        while memory.place[k] < ts_ns.size and ts_ns[memory.place[k]] < now:
            memory.place[k] += 1
        place, held = memory.place[k], memory.held[k]
        is_open = False
        if place < ts_ns.size:
            held[NEXT] = (ts_ns[place] - now) / MINUTE_NS
            is_open = ts_ns[place] - now <= BEFORE_NS
        else:
            held[NEXT] = np.nan
        if place > 0:
            held[SINCE] = (now - ts_ns[place - 1]) / MINUTE_NS
            is_open = is_open or now - ts_ns[place - 1] <= AFTER_NS
        if ts_ns.size > 0:
            held[WINDOW] = 1.0 if is_open else 0.0
        show(values, i, columns, memory.held, k)
