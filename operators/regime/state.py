"""Omni's regime state: how volatile, how directed, how mean-reverting the price window is."""

from operators.arrays import kernel

FLOOR = 1e-12  # of a standard deviation, so that a flat window scores 0 and never divides by 0


@kernel
def regime_state(
    window_change: float, window_std: float, window_std_slow: float
) -> tuple[float, float, float]:
    """Volatility score, trend strength and mean reversion of one price window.

    Parameters
    ----------
    window_change : float
        ln(last / first) over the window.
    window_std : float
        Standard deviation of ln(price) over the window.
    window_std_slow : float
        Slow exponential mean of `window_std`.

    Returns
    -------
    vol_score, trend_strength, mean_reversion : float
        Unitless and unclipped. `vol_score` is 1 where the window is as volatile as usual: the
        deviation over its own slow mean, so that EURUSD and BTC share one threshold.
        `trend_strength` is |change| / deviation: 3.45 for a straight line of 256 points, above
        3.84 for 5 % of random walks. `mean_reversion` is 1 minus that, as the text has it.
    """
    vol_score = window_std / max(window_std_slow, FLOOR)
    trend_strength = abs(window_change) / max(window_std, FLOOR)
    return vol_score, trend_strength, 1.0 - trend_strength
