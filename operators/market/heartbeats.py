"""Heartbeats: in every second with rows, each silent lane says that it is still there."""

from typing import Any, NamedTuple

import numpy as np

from operators.arrays import ArrayOperator, kernel
from schemas.kinds import NO_ID, NO_SYMBOL, Flag, Kind
from schemas.rows import I2, I4, I8, U1, MarketRows, empty, take

SECOND_NS = 1_000_000_000
NONE = -1


class HeartbeatState(NamedTuple):
    """The second under way, and heartbeats of the one before that still wait for their place."""

    second: I8  # (1,) number of the second of the last row, NONE before the first row
    last_ns: I8  # (1,) receive time of the last row
    last_lane: I4  # (1,)
    seen: U1  # (lanes,) 1 where the lane had a row in `second`
    waiting: U1  # (lanes,) 1 where a heartbeat at the start of `second` is not out yet


class Heartbeats(ArrayOperator[HeartbeatState]):
    """Adds heartbeat rows to market rows, keeping the order by (ts_recv_ns, lane).

    Parameters
    ----------
    lanes : int, > 0
        Lanes of the deployment.
    active : list of int
        Lanes that have instruments; only these get heartbeats.

    Notes
    -----
    In: MarketRows, shape (n,), by (ts_recv_ns, lane), all with ts_recv_ns >= 0. Out: the same rows
    and, for each whole second k in which any lane has a row, one HEARTBEAT at (k + 1) s for each
    active lane without one. It precedes a row of equal time and lane. Its symbol is NO_SYMBOL, its
    source -1, its ts_event_ns its ts_recv_ns, its seq 0.
    `end` closes the lanes: what still waits, then one HEARTBEAT with Flag.END per active lane at
    the end of the last second (at 0 if there never was a row).
    Chunks: any split of the same rows gives the same rows. State: 2 bytes per lane.
    Errors: ValueError for a lane outside 0..lanes-1 or rows out of order.
    """

    State = HeartbeatState

    def __init__(self, lanes: int, active: list[int]) -> None:
        if lanes < 1 or any(not 0 <= lane < lanes for lane in active):
            raise ValueError(f"active lanes must be in 0..{lanes - 1}, were {active}")
        self._active = np.zeros(lanes, np.uint8)
        self._active[active] = 1

    def initial(self) -> HeartbeatState:
        lanes = self._active.size
        return HeartbeatState(
            second=np.full(1, NONE, np.int64),
            last_ns=np.full(1, NONE, np.int64),
            last_lane=np.full(1, NONE, np.int32),
            seen=np.zeros(lanes, np.uint8),
            waiting=np.zeros(lanes, np.uint8),
        )

    def step(self, state: HeartbeatState, rows: MarketRows) -> tuple[HeartbeatState, MarketRows]:
        n = rows.seq.size
        if n == 0:
            return state, rows
        seconds = rows.ts_recv_ns // SECOND_NS
        turns = 1 + int(np.count_nonzero(seconds[1:] != seconds[:-1]))
        room = n + (turns + 1) * self._active.size
        pick, beat_ns = np.empty(room, np.int64), np.empty(room, np.int64)
        found = _weave(state, rows.ts_recv_ns, rows.lane, self._active, pick, beat_ns)
        if found < 0:
            raise ValueError(
                "rows must come by (ts_recv_ns, lane) with times from 0 and lanes in"
                f" 0..{self._active.size - 1}; row {-1 - found} does not"
            )
        if found == n:
            return state, rows
        pick, beat_ns = pick[:found], beat_ns[:found]
        out = take(rows, np.maximum(pick, 0))
        beats = np.flatnonzero(pick < 0)
        made = _heartbeats(-1 - pick[beats], beat_ns[beats])
        columns: zip[tuple[Any, Any]] = zip(out, made, strict=True)
        for column, values in columns:
            column[beats] = values
        return state, out

    def end(self, state: HeartbeatState) -> MarketRows:
        """The rows after the last one."""
        lanes = np.flatnonzero(self._active)
        start_ns = max(int(state.second[0]), 0) * SECOND_NS
        end_ns = start_ns + SECOND_NS if state.second[0] != NONE else 0
        waiting = np.flatnonzero(state.waiting)
        silent = lanes[state.seen[lanes] == 0] if state.second[0] != NONE else lanes[:0]
        # At one instant: a lane's heartbeat, then its end, lane by lane.
        lane = np.concatenate([silent, lanes])
        closing = np.concatenate([np.zeros(silent.size, np.uint8), np.ones(lanes.size, np.uint8)])
        order = np.lexsort((closing, lane))
        made = _heartbeats(
            np.concatenate([waiting, lane[order]]),
            np.concatenate([np.full(waiting.size, start_ns), np.full(lane.size, end_ns)]).astype(
                np.int64
            ),
        )
        made.flags[waiting.size :] |= closing[order] * np.uint8(Flag.END)
        return made


def _heartbeats(lane: I8, ts_ns: I8) -> MarketRows:
    rows = empty(MarketRows, lane.size)
    rows.lane[:] = lane
    rows.kind[:] = Kind.HEARTBEAT
    rows.flags[:] = Flag.MSG_LAST
    rows.symbol[:] = NO_SYMBOL
    rows.ts_event_ns[:] = rows.ts_recv_ns[:] = ts_ns
    rows.ref_id[:] = NO_ID
    rows.venue_seq[:] = rows.source[:] = rows.source_row[:] = NONE
    return rows


@kernel
def _weave(
    state: HeartbeatState, ts_recv_ns: I8, lanes: I2, active: U1, pick: I8, beat_ns: I8
) -> int:
    """Fill `pick` with row numbers, or -1 - lane for a heartbeat; gives how many.

    A negative result -1 - i: row i breaks the rules.
    """
    n = 0
    for i in range(ts_recv_ns.size):
        t, lane, before_ns = ts_recv_ns[i], lanes[i], state.last_ns[0]
        if t < 0 or lane < 0 or lane >= active.size:
            return -1 - i
        if t < before_ns or (t == before_ns and lane < state.last_lane[0]):
            return -1 - i
        start_ns = state.second[0] * SECOND_NS
        if t >= start_ns + SECOND_NS:  # the second of the rows before is over
            if state.second[0] != NONE:
                n = _emit(state.waiting, active.size, start_ns, pick, beat_ns, n)
                for k in range(active.size):
                    state.waiting[k] = active[k] * (1 - state.seen[k])
                    state.seen[k] = 0
                over_ns = start_ns + SECOND_NS
                upto = lane + 1 if over_ns == t else active.size
                n = _emit(state.waiting, upto, over_ns, pick, beat_ns, n)
            state.second[0] = t // SECOND_NS
        elif before_ns == start_ns:  # only then something may wait
            upto = lane + 1 if t == start_ns else active.size
            n = _emit(state.waiting, upto, start_ns, pick, beat_ns, n)
        state.last_ns[0], state.last_lane[0] = t, lane
        state.seen[lane] = 1
        pick[n], beat_ns[n] = i, t
        n += 1
    return n


@kernel
def _emit(waiting: U1, upto: int, due_ns: int, pick: I8, beat_ns: I8, n: int) -> int:
    """Put out the heartbeats that wait in lanes below `upto`."""
    for k in range(upto):
        if waiting[k] == 1:
            pick[n], beat_ns[n] = -1 - k, due_ns
            waiting[k] = 0
            n += 1
    return n
