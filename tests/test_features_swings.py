"""Swings: planted turning points, and the definition tick by tick over slices."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from operators.features.swings import DOWN, SwingPrices, SwingRows, Swings, SwingsState
from schemas.rows import take
from tests.check_operator import check_operator
from tests.feature_cases import START_NS
from tests.feature_definitions import REVERSAL_ATR, swings_by_definition

NAN = math.nan


def rows_of(mid: Any, atr: Any = 1.0, k: Any = 0) -> SwingPrices:
    mid = np.array(mid, np.float64)
    n = mid.size
    return SwingPrices(
        k=np.broadcast_to(np.asarray(k, np.int32), n).copy(),
        ts_event_ns=START_NS + np.arange(n, dtype=np.int64),
        mid=mid,
        atr=np.broadcast_to(np.asarray(atr, np.float64), n).copy(),
    )


def run(rows: SwingPrices, instruments: int = 1) -> tuple[SwingsState, SwingRows]:
    operator = Swings(instruments)
    return operator.step(operator.initial(), rows)


# fmt: off
CASES = [  # mids with ATR 1 (a reversal is 3), then the last tick: pivot, pivot before, extreme
    ("nothing yet",                     [10, 12, 10],              (NAN, NAN, NAN)),
    ("a fall of 3 proves the high",     [10, 12, 9],               (12, NAN, 9)),
    ("a fall of less does not",         [10, 12, 9.01],            (NAN, NAN, NAN)),
    ("a rise of 3 proves the low",      [10, 8, 11],               (8, NAN, 11)),
    ("the leg runs on",                 [10, 12, 9, 7, 8],         (12, NAN, 7)),
    ("the low is a pivot in its turn",  [10, 12, 9, 7, 8, 10],     (7, 12, 10)),
    ("not before a rise of 3",          [10, 12, 9, 7, 8, 9.9],    (12, NAN, 7)),
    ("a gap through both",              [10, 20, 1, 30],           (1, 20, 30)),
    ("three pivots, the last two kept", [10, 12, 7, 15, 11],       (15, 7, 11)),
]
# fmt: on


@pytest.mark.parametrize(("what", "mid", "expected"), CASES, ids=[c[0] for c in CASES])
def test_case(what: str, mid: list[float], expected: tuple[float, ...]) -> None:
    _, out = run(rows_of(mid))
    np.testing.assert_array_equal([column[-1] for column in out], expected)


def test_the_time_of_a_pivot_is_not_the_time_it_was_known() -> None:
    #   tick   0   1   2   3   4
    #   mid   10  12  11  11   9      the high of tick 1 is proven at tick 4
    state, out = run(rows_of([10, 12, 11, 11, 9]))
    assert state.pivot_ns[0] == START_NS + 1
    assert state.confirmed_ns[0] == START_NS + 4
    np.testing.assert_array_equal(out.pivot_px, [NAN, NAN, NAN, NAN, 12])


def test_no_pivot_while_the_atr_is_unknown_or_zero() -> None:
    mid = [10, 20, 10, 20, 10, 16]
    for atr in (NAN, 0.0):
        assert np.isnan(run(rows_of(mid, atr))[1].pivot_px).all()
    # The extremes were followed all the same: the first tick with an ATR proves the high of tick 1.
    _, out = run(rows_of(mid, [NAN, NAN, NAN, NAN, 1.0, 1.0]))
    np.testing.assert_array_equal(out.pivot_px[-2:], [20, 10])


def test_a_shrinking_atr_proves_from_the_furthest_price_since() -> None:
    #   mid   20  14  16  16      a fall of 6 is no reversal while the ATR is 3; a fall of 4 is one
    #   atr    3   3   3   1      at ATR 1, and the furthest price of the new leg was 14
    _, out = run(rows_of([20, 14, 16, 16], [3, 3, 3, 1.0]))
    np.testing.assert_array_equal(out.pivot_px, [NAN, NAN, NAN, 20])
    np.testing.assert_array_equal(out.swing_extreme_px, [NAN, NAN, NAN, 14])


def walk(n: int, seed: int) -> SwingPrices:
    random = np.random.default_rng(seed)
    atr = np.exp(np.cumsum(random.normal(0, 0.02, n)) * 0.5)
    atr[:30] = np.nan
    k = random.integers(-1, 3, n)
    return rows_of(100 + np.cumsum(random.normal(0, 0.6, n)), atr, k)


@pytest.mark.parametrize("seed", range(5))
def test_against_the_definition(seed: int) -> None:
    rows = walk(6000, seed)
    _, out = run(rows, instruments=3)
    for k in range(3):
        mine = rows.k == k
        mid = rows.mid[mine]
        pivots, extremes = swings_by_definition(mid, rows.atr[mine])
        found = out.pivot_px[mine]
        changes = np.flatnonzero(np.diff(found) != 0) + 1  # NaN differs from everything
        changes = changes[~np.isnan(found[changes])]
        assert len(pivots) > 15
        np.testing.assert_array_equal(found[changes], mid[pivots])
        np.testing.assert_array_equal(out.pivot_before_px[mine][changes[1:]], mid[pivots[:-1]])
        np.testing.assert_array_equal(out.swing_extreme_px[mine], extremes)
    for column in out:
        assert np.isnan(column[rows.k < 0]).all()


def test_pivots_alternate_and_each_leg_is_a_reversal_long() -> None:
    rows = walk(20_000, seed=9)
    rows.k[:] = 0
    operator = Swings(1)
    state = operator.initial()
    pivots = []
    for i in range(rows.k.size):
        n_before = state.confirmed_ns[0]
        state, _ = operator.step(state, take(rows, slice(i, i + 1)))
        if state.confirmed_ns[0] != n_before:
            assert state.pivot_ns[0] < state.confirmed_ns[0] == rows.ts_event_ns[i]
            assert abs(rows.mid[i] - state.pivot[0]) >= REVERSAL_ATR * rows.atr[i]
            pivots.append((state.pivot[0], state.leg[0] == DOWN, REVERSAL_ATR * rows.atr[i]))
    assert len(pivots) > 100
    for (px, high, reversal), (next_px, next_high, _) in pairwise(pivots):
        assert high != next_high
        assert (px - next_px if high else next_px - px) >= reversal


def test_every_promise_of_an_operator() -> None:
    check_operator(Swings(3), walk(3000, seed=8), without_numba=True)
