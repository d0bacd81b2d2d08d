"""Funding rates: what a row tells, and one of them per funding interval, whatever the rows."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.scores import Scores, blank_scores, fade_of, score, standing
from operators.features.told import FUNDING, ToldRows
from schemas.rows import F8, I8

PERIOD_S = 28_800.0  # rates are shown per 8 h, whatever the venue's interval
HALF_LIFE = 90.0  # intervals: a month of 8 h
RATES_MIN = 10
# Settlements are stamped a little before or after the hour; all within this of it are of one
# interval, so each begins this much early. The last rates of an interval hardly differ from its
# settlement.
EARLY_NS = 60_000_000_000
MINUTE_NS = 60_000_000_000
MINUTES_MAX = 1_000_000.0  # two years: what is called longer is taken for as much


class Rates(NamedTuple):
    """One entry per instrument; times as if `EARLY_NS` later than the venue's."""

    begin_ns: I8  # of the interval that `last` is of; no row is of an earlier one
    end_ns: I8
    last: F8  # rate per 8 h, not among `settled` until its interval is over
    settled: Scores  # the last rate of each interval that is over


def blank_rates(places: int) -> Rates:
    """No rate yet."""
    never_ns = np.full((2, places), np.iinfo(np.int64).min)
    return Rates(never_ns[0], never_ns[1], np.full(places, np.nan), blank_scores(places))


@kernel
def rate_of(rows: ToldRows, i: int) -> float:
    """The rate that row `i` tells, per 8 h; NaN if it tells none."""
    if rows.kind[i] != FUNDING or not 0.0 < rows.ref[i] < np.inf:
        return np.nan
    rate = rows.price[i] * (PERIOD_S / rows.ref[i])
    return rate if math.fabs(rate) < np.inf else np.nan


_FADE = fade_of(HALF_LIFE)


@kernel
def stretch_of(rates: Rates, k: int, rows: ToldRows, i: int, before: float) -> float:
    """The z-score of the last rate as of row `i`: a new one if the row tells a rate."""
    rate = rate_of(rows, i)
    if np.isnan(rate):
        return before
    if _is_next(rates, k, rows.event_ns[i], rows.ref[i]):
        score(rates.settled, k, _FADE, RATES_MIN, rates.last[k])
    rates.last[k] = rate
    return standing(rates.settled, k, RATES_MIN, rate)


@kernel
def _is_next(rates: Rates, k: int, event_ns: int, interval_s: float) -> bool:
    """Whether a rate is of a later interval than the last one; that interval is kept.

    Intervals begin at whole multiples of their length since 1970 UTC, as venues settle. Where the
    length changes, a shorter one ends the old interval once it begins, and a longer one only at
    the old one's end, so that rows that differ in length do not take turns.
    """
    minutes = min(max(math.floor(interval_s / 60.0 + 0.5), 1.0), MINUTES_MAX)
    length_ns = int(minutes) * MINUTE_NS
    began_ns, ended_ns = rates.begin_ns[k], rates.end_ns[k]
    now_ns = max(event_ns + EARLY_NS, began_ns)
    begin_ns = now_ns // length_ns * length_ns
    over: bool = now_ns >= ended_ns
    rates.begin_ns[k] = max(begin_ns, ended_ns if over else began_ns)
    rates.end_ns[k] = begin_ns + length_ns
    turned: bool = over or begin_ns > began_ns
    return turned
