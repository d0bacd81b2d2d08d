"""How long things last when some were lost from sight before their end, from counts by duration.

Kaplan, Meier (1958), Nonparametric Estimation from Incomplete Observations.
"""

import numpy as np

from operators.arrays import kernel
from schemas.rows import I8


@kernel
def expected_of_those_that_last(ended: I8, censored: I8, so_far: int) -> float:
    """Mean duration of those that last at least `so_far`.

    Parameters
    ----------
    ended, censored : int64, shape (durations,)
        How many ended at duration 0, 1, 2, ..., and how many were last seen there. Of one duration
        the ends come first.
    so_far : int, >= 0

    Notes
    -----
    Where the longest one was lost from sight it counts as ended there: a restricted mean, which is
    too small rather than unbounded. `so_far` itself where nothing lasted so long; NaN where nothing
    has ended.
    """
    at_risk, n_ended, last = 0, 0, 0
    for t in range(ended.size):
        n_ended += ended[t]
        if t >= so_far:
            at_risk += ended[t] + censored[t]
        if ended[t] + censored[t] > 0:
            last = t
    if n_ended == 0:
        return np.nan
    mean, share = float(so_far), 1.0
    for t in range(so_far, last):
        share *= 1.0 - ended[t] / at_risk
        mean += share
        at_risk -= ended[t] + censored[t]
    return mean
