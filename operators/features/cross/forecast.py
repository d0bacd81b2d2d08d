"""Liquidity of the next hour: what is usual at this time of day, times what lately was unusual."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.cross.least_squares import SIZE, add_pair, solve
from operators.features.flow.rows import TOP, TRADE, FlowRows, show, show_nothing
from operators.features.signal import Signal, SignalInput
from schemas.rows import F8, I4, I8

BIN_NS = 300_000_000_000
BINS = 288  # of a day
HOUR, DAY_HOURS, WEEK_DAYS = 12, 24, 7  # bins of an hour, hours of a day, days of a week
PROFILE_SHARE = 0.05  # of a new day in what is usual; more while there are fewer than 20 days
HALF_LIFE_DAYS = 30.0  # of the regression
PAIRS_MIN = BINS  # before a forecast is shown: a day of them
GAP_MAX = (WEEK_DAYS + 1) * BINS  # a longer silence leaves nothing of what was before
VOLUME, DEPTH, SPREAD = 0, 1, 2
PARTS = 3


class ForecastState(NamedTuple):
    """One entry per instrument, then VOLUME, DEPTH, SPREAD."""

    bin: I8  # number of the open bin, -1 before the first row
    days: I8  # that began since the first row
    sums: F8  # (instruments, PARTS) of the open bin; NaN in the first, of which the start is lost
    counts: F8  # observations in them
    profile: F8  # (instruments, PARTS, BINS) what is usual, ln; NaN where never seen
    recent: F8  # (instruments, PARTS, HOUR) ln over the profile, bin b at b % HOUR; NaN not seen
    hour: F8  # sum of them over the open hour, what is not seen counting as usual
    hours: F8  # (instruments, PARTS, DAY_HOURS) their means over the last hours
    week: F8  # (instruments, PARTS, WEEK_DAYS) their means over the last whole days
    inputs: F8  # (instruments, PARTS, HOUR, SIZE) of the regression as of the last bins' ends
    squares: F8  # (instruments, PARTS, SIZE, SIZE) its normal equations
    products: F8  # (instruments, PARTS, SIZE)
    pairs: I8  # (instruments, PARTS) in them, unweighted
    held: F8


class Forecast(Signal[ForecastState]):
    """Volume, depth and spread to expect over the next hour.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.
    half_life_days : float
        Days of bins after which one counts half in the regression; math.inf forgets nothing.

    Notes
    -----
    In: SignalInput; quotes and trades. Bins are 5 min of market time. Observed are ln of a bin's
    volume, of the mean of bid size + ask size at the best prices, and of the mean relative spread.
    Model: ln is the profile of its time of day, an exponential mean over days, plus x. The mean of
    x over the next hour is a constant and a share each of its mean over the last hour, the last 24
    whole hours and the last 7 whole days, by least squares over all such pairs so far, one a bin.
    Out: volume_next_hour, instrument's units, the sum of exp over the hour's bins;
    depth_next_hour, instrument's units, and spread_next_hour_bps, exp of the mean over them. So
    these are typical values, not means: of what is skewed the mean is higher.
    Nulls: until a day of bins is seen again on later days, so for two days and an hour; while a bin
    of the next hour has never been seen. Bins without observations, as at weekends, count as usual
    in the means and teach nothing.
    Time: venue time. Chunks: any split gives the same bytes. State: 9.7 kB per instrument; a bin's
    end costs 200 operations. Errors: ValueError if half_life_days is not positive.
    Source: Corsi (2009), A Simple Approximate Long-Memory Model of Realized Volatility;
    Bialkowski, Darolles, Le Fol (2008), Improving VWAP Strategies.
    """

    NAMES = ("volume_next_hour", "depth_next_hour", "spread_next_hour_bps")

    def __init__(self, n_instruments: int, *, half_life_days: float = HALF_LIFE_DAYS) -> None:
        if not half_life_days > 0.0:
            raise ValueError(f"half_life_days must be positive, was {half_life_days}")
        self.n_instruments = n_instruments
        self._fade = 0.5 ** (1.0 / (half_life_days * BINS))

    def initial(self) -> ForecastState:
        n = self.n_instruments

        def zeros(*shape: int) -> F8:
            return np.zeros((n, PARTS, *shape))

        return ForecastState(
            bin=np.full(n, -1), days=np.zeros(n, np.int64), sums=np.full((n, PARTS), np.nan),
            counts=zeros(), profile=np.full((n, PARTS, BINS), np.nan),
            recent=np.full((n, PARTS, HOUR), np.nan), hour=zeros(), hours=zeros(DAY_HOURS),
            week=zeros(WEEK_DAYS), inputs=np.full((n, PARTS, HOUR, SIZE), np.nan),
            squares=zeros(SIZE, SIZE), products=zeros(SIZE), pairs=np.zeros((n, PARTS), np.int64),
            held=np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: ForecastState, rows: SignalInput, values: F8, columns: I8) -> None:
        scratch = np.empty((SIZE, SIZE + 1))
        _walk(state, self._fade, scratch, rows.k, rows.flow, values, columns)


@kernel
def _observed(memory: ForecastState, k: int, part: int) -> float:
    """ln of what the open bin shows; NaN if nothing."""
    total, count = memory.sums[k, part], memory.counts[k, part]
    if not total > 0.0:
        return np.nan
    return math.log(total) if part == VOLUME else math.log(total / count)


@kernel
def _deviation(memory: ForecastState, k: int, part: int, at: int) -> float:
    """How far the open bin is from usual; what is usual learns from it."""
    seen, usual = _observed(memory, k, part), memory.profile[k, part, at]
    if np.isnan(seen):
        return np.nan
    if np.isnan(usual):
        memory.profile[k, part, at] = seen
        return np.nan
    share = max(PROFILE_SHARE, 1.0 / (memory.days[k] + 1.0))
    memory.profile[k, part, at] = usual + share * (seen - usual)
    off: float = seen - usual
    return off


@kernel
def _mean(values: F8) -> float:
    total = 0.0
    for j in range(values.size):
        total += values[j]
    return total / values.size


@kernel
def _end_part(memory: ForecastState, k: int, part: int, number: int, fade: float) -> None:
    """Bin `number` ends: means move, and what was foreseen an hour ago has come true."""
    off = _deviation(memory, k, part, number % BINS)
    memory.recent[k, part, number % HOUR] = off
    memory.hour[k, part] += 0.0 if np.isnan(off) else off
    if number % HOUR == HOUR - 1:
        hours, hour = memory.hours[k, part], number // HOUR
        hours[hour % DAY_HOURS] = memory.hour[k, part] / HOUR
        memory.hour[k, part] = 0.0
        if hour % DAY_HOURS == DAY_HOURS - 1:
            memory.week[k, part, (hour // DAY_HOURS) % WEEK_DAYS] = _mean(hours)
    came = _mean(memory.recent[k, part])  # NaN unless all of the hour was seen
    inputs = memory.inputs[k, part, number % HOUR]
    if not np.isnan(came) and not np.isnan(inputs[1]):
        add_pair(memory.squares[k, part], memory.products[k, part], fade, inputs, came)
        memory.pairs[k, part] += 1
    inputs[0], inputs[1] = 1.0, came
    inputs[2], inputs[3] = _mean(memory.hours[k, part]), _mean(memory.week[k, part])


@kernel
def _show_part(memory: ForecastState, k: int, part: int, number: int, scratch: F8) -> None:
    """The forecast as of the end of bin `number`."""
    memory.held[k, part] = np.nan
    inputs = memory.inputs[k, part, number % HOUR]
    if memory.pairs[k, part] < PAIRS_MIN or np.isnan(inputs[1]):
        return
    solve(memory.squares[k, part], memory.products[k, part], scratch)
    off = 0.0
    for j in range(SIZE):
        off += scratch[j, SIZE] * inputs[j]
    total, logs = 0.0, 0.0
    for ahead in range(1, HOUR + 1):
        usual = memory.profile[k, part, (number + ahead) % BINS]
        total += math.exp(usual + off)
        logs += usual
    memory.held[k, part] = total if part == VOLUME else math.exp(logs / HOUR + off)


@kernel
def _end(memory: ForecastState, k: int, now: int, fade: float, scratch: F8) -> None:
    """All bins before `now` end."""
    opened = memory.bin[k]
    if opened >= 0:
        for number in range(max(opened, now - GAP_MAX), now):
            for part in range(PARTS):
                if number > opened:
                    memory.sums[k, part] = memory.counts[k, part] = 0.0
                _end_part(memory, k, part, number, fade)
            if number % BINS == BINS - 1:
                memory.days[k] += 1
        for part in range(PARTS):
            _show_part(memory, k, part, now - 1, scratch)
            memory.sums[k, part] = memory.counts[k, part] = 0.0
    memory.bin[k] = now


@kernel
def _walk(
    memory: ForecastState, fade: float, scratch: F8, rows_k: I4, flow: FlowRows, values: F8,
    columns: I8,
) -> None:  # fmt: skip
    for i in range(rows_k.size):
        k = rows_k[i]
        if not 0 <= k < memory.bin.size:
            show_nothing(values, i, columns)
            continue
        event, sums, counts = flow.event[i], memory.sums[k], memory.counts[k]
        if event & (TOP | TRADE):
            now = flow.ts_ns[i] // BIN_NS
            if now > memory.bin[k]:
                _end(memory, k, now, fade, scratch)
        if event & TRADE:
            sums[VOLUME] += flow.qty[i]
            counts[VOLUME] += 1.0
        if event & TOP:
            depth = flow.bid_qty[i] + flow.ask_qty[i]
            spread = (flow.ask_px[i] - flow.bid_px[i]) / flow.mid[i] * 1e4
            if depth > 0.0:
                sums[DEPTH] += depth
                counts[DEPTH] += 1.0
            if spread > 0.0:
                sums[SPREAD] += spread
                counts[SPREAD] += 1.0
        show(values, i, columns, memory.held, k)
