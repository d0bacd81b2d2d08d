"""The predictor without a model: momentum says the direction, the price window the regime."""

import math

from operators.arrays import kernel
from operators.sequence.place import tick_place
from schemas.instruments import InstrumentArrays
from schemas.rows import F8, FeatureRows

LOGIT_PER_MOMENTUM = 0.2  # small: a random walk's momentum is 0.85, and p_up there 0.54
MOMENTUM_MAX = 4.0  # beyond it the chance rises no more (p_up 0.69)
TREND_AT = 2.5  # trend strength that is as likely trend as range; a straight line scores 3.45
TREND_SLOPE = 2.0  # logits per unit of trend strength
VOLATILE_AT = 1.5  # volatility over its slow mean that is as likely volatile as not
VOLATILE_SLOPE = 4.0  # logits per unit of that ratio


@kernel
def fold_momentum(instruments: InstrumentArrays, rows: FeatureRows, out: F8) -> None:
    """Predict every tick row from its own features; nothing is remembered between rows.

    Parameters
    ----------
    instruments : InstrumentArrays
    rows : FeatureRows, shape (n,)
        Uses momentum, window_change and window_std (log price) and
        window_std_slow. What is not known yet counts as: no momentum, no trend, usual volatility.
    out : float64, shape (6, n)
        Written at tick rows: p_up, vol_ratio, p_trend_up, p_trend_down, p_range, p_volatile. The
        four regimes sum to 1. vol_ratio is 1: no change is expected. Other rows stay as they are.

    Notes
    -----
    With L(x) = 1 / (1 + exp(-x)), s = window_change / window_std, v = window_std / window_std_slow:
    p_up = L(0.2 momentum), p_volatile = L(4 (v - 1.5)), trend = (1 - p_volatile) L(2 (|s| - 2.5)),
    p_trend_up = trend L(2 s), p_trend_down = trend - p_trend_up, and p_range is the rest.
    """
    base, count = instruments.base, instruments.n_of_lane
    for i in range(rows.kind.size):
        kind, mid, lane, symbol = rows.kind[i], rows.mid[i], rows.lane[i], rows.symbol[i]
        if tick_place(base, count, kind, mid, lane, symbol) < 0:
            continue
        momentum = rows.momentum[i]
        if not math.isfinite(momentum):
            momentum = 0.0
        momentum = min(max(momentum, -MOMENTUM_MAX), MOMENTUM_MAX)
        trend_strength, vol_score = 0.0, 1.0
        if rows.window_std[i] > 0.0 and math.isfinite(rows.window_change[i]):
            trend_strength = rows.window_change[i] / rows.window_std[i]
            if rows.window_std_slow[i] > 0.0:
                vol_score = rows.window_std[i] / rows.window_std_slow[i]
        p_volatile = _logistic(VOLATILE_SLOPE * (vol_score - VOLATILE_AT))
        trend = (1.0 - p_volatile) * _logistic(TREND_SLOPE * (abs(trend_strength) - TREND_AT))
        p_trend_up = trend * _logistic(TREND_SLOPE * trend_strength)
        out[0, i] = _logistic(LOGIT_PER_MOMENTUM * momentum)
        out[1, i] = 1.0
        out[2, i] = p_trend_up
        out[3, i] = trend - p_trend_up
        out[4, i] = 1.0 - p_volatile - trend
        out[5, i] = p_volatile


@kernel
def _logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(x, -50.0), 50.0)))  # beyond 50 it is 0 or 1 anyway
