"""Price lines of a run in bounded memory: lowest and highest mid per instrument and time bucket."""

import numpy as np

from console.report.data import PriceSample
from operators.arrays import kernel
from schemas.rows import F8, I4, I8

FIRST_WIDTH_NS = 1_000_000  # 1 ms; doubles whenever the run outgrows its buckets
BUCKETS_MOST, BUCKETS_LEAST = 2048, 32  # two points each: a chart is some 1,500 pixels wide
CELLS = 400_000  # of 32 bytes: all instruments together take at most about 20 MB


class PriceSampler:
    """Keeps both extremes of every bucket; the result does not depend on how rows are batched.

    Parameters
    ----------
    instruments : int
        Rows of the instrument table.

    Notes
    -----
    Cost: O(1) amortised per row. Memory: 32 bytes per bucket, at least 32 and at most 2048 buckets
    per instrument. Rows whose mid is NaN, or whose instrument row is not in the table, are ignored.
    """

    def __init__(self, instruments: int) -> None:
        buckets = min(BUCKETS_MOST, max(BUCKETS_LEAST, CELLS // max(instruments, 1)))
        buckets -= buckets % 2  # doubling merges pairs
        self._clock = np.array([-1, FIRST_WIDTH_NS], np.int64)  # start, width of a bucket
        self._ts = np.zeros((instruments, buckets, 2), np.int64)  # of the low, of the high
        self._px = np.full((instruments, buckets, 2), np.nan)  # low, high
        self._last = np.full(instruments, np.nan)
        self._last_ts = np.zeros(instruments, np.int64)

    def add(self, *, table_row: I4, ts_recv_ns: I8, mid: F8) -> None:
        """Rows of the log in order, equally long arrays."""
        if self._px.size:
            _fold(
                self._clock,
                self._ts,
                self._px,
                self._last_ts,
                self._last,
                table_row,
                ts_recv_ns,
                mid,
            )

    def samples(self) -> dict[int, PriceSample]:
        """Table row -> its line; instruments without a price are left out."""
        return {int(k): self._sample(int(k)) for k in np.flatnonzero(np.isfinite(self._last))}

    def last(self) -> F8:
        """The last mid of each instrument so far, by table row; NaN without one."""
        return self._last.copy()

    def _sample(self, k: int) -> PriceSample:
        ts, px = self._ts[k], self._px[k]
        filled = np.isfinite(px[:, 0])
        ts = np.append(ts[filled].ravel(), self._last_ts[k])
        px = np.append(px[filled].ravel(), self._last[k])
        order = np.argsort(ts, kind="stable")  # the high may come before the low
        ts, px = ts[order], px[order]
        new = np.append(True, (np.diff(ts) != 0) | (np.diff(px) != 0))
        return PriceSample(ts[new], px[new])


@kernel
def _fold(
    clock: I8, ts: I8, px: F8, last_ts: I8, last: F8, table_row: I4, ts_recv_ns: I8, mid: F8
) -> None:
    buckets = px.shape[1]
    for i in range(mid.size):
        k, t, x = table_row[i], ts_recv_ns[i], mid[i]
        if np.isnan(x) or not 0 <= k < px.shape[0]:
            continue
        if clock[0] < 0:
            clock[0] = t
        while (t - clock[0]) // clock[1] >= buckets:
            clock[1] *= 2
            for row in range(px.shape[0]):
                for b in range(buckets):  # bucket b takes 2b and 2b + 1; the rest is emptied
                    if 2 * b < buckets:
                        _join(ts, px, row, b)
                    else:
                        px[row, b, 0] = np.nan
                        px[row, b, 1] = np.nan
        b = max(0, (t - clock[0]) // clock[1])
        if not px[k, b, 0] <= x:
            px[k, b, 0], ts[k, b, 0] = x, t
        if not px[k, b, 1] >= x:
            px[k, b, 1], ts[k, b, 1] = x, t
        last[k], last_ts[k] = x, t


@kernel
def _join(ts: I8, px: F8, row: int, b: int) -> None:
    left, right = 2 * b, 2 * b + 1
    low = right if not px[row, left, 0] <= px[row, right, 0] else left
    if np.isnan(px[row, right, 0]):
        low = left
    high = right if not px[row, left, 1] >= px[row, right, 1] else left
    if np.isnan(px[row, right, 1]):
        high = left
    low_ts, low_px = ts[row, low, 0], px[row, low, 0]
    high_ts, high_px = ts[row, high, 1], px[row, high, 1]
    ts[row, b, 0], px[row, b, 0] = low_ts, low_px
    ts[row, b, 1], px[row, b, 1] = high_ts, high_px
