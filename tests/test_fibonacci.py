"""Promise: levels, zones and signals are drawn from the last confirmed leg, and only from it."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from operators.fibonacci.arbitrage import (
    FAST,
    GOLDEN,
    LAST,
    MEAN,
    PAIR_COLUMNS,
    SLOW,
    TICKS_MIN,
    VARIANCE,
    N,
    fold_spread,
    spread_signal,
)
from operators.fibonacci.binary import binary_signal
from operators.fibonacci.levels import EXTENSIONS, RETRACEMENTS, closeness, extension, retracement
from operators.fibonacci.spot import rotate_target, spot_signal
from schemas.reasons import Reason
from schemas.rows import F8

NAN = float("nan")

# fmt: off
LEVELS = [  # the leg from 100 to 200, and the same leg downwards
    # level of               ratio   up      down
    ("retracement shallow",  0.236,  176.4,  123.6),
    ("retracement",          0.382,  161.8,  138.2),
    ("retracement half",     0.5,    150.0,  150.0),
    ("retracement golden",   0.618,  138.2,  161.8),
    ("retracement deep",     0.786,  121.4,  178.6),
    ("retracement deepest",  0.886,  111.4,  188.6),
    ("extension root",       1.272,  227.2,   72.8),
    ("extension golden",     1.618,  261.8,   38.2),
    ("extension square",     2.618,  361.8,  -61.8),
]
# fmt: on


@pytest.mark.parametrize(("what", "ratio", "up", "down"), LEVELS, ids=[c[0] for c in LEVELS])
def test_levels(what: str, ratio: float, up: float, down: float) -> None:
    level = extension if what.startswith("extension") else retracement
    assert level(100.0, 200.0, ratio) == pytest.approx(up)
    assert level(200.0, 100.0, ratio) == pytest.approx(down)


def test_the_table_above_is_complete() -> None:
    assert [case[1] for case in LEVELS] == [*RETRACEMENTS, *EXTENSIONS]


# fmt: off
ZONES = [
    # what                      price   half width  closeness
    ("on the level",            150.0,  2.0,        1.0),
    ("half way out, above",     151.0,  2.0,        0.5),
    ("half way out, below",     149.0,  2.0,        0.5),
    ("at the edge",             152.0,  2.0,        0.0),
    ("outside",                 160.0,  2.0,        0.0),
    ("a zone without width",    150.0,  0.0,        0.0),
    ("a width below nothing",   150.0,  -1.0,       0.0),
]
# fmt: on


@pytest.mark.parametrize(("what", "price", "width", "near"), ZONES, ids=[c[0] for c in ZONES])
def test_closeness(what: str, price: float, width: float, near: float) -> None:
    assert closeness(price, 150.0, width) == pytest.approx(near)


OK, NO_B, OUT_B = Reason.OK, Reason.BINARY_NO_SWING, Reason.BINARY_OUT_OF_ZONE
NO_S, OUT_S = Reason.SPOT_NO_SWING, Reason.SPOT_OUT_OF_ZONE
# An ATR of 4 and a quarter of it to each side: zones are one dollar to each side of a level.
# fmt: off
BINARY = [
    # what                          mid     from    to      reason  side  level   closeness
    ("on .382 of a leg up",         161.8,  100.0,  200.0,  OK,      1,   161.8,  1.0),
    ("half way out of .5",          150.5,  100.0,  200.0,  OK,      1,   150.0,  0.5),
    ("on .618",                     138.2,  100.0,  200.0,  OK,      1,   138.2,  1.0),
    ("on .786",                     121.4,  100.0,  200.0,  OK,      1,   121.4,  1.0),
    ("on .236: still the leg",      176.4,  100.0,  200.0,  OUT_B,   0,   NAN,    0.0),
    ("on .886: already a reversal", 111.4,  100.0,  200.0,  OUT_B,   0,   NAN,    0.0),
    ("just outside .5",             151.01, 100.0,  200.0,  OUT_B,   0,   NAN,    0.0),
    ("mirrored: .382 of a leg down", 138.2, 200.0,  100.0,  OK,     -1,   138.2,  1.0),
    ("mirrored: half way out",      149.5,  200.0,  100.0,  OK,     -1,   150.0,  0.5),
    ("no swing yet",                150.0,  NAN,    NAN,    NO_B,    0,   NAN,    0.0),
    ("only one swing yet",          150.0,  NAN,    200.0,  NO_B,    0,   NAN,    0.0),
    ("a leg without length",        150.0,  150.0,  150.0,  NO_B,    0,   NAN,    0.0),
]
SPOT = [
    # what                          mid     from    to      reason  side  level   closeness
    ("on .618 of a leg up",         138.2,  100.0,  200.0,  OK,      1,   138.2,  1.0),
    ("half way out",                138.7,  100.0,  200.0,  OK,      1,   138.2,  0.5),
    ("on .5",                       150.0,  100.0,  200.0,  OUT_S,   0,   138.2,  0.0),
    ("mirrored",                    161.8,  200.0,  100.0,  OK,     -1,   161.8,  1.0),
    ("mirrored: half way out",      161.3,  200.0,  100.0,  OK,     -1,   161.8,  0.5),
    ("no swing yet",                150.0,  NAN,    NAN,    NO_S,    0,   NAN,    0.0),
    ("only one swing yet",          150.0,  NAN,    200.0,  NO_S,    0,   NAN,    0.0),
    ("a leg without length",        150.0,  150.0,  150.0,  NO_S,    0,   NAN,    0.0),
]
# fmt: on
SIGNALS = [(binary_signal, *case) for case in BINARY] + [(spot_signal, *case) for case in SPOT]


@pytest.mark.parametrize(
    ("signal", "what", "mid", "start", "end", "reason", "side", "level", "near"),
    SIGNALS,
    ids=[f"binary: {c[0]}" for c in BINARY] + [f"spot: {c[0]}" for c in SPOT],
)
def test_signals(
    signal: Callable[..., Any], what: str, mid: float, start: float, end: float, reason: Reason,
    side: int, level: float, near: float,
) -> None:  # fmt: skip
    found = signal(mid, 4.0, start, end, 0.25)
    assert found[:2] == (reason, side)
    assert found[2:] == pytest.approx((level, near), nan_ok=True, abs=1e-9)


def test_where_zones_overlap_the_nearest_level_counts() -> None:
    # an ATR of 60 makes every zone 15 wide: 157 lies in that of .382 (161.8) and of .5 (150)
    assert binary_signal(157.0, 60.0, 100.0, 200.0, 0.25)[2] == pytest.approx(161.8)
    assert binary_signal(155.0, 60.0, 100.0, 200.0, 0.25)[2] == pytest.approx(150.0)


# fmt: off
TARGETS = [
    # what                          trend    up      down
    ("no trend: the near one",      0.0,     227.2,   72.8),
    ("just below half a line",      1.6999,  227.2,   72.8),
    ("half of a straight line",     1.7,     261.8,   38.2),
    ("just below nearly all",       3.1999,  261.8,   38.2),
    ("nearly a straight line",      3.2,     361.8,  -61.8),
]
# fmt: on


@pytest.mark.parametrize(("what", "trend", "up", "down"), TARGETS, ids=[c[0] for c in TARGETS])
def test_target_rotation(what: str, trend: float, up: float, down: float) -> None:
    assert rotate_target(100.0, 200.0, trend) == pytest.approx(up)
    assert rotate_target(200.0, 100.0, trend) == pytest.approx(down)


def folded(spreads: F8) -> F8:
    memory = np.zeros(PAIR_COLUMNS)
    for spread in spreads:
        fold_spread(memory, spread)
    return memory


def weights(n: int, half_life: float) -> Any:
    """Of n observations, oldest first: equal shares until the newest would weigh less than it
    fades by; from then on each weighs half after a half-life, and the equal ones share the rest.
    """
    keep = 0.5 ** (1.0 / half_life)
    equal = min(n, int(1.0 / (1.0 - keep)))
    made = (1.0 - keep) * keep ** np.arange(n - 1, -1, -1.0)
    made[:equal] = keep ** (n - equal) / equal
    return made


@pytest.mark.parametrize("half_life", [32.0, 1024.0, 2048.0])
@pytest.mark.parametrize("n", [1, 2, 50, 5000])
def test_the_weights_of_the_definition_add_up(n: int, half_life: float) -> None:
    assert np.sum(weights(n, half_life)) == pytest.approx(1.0, rel=1e-12)


# a mean with a half-life of 1024 remembers 1477 observations, one of 2048 remembers 2955
@pytest.mark.parametrize("n", [1, 2, 3, 50, 1477, 1478, 5000])
def test_the_memory_is_the_weighted_mean_and_variance(n: int) -> None:
    random = np.random.default_rng(n)
    spreads = 3e-4 + np.cumsum(random.normal(0.0, 1e-5, n))
    memory = folded(spreads)
    share = weights(n, 1024.0)
    mean = np.sum(share * spreads)
    assert memory[N] == n
    assert memory[LAST] == spreads[-1]
    variance = np.sum(share * (spreads - mean) ** 2)
    assert memory[MEAN] == pytest.approx(mean, rel=1e-10, abs=0.0)
    assert memory[VARIANCE] == pytest.approx(variance, rel=1e-8, abs=0.0)


@pytest.mark.parametrize("n", [2, 3, 46, 48, 2956, 2957, 8000])
def test_restlessness_is_the_weighted_mean_of_absolute_changes(n: int) -> None:
    spreads = np.cumsum(np.random.default_rng(n).normal(0.0, 1e-5, n))
    memory, changes = folded(spreads), np.abs(np.diff(spreads))
    for column, half_life in ((FAST, 32.0), (SLOW, 2048.0)):
        mean = np.sum(weights(n - 1, half_life) * changes)
        assert memory[column] == pytest.approx(mean, rel=1e-10, abs=0.0)


def test_a_young_memory_is_the_plain_mean_and_variance() -> None:
    spreads = np.array([3.0, 1.0, 2.0, 6.0])
    memory = folded(spreads)
    assert memory[MEAN] == pytest.approx(3.0)
    assert memory[VARIANCE] == pytest.approx(3.5)
    assert (memory[FAST], memory[SLOW]) == pytest.approx((7.0 / 3.0, 7.0 / 3.0))


def memory_of(**facts: float) -> F8:
    """A quiet pair: mean 0, deviation 0.001, as restless as 0.5 of its usual."""
    usual = {"n": 1000.0, "mean": 0.0, "variance": 1e-6, "fast": 0.5e-5, "slow": 1e-5}
    told = {**usual, **facts}
    made = np.zeros(PAIR_COLUMNS)
    made[N], made[MEAN], made[VARIANCE] = told["n"], told["mean"], told["variance"]
    made[FAST], made[SLOW] = told["fast"], told["slow"]
    return made


A_OK, WARM, NEAR, COST, LOUD = (
    Reason.OK,
    Reason.ARB_WARMING_UP,
    Reason.ARB_NOT_STRETCHED,
    Reason.ARB_EDGE_BELOW_COST,
    Reason.ARB_NOT_COMPRESSED,
)
# fmt: off
TIMING = [  # stretched from 2 deviations on, costs 0.0015
    # what  memory  spread  reason side stretch
    ("here is dear: sell here",          {},                             0.003,   A_OK,  -1,  3.0),
    ("here is cheap: buy here",          {},                             -0.003,  A_OK,   1,  3.0),
    ("the mean is what counts",          {"mean": 0.01},                 0.007,   A_OK,   1,  3.0),
    ("exactly stretched",                {},                             0.002,   A_OK,  -1,  2.0),
    ("not quite stretched",              {},                             0.00199, NEAR,   0,  1.99),
    ("a spread that never moved",        {"variance": 0.0},              0.003,   NEAR,   0,  0.0),
    ("one observation too few",          {"n": TICKS_MIN - 1},           0.003,   WARM,   0,  0.0),
    ("just enough observations",         {"n": TICKS_MIN},               0.003,   A_OK,  -1,  3.0),
    ("pays exactly its costs: nothing",  {"variance": 2.5e-7},           0.0015,  COST,   0,  3.0),
    ("does not pay its costs",           {"variance": 1e-8},             0.001,   COST,   0, 10.0),
    ("just quiet enough",                {"fast": GOLDEN * 1e-5},        0.003,   A_OK,  -1,  3.0),
    ("too restless of late",             {"fast": GOLDEN * 1.001e-5},    0.003,   LOUD,   0,  3.0),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "memory", "spread", "reason", "side", "stretch"), TIMING, ids=[c[0] for c in TIMING]
)
def test_timing(
    what: str, memory: dict[str, float], spread: float, reason: Reason, side: int, stretch: float
) -> None:
    pair = memory_of(**memory)
    found = spread_signal(pair, spread, 0.0015, 2.0)
    assert found[:2] == (reason, side)
    assert found[2] == pytest.approx(NAN if reason == WARM else pair[MEAN], nan_ok=True)
    assert found[3] == pytest.approx(stretch)


def test_the_first_refusal_is_told() -> None:
    # near its mean, too dear and restless: the order is stretch, cost, compression
    assert spread_signal(memory_of(fast=1.0), 0.001, 0.01, 2.0)[0] == NEAR
    assert spread_signal(memory_of(fast=1.0), 0.003, 0.01, 2.0)[0] == COST
    assert spread_signal(memory_of(fast=1.0), 0.003, 0.001, 2.0)[0] == LOUD


def test_a_quiet_spread_that_leaps_is_taken_and_a_restless_one_is_not() -> None:
    random = np.random.default_rng(9)
    noise = random.normal(0.0, 1e-5, 4000)
    quiet, restless = noise.copy(), noise.copy()
    quiet[-150:] *= 0.2
    restless[-150:] *= 3.0
    leap = 6.0 * math.sqrt(folded(restless)[VARIANCE])
    assert spread_signal(folded(quiet), leap, 1e-6, 2.0)[0] == A_OK
    assert spread_signal(folded(restless), leap, 1e-6, 2.0)[0] == LOUD
