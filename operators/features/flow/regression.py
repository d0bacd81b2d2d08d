"""A line through points that fade: slope, its standard error and the scatter, in constant time."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from schemas.rows import F8


class Regression(NamedTuple):
    """One line y = a + b x per instrument; sums are weighted and about the means."""

    weight: F8  # sum of weights
    squares: F8  # sum of squared weights
    x: F8  # means
    y: F8
    xx: F8
    xy: F8
    yy: F8


def blank_regression(instruments: int) -> Regression:
    """No points yet."""
    return Regression(*np.zeros((len(Regression._fields), instruments)))


@kernel
def add_point(line: Regression, k: int, fade: float, x: float, y: float) -> None:
    """Let the points so far fade by a factor (1: not at all) and add one of weight 1."""
    old = fade * line.weight[k]
    weight = old + 1.0
    line.weight[k], line.squares[k] = weight, fade * fade * line.squares[k] + 1.0
    dx, dy, share = x - line.x[k], y - line.y[k], old / weight
    line.x[k] += dx / weight
    line.y[k] += dy / weight
    line.xx[k] = fade * line.xx[k] + share * dx * dx
    line.xy[k] = fade * line.xy[k] + share * dx * dy
    line.yy[k] = fade * line.yy[k] + share * dy * dy


@kernel
def slope(line: Regression, k: int) -> float:
    """b of the least squares; NaN while all x are the same."""
    return line.xy[k] / line.xx[k] if line.xx[k] > 0.0 else np.nan


@kernel
def scatter(line: Regression, k: int) -> float:
    """Standard deviation of y about the line, with two degrees of freedom taken off."""
    n = line.weight[k] * line.weight[k] / line.squares[k] if line.squares[k] > 0.0 else 0.0
    if not (n > 2.0 and line.xx[k] > 0.0):
        return np.nan
    rest = max(line.yy[k] - line.xy[k] * line.xy[k] / line.xx[k], 0.0)
    return math.sqrt(rest / line.weight[k] * n / (n - 2.0))


@kernel
def slope_error(line: Regression, k: int) -> float:
    """Standard error of b; with fading points n is (sum w)^2 / sum w^2."""
    deviation = scatter(line, k)
    if np.isnan(deviation):
        return np.nan
    n = line.weight[k] * line.weight[k] / line.squares[k]
    return deviation / math.sqrt(n * line.xx[k] / line.weight[k])
