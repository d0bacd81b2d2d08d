"""Numbers of a run: equity, drawdown, Sharpe ratio, buy-and-hold, engines, non-trades."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from console.report.data import Curve, PriceSample, RunData
from console.report.rates import Rates
from console.report.trips import CLOSED, OPEN, REASONS, REJECTED, Trip
from console.report.words import rough
from schemas.instruments import InstrumentKind
from schemas.kinds import Engine, Kind
from schemas.reasons import Reason
from schemas.rows import F8, DecisionRows

MINUTE_NS = 60_000_000_000
YEAR_NS = 365.25 * 24 * 60 * MINUTE_NS
SHARPE_STEPS_NS = tuple(minutes * MINUTE_NS for minutes in (1, 5, 15, 60, 240, 1440))
SHARPE_POINTS_MOST = 20_000  # the finest step that stays below: one minute up to 13 days
SHARPE_RETURNS_LEAST = 30  # fewer say nothing about a deviation


@dataclass(frozen=True)
class Sharpe:
    """Annualised Sharpe ratio at a risk-free rate of zero, or why there is none."""

    value: float | None
    note: str


@dataclass(frozen=True)
class EngineResult:
    """What one engine did. Money in desk currency."""

    trades: int  # approved envelopes
    closed: int
    open: int
    rejected: int
    win_rate: float | None  # of closed trips that gained or lost after fees; None without one
    pnl: float  # after fees, open trips marked
    fees: float
    avg_reward_risk: float | None  # as planned at approval
    avg_hold_s: float | None  # of closed trips


def equity_curve(data: RunData) -> Curve:
    """Marked equity: the balance at the first row, then `equity` of each row that has one."""
    marks = data.marks or Curve(data.decisions.ts_recv_ns, data.decisions.equity)
    known = np.isfinite(marks.value)
    ts, value = marks.ts_recv_ns[known], marks.value[known]
    first = [marks.ts_recv_ns[:1], np.full(min(marks.value.size, 1), data.balance)]
    ts, value = np.concatenate([first[0], ts]), np.concatenate([first[1], value])
    if data.equity_end is not None:
        last_ns = max(
            [int(s.ts_recv_ns[-1]) for s in data.prices.values()] + [int(t) for t in ts[-1:]],
            default=0,
        )
        ts = np.append(ts, np.int64(last_ns))
        value = np.append(value, data.equity_end)
    return Curve(ts, value)


def drawdown(value: F8) -> F8:
    """Fraction below the highest value so far, at every point; 0 at a peak."""
    peak = np.maximum.accumulate(value)
    return np.where(peak > 0.0, 1.0 - value / np.where(peak > 0.0, peak, 1.0), 0.0)


def max_drawdown(value: F8) -> float:
    """Largest fall from a peak, as a fraction of that peak; 0 for an empty line."""
    return float(drawdown(value).max()) if value.size else 0.0


def sharpe(curve: Curve) -> Sharpe:
    """Mean over deviation of the returns on a regular grid of calendar time, times sqrt(a year).

    The grid holds the last value known; nights and weekends are steps without a return, and the
    year is a calendar year, so that both sides count time alike. Sample deviation (n - 1).
    """
    if curve.value.size < 2:
        return Sharpe(None, "no equity to compute it from")
    start, end = int(curve.ts_recv_ns[0]), int(curve.ts_recv_ns[-1])
    fitting = (step for step in SHARPE_STEPS_NS if (end - start) // step < SHARPE_POINTS_MOST)
    step = next(fitting, SHARPE_STEPS_NS[-1])
    # not arange(start, end + 1, step): NumPy counts its steps in floats and may lose the last
    grid = start + step * np.arange((end - start) // step + 1, dtype=np.int64)
    value = curve.value[np.searchsorted(curve.ts_recv_ns, grid, side="right") - 1]
    if grid.size <= SHARPE_RETURNS_LEAST:
        return Sharpe(None, f"fewer than {SHARPE_RETURNS_LEAST} returns of {_span(step)}")
    if not (value > 0.0).all():
        return Sharpe(None, "equity was not positive throughout")
    returns = np.diff(value) / value[:-1]
    deviation = float(returns.std(ddof=1))
    if deviation == 0.0:
        return Sharpe(None, f"equity moved in no whole {_span(step)}")
    ratio = float(returns.mean()) / deviation * math.sqrt(YEAR_NS / step)
    note = f"annualised from {returns.size:,} returns of {_span(step)} over {_span(end - start)}"
    short = end - start < 30 * 1440 * MINUTE_NS
    return Sharpe(ratio, note + ("; so short a span says little" if short else ""))


def first_priced(data: RunData) -> int | None:
    """Row of the first instrument of the table that has a price; None without any.

    An option is none: held to its end it is worth nothing, or something else.
    """
    kinds = [one.kind for one in data.instruments.instruments]
    priced = (row for row, sample in data.prices.items() if sample.mid.size)
    return min((row for row in priced if kinds[row] != InstrumentKind.OPTION), default=None)


def buy_and_hold(data: RunData) -> Curve | None:
    """The balance put into the first priced instrument at its first mid and held; no costs.

    None where nothing has a price, or the instrument's quote asset has no rate.
    """
    row = first_priced(data)
    if row is None:
        return None
    sample: PriceSample = data.prices[row]
    worth = sample.mid * Rates.of(data).quote_rates(row, sample.ts_recv_ns)
    if not np.isfinite(worth).all():
        return None
    return Curve(sample.ts_recv_ns, data.balance * worth / worth[0])


def engine_results(trips: Sequence[Trip]) -> dict[str, EngineResult]:
    """Per engine, in written order; engines without a trade are there too."""
    return {e.name.lower(): _result([t for t in trips if t.engine is e]) for e in Engine}


def _result(trips: list[Trip]) -> EngineResult:
    closed = [t for t in trips if t.status == CLOSED]
    won = sum(t.net > 0.0 for t in closed)
    lost = sum(t.net < 0.0 for t in closed)
    planned = [t.reward_risk for t in trips if math.isfinite(t.reward_risk)]
    holds = [(t.exit_ts_ns - t.entry_ts_ns) / 1e9 for t in closed]
    return EngineResult(
        trades=len(trips),
        closed=len(closed),
        open=sum(t.status == OPEN for t in trips),
        rejected=sum(t.status == REJECTED for t in trips),
        win_rate=won / (won + lost) if won + lost else None,
        pnl=math.fsum(t.net for t in trips),
        fees=math.fsum(t.fees for t in trips),
        avg_reward_risk=math.fsum(planned) / len(planned) if planned else None,
        avg_hold_s=math.fsum(holds) / len(holds) if holds else None,
    )


def count_decisions(
    rows: DecisionRows, left_out: Mapping[int, int] | None = None
) -> tuple[int, int, dict[str, int]]:
    """Decisions, trades, and non-trades by reason name (most frequent first).

    `left_out` counts refused decisions that are not among the rows, by reason.

    ValueError if a refused decision names no reason: every non-trade has one.
    """
    decided = rows.kind == Kind.DECISION
    approved = rows.approved == 1
    counted = Counter(rows.reason[decided & ~approved].tolist())
    counted.update(left_out or {})
    if counted.get(Reason.OK, 0):
        raise ValueError(f"{counted[Reason.OK]} decisions did not trade and name no reason")
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    non_trades = {REASONS[code].name: n for code, n in ordered}
    trades = int((decided & approved).sum())
    decisions = int(decided.sum()) + sum((left_out or {}).values())
    assert decisions == trades + sum(non_trades.values())
    return decisions, trades, non_trades


def _span(ns: int) -> str:
    """A length of time in words, for notes."""
    seconds = ns / 1e9
    for unit, size in (("day", 86_400.0), ("hour", 3_600.0), ("minute", 60.0)):
        if seconds >= size:
            amount = seconds / size
            return f"{rough(amount)} {unit}" + ("" if amount == 1.0 else "s")
    return f"{seconds:.3g} seconds"
