"""The portfolio stage: the one place that knows money; approves envelopes or says why not."""

from typing import NamedTuple

import numpy as np

from operators.arrays import F8, I8, ArrayOperator, kernel
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
from operators.risk.exposure import (
    ENVELOPE_FIELDS,
    ENVELOPES,
    equity_now,
    exposure,
    free_place,
    net,
    reserved,
    stakes,
)
from operators.risk.reserve import IN_FLIGHT, OPEN, fold_report, reserve
from operators.risk.safety import (
    BOOK_FIELDS,
    DAY_NS,
    NO_DAY,
    Constitution,
    SafetyRules,
    advance_day,
    mark_limits,
    operator_resume,
    safety_gate,
)
from operators.risk.worth import base_units, floor_lots, notional, rate
from schemas.instruments import InstrumentArrays
from schemas.kinds import NO_ID, NO_SYMBOL, Control, Engine, Flag, Kind
from schemas.reasons import Reason
from schemas.rows import DecisionRows, ProposalRows

OK = int(Reason.OK)
PROPOSAL, REPORT, CONTROL = int(Kind.PROPOSAL), int(Kind.REPORT), int(Kind.CONTROL)
HEARTBEAT, DECISION, PROGRESS = int(Kind.HEARTBEAT), int(Kind.DECISION), int(Kind.PROGRESS)
BINARY, SPOT, ARBITRAGE = int(Engine.BINARY), int(Engine.SPOT), int(Engine.ARBITRAGE)
MSG_LAST, END = int(Flag.MSG_LAST), int(Flag.END)
NOBODY = int(NO_SYMBOL)
NOT_OFFERED, NOT_TRADABLE = int(Reason.BINARY_NOT_OFFERED), int(Reason.SPOT_NOT_TRADABLE)
NO_SECOND = int(Reason.ARB_NO_SECOND_VENUE)
HALT, RESUME = int(Control.HALT), int(Control.RESUME)
ARB_WORST = 0.02  # of notional: a pair's legs rarely part further within its holding time


class PortfolioState(NamedTuple):
    """All that the desk knows of its own money."""

    book: Records  # (1,) BOOK_FIELDS
    mid: F8  # (n,) last mark of each instrument, quote units
    holds: I8  # (n, 3) FREE, IN_FLIGHT or OPEN, by engine
    envelopes: Records  # (ENVELOPES,) ENVELOPE_FIELDS
    chosen: Records  # (1,) the best proposal of the evaluation that is being read


class PortfolioRules(NamedTuple):
    """What a deployment sets for the portfolio."""

    balance: float
    shadow: int  # 1: decide, and send nothing
    progress_lane: int  # the lane whose heartbeats make PROGRESS rows: the lowest active one
    last_lane: int  # the highest active lane: its END row is the last of all
    model: np.uint64  # first 8 bytes of the model's digest
    features: np.uint64  # first 8 bytes of the feature schema's digest
    constitution: Constitution = Constitution()
    safety: SafetyRules = SafetyRules()


class Portfolio(ArrayOperator[PortfolioState]):
    """Folds the proposals and reports of all lanes, in (ts_recv_ns, lane, seq) order, to decisions.

    Parameters
    ----------
    instruments : InstrumentArrays
        Of every lane.
    rules : PortfolioRules

    Notes
    -----
    In: ProposalRows. Out: DecisionRows, one of kind DECISION per evaluation: the served proposal
    of lowest rank, approved or refused by the first gate in written order (safety, the lane's own
    reason, confidence, what is in flight or open, size, limits); one of kind PROGRESS per
    heartbeat of `progress_lane` and, with Flag.END, for the row that ends `last_lane`, whose reason
    is the safety cap that forbids new trades then, OK if none does. An order is exposure from its
    approval on; a row's equity is balance plus open envelopes at their last marks, before this
    decision.
    Time: `ts_recv_ns`; a session is a UTC day. Money is float64 here, exact in the ledger.
    State: 32 bytes per instrument and 64 envelopes.
    """

    def __init__(self, instruments: InstrumentArrays, rules: PortfolioRules) -> None:
        self.instruments = instrument_records(instruments)
        self.rules = rules

    def initial(self) -> PortfolioState:
        n = self.instruments.of.size
        state = PortfolioState(
            book=blank_records(BOOK_FIELDS, 1),
            mid=np.full(n, np.nan),
            holds=np.zeros((n, 3), np.int64),
            envelopes=blank_records(ENVELOPE_FIELDS, ENVELOPES),
            chosen=blank_records(record_fields(ProposalRows), 1),
        )
        book = state.book[0]
        book.balance = book.peak = book.day_start = self.rules.balance
        book.day = NO_DAY
        state.envelopes.id = NO_ID
        return state

    def step(
        self, state: PortfolioState, rows: ProposalRows
    ) -> tuple[PortfolioState, DecisionRows]:
        out = blank_records(record_fields(DecisionRows), rows.seq.size)
        n = _fold(self.rules, self.instruments, state, to_records(rows), out)
        return state, from_records(DecisionRows, out[:n])


@kernel
def _fold(
    rules: PortfolioRules,
    instruments: InstrumentRecords,
    state: PortfolioState,
    rows: Records,
    out: Records,
) -> int:
    n = 0
    for i in range(rows.size):
        n = portfolio_row(rules, instruments, state, rows[i], out, n)
    return n


@kernel
def portfolio_row(
    rules: PortfolioRules,
    instruments: InstrumentRecords,
    state: PortfolioState,
    row: Record,
    out: Records,
    n: int,
) -> int:
    """Take a row in; a decision goes to `out[n]`; returns the next free row."""
    kind = row.kind
    book = state.book[0]
    if row.ts_recv_ns // DAY_NS != book.day:
        advance_day(book, row.ts_recv_ns, _equity(instruments, state))
    if kind == PROPOSAL:
        _choose(instruments, state, row)
        if row["flags"] & MSG_LAST:  # NumPy's records have another thing under `.flags`
            _decide(rules, instruments, state, row, out, n)
            n += 1
    elif kind == REPORT:
        fold_report(rules.safety, instruments, book, state.mid, state.holds, state.envelopes, row)
        mark_limits(rules.constitution, book, _equity(instruments, state))
    elif kind == CONTROL:
        if row.code == HALT:
            book.halted = 1
        elif row.code == RESUME:
            operator_resume(book, _equity(instruments, state))
    elif kind == HEARTBEAT:
        ends = (row["flags"] & END) != 0 and row.lane == rules.last_lane
        if ends or row.lane == rules.progress_lane:
            _blank(state, row, out, n, PROGRESS)
            out[n]["flags"] = END if ends else 0
            out[n].reason = safety_gate(rules.safety, book)
            n += 1
    return n


@kernel
def _equity(instruments: InstrumentRecords, state: PortfolioState) -> float:
    return equity_now(instruments, state.mid, state.envelopes, state.book[0].balance)


@kernel
def _choose(instruments: InstrumentRecords, state: PortfolioState, row: Record) -> None:
    """Marks from the row; and the row itself, if it is served and of lower rank than the last."""
    lane = row.lane
    k = instruments.base[lane] + row.symbol
    if row.bid_px > 0.0 and row.ask_px > 0.0:
        state.mid[k] = 0.5 * (row.bid_px + row.ask_px)
    if row.symbol_second != NOBODY and row.bid_px_second > 0.0:
        other = instruments.base[lane] + row.symbol_second
        state.mid[other] = 0.5 * (row.bid_px_second + row.ask_px_second)
    reason = row.reason
    if reason in (NOT_OFFERED, NOT_TRADABLE, NO_SECOND):
        return
    if state.book[0].pending == 0 or row.rank < state.chosen[0].rank:
        state.book[0].pending = 1
        _copy(row, state.chosen[0])


@kernel
def _decide(
    rules: PortfolioRules,
    instruments: InstrumentRecords,
    state: PortfolioState,
    row: Record,
    out: Records,
    n: int,
) -> None:
    equity = _equity(instruments, state)
    mark_limits(rules.constitution, state.book[0], equity)
    best = state.chosen[0]
    served = state.book[0].pending == 1
    state.book[0].pending = 0
    _blank(state, row, out, n, DECISION)
    to = out[n]
    to.equity, to.model, to.features = equity, rules.model, rules.features
    to.bid_px, to.ask_px, to.p_up = row.bid_px, row.ask_px, row.p_up
    to.vol_score, to.trend_strength = row.vol_score, row.trend_strength
    to.mean_reversion, to.atr = row.mean_reversion, row.atr
    if served:
        to.engine, to.side, to.side_second = (
            best.engine,
            best.side,
            best.side_second,
        )
        to.symbol_second = best.symbol_second
        to.bid_px_second, to.ask_px_second = best.bid_px_second, best.ask_px_second
        to.stop_px, to.target_px = best.stop_px, best.target_px
        to.level_px, to.hold_ns = best.level_px, best.hold_ns
        to.confidence = best.confidence
    reason = safety_gate(rules.safety, state.book[0])
    if reason == OK:
        reason = int(best.reason) if served else Reason.NO_ENGINE.value
    if reason == OK:
        reason = _portfolio_gate(rules, instruments, state, to, equity)
    if reason == OK and rules.shadow:
        reason = Reason.SHADOW_MODE.value
    to.reason = reason
    if reason == OK:
        to.approved = 1
        reserve(instruments, state.mid, state.holds, state.envelopes, to)
        state.book[0].trades_today += 1


@kernel
def _portfolio_gate(
    rules: PortfolioRules,
    instruments: InstrumentRecords,
    state: PortfolioState,
    to: Record,
    equity: float,
) -> int:
    """Gates that need the whole desk, in written order; sizes the envelope on the way."""
    best = state.chosen[0]
    base = instruments.base[to.lane]
    k, engine = base + to.symbol, best.engine
    other = base + to.symbol_second if engine == ARBITRAGE else -1
    if best.confidence < rules.constitution.confidence_min:
        return Reason.CONFIDENCE_TOO_LOW.value
    held = state.holds[k, engine]
    if other >= 0:
        held = max(held, state.holds[other, engine])
    if held == IN_FLIGHT:
        return Reason.ORDER_IN_FLIGHT.value
    if held == OPEN:
        return Reason.POSITION_OPEN.value
    if free_place(state.envelopes) < 0:
        return Reason.ENVELOPES_FULL.value
    to_desk = rate(instruments, state.mid, k)
    if not to_desk > 0.0 or (other >= 0 and not rate(instruments, state.mid, other) > 0.0):
        return Reason.NO_RATE.value
    return _size(rules, instruments, state, to, equity, k, other, to_desk)


@kernel
def _size(
    rules: PortfolioRules,
    instruments: InstrumentRecords,
    state: PortfolioState,
    to: Record,
    equity: float,
    k: int,
    other: int,
    to_desk: float,
) -> int:
    """Quantities and worst loss of the envelope, and the limits that they must keep."""
    best = state.chosen[0]
    engine, side = best.engine, best.side
    wanted = best.size_fraction * equity
    cap = rules.constitution.position_max * equity
    enter = to.ask_px if side > 0 else to.bid_px
    unit = notional(instruments, k, 1.0, enter) * to_desk
    if engine == BINARY:
        room = cap - stakes(state.envelopes, k) - abs(net(state.envelopes, k))
        stake = float(int(min(wanted, room) / to_desk * 100.0)) / 100.0
        if room <= 0.0:
            return Reason.POSITION_LIMIT.value
        if stake <= 0.0:
            return Reason.BELOW_MIN_SIZE.value
        held, to.stake, worst = stake * to_desk, stake, stake * to_desk
    else:
        held_now = max(0.0, side * net(state.envelopes, k))  # the other side may end any time
        room = cap - stakes(state.envelopes, k) - held_now
        if engine == SPOT:
            at_risk = unit * abs(enter - to.stop_px) / enter
            wanted = wanted / at_risk * unit
        if room <= 0.0:
            return Reason.POSITION_LIMIT.value
        qty = floor_lots(min(wanted, room) / unit, instruments.of[k].lot)
        if qty <= 0.0:
            return Reason.BELOW_MIN_SIZE.value
        held, to.qty = qty * unit, qty
        worst = held * (abs(enter - to.stop_px) / enter + 2.0 * instruments.of[k].fee_taker)
        if engine == ARBITRAGE:
            price = to.ask_px_second if best.side_second > 0 else to.bid_px_second
            units = base_units(instruments, k, qty, enter)
            one = base_units(instruments, other, 1.0, price)
            qty_second = floor_lots(
                units / one + 0.5 * instruments.of[other].lot, instruments.of[other].lot
            )
            held_second = notional(instruments, other, qty_second, price)
            held_second *= rate(instruments, state.mid, other)
            if qty_second <= 0.0:
                return Reason.BELOW_MIN_SIZE.value
            taken = max(0.0, best.side_second * net(state.envelopes, other))
            taken += stakes(state.envelopes, other)
            if held_second > cap - taken:
                return Reason.POSITION_LIMIT.value
            to.qty_second = qty_second
            held = max(held, held_second)
            worst = ARB_WORST * held
    if exposure(state.envelopes) + held > rules.safety.exposure_max * equity:
        return Reason.EXPOSURE_LIMIT.value
    floor = (1.0 - rules.constitution.daily_loss_max) * state.book[0].day_start
    if equity - reserved(state.envelopes) - worst <= floor:
        return Reason.DAILY_LOSS.value
    to.worst_loss = worst
    return OK


@kernel
def _copy(row: Record, to: Record) -> None:
    """What a decision needs of a proposal."""
    to.reason, to.engine, to.rank = row.reason, row.engine, row.rank
    to.side, to.side_second, to.symbol_second = row.side, row.side_second, row.symbol_second
    to.bid_px_second, to.ask_px_second = row.bid_px_second, row.ask_px_second
    to.confidence, to.size_fraction = row.confidence, row.size_fraction
    to.stop_px, to.target_px = row.stop_px, row.target_px
    to.level_px, to.hold_ns = row.level_px, row.hold_ns


@kernel
def _blank(state: PortfolioState, row: Record, out: Records, n: int, kind: int) -> None:
    """The columns that every row of `decisions.v1` has; the rest is blank."""
    to, book = out[n], state.book[0]
    to.seq = book.seq
    book.seq += 1
    to.lane, to.market_seq, to.kind = row.lane, row.market_seq, kind
    to.symbol, to.symbol_second = row.symbol, NOBODY
    to.ts_event_ns, to.ts_recv_ns = row.ts_event_ns, row.ts_recv_ns
    to["flags"] = 0
    to.engine, to.side, to.side_second, to.approved, to.reason, to.hold_ns = 0, 0, 0, 0, 0, 0
    to.model, to.features = np.uint64(0), np.uint64(0)
    to.qty, to.qty_second, to.stake, to.worst_loss = np.nan, np.nan, np.nan, np.nan
    to.bid_px, to.ask_px, to.bid_px_second, to.ask_px_second = np.nan, np.nan, np.nan, np.nan
    to.stop_px, to.target_px, to.level_px, to.atr = np.nan, np.nan, np.nan, np.nan
    to.confidence, to.p_up, to.equity = np.nan, np.nan, np.nan
    to.vol_score, to.trend_strength, to.mean_reversion = np.nan, np.nan, np.nan
