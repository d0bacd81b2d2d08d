"""The lane stage: sees one lane's instruments, evaluates all engines, proposes, holds no money."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import F8, ArrayOperator, inlined, kernel
from operators.fibonacci.arbitrage import PAIR_COLUMNS, fold_spread, spread_signal
from operators.fibonacci.binary import binary_signal
from operators.fibonacci.spot import rotate_target, spot_signal
from operators.governor.choice import preferred_engine, rank_of
from operators.governor.confidence import kelly_binary, pooled, reversion_confidence
from operators.market.books.health import HEALTH_FIELDS, PENALTY_TABLE, is_pulled, judge
from operators.records import (
    InstrumentRecords,
    Record,
    Records,
    blank_records,
    from_records,
    instrument_records,
    record_fields,
    to_records,
)
from operators.regime.state import regime_state
from schemas.instruments import MAX_PARTNERS, InstrumentArrays, InstrumentKind
from schemas.kinds import NO_ID, NO_SYMBOL, Engine, Flag, Kind
from schemas.reasons import Reason
from schemas.rows import FeatureRows, ProposalRows

TRADE, QUOTE, REPORT = int(Kind.TRADE), int(Kind.QUOTE), int(Kind.REPORT)
BOOK_STATUS = int(Kind.BOOK_STATUS)
CONTROL, HEARTBEAT, PROPOSAL = int(Kind.CONTROL), int(Kind.HEARTBEAT), int(Kind.PROPOSAL)
BINARY, SPOT, ARBITRAGE = int(Engine.BINARY), int(Engine.SPOT), int(Engine.ARBITRAGE)
MSG_LAST = int(Flag.MSG_LAST)
NOBODY, OPTION = int(NO_SYMBOL), int(InstrumentKind.OPTION)
OK = int(Reason.OK)
LANE_FIELDS = {
    "seq": "<i8",  # next seq of proposals.v1
    "multiple": "<i8",  # last cadence multiple that the lane's clock has passed, -1 at first
    "news": "<i8",  # instruments with a tick since their last evaluation
}
TICK_FIELDS = {
    "touched": "<i8",  # 1: has news
    "ts_recv_ns": "<i8",  # of the newest quote, or trade of a market without quotes
    "mid": "<f8",  # as of the newest tick, like all that follows
    "bid_px": "<f8",
    "ask_px": "<f8",
    "atr": "<f8",
    "pivot_px": "<f8",
    "pivot_before_px": "<f8",
    "window_change": "<f8",
    "window_std": "<f8",
    "window_std_slow": "<f8",
    "n_ticks": "<f8",
    "p_up": "<f8",
} | HEALTH_FIELDS  # of its order book


class LaneRules(NamedTuple):
    """Thresholds of the lane stage: one set for all instruments."""

    cadence_ns: int = 1_000_000_000  # 0 decides on every tick
    ticks_min: int = 512  # two price windows, so that the slow mean of their deviation has begun
    quote_age_ns_max: int = 60_000_000_000
    vol_score_min: float = 1.25  # above: binary
    trend_strength_min: float = 2.6  # above: spot; below 3.45, which is what a straight line scores
    zone_atr: float = 0.25  # half width of a retracement zone
    zone_evidence: float = 0.35  # log odds that the centre of a zone adds to the model's
    binary_expiry_ns: int = 300_000_000_000
    binary_size_max: float = 0.0005  # of equity: sixty lost stakes are the 3 % of a day
    spot_stop_atr: float = 2.0
    spot_risk: float = 0.0025  # of equity, lost at the stop
    spot_reward_risk_min: float = 1.2
    spot_cost_multiple: float = 1.5  # take-profit distance over spread and fees
    spot_p_min: float = 0.45  # model's probability of the side below which it is against
    spot_hold_ns: int = 900_000_000_000
    arb_stretch_min: float = 2.0
    arb_size: float = 0.04  # of equity, notional of each leg
    arb_hold_ns: int = 120_000_000_000


class LaneState(NamedTuple):
    """What a lane remembers."""

    lanes: Records  # (lanes,) LANE_FIELDS
    ticks: Records  # (n,) TICK_FIELDS
    pair: F8  # (n, MAX_PARTNERS, PAIR_COLUMNS) spread to each partner


class Lane(ArrayOperator[LaneState]):
    """Evaluates every instrument with news at each cadence multiple, and proposes.

    Parameters
    ----------
    instruments : InstrumentArrays
        Of every lane: the market that converts a quote asset may lie in another.
    rules : LaneRules

    Notes
    -----
    In: FeatureRows of any of its lanes, each lane in seq order. Out: ProposalRows; an evaluation
    is three rows, one per engine in written order, the last with MSG_LAST; reports, control rows
    and heartbeats pass through behind the evaluations that they release.
    Time: `ts_recv_ns`. With a cadence, the first row whose time passes a multiple evaluates on the
    state before that row; skipped multiples give one evaluation; instruments without a tick since
    their last evaluation have nothing new to decide and are left out. With cadence 0 each tick
    evaluates its own instrument, that tick included, but for ticks inside a venue's message.
    Nulls: features may be NaN; then the evaluation says WARMING_UP.
    Books: BOOK_STATUS rows carry the health of a venue's order book. Where it forbids quoting (see
    `operators.market.books.health`), all engines are refused with BOOK_UNHEALTHY: each of them
    fills at that venue, whatever its price came from, and what hides from the book (a lost
    connection, a halt) is not in quotes either. The other leg of a pair must be healthy as well.
    Instruments without any status row have no book, and are not asked for one.
    State: 226 + 192 bytes per instrument. Errors: none; bad rows never get here.
    """

    def __init__(self, instruments: InstrumentArrays, rules: LaneRules) -> None:
        self.instruments = instrument_records(instruments)
        self.rules = rules

    def initial(self) -> LaneState:
        n = self.instruments.of.size
        state = LaneState(
            lanes=blank_records(LANE_FIELDS, self.instruments.base.size),
            ticks=blank_records(TICK_FIELDS, n),
            pair=np.zeros((n, MAX_PARTNERS, PAIR_COLUMNS)),
        )
        state.lanes.multiple = -1
        state.ticks.mid = np.nan
        return state

    def step(self, state: LaneState, rows: FeatureRows) -> tuple[LaneState, ProposalRows]:
        out = blank_records(record_fields(ProposalRows), self._rows_max(rows.seq.size))
        n = _fold(self.rules, self.instruments, state, to_records(rows), out)
        return state, from_records(ProposalRows, out[:n])

    def _rows_max(self, n_rows: int) -> int:
        """Each row passes or is news, and each instrument may have had news before."""
        return 4 * n_rows + 3 * int(self.instruments.of.size)


@kernel
def _fold(
    rules: LaneRules, instruments: InstrumentRecords, state: LaneState, rows: Records, out: Records
) -> int:
    n = 0
    for i in range(rows.size):
        n = lane_row(rules, instruments, state, rows[i], out, n)
    return n


@inlined
def lane_row(
    rules: LaneRules,
    instruments: InstrumentRecords,
    state: LaneState,
    row: Record,
    out: Records,
    n: int,
) -> int:
    """Take a row in; proposals go to `out` from row `n` on; returns the next free row."""
    lane, kind = row.lane, row.kind
    base = instruments.base[lane]
    if rules.cadence_ns > 0:
        multiple = row.ts_recv_ns // rules.cadence_ns
        if multiple > state.lanes[lane].multiple:
            state.lanes[lane].multiple = multiple
            if state.lanes[lane].news > 0:
                n = _evaluate_news(rules, instruments, state, row, out, n)
    if kind in (TRADE, QUOTE):
        if not math.isnan(row.mid):
            k = base + row.symbol
            _remember(instruments, state, row, k)
            if rules.cadence_ns > 0:
                state.lanes[lane].news += 1 - state.ticks[k].touched
                state.ticks[k].touched = 1
            elif row["flags"] & MSG_LAST:  # not inside a venue's message
                n = _evaluate(rules, instruments, state, row, k, out, n)
    elif kind in (REPORT, CONTROL, HEARTBEAT):
        _head(state, row, out, n, kind, row.symbol)
        to = out[n]
        to.flags = row["flags"]  # as a name, NumPy's records have another thing of that name
        to.side, to.code, to.role = row.side, row.code, row.role
        to.reason, to.ref_id = row.reason, row.ref_id
        to.price, to.qty, to.ref = row.price, row.qty, row.ref
        n += 1
    elif kind == BOOK_STATUS and row.code < PENALTY_TABLE.size:
        judge(state.ticks[base + row.symbol], row.code, row.ts_recv_ns, PENALTY_TABLE)
    return n


@kernel
def _evaluate_news(
    rules: LaneRules,
    instruments: InstrumentRecords,
    state: LaneState,
    row: Record,
    out: Records,
    n: int,
) -> int:
    """Every instrument of the row's lane that had a tick since it was evaluated last."""
    base = instruments.base[row.lane]
    state.lanes[row.lane].news = 0
    for k in range(base, base + instruments.n_of_lane[row.lane]):
        if state.ticks[k].touched:
            state.ticks[k].touched = 0
            n = _evaluate(rules, instruments, state, row, k, out, n)
    return n


@inlined
def _remember(instruments: InstrumentRecords, state: LaneState, row: Record, k: int) -> None:
    last = state.ticks[k]
    last.mid, last.bid_px, last.ask_px = row.mid, row.bid_px, row.ask_px
    if not instruments.of[k].has_quotes:  # the venue fills half a tick away from the last trade
        last.bid_px = last.mid - 0.5 * instruments.of[k].tick
        last.ask_px = last.mid + 0.5 * instruments.of[k].tick
    last.atr, last.pivot_px = row.atr, row.pivot_px
    last.pivot_before_px, last.window_change = row.pivot_before_px, row.window_change
    last.window_std, last.window_std_slow = row.window_std, row.window_std_slow
    last.n_ticks, last.p_up = row.n_ticks, row.p_up
    if row.kind == QUOTE or not instruments.of[k].has_quotes:
        last.ts_recv_ns = row.ts_recv_ns
    for j in range(MAX_PARTNERS):
        other = instruments.partners[k, j]
        if other < 0:
            break
        if not math.isnan(state.ticks[other].mid):
            fold_spread(state.pair[k, j], math.log(last.mid / state.ticks[other].mid))


@kernel
def _evaluate(
    rules: LaneRules,
    instruments: InstrumentRecords,
    state: LaneState,
    row: Record,
    k: int,
    out: Records,
    n: int,
) -> int:
    """Three proposals for instrument row `k`, caused by `row`."""
    last = state.ticks[k]
    vol_score, trend_strength, mean_reversion = regime_state(
        last.window_change, last.window_std, last.window_std_slow
    )
    refused = _common_gate(rules, state, row, k)
    first = ARBITRAGE
    if refused == OK:
        first = preferred_engine(
            vol_score, trend_strength, rules.vol_score_min, rules.trend_strength_min
        )
    for engine in range(3):
        _head(state, row, out, n, PROPOSAL, instruments.of[k].symbol)
        to = out[n]
        to.flags = MSG_LAST if engine == ARBITRAGE else 0
        to.engine, to.rank = engine, rank_of(engine, first)
        to.bid_px, to.ask_px = last.bid_px, last.ask_px
        to.p_up, to.atr = last.p_up, last.atr
        to.vol_score, to.trend_strength = vol_score, trend_strength
        to.mean_reversion = mean_reversion
        to.reason = _unserved(instruments, k, engine)
        if to.reason == OK:
            to.reason = refused
        if to.reason == OK:
            if engine == BINARY:
                _propose_binary(rules, instruments, last, k, to)
            elif engine == SPOT:
                _propose_spot(rules, instruments, last, trend_strength, k, to)
            else:
                _propose_arbitrage(rules, instruments, state, row.ts_recv_ns, k, to)
        n += 1
    return n


@kernel
def _unserved(instruments: InstrumentRecords, k: int, engine: int) -> int:
    """Why this engine can never serve this instrument, or OK."""
    if engine == BINARY and instruments.of[k].binary_payout <= 0.0:
        return Reason.BINARY_NOT_OFFERED.value
    if engine == SPOT and (instruments.of[k].rate_row == -2 or instruments.of[k].kind == OPTION):
        return Reason.SPOT_NOT_TRADABLE.value
    if engine == ARBITRAGE and instruments.partners[k, 0] < 0:
        return Reason.ARB_NO_SECOND_VENUE.value
    return OK


@kernel
def _common_gate(rules: LaneRules, state: LaneState, row: Record, k: int) -> int:
    last = state.ticks[k]
    if (
        not last.n_ticks >= rules.ticks_min
        or math.isnan(last.atr)
        or math.isnan(last.window_std_slow)
    ):
        return Reason.WARMING_UP.value
    if is_pulled(last, row.ts_recv_ns):
        return Reason.BOOK_UNHEALTHY.value
    if row.ts_recv_ns - last.ts_recv_ns > rules.quote_age_ns_max:
        return Reason.STALE_QUOTE.value
    if not (last.bid_px > 0.0 and last.ask_px > 0.0 and last.atr > 0.0):
        return Reason.NO_TWO_SIDED_QUOTE.value
    return OK


@kernel
def _propose_binary(
    rules: LaneRules, instruments: InstrumentRecords, last: Record, k: int, to: Record
) -> None:
    reason, side, level, near = binary_signal(
        last.mid, last.atr, last.pivot_before_px, last.pivot_px, rules.zone_atr
    )
    if reason == OK:
        p_side = last.p_up if side > 0 else 1.0 - last.p_up
        confidence = pooled(p_side, rules.zone_evidence * near)
        fraction = kelly_binary(confidence, instruments.of[k].binary_payout)
        to.side, to.level_px, to.confidence = side, level, confidence
        to.size_fraction = min(0.25 * max(fraction, 0.0), rules.binary_size_max)
        to.hold_ns = rules.binary_expiry_ns
        if fraction <= 0.0:
            reason = Reason.BINARY_EDGE_BELOW_COST.value
    to.reason = reason


@kernel
def _propose_spot(
    rules: LaneRules,
    instruments: InstrumentRecords,
    last: Record,
    trend_strength: float,
    k: int,
    to: Record,
) -> None:
    reason, side, level, near = spot_signal(
        last.mid, last.atr, last.pivot_before_px, last.pivot_px, rules.zone_atr
    )
    if reason == OK:
        enter = last.ask_px if side > 0 else last.bid_px
        stop = last.mid - side * rules.spot_stop_atr * last.atr
        target = rotate_target(last.pivot_before_px, last.pivot_px, trend_strength)
        tick = instruments.of[k].tick
        stop, target = round(stop / tick) * tick, round(target / tick) * tick
        p_side = last.p_up if side > 0 else 1.0 - last.p_up
        to.side, to.level_px = side, level
        to.stop_px, to.target_px = stop, target
        to.confidence = pooled(p_side, rules.zone_evidence * near)
        to.size_fraction, to.hold_ns = rules.spot_risk, rules.spot_hold_ns
        reward, risk = side * (target - enter), side * (enter - stop)
        cost = last.ask_px - last.bid_px + last.mid * 2.0 * instruments.of[k].fee_taker
        if side < 0 and not instruments.of[k].can_short:
            reason = Reason.SPOT_NO_SHORT.value
        elif risk <= 0.0 or reward < rules.spot_reward_risk_min * risk:
            reason = Reason.SPOT_REWARD_RISK.value
        elif reward < rules.spot_cost_multiple * cost:
            reason = Reason.SPOT_EDGE_BELOW_COST.value
        elif p_side < rules.spot_p_min:
            reason = Reason.SPOT_AGAINST_MODEL.value
    to.reason = reason


@kernel
def _propose_arbitrage(
    rules: LaneRules,
    instruments: InstrumentRecords,
    state: LaneState,
    now_ns: int,
    k: int,
    to: Record,
) -> None:
    """Against the partner whose spread is stretched furthest, and that is ready where one is."""
    last = state.ticks[k]
    chosen, reason, stretch_best = -1, Reason.ARB_WARMING_UP.value, -1.0
    for j in range(MAX_PARTNERS):
        other = instruments.partners[k, j]
        if other < 0:
            break
        there = state.ticks[other]
        if not (there.bid_px > 0.0 and there.ask_px > 0.0):
            continue
        if is_pulled(there, now_ns):
            if chosen < 0:
                reason = Reason.ARB_SECOND_UNHEALTHY.value
            continue
        if now_ns - there.ts_recv_ns > rules.quote_age_ns_max:
            if chosen < 0:
                reason = Reason.ARB_SECOND_STALE.value
            continue
        fees = 2.0 * (instruments.of[k].fee_taker + instruments.of[other].fee_taker)
        cost = (
            (last.ask_px - last.bid_px) / last.mid
            + (there.ask_px - there.bid_px) / there.mid
            + fees
        )
        log_spread = math.log(last.mid / there.mid)
        why, side, mean, stretch = spread_signal(
            state.pair[k, j], log_spread, cost, rules.arb_stretch_min
        )
        if why == OK and side > 0 and not instruments.of[other].can_short:
            why = Reason.SPOT_NO_SHORT.value
        if why == OK and side < 0 and not instruments.of[k].can_short:
            why = Reason.SPOT_NO_SHORT.value
        ready = 1.0e9 if why == OK else 0.0  # one that can trade beats any that cannot
        if stretch + ready > stretch_best:
            chosen, reason, stretch_best = other, why, stretch + ready
            to.side, to.side_second = side, -side
            to.level_px, to.target_px = mean, mean
            to.symbol_second = instruments.of[other].symbol
            to.bid_px_second, to.ask_px_second = there.bid_px, there.ask_px
            to.confidence = reversion_confidence(stretch)
            to.size_fraction, to.hold_ns = rules.arb_size, rules.arb_hold_ns
    to.reason = reason


@kernel
def _head(state: LaneState, row: Record, out: Records, n: int, kind: int, symbol: int) -> None:
    """The columns that every row of `proposals.v1` has; the rest is blank."""
    to, lane = out[n], state.lanes[row.lane]
    to.seq, to.lane, to.market_seq = lane.seq, row.lane, row.seq
    lane.seq += 1
    to.kind, to.flags, to.symbol = kind, 0, symbol
    to.ts_event_ns, to.ts_recv_ns = row.ts_event_ns, row.ts_recv_ns
    to.side, to.code, to.role, to.reason, to.ref_id = 0, 0, 0, 0, NO_ID
    to.price, to.qty, to.ref = np.nan, np.nan, np.nan
    to.engine, to.rank, to.symbol_second, to.side_second = 0, 0, NOBODY, 0
    to.bid_px, to.ask_px, to.bid_px_second, to.ask_px_second = np.nan, np.nan, np.nan, np.nan
    to.p_up, to.confidence, to.size_fraction = np.nan, np.nan, np.nan
    to.stop_px, to.target_px, to.level_px, to.atr = np.nan, np.nan, np.nan, np.nan
    to.hold_ns = 0
    to.vol_score, to.trend_strength, to.mean_reversion = np.nan, np.nan, np.nan
