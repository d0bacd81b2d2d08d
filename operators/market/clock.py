"""How far each venue's clock is from ours, and how fast it runs away: from one-way delays alone."""

import math
from typing import Any, NamedTuple

import numpy as np

from operators.arrays import F8, I2, I8, ArrayOperator, kernel
from operators.records import Records, blank_records
from schemas.kinds import Flag, Kind
from schemas.rows import MarketRows, empty, take

BUCKET_NS = 4_000_000_000  # 4 s: some row of it was about as fast as rows can be
BUCKETS = 64  # remembered: a drift of 10 ppm moves the line by 2.6 ms meanwhile
BUCKETS_MIN = 8  # before a drift is told; fewer give a slope of noise
DRIFT_PPB_MAX = 500_000.0  # 500 ppm: no quartz is so bad
STEP_NS = 50_000_000  # 50 ms: with few rows the fastest may be later than others by some ms
FASTEST_NS = 1_000_000  # the delay that the fastest row is taken to have, as on tapes
CLOCK_FIELDS = {
    "bucket": "<i8",  # number of the present bucket; means nothing while n_rows is 0
    "at_ns": "<i8",  # receive time of its fastest row
    "least_ns": "<i8",  # delay of that row
    "n_rows": "<i8",
    "n_negative": "<i8",
    "n_points": "<i8",  # buckets remembered
}

_TRADE, _QUOTE, _BOOK = int(Kind.TRADE), int(Kind.QUOTE), int(Kind.BOOK)
_SNAPSHOT, _LAST = int(Flag.SNAPSHOT), int(Flag.MSG_LAST)
_AT, _LEAST = 0, 1  # columns of a point


class ClockRows(NamedTuple):
    """What is known of a venue's clock when a bucket of it ends."""

    clock: I2
    ts_recv_ns: I8  # of the row that ended the bucket
    offset_ns: I8  # our clock minus the venue's at that time, the fastest row counting as 1 ms
    drift_ppb: F8  # by how much it grows, ns per second; null before BUCKETS_MIN buckets
    least_ns: I8  # smallest delay of the bucket as stamped: negative where the venue is ahead
    n_rows: I8  # of the bucket
    n_negative: I8  # of these, stamped by the venue later than by us


class ClockState(NamedTuple):
    """The present bucket of each clock, and the fastest row of each bucket before."""

    of: Records  # (clocks,) CLOCK_FIELDS
    points: I8  # (clocks, BUCKETS, 2): receive time and delay, the oldest first


class VenueClocks(ArrayOperator[ClockState]):
    """Offset and drift of venues' clocks, estimated online.

    Parameters
    ----------
    clock_of_source : I8, shape (sources,)
        The clock that stamps the rows of a source, counted from 0; -1: none, they are passed over.

    Notes
    -----
    In: MarketRows, in order of `ts_recv_ns`. Used are the last rows of messages that are trades,
    quotes and book changes; not snapshots, which are stamped by other rules, nor rows whose venue
    time is the receive time, which stands in where a venue gives none. Out: ClockRows, one for
    each bucket of 4 s that had rows, told by the first row behind it.
    Estimate: delays have a floor and no ceiling, so jitter of any shape stays above the line that
    a drifting clock draws. That line is the one below all points with the least sum of distances;
    the points are the fastest row of each of the last 64 buckets. Delay itself cannot be told from
    offset: the fastest row is taken as 1 ms. A line steeper than any clock drifts, by 50 ms and
    more, is a clock that was set: the points before are forgotten. Delays that fall by that are
    seen within a bucket; that all became slower, only when half of the points are.
    Chunks: any split gives the same bytes. State: 1,072 bytes a clock. Errors: ValueError for a
    clock below -1.
    Source: Moon, Skelly, Towsley (1999), Estimation and Removal of Clock Skew from Network Delay
    Measurements: the linear program, solved on the lower convex hull.
    """

    def __init__(self, clock_of_source: I8) -> None:
        if (clock_of_source < -1).any():
            raise ValueError(f"clocks must be -1 or above, was {clock_of_source.min()}")
        self._clock_of_source = clock_of_source.astype(np.int64)
        self._clocks = int(clock_of_source.max(initial=-1)) + 1

    def initial(self) -> ClockState:
        return ClockState(
            blank_records(CLOCK_FIELDS, self._clocks),
            np.zeros((self._clocks, BUCKETS, 2), np.int64),
        )

    def step(self, state: ClockState, rows: MarketRows) -> tuple[ClockState, ClockRows]:
        out = empty(ClockRows, rows.seq.size)
        columns = (rows.kind, rows.flags, rows.source, rows.ts_event_ns, rows.ts_recv_ns)
        hull = np.zeros(BUCKETS, np.int64)
        made = _fold(state, self._clock_of_source, columns, hull, out)
        return state, take(out, slice(0, made))


@kernel
def _fold(state: ClockState, clock_of_source: I8, columns: Any, hull: I8, out: ClockRows) -> int:
    kinds, flags, sources, ts_event_ns, ts_recv_ns = columns
    made = 0
    for i in range(kinds.size):
        kind, source, now_ns = kinds[i], sources[i], ts_recv_ns[i]
        if kind != _TRADE and kind != _QUOTE and kind != _BOOK:
            continue
        if flags[i] & _LAST == 0 or flags[i] & _SNAPSHOT != 0 or ts_event_ns[i] == now_ns:
            continue
        if not 0 <= source < clock_of_source.size or clock_of_source[source] < 0:
            continue
        k = clock_of_source[source]
        clock, delay_ns, bucket = state.of[k], now_ns - ts_event_ns[i], now_ns // BUCKET_NS
        if clock.n_rows > 0 and bucket > clock.bucket:
            _close(state, k, hull, now_ns, out, made)
            made += 1
        if clock.n_rows == 0:
            clock.bucket, clock.at_ns, clock.least_ns = bucket, now_ns, delay_ns
        elif delay_ns < clock.least_ns:
            clock.at_ns, clock.least_ns = now_ns, delay_ns
        clock.n_rows += 1
        clock.n_negative += 1 if delay_ns < 0 else 0
    return made


@kernel
def _close(state: ClockState, k: int, hull: I8, now_ns: int, out: ClockRows, m: int) -> None:
    """The bucket is over: remember its fastest row, and tell where the line is now."""
    clock, points = state.of[k], state.points[k]
    if clock.n_points == BUCKETS:
        for j in range(BUCKETS - 1):
            points[j, _AT], points[j, _LEAST] = points[j + 1, _AT], points[j + 1, _LEAST]
        clock.n_points -= 1
    n = clock.n_points
    points[n, _AT], points[n, _LEAST] = clock.at_ns, clock.least_ns
    n += 1
    at, then, slope = _line(points, n, hull)
    rise_ns = points[then, _LEAST] - points[at, _LEAST]
    if abs(rise_ns) > STEP_NS and abs(slope) > DRIFT_PPB_MAX:  # set, not drifted
        for j in range(then, n):
            points[j - then, _AT], points[j - then, _LEAST] = points[j, _AT], points[j, _LEAST]
        n -= then
        at, then, slope = _line(points, n, hull)
    clock.n_points = n
    if n < BUCKETS_MIN:
        slope = 0.0
        for j in range(n):
            at = j if points[j, _LEAST] < points[at, _LEAST] else at
    ahead_s = (now_ns - points[at, _AT]) * 1e-9
    line_ns = points[at, _LEAST] + math.floor(slope * ahead_s + 0.5)
    out.clock[m], out.ts_recv_ns[m] = k, now_ns
    out.offset_ns[m] = line_ns - FASTEST_NS
    out.drift_ppb[m] = slope if n >= BUCKETS_MIN else np.nan
    out.least_ns[m], out.n_rows[m], out.n_negative[m] = (
        clock.least_ns, clock.n_rows, clock.n_negative,
    )  # fmt: skip
    clock.n_rows = clock.n_negative = 0


@kernel
def _line(points: I8, n: int, hull: I8) -> tuple[int, int, float]:
    """The line below `n` points with the least distances: two points of it, slope in ns per s.

    It is the edge of the lower hull above which the mean time lies.
    """
    size = 0
    for j in range(n):
        while size >= 2 and not _turns_up(points, hull[size - 2], hull[size - 1], j):
            size -= 1
        hull[size] = j
        size += 1
    mean_s = 0.0
    for j in range(n):
        mean_s += (points[j, _AT] - points[0, _AT]) * 1e-9
    mean_s /= n
    edge = 0
    while edge + 2 < size and (points[hull[edge + 1], _AT] - points[0, _AT]) * 1e-9 < mean_s:
        edge += 1
    if size < 2:
        return 0, 0, 0.0
    a, b = int(hull[edge]), int(hull[edge + 1])
    return a, b, _slope(points, a, b)


@kernel
def _turns_up(points: I8, a: int, b: int, c: int) -> bool:
    """Whether the way from a over b to c bends upwards, so that b is on the lower hull."""
    return _slope(points, a, b) < _slope(points, b, c)


@kernel
def _slope(points: I8, a: int, b: int) -> float:
    return float(
        (points[b, _LEAST] - points[a, _LEAST]) / ((points[b, _AT] - points[a, _AT]) * 1e-9)
    )
