"""What the stream model sees of a tick: six numbers without unit, equal for every instrument."""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from operators.arrays import kernel

F4 = NDArray[np.float32]

# (name, definition). The definition is part of the hash that a model's card must repeat, so a
# changed formula refuses every model that was trained on the old one.
INPUTS = (
    ("return_sigmas", "log_return / sigma, within -8..8"),
    ("momentum", "momentum, within -8..8"),
    ("momentum_gradient", "momentum_gradient, within -4..4"),
    ("ln_vol_score", "ln(window_std / window_std_slow), within -3..3"),
    ("ln_spread_sigmas", "ln(1 + spread / (mid * sigma)), within 0..8"),
    ("ln_gap_ms", "ln(1 + milliseconds of ts_recv_ns since the tick before), within 0..15"),
)
N_INPUTS = len(INPUTS)
INPUTS_SHA256 = hashlib.sha256(
    ";".join(f"{name}={text}" for name, text in (*INPUTS, ("unknown", "0"))).encode()
).hexdigest()


@kernel
def write_inputs(
    x: F4,
    mid: float,
    spread: float,
    log_return: float,
    sigma: float,
    momentum: float,
    momentum_gradient: float,
    window_std: float,
    window_std_slow: float,
    gap_ns: int,
) -> None:
    """Write the inputs of one tick to `x`, float32, shape (N_INPUTS,), from its features.

    `gap_ns` is the time since the symbol's tick before on our clock, 0 for the first. The features
    may be NaN, but no input is: what is not known yet, or has no scale because sigma is 0, is 0.
    """
    scaled_return, spread_sigmas, vol_score = 0.0, 0.0, 1.0
    if sigma > 0.0:
        scaled_return = log_return / sigma
        if mid * sigma > 0.0 and spread > 0.0:
            spread_sigmas = spread / (mid * sigma)
    if window_std > 0.0 and window_std_slow > 0.0:
        vol_score = window_std / window_std_slow
    x[0] = _within(scaled_return, 8.0)
    x[1] = _within(momentum, 8.0)
    x[2] = _within(momentum_gradient, 4.0)
    x[3] = _within(math.log(vol_score), 3.0)
    x[4] = _within(math.log(1.0 + spread_sigmas), 8.0)
    x[5] = _within(math.log(1.0 + gap_ns / 1e6), 15.0)


@kernel
def _within(value: float, limit: float) -> float:
    if math.isnan(value):
        return 0.0
    return min(max(value, -limit), limit)
