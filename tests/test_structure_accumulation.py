"""Accumulation and distribution: a published table, an independent computation, the gate."""

import math

import numpy as np
import pandas as pd
import pytest

from operators.features.structure.accumulation import Accumulation
from tests.structure_cases import Bar, mirrored, per_bar, walk

NAN = math.nan

# fmt: off
BARS = [  # open, high, low, close, quantity
    (150, 155, 150, 154, 8), (154, 155, 146, 149, 9), (149, 151, 143, 145, 15),
    (145, 147, 140, 142, 22), (142, 142, 138, 138, 9), (138, 144, 137, 142, 21),
    (142, 150, 142, 147, 19), (147, 151, 144, 148, 7), (148, 151, 141, 142, 12),
    (142, 143, 137, 137, 25), (137, 138, 134, 135, 25), (135, 137, 132, 134, 20),
    (134, 138, 132, 136, 1), (136, 138, 135, 136, 20), (136, 139, 132, 133, 7),
    (133, 134, 129, 129, 24), (129, 134, 127, 131, 27), (131, 134, 129, 134, 13),
    (134, 134, 126, 128, 28), (128, 131, 120, 123, 23), (123, 126, 119, 122, 10),
    (122, 123, 121, 121, 26), (121, 126, 119, 126, 12), (126, 127, 124, 126, 3),
]
# TA-Lib 0.8.1 of these bars, AD and ADOSC(3, 10), as its Python package 0.8.2 gave them.
LINE = [
    4.8, 1.8, -5.7, -15.128571428571, -24.128571428571, -15.128571428571, -10.378571428571,
    -9.378571428571, -18.978571428571, -43.978571428571, -56.478571428571, -60.478571428571,
    -60.145238095238, -66.811904761905, -71.811904761905, -95.811904761905, -91.954761904762,
    -78.954761904762, -92.954761904762, -103.409307359307, -104.837878787879, -130.837878787879,
    -118.837878787879, -117.837878787879,
]
OSCILLATOR = [NAN] * 9 + [
    -13.471602877544, -19.596048661172, -21.592772058004, -20.340573563557, -20.10037961308,
    -19.765720304878, -25.468294196534, -24.258593134345, -17.422025142145, -17.495972314232,
    -19.26212677342, -18.688087527322, -25.027063515071, -21.526911554144, -17.819857428842,
]
# fmt: on


def test_published_library() -> None:
    shown = per_bar(Accumulation(3), BARS)
    np.testing.assert_allclose(shown["ad_line"], LINE, rtol=0, atol=1e-11)
    np.testing.assert_allclose(shown["ad_oscillator"], OSCILLATOR, rtol=0, atol=1e-11)


# fmt: off
CLOSES = [  # one bar of quantity 8: what the line gains
    ("at the high",       (4, 6, 2, 6, 8),  8),
    ("at the low",        (4, 6, 2, 2, 8), -8),
    ("in the middle",     (4, 6, 2, 4, 8),  0),
    ("a quarter below",   (4, 6, 2, 5, 8),  4),
    ("a bar of one price", (4, 4, 4, 4, 8), 0),
]
# fmt: on


@pytest.mark.parametrize(("what", "bar", "gain"), CLOSES, ids=[c[0] for c in CLOSES])
def test_one_bar(what: str, bar: tuple[float, ...], gain: float) -> None:
    assert per_bar(Accumulation(3), [bar])["ad_line"][-1] == gain


@pytest.mark.parametrize("seed", range(3))
def test_against_pandas(seed: int) -> None:
    bars = walk(400, seed)
    table = pd.DataFrame(bars, columns=list(Bar._fields))
    width = table.high - table.low
    place = ((2 * table.close - table.high - table.low) / width).where(width > 0, 0.0)
    line = (place * table.qty).cumsum()
    fast, slow = (line.ewm(span=n, adjust=False).mean() for n in (3, 10))
    oscillator = (fast - slow).where(line.index >= 9)
    path = table.close.diff().abs().rolling(20).sum()
    efficiency = table.close.diff(20).abs() / path
    sign = np.sign(oscillator).where(efficiency < 0.3, 0.0).where(efficiency.notna())
    shown = per_bar(Accumulation(3), bars)
    for name, expected in (
        ("ad_line", line), ("ad_oscillator", oscillator), ("bar_efficiency", efficiency),
        ("accumulation", sign),
    ):  # fmt: skip
        np.testing.assert_allclose(shown[name], expected, rtol=1e-9, atol=1e-9, err_msg=name)
    assert {-1.0, 0.0, 1.0} <= set(shown["accumulation"][20:])


def test_the_line_begins_with_the_first_trade() -> None:
    quiet = [Bar(*bar)._replace(qty=0.0) for bar in BARS]
    assert np.isnan(per_bar(Accumulation(3), quiet, quoted=True)["ad_line"]).all()
    shown = per_bar(Accumulation(3), [*quiet, *BARS], quoted=True)
    np.testing.assert_allclose(shown["ad_line"][24:], LINE, rtol=0, atol=1e-11)
    np.testing.assert_allclose(shown["ad_oscillator"][24:], OSCILLATOR, rtol=0, atol=1e-11)
    assert np.isnan(shown["accumulation"][:33]).all()
    assert np.isfinite(shown["bar_efficiency"][20:]).all()


def test_a_market_that_stands_still_goes_nowhere() -> None:
    shown = per_bar(Accumulation(3), [(4, 5, 3, 4, 1)] * 30)
    assert (shown["bar_efficiency"][20:] == 0.0).all()
    assert (shown["accumulation"][20:] == 0.0).all()


def test_a_straight_trend_is_no_accumulation() -> None:
    bars = [(100 + j, 101 + j, 100 + j, 101 + j, 5) for j in range(40)]
    shown = per_bar(Accumulation(3), bars)
    assert (shown["ad_oscillator"][9:] > 0.0).all()
    assert (shown["bar_efficiency"][20:] == 1.0).all()
    assert (shown["accumulation"][20:] == 0.0).all()


def test_upside_down_is_distribution() -> None:
    bars = walk(200, seed=9)
    up, down = per_bar(Accumulation(3), bars), per_bar(Accumulation(3), mirrored(bars, 400.0))
    for name in ("ad_line", "ad_oscillator", "accumulation"):
        np.testing.assert_array_equal(down[name], -up[name])
    np.testing.assert_array_equal(down["bar_efficiency"], up["bar_efficiency"])
