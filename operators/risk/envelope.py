"""What an approved envelope does next: entries, stops, targets, second legs, flattening orders.

A pure function of the envelope, the reports and the market rows of its lane. Every order that
leaves the desk is made here.
"""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import inlined, kernel
from operators.execution.orders import OrderType, put_order
from operators.records import InstrumentRecords, Record, Records, blank_records
from schemas.kinds import Engine, Kind, ReportCode, Role
from schemas.reasons import Reason
from schemas.rows import F8, I8

BINARY, SPOT, ARBITRAGE = int(Engine.BINARY), int(Engine.SPOT), int(Engine.ARBITRAGE)
TRADE, QUOTE, REPORT = int(Kind.TRADE), int(Kind.QUOTE), int(Kind.REPORT)
ENTRY, STOP, TARGET = int(Role.ENTRY), int(Role.STOP), int(Role.TARGET)
FLATTEN, SECOND_FLATTEN = int(Role.FLATTEN), int(Role.SECOND_FLATTEN)
SECOND_LEG, ROLE_BINARY = int(Role.SECOND_LEG), int(Role.BINARY)
ACCEPTED, FILLED = int(ReportCode.ACCEPTED), int(ReportCode.FILLED)
FILLED_MAKER = int(ReportCode.FILLED_MAKER)
MARKET, LIMIT = int(OrderType.MARKET), int(OrderType.LIMIT)
STOP_ORDER, CONTRACT = int(OrderType.STOP), int(OrderType.BINARY)
OPEN_MAX = 64  # the portfolio's bound
ORDERS_PER_ROW_MAX = 2 * OPEN_MAX + 4  # every pair flattens at once, and one decision acts
NEVER = 2**62
ENVELOPE_FIELDS = {
    "id": "<i8",  # seq of its decision
    "engine": "<i8",
    "lane": "<i8",
    "row": "<i8",  # instrument rows; the second is -1 where there is one leg
    "row_second": "<i8",
    "side": "<i8",
    "side_second": "<i8",
    "hold_ns": "<i8",
    "deadline_ns": "<i8",  # NEVER until every entry has its answer
    "waiting": "<i8",  # entries without an answer
    "leaving": "<i8",  # flattening orders without an answer
    "stop_px": "<f8",
    "target_px": "<f8",
    "net": "<f8",  # signed quantity held
    "net_second": "<f8",
}


class EnvelopeState(NamedTuple):
    """Open envelopes, the oldest first."""

    n_open: I8  # (1,)
    envelopes: Records  # (OPEN_MAX,) ENVELOPE_FIELDS
    mid: F8  # (n,) last mid of each instrument
    next_deadline_ns: I8  # (1,) no envelope must be left before it
    n_pairs: I8  # (1,) arbitrage envelopes, which every tick of a leg may end


def initial_envelopes(n_instruments: int) -> EnvelopeState:
    """No envelope is open."""
    return EnvelopeState(
        n_open=np.zeros(1, np.int64),
        envelopes=blank_records(ENVELOPE_FIELDS, OPEN_MAX),
        mid=np.full(n_instruments, np.nan),
        next_deadline_ns=np.full(1, NEVER, np.int64),
        n_pairs=np.zeros(1, np.int64),
    )


@kernel
def open_envelope(
    instruments: InstrumentRecords, state: EnvelopeState, decision: Record, out: Records, n: int
) -> int:
    """Orders that an approved decision sends at once, to `out[n]` on; returns the next free."""
    if state.n_open[0] >= OPEN_MAX:
        raise RuntimeError("envelopes: more are approved than a portfolio may have open")
    envelope = state.envelopes[state.n_open[0]]
    state.n_open[0] += 1
    lane, engine, now_ns, cause = (
        decision.lane,
        decision.engine,
        decision.ts_recv_ns,
        decision.market_seq,
    )
    row = instruments.base[lane] + decision.symbol
    envelope.id, envelope.engine, envelope.lane, envelope.row = decision.seq, engine, lane, row
    envelope.row_second, envelope.waiting, envelope.leaving = -1, 1, 0
    envelope.side, envelope.side_second = decision.side, decision.side_second
    envelope.hold_ns, envelope.deadline_ns = decision.hold_ns, NEVER
    envelope.stop_px, envelope.target_px = decision.stop_px, decision.target_px
    envelope.net, envelope.net_second = 0.0, 0.0
    if engine == BINARY:
        order = put_order(
            out, n, lane, decision.seq, ROLE_BINARY, CONTRACT, row, decision.side, decision.stake,
            np.nan, now_ns, cause,
        )  # fmt: skip
        order.hold_ns = decision.hold_ns
        return n + 1
    put_order(
        out, n, lane, decision.seq, ENTRY, MARKET, row, decision.side, decision.qty, np.nan,
        now_ns, cause,
    )  # fmt: skip
    if engine == ARBITRAGE:
        n += 1
        other = instruments.base[lane] + decision.symbol_second
        envelope.row_second, envelope.waiting = other, 2
        state.n_pairs[0] += 1
        put_order(
            out, n, lane, decision.seq, SECOND_LEG, MARKET, other, decision.side_second,
            decision.qty_second, np.nan, now_ns, cause,
        )  # fmt: skip
    return n + 1


@inlined
def envelope_row(
    instruments: InstrumentRecords, state: EnvelopeState, row: Record, out: Records, n: int
) -> int:
    """Orders that a row causes: after a report, at a deadline, or when a pair has converged."""
    moved = -1
    if row.kind in (TRADE, QUOTE) and not math.isnan(row.mid):
        moved = instruments.base[row.lane] + row.symbol
        state.mid[moved] = row.mid
    if row.kind == REPORT:
        n = _after_report(state, row, out, n)
    elif row.ts_recv_ns >= state.next_deadline_ns[0] or (state.n_pairs[0] > 0 and moved >= 0):
        n = _walk(state, row, moved, out, n)
    return n


@kernel
def _walk(state: EnvelopeState, row: Record, moved: int, out: Records, n: int) -> int:
    """Envelopes of the row's lane that it ends: their time is over, or their pair is back."""
    for e in range(state.n_open[0]):
        envelope = state.envelopes[e]
        if envelope.lane != row.lane or envelope.leaving or envelope.waiting > 0:
            continue
        if row.ts_recv_ns >= envelope.deadline_ns:
            n = _leave(envelope, row, Reason.HOLD_EXPIRED.value, out, n)
        elif envelope.engine == ARBITRAGE and moved in (envelope.row, envelope.row_second):
            away = math.log(state.mid[envelope.row] / state.mid[envelope.row_second])
            if (away - envelope.target_px) * envelope.side >= 0.0:
                n = _leave(envelope, row, Reason.SPREAD_CONVERGED.value, out, n)
    _reckon(state)
    return n


@kernel
def _reckon(state: EnvelopeState) -> None:
    """What the next row must be looked at for."""
    state.next_deadline_ns[0], state.n_pairs[0] = NEVER, 0
    for e in range(state.n_open[0]):
        envelope = state.envelopes[e]
        if not envelope.leaving:
            state.next_deadline_ns[0] = min(state.next_deadline_ns[0], envelope.deadline_ns)
            state.n_pairs[0] += int(envelope.engine == ARBITRAGE)


@kernel
def _after_report(state: EnvelopeState, row: Record, out: Records, n: int) -> int:
    e = _find(state, row.ref_id)
    if e < 0 or row.code == ACCEPTED:
        return n
    envelope = state.envelopes[e]
    filled = row.code in (FILLED, FILLED_MAKER)
    if row.role == ROLE_BINARY:
        if not filled:  # settled, refunded or rejected: the contract is over
            _remove(state, e)
            _reckon(state)
        return n
    if filled:
        signed = row.side * row.qty
        if row.role in (SECOND_LEG, SECOND_FLATTEN):
            envelope.net_second += signed
        else:
            envelope.net += signed
    if row.role in (ENTRY, SECOND_LEG):
        envelope.waiting -= 1
        if envelope.waiting == 0:
            envelope.deadline_ns = row.ts_recv_ns + envelope.hold_ns
            n = _entered(envelope, row, out, n)
    elif row.role in (FLATTEN, SECOND_FLATTEN):
        envelope.leaving -= 1
        if envelope.leaving == 0:  # if it was rejected, the next row tries again
            envelope.deadline_ns = row.ts_recv_ns
    if envelope.waiting == 0 and envelope.net == 0.0 and envelope.net_second == 0.0:
        _remove(state, e)
    _reckon(state)
    return n


@kernel
def _entered(envelope: Record, row: Record, out: Records, n: int) -> int:
    """Every entry has its answer: protect a position, or leave a pair with a missing leg."""
    if envelope.engine == SPOT and envelope.net != 0.0:
        close, qty = -envelope.side, abs(envelope.net)
        order = put_order(
            out, n, envelope.lane, envelope.id, STOP, STOP_ORDER, envelope.row, close, qty,
            envelope.stop_px, row.ts_recv_ns, row.seq,
        )  # fmt: skip
        order.linked, order.reason = 1, Reason.STOP_HIT.value
        order = put_order(
            out, n + 1, envelope.lane, envelope.id, TARGET, LIMIT, envelope.row, close, qty,
            envelope.target_px, row.ts_recv_ns, row.seq,
        )  # fmt: skip
        order.linked, order.reason = 1, Reason.TARGET_HIT.value
        return n + 2
    if envelope.engine == ARBITRAGE and (envelope.net == 0.0) != (envelope.net_second == 0.0):
        return _leave(envelope, row, Reason.LEG_FAILED.value, out, n)
    return n


@kernel
def _leave(envelope: Record, row: Record, reason: int, out: Records, n: int) -> int:
    """Flatten whatever the envelope holds, at the market."""
    if envelope.net != 0.0:
        envelope.leaving += 1
        side = -1 if envelope.net > 0.0 else 1
        order = put_order(
            out, n, envelope.lane, envelope.id, FLATTEN, MARKET, envelope.row, side,
            abs(envelope.net), np.nan, row.ts_recv_ns, row.seq,
        )  # fmt: skip
        order.reason = reason
        if envelope.engine == SPOT:  # ends its stop and target; rejected if one of them was first
            order.linked = 1
        n += 1
    if envelope.net_second != 0.0:
        envelope.leaving += 1
        side = -1 if envelope.net_second > 0.0 else 1
        order = put_order(
            out, n, envelope.lane, envelope.id, SECOND_FLATTEN, MARKET, envelope.row_second, side,
            abs(envelope.net_second), np.nan, row.ts_recv_ns, row.seq,
        )  # fmt: skip
        order.reason = reason
        n += 1
    return n


@kernel
def _find(state: EnvelopeState, ref_id: int) -> int:
    for e in range(state.n_open[0]):
        if state.envelopes[e].id == ref_id:
            return e
    return -1


@kernel
def _remove(state: EnvelopeState, e: int) -> None:
    """Close the gap; the oldest stays first."""
    last = state.n_open[0] - 1
    for m in range(e, last):
        state.envelopes[m] = state.envelopes[m + 1]
    state.n_open[0] = last
