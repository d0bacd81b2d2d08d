"""Promise: without a model the desk predicts by a formula that anyone can work out by hand."""

import math
from typing import Any

import numpy as np
import pytest

from operators.sequence.tier import Sequence
from schemas.kinds import Kind
from tests.check_operator import check_operator
from tests.feature_cases import instruments
from tests.sequence_cases import feature_rows, predictions, ticks

NAN = math.nan
UNKNOWN = {"momentum": NAN, "window_change": NAN, "window_std": NAN, "window_std_slow": NAN}


def logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def by_definition(
    momentum: float, change: float, std: float, std_slow: float
) -> tuple[float, float, float, float, float, float]:
    """The formula of the docstring, written once more, for features that are known."""
    s, v = change / std, std / std_slow
    p_volatile = logistic(4 * (v - 1.5))
    trend = (1 - p_volatile) * logistic(2 * (abs(s) - 2.5))
    p_trend_up = trend * logistic(2 * s)
    p_up = logistic(0.2 * max(-4.0, min(4.0, momentum)))
    return (p_up, 1.0, p_trend_up, trend - p_trend_up, 1 - trend - p_volatile, p_volatile)


def predict(*rows: dict[str, float]) -> Any:
    sequence = Sequence(instruments())
    return predictions(sequence.step(sequence.initial(), ticks(*rows))[1])


# fmt: off
CASES = [  # what happens,       momentum, change, std,  slow,   p_up,   likeliest regime
    ("nothing moves",            0.0,      0.0,    1e-3, 1e-3,   0.5,    "range"),
    ("a climb",                  2.0,      4e-3,   1e-3, 1e-3,   0.5987, "trend up"),
    ("a fall",                   -2.0,     -4e-3,  1e-3, 1e-3,   0.4013, "trend down"),
    ("a storm",                  0.0,      0.0,    3e-3, 1e-3,   0.5,    "volatile"),
    ("a climb in a storm",       2.0,      4e-3,   3e-3, 1e-3,   0.5987, "volatile"),
    ("momentum off the scale",   7.0,      0.0,    1e-3, 1e-3,   0.6900, "range"),
]
# fmt: on
REGIMES = ("trend up", "trend down", "range", "volatile")


@pytest.mark.parametrize(
    ("what", "momentum", "change", "std", "slow", "p_up", "regime"),
    CASES,
    ids=[c[0] for c in CASES],
)
def test_case(
    what: str, momentum: float, change: float, std: float, slow: float, p_up: float, regime: str
) -> None:
    row = {
        "momentum": momentum, "window_change": change, "window_std": std, "window_std_slow": slow,
    }  # fmt: skip
    found = predict(row)[0]
    assert found[0] == pytest.approx(p_up, abs=1e-4)
    assert REGIMES[int(np.argmax(found[2:]))] == regime
    assert found == pytest.approx(by_definition(momentum, change, std, slow), abs=1e-15)


def test_what_is_unknown_counts_as_a_quiet_market() -> None:
    quiet = {"momentum": 0.0, "window_change": 0.0, "window_std": 1.0, "window_std_slow": 1.0}
    expected = predict(quiet)[0]
    assert predict(UNKNOWN)[0] == pytest.approx(expected)
    for name in ("window_change", "window_std", "window_std_slow", "momentum"):
        assert np.isfinite(predict({**quiet, name: NAN})).all(), name
    assert predict({**quiet, "window_std": 0.0})[0] == pytest.approx(expected)


def test_every_tick_equals_the_formula() -> None:
    rows, sequence = feature_rows(4000), Sequence(instruments())
    found = predictions(sequence.step(sequence.initial(), rows)[1])
    warm = np.flatnonzero(np.isfinite(rows.window_std) & (rows.window_std > 0))
    assert warm.size > 1000
    for i in warm:
        features = (rows.momentum[i], rows.window_change[i], rows.window_std[i])
        expected = by_definition(*features, rows.window_std_slow[i])
        assert found[i] == pytest.approx(expected, abs=1e-12)
    regimes = found[np.isfinite(found[:, 0]), 2:]
    assert regimes.sum(axis=1) == pytest.approx(1.0)
    assert (regimes >= 0.0).all()


def test_only_ticks_with_a_price_are_predicted() -> None:
    known = {"momentum": 1.0, "window_change": 0.0, "window_std": 1.0, "window_std_slow": 1.0}
    strangers = (
        {"kind": Kind.HEARTBEAT}, {"kind": Kind.BOOK}, {"mid": NAN}, {"mid": math.inf},
        {"symbol": 2}, {"symbol": -1}, {"lane": 0}, {"lane": 4}, {"lane": -1},
    )  # fmt: skip
    found = predict(known, *({**known, **stranger} for stranger in strangers))
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1:]).all()


def test_promises_of_an_operator() -> None:
    check_operator(Sequence(instruments()), feature_rows(2500), without_numba=True)
