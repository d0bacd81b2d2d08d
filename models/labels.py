"""What the stream model is trained to predict: the next 64 ticks of a symbol, looked up later."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.arrays import kernel
from schemas.rows import F8, I8

HORIZON_TICKS = 64  # 15 s of a liquid currency pair; a fee-paying trade needs far longer
TREND_AT = 2.5  # trend strength of the horizon; a straight line of 65 prices scores 3.41
VOLATILE_AT = 1.5  # realised volatility per tick over sigma
RATIO_MIN, RATIO_MAX = 0.05, 20.0

TREND_UP, TREND_DOWN, RANGE, VOLATILE = 0, 1, 2, 3  # order of the model's last four outputs

DEFINITIONS = {
    "p_up": f"the mid is higher {HORIZON_TICKS} ticks later, given that it is not the same; "
    "rows that end where they began are left out",
    "vol_ratio": f"root mean square log return of the next {HORIZON_TICKS} ticks over sigma, "
    f"within {RATIO_MIN}..{RATIO_MAX}; its logarithm is predicted by least squares",
    "regime": f"of the next {HORIZON_TICKS} ticks: volatile if that ratio is at least "
    f"{VOLATILE_AT}; else a trend if |last - first| of ln(mid) is at least {TREND_AT} of its "
    "standard deviations, up or down by its sign; else range",
}


class Labels(NamedTuple):
    """One row per tick."""

    known: NDArray[np.bool_]  # the horizon lies inside the file and sigma is above 0
    moved: NDArray[np.bool_]  # the mid at the horizon differs from the present one
    up: F8  # 1 higher, 0 lower; 0.5 where not moved
    ln_ratio: F8
    regime: I8


def label(mid: F8, sigma: F8) -> Labels:
    """Labels of consecutive ticks of one symbol: mid in quote units, sigma per tick."""
    n = mid.size
    known, up = np.zeros(n, np.bool_), np.full(n, 0.5)
    ln_ratio, regime = np.zeros(n), np.full(n, RANGE, np.int64)
    _look_ahead(np.log(mid), sigma, known, up, ln_ratio, regime)
    return Labels(known, known & (up != 0.5), up, ln_ratio, regime)


@kernel
def _look_ahead(
    x: F8, sigma: F8, known: NDArray[np.bool_], up: F8, ln_ratio: F8, regime: I8
) -> None:
    for i in range(x.size - HORIZON_TICKS):
        if not sigma[i] > 0.0:
            continue
        known[i] = True
        total, squares, returns = 0.0, 0.0, 0.0
        for j in range(i, i + HORIZON_TICKS + 1):
            d = x[j] - x[i]
            total += d
            squares += d * d
            if j > i:
                step = x[j] - x[j - 1]
                returns += step * step
        change = x[i + HORIZON_TICKS] - x[i]
        if change != 0.0:
            up[i] = 1.0 if change > 0.0 else 0.0
        ratio = math.sqrt(returns / HORIZON_TICKS) / sigma[i]
        ln_ratio[i] = math.log(min(max(ratio, RATIO_MIN), RATIO_MAX))
        mean = total / (HORIZON_TICKS + 1)
        std = math.sqrt(max(squares / (HORIZON_TICKS + 1) - mean * mean, 0.0))
        if ratio >= VOLATILE_AT:
            regime[i] = VOLATILE
        elif std > 0.0 and change >= TREND_AT * std:
            regime[i] = TREND_UP
        elif std > 0.0 and -change >= TREND_AT * std:
            regime[i] = TREND_DOWN
