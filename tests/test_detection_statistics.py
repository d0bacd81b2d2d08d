"""What detectors count with: Kaplan-Meier from counts, the Wasserstein distance on a line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import CensoredData, ecdf, wasserstein_distance

from operators.features.detection.kaplan_meier import expected_of_those_that_last
from operators.features.detection.wasserstein import wasserstein
from schemas.rows import I8

# Weeks in remission under 6-MP, Freireich et al. (1963); the second list was still in remission.
RELAPSED = [6, 6, 6, 7, 10, 13, 16, 22, 23]
STILL_WELL = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
PUBLISHED = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}

DURATIONS = st.lists(st.integers(0, 11), max_size=30)
LEVELS = st.lists(
    st.tuples(st.integers(0, 40), st.floats(0.0, 50.0)), min_size=1, max_size=8
).filter(lambda levels: sum(weight for _, weight in levels) > 1e-3)


def counted(durations: list[int], size: int) -> I8:
    return np.bincount(np.array(durations, np.int64), minlength=size)


def expected(ended: list[int], censored: list[int], so_far: int = 0, size: int = 36) -> float:
    return expected_of_those_that_last(counted(ended, size), counted(censored, size), so_far)


def test_published_remissions() -> None:
    weeks = [(week, PUBLISHED[max(w for w in PUBLISHED if w <= week)]) for week in range(6, 35)]
    assert expected(RELAPSED, STILL_WELL) == pytest.approx(6 + sum(s for _, s in weeks), abs=0.02)
    # of those that were still well in week 23, none is known to have relapsed
    assert expected(RELAPSED, STILL_WELL, 24) == 35.0


@given(DURATIONS.filter(bool), st.integers(0, 11))
def test_without_censoring_the_mean_is_that_of_those_that_last(ended: list[int], t: int) -> None:
    none = np.zeros(12, np.int64)
    found = expected_of_those_that_last(counted(ended, 12), none, t)
    longer = [d for d in ended if d >= t]
    assert found == pytest.approx(np.mean(longer) if longer else t)


@given(DURATIONS.filter(bool), DURATIONS, st.integers(0, 11))
def test_the_mean_is_the_area_below_the_curve_of_scipy(
    ended: list[int], censored: list[int], so_far: int
) -> None:
    share = ecdf(CensoredData(uncensored=ended, right=censored)).sf.evaluate
    last = max([*ended, *censored])
    found = expected(ended, censored, so_far)
    before = float(share(so_far - 1))
    if so_far >= last or before == 0.0:
        assert found == so_far
    else:
        weeks = np.arange(so_far, last)
        assert found == pytest.approx(so_far + share(weeks).sum() / before)


def test_where_nothing_has_ended_nothing_is_expected() -> None:
    none, some = np.zeros(12, np.int64), counted([3, 4], 12)
    assert np.isnan(expected_of_those_that_last(none, some, 2))


# fmt: off
LINES = [  # places and weights of two distributions; the distance
    ("the same",               [(0, 1), (1, 3)], [(0, 1), (1, 3)],  0.0),
    ("only shares matter",     [(0, 1), (1, 3)], [(0, 2), (1, 6)],  0.0),
    ("moved by two",           [(0, 1), (1, 3)], [(2, 1), (3, 3)],  2.0),
    ("half of it moved",       [(0, 2)],         [(0, 1), (4, 1)],  2.0),
    ("one has no weight",      [(0, 0)],         [(0, 1)],          np.nan),
]
# fmt: on


def distance(a: list[tuple[int, float]], b: list[tuple[int, float]]) -> float:
    first, second = (np.array(sorted(side), float).T.copy() for side in (a, b))
    return wasserstein(first[0], first[1], second[0], second[1])


@pytest.mark.parametrize(("what", "a", "b", "expected"), LINES, ids=[line[0] for line in LINES])
def test_distance(
    what: str, a: list[tuple[int, float]], b: list[tuple[int, float]], expected: float
) -> None:
    assert distance(a, b) == pytest.approx(expected, nan_ok=True)


@given(LEVELS, LEVELS)
def test_distance_is_that_of_scipy(a: list[tuple[int, float]], b: list[tuple[int, float]]) -> None:
    theirs = wasserstein_distance(
        [x for x, _ in a], [x for x, _ in b], [w for _, w in a], [w for _, w in b]
    )
    assert distance(a, b) == pytest.approx(theirs, abs=1e-9)
    assert distance(b, a) == pytest.approx(theirs, abs=1e-9)
