"""An envelope's place in the desk's money: reserved at approval, booked by reports, closed flat."""

from operators.arrays import F8, I8, kernel
from operators.records import InstrumentRecords, Record, Records
from operators.risk.exposure import free_place, place_of, pnl
from operators.risk.safety import SafetyRules, count_outcome
from operators.risk.worth import flow, notional, rate
from schemas.instruments import InstrumentKind
from schemas.kinds import NO_ID, Engine, ReportCode, Role

BINARY, ARBITRAGE = int(Engine.BINARY), int(Engine.ARBITRAGE)
ACCEPTED, REJECTED = int(ReportCode.ACCEPTED), int(ReportCode.REJECTED)
FILLED, FILLED_MAKER = int(ReportCode.FILLED), int(ReportCode.FILLED_MAKER)
WON, LOST, REFUNDED = (
    int(ReportCode.SETTLED_WON),
    int(ReportCode.SETTLED_LOST),
    int(ReportCode.REFUNDED),
)
ENTRY, ROLE_BINARY = int(Role.ENTRY), int(Role.BINARY)
SECOND_LEG, SECOND_FLATTEN = int(Role.SECOND_LEG), int(Role.SECOND_FLATTEN)
INVERSE = int(InstrumentKind.INVERSE)
FREE, IN_FLIGHT, OPEN = 0, 1, 2  # what an engine has in an instrument


@kernel
def reserve(
    instruments: InstrumentRecords, mid: F8, holds: I8, envelopes: Records, to: Record
) -> None:
    """Book the envelope: from now on it counts as if all its orders had filled."""
    base = instruments.base[to.lane]
    k, engine = base + to.symbol, to.engine
    envelope = envelopes[free_place(envelopes)]
    envelope.id, envelope.engine, envelope.row, envelope.row_second = to.seq, engine, k, -1
    envelope.answered, envelope.answered_second = 0, 1
    envelope.flow, envelope.net, envelope.flow_second, envelope.net_second = 0.0, 0.0, 0.0, 0.0
    envelope.fees, envelope.held, envelope.held_second = 0.0, 0.0, 0.0
    envelope.worst = to.worst_loss
    holds[k, engine] = IN_FLIGHT
    to_desk = rate(instruments, mid, k)
    enter = to.ask_px if to.side > 0 else to.bid_px
    if engine == BINARY:
        envelope.held = to.stake * to_desk
    else:
        envelope.held = to.side * notional(instruments, k, to.qty, enter) * to_desk
    if engine == ARBITRAGE:
        other = base + to.symbol_second
        envelope.row_second, envelope.answered_second = other, 0
        price = to.ask_px_second if to.side_second > 0 else to.bid_px_second
        envelope.held_second = (
            to.side_second
            * notional(instruments, other, to.qty_second, price)
            * rate(instruments, mid, other)
        )
        holds[other, engine] = IN_FLIGHT


@kernel
def fold_report(
    rules: SafetyRules,
    instruments: InstrumentRecords,
    book: Record,
    mid: F8,
    holds: I8,
    envelopes: Records,
    row: Record,
) -> None:
    """Take a venue's answer in: marks, flows and fees; a settled or flat envelope is closed."""
    e = place_of(envelopes, row.ref_id)
    if e < 0:
        return  # the answer to an order of an envelope that is closed already
    envelope = envelopes[e]
    code, role, engine = row.code, row.role, envelope.engine
    second = role in (SECOND_LEG, SECOND_FLATTEN)
    k = envelope.row_second if second else envelope.row
    if code in (ACCEPTED, FILLED, FILLED_MAKER) and holds[k, engine] == IN_FLIGHT:
        holds[k, engine] = OPEN
    if code in (FILLED, FILLED_MAKER) and role != ROLE_BINARY:
        signed = row.side * row.qty
        come = flow(instruments, k, signed, row.price)
        if second:
            envelope.flow_second += come
            envelope.net_second += signed
        else:
            envelope.flow += come
            envelope.net += signed
        mid[k] = row.price
        envelope.fees += row.ref * _fee_rate(instruments, mid, k, row.price)
    if role == SECOND_LEG and code != ACCEPTED:
        envelope.answered_second = 1
    elif role == ENTRY and code != ACCEPTED:
        envelope.answered = 1
    settled = role == ROLE_BINARY and code in (WON, LOST, REFUNDED, REJECTED)
    flat = envelope.net == 0.0 and envelope.net_second == 0.0
    if settled:
        gain = 0.0
        if code == WON:
            gain = row.qty * instruments.of[k].binary_payout * rate(instruments, mid, k)
        elif code == LOST:
            gain = -row.qty * rate(instruments, mid, k)
        _close(rules, book, holds, envelope, gain)
    elif engine != BINARY and envelope.answered and envelope.answered_second and flat:
        _close(rules, book, holds, envelope, pnl(instruments, mid, envelope))


@kernel
def _fee_rate(instruments: InstrumentRecords, mid: F8, k: int, price: float) -> float:
    """Desk currency per unit of the fee's asset: base if inverse, else quote."""
    to_desk = rate(instruments, mid, k)
    if instruments.of[k].kind == INVERSE:
        return to_desk * price
    return to_desk


@kernel
def _close(rules: SafetyRules, book: Record, holds: I8, envelope: Record, gain: float) -> None:
    holds[envelope.row, envelope.engine] = FREE
    if envelope.row_second >= 0:
        holds[envelope.row_second, envelope.engine] = FREE
    envelope.id, envelope.worst, envelope.held, envelope.held_second = NO_ID, 0.0, 0.0, 0.0
    book.balance += gain
    count_outcome(rules, book, gain)
