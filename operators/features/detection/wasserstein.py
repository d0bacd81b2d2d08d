"""The Wasserstein distance of two distributions on a line."""

import math

import numpy as np

from operators.arrays import kernel
from schemas.rows import F8


@kernel
def wasserstein(a: F8, a_weights: F8, b: F8, b_weights: F8) -> float:
    """The area between two distribution functions, in the units of `a` and `b`.

    Parameters
    ----------
    a, b : float64
        Places, ascending.
    a_weights, b_weights : float64, the same shapes
        Not negative; only their shares matter.

    Returns
    -------
    float
        NaN where one of them has no weight. One pass over both: O(levels).
    """
    a_sum = b_sum = 0.0
    for i in range(a.size):
        a_sum += a_weights[i]
    for j in range(b.size):
        b_sum += b_weights[j]
    if not (a_sum > 0.0 and b_sum > 0.0):
        return np.nan
    i = j = 0
    place = min(a[0], b[0])
    below_a = below_b = area = 0.0
    while i < a.size or j < b.size:
        take_a = j == b.size or (i < a.size and a[i] <= b[j])
        following = a[i] if take_a else b[j]
        area += math.fabs(below_a - below_b) * (following - place)
        place = following
        if take_a:
            below_a += a_weights[i] / a_sum
            i += 1
        else:
            below_b += b_weights[j] / b_sum
            j += 1
    return area
