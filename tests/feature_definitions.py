"""The features by their definitions: slow, over whole arrays, written without the operators."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from operators.features.prices import PriceRows
from schemas.rows import F8, I8

WINDOW = 256  # ticks
BAR_NS = 5_000_000_000
REVERSAL_ATR = 3.0


def change_over(log_mid: F8, n: int) -> F8:
    """ln(last / first) of each n ticks, NaN before."""
    out = np.full(log_mid.size, np.nan)
    out[n - 1 :] = log_mid[n - 1 :] - log_mid[: log_mid.size - n + 1]
    return out


def std_over(log_mid: F8, at: I8) -> F8:
    """Two-pass standard deviation of the windows that end at these ticks."""
    out: F8 = np.std(sliding_window_view(log_mid, WINDOW)[at - (WINDOW - 1)], axis=1)
    return out


def exponential_mean(values: F8, half_life: float) -> F8:
    """At each place the weighted sum over everything before; the first value has the rest."""
    keep = 0.5 ** (1.0 / half_life)
    out = []
    for t in range(values.size):
        weights = (1.0 - keep) * keep ** np.arange(t, -1, -1.0)
        weights[0] = keep**t
        out.append(np.sum(weights * values[: t + 1]))
    return np.array(out)


def atr_by_definition(rows: PriceRows) -> F8:
    """ATR at each tick of one instrument, bar by bar from groups of the whole array."""
    bar = np.maximum.accumulate(rows.ts_event_ns // BAR_NS)
    starts = np.flatnonzero(np.diff(bar, prepend=bar[0] - 1))
    high = np.maximum.reduceat(rows.ask, starts)
    low = np.minimum.reduceat(rows.bid, starts)
    close = rows.mid[[*(starts[1:] - 1), rows.mid.size - 1]]
    true_range = np.maximum(high[1:], close[:-1]) - np.minimum(low[1:], close[:-1])
    atr = np.full(high.size, np.nan)  # of the bars up to this one
    atr[14] = true_range[:14].mean()
    for j in range(15, high.size):
        atr[j] = (13 * atr[j - 1] + true_range[j - 1]) / 14
    known = np.concatenate([[np.nan], atr[:-1]])  # a bar is known from the next one's first tick
    return np.repeat(known, np.diff([*starts, rows.mid.size]))


def swings_by_definition(mid: F8, atr: F8) -> tuple[list[int], F8]:
    """Pivots and the extreme since the last one, by searching slices of the array at each tick.

    `since` is where the running leg is searched from, `seen` from where its reversal is.
    """
    pivots: list[int] = []
    extremes = np.full(mid.size, np.nan)
    falling, since, seen = False, 0, 0

    def furthest(first: int, last: int, low: bool) -> int:
        part = mid[first : last + 1]
        return first + int(np.argmin(part) if low else np.argmax(part))

    for t in range(mid.size):
        reversal = REVERSAL_ATR * atr[t]
        candidates = [falling] if pivots else [False, True]
        proven = []
        for low in candidates:
            at = furthest(since, t, low)
            if reversal > 0 and abs(mid[t] - mid[at]) >= reversal:
                proven.append((at, low))
        if proven:
            at, low = min(proven)
            pivots.append(at)
            falling = not low
            since = furthest(max(at, seen), t, falling)
            seen = t
        if pivots:
            extremes[t] = mid[furthest(since, t, falling)]
    return pivots, extremes
