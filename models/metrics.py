"""Proper scores of probabilities, and how sure they are."""

import numpy as np
from numpy.typing import NDArray

from schemas.rows import F8

P_MIN = 1e-6  # a probability of exactly 0 that was wrong would cost infinitely much
BLOCK_ROWS = 4096  # ticks, 64 horizons; with 1024 the error came out a quarter too small
BLOCKS_MIN = 30  # fewer blocks say nothing certain about their own spread
ECE_BINS = 20


def log_losses(p_up: F8, up: F8) -> F8:
    """-ln of the probability given to what happened, per row; a coin scores 0.693."""
    p = np.clip(p_up, P_MIN, 1.0 - P_MIN)
    losses: F8 = -(up * np.log(p) + (1.0 - up) * np.log1p(-p))
    return losses


def brier(p_up: F8, up: F8) -> float:
    """Mean squared distance of probability and outcome; a coin scores 0.25."""
    return float(np.mean((p_up - up) ** 2))


def calibration_error(p_up: F8, up: F8) -> float:
    """Expected calibration error: mean |share of outcomes - mean probability| over at most 20 bins
    of about equal count; equal probabilities share a bin (Naeini, Cooper and Hauskrecht 2015).
    """
    edges = np.unique(np.quantile(p_up, np.linspace(0.0, 1.0, ECE_BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, p_up, side="right")
    gaps = np.bincount(bins, weights=up - p_up)
    return float(np.sum(np.abs(gaps))) / p_up.size


def mean_and_error(gain: F8, block: NDArray[np.int64]) -> tuple[float, float]:
    """Mean of a gain per row and its standard error, from the sums of blocks of dependent rows."""
    _, member = np.unique(block, return_inverse=True)
    mean = float(np.mean(gain))
    sums = np.bincount(member, weights=gain - mean)
    n_blocks = sums.size
    if n_blocks < 2:
        return mean, float("nan")
    return mean, float(np.sqrt(np.sum(sums**2) * n_blocks / (n_blocks - 1)) / gain.size)
