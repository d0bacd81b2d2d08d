"""Promise: a venue clock's planted offset and drift are found under asymmetric jitter, online.

The simulator's rows are stamped anew by clocks that are off and drift; the oracle is the linear
program of the paper, solved by SciPy.
"""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

from operators.market.clock import (
    BUCKET_NS,
    BUCKETS,
    BUCKETS_MIN,
    FASTEST_NS,
    ClockRows,
    VenueClocks,
)
from schemas.kinds import Flag, Kind
from schemas.rows import MarketRows, concat, empty, take
from tests.check_operator import check_operator
from venues.simulator import Simulator

S_NS, MS_NS = 1_000_000_000, 1_000_000
PLANTED = [  # ms that ours is ahead of the venue's, and ppm by which that grows
    (37.0, 40.0),
    (-1_270.0, -25.0),
    (0.0, 0.0),
]
TOLERANCE_NS = 300_000  # 0.3 ms: ten times less than the jitter's mean
TOLERANCE_PPB = 3_000.0  # 3 ppm


def stamped(n_rows: int, *, seed: int = 7) -> MarketRows:
    """Simulated rows, stamped by three planted clocks, 1 ms on the way and more: never less."""
    rows = concat(list(Simulator(seed=3, n_rows=n_rows, depth_levels=0).read(0, 65_536)))
    rng = np.random.default_rng(seed)
    late_ns = FASTEST_NS + rng.exponential(3 * MS_NS, n_rows)
    late_ns += (rng.random(n_rows) < 0.02) * rng.exponential(200 * MS_NS, n_rows)
    rows.source[:] = np.arange(n_rows) % len(PLANTED)
    offset_ns = np.empty(n_rows)
    for clock in range(len(PLANTED)):
        mine = rows.source == clock
        offset_ns[mine] = planted_ns(clock, rows.ts_recv_ns[mine], rows.ts_recv_ns[0])
    event_ns = rows.ts_recv_ns - (late_ns + offset_ns).astype(np.int64)
    return rows._replace(ts_event_ns=event_ns)


def planted_ns(clock: int, at_ns: Any, start_ns: int) -> Any:
    """Offset of a planted clock."""
    offset_ms, drift_ppm = PLANTED[clock]
    return offset_ms * MS_NS + drift_ppm * 1e-6 * (at_ns - start_ns)


def found(rows: MarketRows, clock: int = 0, *, clocks: int = len(PLANTED)) -> ClockRows:
    operator = VenueClocks(np.arange(clocks))
    out = operator.step(operator.initial(), rows)[1]
    return take(out, out.clock == clock)


def test_operator_holds_every_promise() -> None:
    check_operator(VenueClocks(np.array([0, -1, 1])), stamped(6_000))


@pytest.mark.parametrize("clock", range(len(PLANTED)))
def test_planted_offset_and_drift_are_found(clock: int) -> None:
    rows = stamped(60_000)
    out = found(rows, clock)
    settled = take(out, slice(BUCKETS, None))
    expected = planted_ns(clock, settled.ts_recv_ns, int(rows.ts_recv_ns[0]))
    assert settled.clock.size > 200
    assert np.abs(settled.offset_ns - expected).max() < TOLERANCE_NS
    assert np.abs(settled.drift_ppb - PLANTED[clock][1] * 1_000).max() < TOLERANCE_PPB
    assert np.isnan(out.drift_ppb[: BUCKETS_MIN - 1]).all()
    assert not np.isnan(out.drift_ppb[BUCKETS_MIN - 1 :]).any()


def test_mean_delay_would_be_wrong() -> None:
    """What the jitter does to an estimate that takes it for noise around the offset."""
    rows = stamped(60_000)
    mine = rows.source == 2
    assert (rows.ts_recv_ns - rows.ts_event_ns)[mine].mean() > 10 * TOLERANCE_NS


def test_line_is_that_of_the_linear_program() -> None:
    rows = stamped(9_000)
    mine = take(rows, rows.source == 0)
    out = found(rows)
    for m in range(BUCKETS_MIN, min(out.clock.size, BUCKETS), 7):
        at_ns, least_ns = fastest(mine, int(out.ts_recv_ns[m]))
        at_s = (at_ns - at_ns[0]) / 1e9
        excess = least_ns - least_ns.min()
        best = linprog(  # a line a + b t below all points, with the greatest sum
            c=[-at_s.size, -at_s.sum()], A_ub=np.stack([np.ones_like(at_s), at_s], axis=1),
            b_ub=excess, bounds=[(None, None)] * 2,
        )  # fmt: skip
        level, slope = best.x
        now_s = (out.ts_recv_ns[m] - at_ns[0]) / 1e9
        line_ns = least_ns.min() + level + slope * now_s - FASTEST_NS
        assert out.drift_ppb[m] == pytest.approx(slope, rel=1e-6, abs=1e-3)
        assert out.offset_ns[m] == pytest.approx(line_ns, abs=2)  # ns


def fastest(rows: MarketRows, before_ns: int) -> tuple[Any, Any]:
    """Receive time and delay of the fastest row of each bucket that has ended."""
    delay_ns, bucket = rows.ts_recv_ns - rows.ts_event_ns, rows.ts_recv_ns // BUCKET_NS
    picked = []
    for each in np.unique(bucket[bucket < before_ns // BUCKET_NS]):
        index = np.flatnonzero(bucket == each)
        picked.append(index[np.argmin(delay_ns[index])])
    return rows.ts_recv_ns[picked], delay_ns[picked]


def row(second: float, delay_ms: float, *, kind: Kind = Kind.TRADE, flags: int = 1) -> MarketRows:
    made = empty(MarketRows, 1)
    made.kind[:], made.flags[:] = kind, flags
    made.ts_recv_ns[:] = int(second * S_NS)
    made.ts_event_ns[:] = int(second * S_NS) - int(delay_ms * MS_NS)
    return made


WHOLE = Flag.SNAPSHOT | Flag.MSG_LAST

# fmt: off
ONE_BUCKET: list[tuple[str, list[MarketRows], tuple[int, ...]]] = [
    # rows of the bucket from 0 to 4 s; offset and smallest delay in ms, rows, negative ones
    ("one row",                [row(1, 5)],                                      (4, 5, 1, 0)),
    ("the fastest counts",     [row(1, 9), row(2, 5), row(3, 700)],              (4, 5, 3, 0)),
    ("the venue is ahead",     [row(1, -3), row(2, 2)],                          (-4, -3, 2, 1)),
    ("a snapshot",             [row(1, 5), row(2, 1, kind=Kind.BOOK, flags=WHOLE)], (4, 5, 1, 0)),
    ("inside a message",       [row(1, 5), row(2, 1, kind=Kind.BOOK, flags=0)],  (4, 5, 1, 0)),
    ("no venue time",          [row(1, 5), row(2, 0)],                           (4, 5, 1, 0)),
    ("a bar",                  [row(1, 5), row(2, 1, kind=Kind.BAR)],            (4, 5, 1, 0)),
]
# fmt: on


@pytest.mark.parametrize(
    ("rows", "expected"), [c[1:] for c in ONE_BUCKET], ids=[c[0] for c in ONE_BUCKET]
)
def test_one_bucket(rows: list[MarketRows], expected: tuple[int, ...]) -> None:
    out = found(concat([*rows, row(4, 50)]), clocks=1)
    assert out.ts_recv_ns.tolist() == [4 * S_NS]
    told = (out.offset_ns[0] / MS_NS, out.least_ns[0] / MS_NS, out.n_rows[0], out.n_negative[0])
    assert told == expected


# fmt: off
SET = [  # ms that all delays jump by after a minute, buckets since, and the offset told then
    (-500.0,  0,    4.0),
    (-500.0,  1, -496.0),  # less delay is seen at once
    (-500.0, 20, -496.0),
    ( 500.0, 10,    4.0),  # that may be a slow line, and no clock
    ( 500.0, 16,  504.0),  # half of the points are later
    (   3.0, 16,    4.0),  # no clock was set
]
# fmt: on


@pytest.mark.parametrize(("jump_ms", "n_after", "offset_ms"), SET)
def test_clock_that_was_set(jump_ms: float, n_after: int, offset_ms: float) -> None:
    rows = [row(4 * k + 1, 5 + (jump_ms if k >= 15 else 0)) for k in range(16 + n_after)]
    out = found(concat(rows), clocks=1)
    assert out.offset_ns[-1] / MS_NS == pytest.approx(offset_ms, abs=4)


def test_clock_below_none_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 or above, was -2"):
        VenueClocks(np.array([0, -2]))
