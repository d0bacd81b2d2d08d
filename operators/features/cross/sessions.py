"""Session expansion: the range of a session's first half hour, and how the price leaves it."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.feature import Sessions
from operators.features.flow.rows import TRADE, FlowRows, show, show_nothing
from operators.features.signal import Signal, SignalInput
from schemas.rows import F8, I4, I8

PLACES = ("tokyo", "london", "new_york")
OPENING_NS = 1_800_000_000_000  # 30 min
HIGH, LOW, BREAKOUT, VOLUME = 0, 1, 2, 3  # columns of one place
WIDTH = 4
_NEVER = np.iinfo(np.int64).min


class SessionRangeState(NamedTuple):
    """One entry per instrument, then per place."""

    ts_ns: I8  # (instruments,) latest venue time so far
    day: I8  # (instruments, places) the first session that has not ended
    entered: I8  # the last session that a row was in
    high: F8  # of the opening range, quote units
    low: F8
    side: F8  # on which the price last left it; 0 not yet
    opening: F8  # volume of the opening range, instrument's units
    after: F8  # volume since
    held: F8


class SessionRange(Signal[SessionRangeState]):
    """Opening range of each place's session, the breakout from it, and its volume.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.
    sessions : Sessions
        Of PLACES in that order; none at all leaves every value null.

    Notes
    -----
    In: SignalInput; quotes and trades.
    Out, per place: session_high and session_low, of the mid in the first 30 min, quote units;
    session_breakout, +1 or -1 the side on which the mid last left that range, 0 while it has not;
    session_volume, volume per time since over volume per time in the range, above 1 where the
    breakout brings trade.
    Nulls: outside of the place's session, in its rest, and in its first 30 min; for a session that
    was under way at the instrument's first row, or without a mid in its range; the volume where the
    range had none, and in the first minute after it. A rest counts in no time and no volume.
    Time: venue time of the instrument, never back. Opening hours are known beforehand, with summer
    time, holidays and early closes in them. Chunks: any split gives the same bytes.
    State: 272 bytes per instrument.
    Errors: ValueError for another number of places, sessions that overlap, and a rest that is not
    inside of its session and behind the first 30 min.
    Source: Crabel (1990), Day Trading with Short Term Price Patterns and Opening Range Breakout.
    """

    NAMES = tuple(
        f"session_{what}_{place}"
        for place in PLACES
        for what in ("high", "low", "breakout", "volume")
    )

    def __init__(self, n_instruments: int, sessions: Sessions) -> None:
        places = sessions.first.size - 1
        if places not in (0, len(PLACES)):
            raise ValueError(f"sessions must be of {', '.join(PLACES)}, was {places} places")
        for first, stop in pairwise(sessions.first.tolist()):
            _check(Sessions(sessions.first, *(ns[first:stop] for ns in sessions[1:])))
        self.n_instruments = n_instruments
        self._sessions = sessions
        self._first_day = sessions.first[:-1] if places else np.zeros(len(PLACES), np.int64)

    def initial(self) -> SessionRangeState:
        n, places = self.n_instruments, len(PLACES)

        def blank(value: float) -> F8:
            return np.full((n, places), value)

        return SessionRangeState(
            ts_ns=np.full(n, _NEVER), day=np.tile(self._first_day, (n, 1)),
            entered=np.full((n, places), -1), high=blank(np.nan), low=blank(np.nan),
            side=blank(0.0), opening=blank(0.0), after=blank(0.0),
            held=np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: SessionRangeState, rows: SignalInput, values: F8, columns: I8) -> None:
        _walk(state, self._sessions, rows.k, rows.flow, values, columns)


def _check(sessions: Sessions) -> None:
    """Of one place."""
    times = np.stack([sessions.open_ns, sessions.close_ns], axis=1).ravel()
    if (np.diff(times) <= 0).any():
        raise ValueError("a session must end after it opens, and before the next one opens")
    rests = sessions.rest_ns < sessions.close_ns
    inside = sessions.open_ns + OPENING_NS <= sessions.rest_ns
    inside &= (sessions.rest_ns <= sessions.resume_ns) & (sessions.resume_ns <= sessions.close_ns)
    if (rests & ~inside).any():
        raise ValueError("a rest must be inside of its session, and behind its first 30 min")


@kernel
def _enter(memory: SessionRangeState, k: int, place: int, day: int, is_whole: bool) -> None:
    """The first row of a session."""
    memory.entered[k, place] = day
    blank = np.inf if is_whole else np.nan  # NaN stays NaN: of this session the start is not known
    memory.high[k, place], memory.low[k, place] = -blank, blank
    memory.side[k, place] = memory.opening[k, place] = memory.after[k, place] = 0.0


@kernel
def _expand(
    memory: SessionRangeState, k: int, place: int, since_ns: int, mid: float, qty: float
) -> None:
    """A row of a session that is open; `since_ns` without its rest."""
    held, at = memory.held[k], place * WIDTH
    high, low = memory.high[k, place], memory.low[k, place]
    if since_ns < OPENING_NS:
        if mid > high:
            memory.high[k, place] = mid
        if mid < low:
            memory.low[k, place] = mid
        memory.opening[k, place] += qty
        return
    memory.after[k, place] += qty
    if not -np.inf < high < np.inf:
        return
    if mid > high:
        memory.side[k, place] = 1.0
    elif mid < low:
        memory.side[k, place] = -1.0
    held[at + HIGH], held[at + LOW], held[at + BREAKOUT] = high, low, memory.side[k, place]
    past_ns = since_ns - OPENING_NS
    if memory.opening[k, place] > 0.0 and past_ns >= 60_000_000_000:
        rate = memory.after[k, place] / past_ns
        held[at + VOLUME] = rate / (memory.opening[k, place] / OPENING_NS)


@kernel
def _walk(
    memory: SessionRangeState, sessions: Sessions, rows_k: I4, flow: FlowRows, values: F8,
    columns: I8,
) -> None:  # fmt: skip
    for i in range(rows_k.size):
        k = rows_k[i]
        if not 0 <= k < memory.ts_ns.size:
            show_nothing(values, i, columns)
            continue
        before_ns = memory.ts_ns[k]
        now_ns = max(before_ns, flow.ts_ns[i])
        memory.ts_ns[k] = now_ns
        qty = flow.qty[i] if flow.event[i] & TRADE else 0.0
        for place in range(sessions.first.size - 1):
            day, stop = memory.day[k, place], sessions.first[place + 1]
            while day < stop and sessions.close_ns[day] <= now_ns:
                day += 1
            memory.day[k, place] = day
            for j in range(WIDTH):
                memory.held[k, place * WIDTH + j] = np.nan
            if day == stop or now_ns < sessions.open_ns[day]:
                continue
            if memory.entered[k, place] != day:
                _enter(memory, k, place, day, before_ns > _NEVER)
            rested_ns = min(now_ns, sessions.resume_ns[day]) - sessions.rest_ns[day]
            if rested_ns < 0 or now_ns >= sessions.resume_ns[day]:
                since_ns = now_ns - sessions.open_ns[day] - max(rested_ns, 0)
                _expand(memory, k, place, since_ns, flow.mid[i], qty)
        show(values, i, columns, memory.held, k)
