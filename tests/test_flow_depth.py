"""The book's levels: weighted imbalance and order-flow imbalance per level."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.features.flow.depth import DEPTH, Depth
from operators.features.flow.events import flow_input
from operators.features.flow.ofi import Ofi
from operators.features.flow.rows import LEVELS, TOP
from operators.features.flow.windows import WINDOW_NS
from schemas.rows import MarketRows, empty
from tests.check_operator import check_operator
from tests.flow_cases import (
    at,
    book,
    flow_rows,
    hand_made,
    mixed_flow,
    of,
    quote,
    slot_sums,
    values,
)
from tests.test_flow_quotes import contributions, known_since

NAMES = Depth.NAMES


def ladder(bids: list[float], asks: list[float]) -> list[tuple[float, float, float, float]]:
    """Levels a tick apart with these quantities."""
    return [(99.0 - j, b, 101.0 + j, a) for j, (b, a) in enumerate(zip(bids, asks, strict=True))]


def test_weights_fall_by_half_a_power_per_level() -> None:
    bids, asks = [1.0, 2.0, 3.0, 4.0, 5.0], [5.0, 1.0, 1.0, 1.0, 2.0]
    b, a = (sum(math.exp(-0.5 * j) * q for j, q in enumerate(side)) for side in (bids, asks))
    found = values(Depth(3), hand_made(book(*ladder(bids, asks))))
    assert found["imbalance_levels"][0] == pytest.approx((b - a) / (b + a), rel=1e-14)


QTY = st.lists(st.floats(0.001, 1e6), min_size=DEPTH, max_size=DEPTH)


@given(QTY, QTY)
def test_imbalance_is_bounded_and_antisymmetric(bids: list[float], asks: list[float]) -> None:
    rows = hand_made(book(*ladder(bids, asks)), book(*ladder(asks, bids)))
    this, swapped = values(Depth(3), rows)["imbalance_levels"]
    assert -1.0 <= this <= 1.0
    assert swapped == -this


def test_a_level_that_is_not_known_is_null_and_those_before_it_are_not() -> None:
    five, three = ladder([1.0] * 5, [1.0] * 5), ladder([1.0] * 3, [1.0] * 3)
    rows = hand_made(
        book(*five, ts_event_ns=at(0)), book(*five, ts_event_ns=at(10)),
        book(*three, ts_event_ns=at(11)), book(*five, ts_event_ns=at(12)),
    )  # fmt: skip
    found = values(Depth(3), rows)
    np.testing.assert_array_equal(np.isfinite(found["imbalance_levels"]), [1, 1, 0, 1])
    np.testing.assert_array_equal(np.isfinite(found["ofi_level_3"]), [0, 1, 1, 1])
    np.testing.assert_array_equal(np.isfinite(found["ofi_level_4"]), [0, 1, 0, 0])


def test_every_level_against_its_contributions_added_up_anew() -> None:
    rows = flow_rows(mixed_flow(4000, seed=4))
    found = values(Depth(3), rows)
    for k in range(3):
        ts_ns, event, levels = (of(k, rows, c) for c in (rows.ts_ns, rows.event, rows.levels))
        told = np.flatnonzero(event & LEVELS)
        for m in range(DEPTH):
            bid, bid_qty, ask, ask_qty = levels[told][:, :, m].T
            e = np.zeros(ts_ns.size)
            e[told] = contributions(bid, bid_qty, ask, ask_qty)
            whole = dict(zip(told, np.isfinite(bid + bid_qty + ask + ask_qty), strict=True))
            known = [bool(whole[i]) if i in whole else None for i in range(ts_ns.size)]
            warm = known_since(ts_ns, known) <= ts_ns - WINDOW_NS
            expected = np.where(warm, slot_sums(ts_ns, e), np.nan)
            assert 0.05 < warm.mean() < 1.0
            shown = of(k, rows, found[f"ofi_level_{1 + m}"])
            np.testing.assert_allclose(shown, expected, rtol=1e-9, atol=1e-9)


def test_level_1_is_the_best_quotes_where_the_book_is_the_quote() -> None:
    rows = flow_rows(mixed_flow(3000, seed=5))
    mine = of(1, rows, rows.event)
    assert (mine & TOP == (mine & LEVELS) // (LEVELS // TOP))[mine & LEVELS > 0].all()
    alone = rows._replace(
        k=np.where((rows.k == 1) & (rows.event & LEVELS > 0), 1, -1).astype(np.int32)
    )
    level_1 = of(1, alone, values(Depth(3), alone)["ofi_level_1"])
    assert np.isfinite(level_1).sum() > 20
    np.testing.assert_array_equal(level_1, of(1, alone, values(Ofi(3), alone)["ofi_best"]))


def test_rows_without_levels_are_refused_with_what_to_do() -> None:
    rows = flow_rows(flow_input(empty(MarketRows, 2)))
    with pytest.raises(ValueError, match="need 5 levels a side, the rows have 0: give `levels`"):
        values(Depth(3), rows)
    with pytest.raises(ValueError, match=r"levels must be \(2, 4, levels\), was \(2, 5, 4\)"):
        flow_input(empty(MarketRows, 2), np.zeros((2, 5, 4)))


def test_quotes_are_not_the_book() -> None:
    found = values(Depth(3), hand_made(quote(99.0, 101.0)))
    assert all(np.isnan(found[name]).all() for name in NAMES)


def test_every_promise_of_an_operator() -> None:
    check_operator(Depth(3), flow_rows(mixed_flow(2500, seed=6)))
