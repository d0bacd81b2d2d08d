"""Heartbeats: every silent lane, every second with rows, in order, however the rows are cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.market.heartbeats import SECOND_NS, Heartbeats
from schemas.kinds import NO_SYMBOL, Flag, Kind
from schemas.rows import MarketRows, empty
from tests.check_operator import check_operator

S = SECOND_NS
LANES, ACTIVE = 4, [0, 1, 3]
Row = tuple[int, int]  # ts_recv_ns, lane


def made(rows: list[Row]) -> MarketRows:
    table = empty(MarketRows, len(rows))
    for k, (ts_ns, lane) in enumerate(rows):
        table.ts_recv_ns[k] = table.ts_event_ns[k] = ts_ns
        table.lane[k], table.kind[k], table.source_row[k] = lane, Kind.TRADE, k
    return table


def brute_force(rows: list[Row]) -> list[tuple[int, int, int, int]]:
    """(time, lane, kind, flags) of everything, by listing all and sorting once."""
    out = [(ts, lane, 1, k) for k, (ts, lane) in enumerate(rows)]  # heartbeats sort before rows
    seconds = {ts // S for ts, _ in rows}
    for second in seconds:
        there = {lane for ts, lane in rows if ts // S == second}
        out += [((second + 1) * S, lane, 0, 0) for lane in ACTIVE if lane not in there]
    out.sort()
    end_ns = (max(seconds) + 1) * S if seconds else 0
    found = [(ts, lane, kind, int(Flag.MSG_LAST) * (kind == 0)) for ts, lane, kind, _ in out]
    at_end = [one for one in found if one[0] == end_ns and one[2] == 0]
    found = [one for one in found if one not in at_end]
    ends = [(end_ns, lane, 2, int(Flag.MSG_LAST | Flag.END)) for lane in ACTIVE]
    return found + sorted(at_end + ends, key=lambda one: (one[1], one[2]))


def run(rows: list[Row], cuts: list[int]) -> list[tuple[int, int, int, int]]:
    operator = Heartbeats(LANES, ACTIVE)
    state, parts, table = operator.initial(), [], made(rows)
    for first, last in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        piece = MarketRows._make(np.ascontiguousarray(c[first:last]) for c in table)
        state, out = operator.step(state, piece)
        parts.append(out)
    parts.append(operator.end(state))
    found = []
    for part in parts:
        for ts, lane, kind, flags in zip(
            part.ts_recv_ns, part.lane, part.kind, part.flags, strict=True
        ):
            beat = kind == Kind.HEARTBEAT
            code = 1 if not beat else 2 if flags & Flag.END else 0
            found.append((int(ts), int(lane), code, int(flags)))
    return found


CASES: list[tuple[str, list[Row]]] = [
    ("no row at all",                            []),
    ("one lane speaks once",                     [(5, 0)]),
    ("every lane speaks",                        [(5, 0), (6, 1), (7, 3)]),
    ("a second passes without a row",            [(5, 0), (3 * S + 1, 0)]),
    ("a row on the boundary, lane in front",     [(5, 1), (S, 0)]),
    ("a row on the boundary, same lane",         [(5, 0), (S, 1)]),
    ("a row on the boundary, lane behind",       [(5, 0), (S, 3), (S + 1, 0)]),
    ("rows on two boundaries",                   [(5, 0), (S, 0), (2 * S, 1)]),
    ("a lane without instruments",               [(5, 2), (S + 5, 0)]),
    ("the boundary is the last row",             [(5, 0), (S, 0)]),
]  # fmt: skip


@pytest.mark.parametrize(("what", "rows"), CASES, ids=[c[0] for c in CASES])
def test_case(what, rows):
    assert run(rows, []) == brute_force(rows)


def test_one_second_drawn():
    # lane 0   x . |        lane 1 speaks in the first second, lane 0 in both, lane 3 never
    # lane 1   . x | h
    # lane 3       h h
    assert run([(1, 0), (2, 1), (S + 1, 0)], [])[:6] == [
        (1, 0, 1, 0), (2, 1, 1, 0), (S, 3, 0, 1), (S + 1, 0, 1, 0), (2 * S, 0, 2, 5),
        (2 * S, 1, 0, 1),
    ]  # fmt: skip


TIMES = st.one_of(st.integers(0, 4).map(lambda k: k * S), st.integers(0, 5 * S))
ROWS = st.lists(st.tuples(TIMES, st.integers(0, LANES - 1)), max_size=25).map(sorted)


@given(ROWS, st.sets(st.integers(1, 24)))
def test_any_rows_any_split(rows, cuts):
    assert run(rows, sorted(c for c in cuts if c < len(rows))) == brute_force(rows)


def test_rows_pass_unchanged_and_heartbeats_are_blank():
    operator = Heartbeats(LANES, ACTIVE)
    rows = made([(5, 0), (S + 5, 1)])
    rows.price[:] = [3.0, 4.0]
    state, out = operator.step(operator.initial(), rows)
    beats = out.kind == Kind.HEARTBEAT
    assert out.price[~beats].tolist() == [3.0, 4.0]
    assert out.source_row[~beats].tolist() == [0, 1]
    for one in (MarketRows._make(c[beats] for c in out), operator.end(state)):
        assert set(one.symbol.tolist()) == {NO_SYMBOL}
        assert set(one.source.tolist()) == {-1}
        assert np.isnan(one.price).all()
        np.testing.assert_array_equal(one.ts_event_ns, one.ts_recv_ns)


@pytest.mark.parametrize(
    "rows", [[(5, 0), (4, 0)], [(5, 1), (5, 0)], [(5, 4)], [(5, -1)], [(-1, 0)]]
)
def test_rows_out_of_order_or_lane_are_a_wrong_program(rows):
    operator = Heartbeats(LANES, ACTIVE)
    with pytest.raises(ValueError, match=f"row {len(rows) - 1} does not"):
        operator.step(operator.initial(), made(rows))


def test_active_lanes_must_exist():
    with pytest.raises(ValueError, match="active lanes"):
        Heartbeats(2, [2])


def test_any_split_any_restart_and_no_numba_give_the_same_rows():
    random = np.random.default_rng(3)
    ts_ns = np.sort(random.choice(np.arange(0, 40 * S, S // 4), 400))
    rows = sorted(zip(ts_ns.tolist(), random.integers(0, LANES, 400).tolist(), strict=True))
    check_operator(Heartbeats(LANES, ACTIVE), made(rows), without_numba=True)
