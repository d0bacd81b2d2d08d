"""Promise: the model sees six numbers without unit or NaN, the same in every market."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.sequence.inputs import F4, INPUTS, INPUTS_SHA256, N_INPUTS, write_inputs
from operators.sequence.tier import Sequence
from schemas.rows import FeatureRows
from tests.feature_cases import instruments
from tests.sequence_cases import Accumulator, feature_rows, ticks

NAN, LN_2, LN_3 = math.nan, math.log(2.0), math.log(3.0)
USUAL = {
    "mid": 100.0, "spread": 0.02, "log_return": 3e-4, "sigma": 1e-4, "momentum": 1.5,
    "momentum_gradient": -0.2, "window_std": 2e-3, "window_std_slow": 1e-3, "gap_ns": 250_000_000,
}  # fmt: skip
# fmt: off
CASES = [  # what happens,              what differs,              input,               value
    ("a return in units of sigma",        {},                        "return_sigmas",     3.0),
    ("a jump is cut off",                 {"log_return": 1.0},       "return_sigmas",     8.0),
    ("a fall is cut off",                 {"log_return": -1.0},      "return_sigmas",     -8.0),
    ("no sigma yet",                      {"sigma": NAN},            "return_sigmas",     0.0),
    ("prices stand still",                {"sigma": 0.0},            "return_sigmas",     0.0),
    ("the first tick has no return",      {"log_return": NAN},       "return_sigmas",     0.0),
    ("momentum as it is",                 {},                        "momentum",          1.5),
    ("momentum is cut off",               {"momentum": 99.0},        "momentum",          8.0),
    ("no momentum yet",                   {"momentum": NAN},         "momentum",          0.0),
    ("the gradient as it is",             {},                        "momentum_gradient", -0.2),
    ("the gradient is cut off",           {"momentum_gradient": -9.0}, "momentum_gradient", -4.0),
    ("twice as volatile as usual",        {},                        "ln_vol_score",      LN_2),
    ("the window is not full",            {"window_std": NAN},       "ln_vol_score",      0.0),
    ("a window without a move",           {"window_std": 0.0},       "ln_vol_score",      0.0),
    ("no window ever moved",              {"window_std_slow": 0.0},  "ln_vol_score",      0.0),
    ("far less volatile",                 {"window_std": 1e-9},      "ln_vol_score",      -3.0),
    ("a spread of two sigmas",            {},                        "ln_spread_sigmas",  LN_3),
    ("no spread",                         {"spread": 0.0},           "ln_spread_sigmas",  0.0),
    ("no quote yet",                      {"spread": NAN},           "ln_spread_sigmas",  0.0),
    ("a spread beyond measure",           {"sigma": 1e-300},         "ln_spread_sigmas",  8.0),
    ("a product too small for a float",   {"sigma": 1e-323, "mid": .01}, "ln_spread_sigmas",  0.0),
    ("a quarter of a second",             {},                        "ln_gap_ms",         5.525453),
    ("the first tick has no gap",         {"gap_ns": 0},             "ln_gap_ms",         0.0),
    ("a gap of a third of a year",        {"gap_ns": 10**16},        "ln_gap_ms",         15.0),
]
# fmt: on


def inputs(**features: float) -> dict[str, float]:
    x = np.full(N_INPUTS, np.nan, np.float32)
    values: Any = (features[name] for name in USUAL)
    write_inputs(x, *values)
    return dict(zip((name for name, _ in INPUTS), x.tolist(), strict=True))


@pytest.mark.parametrize(("what", "differs", "name", "value"), CASES, ids=[c[0] for c in CASES])
def test_case(what: str, differs: dict[str, float], name: str, value: float) -> None:
    assert inputs(**{**USUAL, **differs})[name] == pytest.approx(value, rel=1e-6)


@given(st.lists(st.floats(), min_size=8, max_size=8), st.integers(0, 2**62))
def test_no_feature_makes_a_nan_or_passes_the_bounds(features: list[float], gap_ns: int) -> None:
    found = inputs(**dict(zip(USUAL, [*features, gap_ns], strict=True)))
    bounds = (8.0, 8.0, 4.0, 3.0, 8.0, 15.0)
    assert all(abs(v) <= b for v, b in zip(found.values(), bounds, strict=True)), found


def test_the_unit_of_the_price_does_not_matter() -> None:
    """Euro, cent or bitcoin: mid and spread a thousand times larger give the same inputs."""
    assert inputs(**{**USUAL, "mid": 1e5, "spread": 20.0}) == pytest.approx(inputs(**USUAL))


def test_real_feature_rows_give_every_input_a_life() -> None:
    """On mixed rows no input is constant: each reads the column that it should."""
    seen: list[F4] = []

    class Recorder(Accumulator):
        def run(self, x: F4, h: F4) -> tuple[F4, F4]:
            seen.append(x[:, 0].copy())
            return super().run(x, h)

    sequence = Sequence(instruments(), Recorder())
    sequence.step(sequence.initial(), feature_rows(4000))
    assert (np.concatenate(seen).std(axis=0) > 0.01).all()


def test_the_gap_is_measured_on_our_clock_per_symbol_and_never_negative() -> None:
    rows: FeatureRows = ticks(
        {"ts_recv_ns": 5 * 10**9},
        {"symbol": 1, "ts_recv_ns": 6 * 10**9},
        {"ts_recv_ns": 8 * 10**9},
        {"ts_recv_ns": 7 * 10**9},
        {"ts_recv_ns": 9 * 10**9},
    )
    seen: dict[int, list[float]] = {}

    class Recorder(Accumulator):
        def run(self, x: F4, h: F4) -> tuple[F4, F4]:
            seen[len(seen)] = np.expm1(x[:, 0, 5]).round().tolist()
            return super().run(x, h)

    sequence = Sequence(instruments(), Recorder())
    sequence.step(sequence.initial(), rows)
    assert seen == {0: [0.0, 3000.0, 0.0, 2000.0], 1: [0.0]}


def test_the_hash_stands_for_these_definitions() -> None:
    """A change of the inputs must change this hash, and needs a newly trained model."""
    assert INPUTS_SHA256[:16] == "17a9e34b76ede1ae"
