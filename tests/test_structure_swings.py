"""Swings of bars: fractals against slices, the zigzag against ticks, alternation, no repainting."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.features.structure.fractals import FRACTAL, add_high
from operators.features.structure.marks import MarkKind
from operators.features.structure.structure import Structure
from operators.records import blank_records
from tests.feature_definitions import swings_by_definition
from tests.structure_cases import (
    BAR_NS,
    ROWS_OF_BAR,
    START_NS,
    bar_of,
    marks_of,
    per_bar,
    rows_of,
    walk,
)
from tests.structure_definitions import swings

NAMES = Structure.NAMES


@given(st.lists(st.integers(0, 12), max_size=60))
def test_fractals_are_the_highs_of_slices(highs: list[int]) -> None:
    queue = blank_records(FRACTAL, 1)[0]
    for b, high in enumerate(highs):
        found = add_high(queue, float(high), START_NS + b)
        around = highs[max(b - 10, 0) : b + 1]
        expected = b >= 10 and max(around) == around[5] and around.index(around[5]) == 5
        assert found == expected
        if found:
            at = queue.first
            assert (queue.px[at], queue.ns[at], queue.bar[at]) == (
                highs[b - 5],
                START_NS + b - 5,
                b - 5,
            )


@pytest.mark.parametrize("seed", range(4))
def test_swings_are_shown_when_known(seed: int) -> None:
    bars = walk(250, seed)
    found = per_bar(Structure(3), bars)
    for side, name in ((1, "swing_high"), (-1, "swing_low")):
        expected = np.full(len(bars), np.nan)
        origin = np.full(len(bars), -1)
        for swing in swings(bars, side):
            expected[swing.known :], origin[swing.known :] = swing.px, swing.bar
        assert len(set(expected[origin >= 0])) > 5
        np.testing.assert_array_equal(found[f"{name}_px"], expected)
        # The age runs from the very tick: a row of the pivot's bar, the first at that price.
        age_ns = found[f"{name}_age_ns"][origin >= 0]
        now_ns = START_NS + (np.flatnonzero(origin >= 0) + 1) * BAR_NS
        np.testing.assert_array_equal(bar_of(now_ns - age_ns.astype(np.int64)), origin[origin >= 0])


def test_ages_grow_with_every_row() -> None:
    rows = rows_of(walk(60, seed=5))
    operator = Structure(3)
    values = operator.step(operator.initial(), rows)[1].values
    for name in ("swing_high_age_ns", "swing_low_age_ns", "zigzag_age_ns", "zigzag_known_ns"):
        steps = np.diff(values[:, NAMES.index(name)])
        steps = steps[np.isfinite(steps)]
        assert (steps == BAR_NS // ROWS_OF_BAR).mean() > 0.8
        assert (steps <= BAR_NS // ROWS_OF_BAR).all()


@pytest.mark.parametrize("seed", range(4))
def test_zigzag_by_its_definition(seed: int) -> None:
    rows = rows_of(walk(250, seed))
    operator = Structure(3)
    values = operator.step(operator.initial(), rows)[1].values
    column = {name: values[:, j] for j, name in enumerate(NAMES)}
    pivots, _ = swings_by_definition(rows.flow.mid, column["bar_atr"])
    known = np.flatnonzero(column["zigzag_known_ns"] == 0)
    assert len(pivots) > 10
    np.testing.assert_array_equal(column["zigzag_px"][known], rows.flow.mid[pivots])
    age_ns = column["zigzag_age_ns"][known]
    np.testing.assert_array_equal(rows.flow.ts_ns[known] - age_ns, rows.flow.ts_ns[pivots])
    assert (age_ns > 0).all(), "a pivot is known later than it was"
    sides = column["zigzag_side"][known]
    assert (sides[1:] == -sides[:-1]).all(), "highs and lows alternate"
    for (a, b), side, i in zip(pairwise(rows.flow.mid[pivots]), sides[1:], known[1:], strict=True):
        assert side * (b - a) > 0
        assert abs(rows.flow.mid[i] - b) >= 3 * column["bar_atr"][i]


@pytest.mark.parametrize("seed", range(3))
def test_marks_are_the_swings(seed: int) -> None:
    bars = walk(250, seed)
    marks = marks_of(bars)
    for side, kind in ((1, MarkKind.SWING_HIGH), (-1, MarkKind.SWING_LOW)):
        mine = marks.kind == kind
        expected = swings(bars, side)
        assert (marks.side[mine] == side).all()
        assert (bar_of(marks.ts_event_ns[mine]) - 1).tolist() == [s.known for s in expected]
        assert marks.price_low[mine].tolist() == [s.px for s in expected]
        assert marks.price_high[mine].tolist() == [s.px for s in expected]
        assert bar_of(marks.from_ns[mine]).tolist() == [s.bar for s in expected]
