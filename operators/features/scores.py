"""How unusual an observation is against those before it: exponentially weighted z-scores."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from schemas.rows import F8, I8


class Scores(NamedTuple):
    """One fading mean and variance per place; weights are those of `ewm(adjust=True)`."""

    n: I8  # observations so far
    weight: F8  # sum of weights, the newest has 1
    mean: F8
    squares: F8  # weighted sum of squares about the mean


def blank_scores(places: int) -> Scores:
    """Nothing observed yet."""
    return Scores(np.zeros(places, np.int64), *np.zeros((3, places)))


@kernel
def standing(scores: Scores, at: int, n_min: int, x: float) -> float:
    """The z-score of `x` against what was observed before; `x` itself is not taken in.

    NaN before `n_min` observations, where those have no scatter, and if `x` is not finite.
    """
    known = scores.n[at] >= n_min and scores.squares[at] > 0.0
    if not known or not math.fabs(x) < np.inf:
        return np.nan
    found: float = (x - scores.mean[at]) / math.sqrt(scores.squares[at] / scores.weight[at])
    return found


@kernel
def score(scores: Scores, at: int, fade: float, n_min: int, x: float) -> float:
    """The z-score of `x` against what was observed before, then `x` is taken in.

    NaN as in `standing`. An `x` that is not finite changes nothing.
    """
    if not math.fabs(x) < np.inf:
        return np.nan
    found = standing(scores, at, n_min, x)
    off = x - scores.mean[at]
    old = fade * scores.weight[at]
    weight = old + 1.0
    scores.n[at] += 1
    scores.weight[at] = weight
    scores.mean[at] += off / weight
    scores.squares[at] = fade * scores.squares[at] + old / weight * off * off
    return found


def fade_of(half_life: float) -> float:
    """The factor by which one step fades what was before, so that it halves in `half_life` steps.

    ValueError if that is not positive.
    """
    if not half_life > 0.0:
        raise ValueError(f"half_life must be positive, was {half_life}")
    return float(0.5 ** (1.0 / half_life))
