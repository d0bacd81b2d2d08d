"""Round trips: what became of each approved envelope, read back from its execution reports."""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from console.report.data import RunData
from console.report.rates import Rates
from schemas.instruments import InstrumentKind
from schemas.kinds import NO_SYMBOL, Engine, Kind, ReportCode, Role
from schemas.reasons import Reason
from schemas.rows import DecisionRows, MarketRows

FILLS = frozenset({ReportCode.FILLED, ReportCode.FILLED_MAKER})
SETTLEMENTS = frozenset({ReportCode.SETTLED_WON, ReportCode.SETTLED_LOST, ReportCode.REFUNDED})
SECOND_ROLES = frozenset({Role.SECOND_LEG, Role.SECOND_FLATTEN})
ENTRY_ROLES = frozenset({Role.ENTRY, Role.SECOND_LEG, Role.BINARY})
REASONS = {int(reason): reason for reason in Reason}
FLAT = 1e-9  # a position below this share of the entered quantity is none: float sums of lots

OPEN, CLOSED, REJECTED, PENDING = "open", "closed", "rejected", "pending"
SETTLED_WORDS = {
    ReportCode.SETTLED_WON: "SETTLED_WON",
    ReportCode.SETTLED_LOST: "SETTLED_LOST",
    ReportCode.REFUNDED: "REFUNDED",
}


@dataclass(frozen=True)
class Leg:
    """One instrument's part of a trip. Prices are quote units, quantities the instrument's own."""

    row: int  # of the instrument table
    instrument: str
    side: int  # Side of the entry
    qty: float  # entered; a binary's stake
    unit: str  # of `qty`: an asset, or contracts
    entry_ts_ns: int  # ts_recv_ns of the first entry report; -1 without one
    entry_px: float  # mean over fills; a binary's strike
    exit_ts_ns: int  # ts_recv_ns of the last exit report; -1 while open
    exit_px: float  # mean over fills; NaN while open
    mark_px: float  # last mid of the run while open, NaN otherwise
    fees: float  # desk currency, positive is paid
    pnl: float  # desk currency, before fees; an open leg is marked


@dataclass(frozen=True)
class Trip:
    """One approved envelope from its approval to its end, or to the end of the run."""

    id: int  # DecisionRows.seq
    engine: Engine
    decided_ts_ns: int
    status: str  # OPEN, CLOSED, REJECTED (no entry) or PENDING (no answer yet)
    legs: tuple[Leg, ...]  # one, or two for arbitrage
    exit_reason: str  # name of a Reason or of a settlement, "" while there is none
    exit_words: str  # the same for people
    reward_risk: float  # as planned at approval; NaN where it cannot be told
    confidence: float
    level_px: float  # the Fibonacci level, quote units; arbitrage: the mean log spread
    stop_px: float
    target_px: float

    @property
    def fees(self) -> float:
        return sum(leg.fees for leg in self.legs)

    @property
    def pnl(self) -> float:
        """Desk currency, before fees; NaN where a leg's currency has no rate."""
        return sum(leg.pnl for leg in self.legs)

    @property
    def net(self) -> float:
        """Desk currency, after fees."""
        return self.pnl - self.fees

    @property
    def entry_ts_ns(self) -> int:
        """First entry of any leg; -1 without one."""
        return min((leg.entry_ts_ns for leg in self.legs if leg.entry_ts_ns >= 0), default=-1)

    @property
    def exit_ts_ns(self) -> int:
        """Last exit of any leg; -1 unless the trip is closed."""
        return max(leg.exit_ts_ns for leg in self.legs) if self.status == CLOSED else -1


class _Report(NamedTuple):
    """One execution report as plain numbers."""

    ts_ns: int
    row: int
    side: int
    code: ReportCode
    role: Role
    reason: Reason
    price: float
    qty: float
    fee: float  # settle asset, 0 where the report has none


class _Envelope(NamedTuple):
    """The columns of an approved decision that a trip needs."""

    seq: int
    row: int
    row_second: int  # -1 without a second leg
    ts_ns: int
    engine: Engine
    side: int
    side_second: int
    qty: float
    qty_second: float
    mid: float
    mid_second: float
    stop_px: float
    target_px: float
    level_px: float
    worst_loss: float
    confidence: float


def build_trips(data: RunData) -> list[Trip]:
    """One trip per approved decision, in log order.

    ValueError if a report names an envelope that no decision approved: the logs do not belong
    together.
    """
    rates, rows = Rates.of(data), data.table_row()
    reports = _reports(data.reports, rows)
    envelopes = _envelopes(data.decisions, rows)
    unknown = sorted(set(reports) - {envelope.seq for envelope in envelopes})
    if unknown:
        raise ValueError(f"reports name envelope {unknown[0]}, which no decision approved")
    return [_trip(envelope, reports.get(envelope.seq, []), rates) for envelope in envelopes]


def _reports(rows: MarketRows, table_row: dict[tuple[int, int], int]) -> dict[int, list[_Report]]:
    found: dict[int, list[_Report]] = defaultdict(list)
    for i in np.flatnonzero(rows.kind == Kind.REPORT).tolist():
        fee = float(rows.ref[i])
        report = _Report(
            ts_ns=int(rows.ts_recv_ns[i]),
            row=table_row[int(rows.lane[i]), int(rows.symbol[i])],
            side=int(rows.side[i]),
            code=ReportCode(int(rows.code[i])),
            role=Role(int(rows.role[i])),
            reason=REASONS[int(rows.reason[i])],
            price=float(rows.price[i]),
            qty=float(rows.qty[i]),
            fee=0.0 if math.isnan(fee) else fee,
        )
        found[int(rows.ref_id[i])].append(report)
    return found


def _envelopes(rows: DecisionRows, table_row: dict[tuple[int, int], int]) -> list[_Envelope]:
    found = []
    for i in np.flatnonzero((rows.kind == Kind.DECISION) & (rows.approved == 1)).tolist():
        lane, second = int(rows.lane[i]), int(rows.symbol_second[i])
        engine = Engine(int(rows.engine[i]))
        paired = engine is Engine.ARBITRAGE and second != NO_SYMBOL
        found.append(
            _Envelope(
                seq=int(rows.seq[i]),
                row=table_row[lane, int(rows.symbol[i])],
                row_second=table_row[lane, second] if paired else -1,
                ts_ns=int(rows.ts_recv_ns[i]),
                engine=engine,
                side=int(rows.side[i]),
                side_second=int(rows.side_second[i]),
                qty=float(rows.qty[i]),
                qty_second=float(rows.qty_second[i]),
                mid=(float(rows.bid_px[i]) + float(rows.ask_px[i])) / 2.0,
                mid_second=(float(rows.bid_px_second[i]) + float(rows.ask_px_second[i])) / 2.0,
                stop_px=float(rows.stop_px[i]),
                target_px=float(rows.target_px[i]),
                level_px=float(rows.level_px[i]),
                worst_loss=float(rows.worst_loss[i]),
                confidence=float(rows.confidence[i]),
            )
        )
    return found


def _trip(envelope: _Envelope, reports: list[_Report], rates: Rates) -> Trip:
    if envelope.engine is Engine.BINARY:
        leg, status = _binary_leg(envelope, reports, rates)
        legs: tuple[Leg, ...] = (leg,)
    else:
        first = [r for r in reports if r.role not in SECOND_ROLES]
        second = [r for r in reports if r.role in SECOND_ROLES]
        legs = (_leg(envelope.row, envelope.side, first, rates),)
        if envelope.row_second >= 0:
            legs += (_leg(envelope.row_second, envelope.side_second, second, rates),)
        status = _status(legs, reports)
    reason, words = _exit(reports, status)
    return Trip(
        id=envelope.seq,
        engine=envelope.engine,
        decided_ts_ns=envelope.ts_ns,
        status=status,
        legs=legs,
        exit_reason=reason,
        exit_words=words,
        reward_risk=_reward_risk(envelope, rates),
        confidence=envelope.confidence,
        level_px=envelope.level_px,
        stop_px=envelope.stop_px,
        target_px=envelope.target_px,
    )


def _status(legs: tuple[Leg, ...], reports: list[_Report]) -> str:
    entered = [leg for leg in legs if leg.entry_ts_ns >= 0]
    if entered:
        return CLOSED if all(leg.exit_ts_ns >= 0 for leg in entered) else OPEN
    answered = any(r.code in (ReportCode.REJECTED, ReportCode.CANCELLED) for r in reports)
    return REJECTED if answered else PENDING


def _exit(reports: list[_Report], status: str) -> tuple[str, str]:
    """Why the trip ended: the reason on the report that closed it, or that refused its entry."""
    if status == CLOSED:
        last = [r for r in reports if r.code in SETTLEMENTS or _closes(r)][-1]
        if last.code in SETTLEMENTS:
            name = SETTLED_WORDS[last.code]
            refund = last.code is ReportCode.REFUNDED and last.reason is not Reason.OK
            return name, last.reason.text if refund else name.lower().replace("_", " ")
        return last.reason.name, last.reason.text
    refused = [r for r in reports if r.code is ReportCode.REJECTED]
    if status == REJECTED and refused:
        return refused[-1].reason.name, refused[-1].reason.text
    return "", ""


def _closes(report: _Report) -> bool:
    return report.code in FILLS and report.role not in ENTRY_ROLES


def _leg(row: int, side: int, reports: list[_Report], rates: Rates) -> Leg:
    """A position from its fills. Cash flows, not a pair of prices: any number of fills will do."""
    fills = [r for r in reports if r.code in FILLS]
    entries = [r for r in fills if r.role in ENTRY_ROLES]
    exits = [r for r in fills if r.role not in ENTRY_ROLES]
    entered = sum(r.qty for r in entries)
    position = sum(r.side * r.qty for r in fills)
    still_open = bool(entries) and abs(position) > FLAT * entered
    end_ns = rates.last_ns(row) if still_open or not exits else exits[-1].ts_ns
    mark = rates.mid(row, end_ns) if still_open else math.nan
    end_px = mark if still_open else _mean_px(exits)
    return Leg(
        row=row,
        instrument=rates.table.instruments[row].id,
        side=side,
        qty=entered,
        unit=rates.table.instruments[row].qty_unit,
        entry_ts_ns=entries[0].ts_ns if entries else -1,
        entry_px=_mean_px(entries),
        exit_ts_ns=exits[-1].ts_ns if exits and not still_open else -1,
        exit_px=math.nan if still_open else _mean_px(exits),
        mark_px=mark,
        fees=_fees(row, reports, rates),
        pnl=_pnl(row, fills, position, end_px=end_px, end_ns=end_ns, rates=rates),
    )


def _pnl(
    row: int, fills: list[_Report], position: float, *, end_px: float, end_ns: int, rates: Rates
) -> float:
    """Desk currency before fees: what was sold less what was bought, and the rest at `end_px`."""
    if not fills:
        return 0.0
    instrument = rates.table.instruments[row]
    size = float(instrument.contract_size)
    held = position if math.isfinite(end_px) and position != 0.0 else 0.0
    if instrument.kind is InstrumentKind.INVERSE:  # a dollar contract pays 1 / price in base
        gained = sum(r.side * r.qty / r.price for r in fills) - (held / end_px if held else 0.0)
        gained *= end_px  # base units, worth this much quote at the end
    else:
        gained = (held * end_px if held else 0.0) - sum(r.side * r.qty * r.price for r in fills)
    return gained * size * rates.quote_rate(row, end_ns)


def _fees(row: int, reports: list[_Report], rates: Rates) -> float:
    paid = [r for r in reports if r.fee != 0.0]  # no fee needs no rate
    return sum(r.fee * rates.fee_rate(row, r.price, r.ts_ns) for r in paid)


def _mean_px(fills: list[_Report]) -> float:
    qty = sum(r.qty for r in fills)
    return sum(r.qty * r.price for r in fills) / qty if qty > 0.0 else math.nan


def _binary_leg(envelope: _Envelope, reports: list[_Report], rates: Rates) -> tuple[Leg, str]:
    """A stake, in quote units: set aside at the strike, then paid out, lost or given back."""
    accepted = [r for r in reports if r.code in FILLS]
    settled = [r for r in reports if r.code in SETTLEMENTS]
    refused = any(r.code is ReportCode.REJECTED for r in reports)
    status = CLOSED if settled else OPEN if accepted else REJECTED if refused else PENDING
    row = envelope.row
    start = accepted[0] if accepted else None
    end = settled[-1] if settled else None
    end_ns = end.ts_ns if end is not None else rates.last_ns(row)
    stake = start.qty if start is not None else 0.0
    share = 0.0  # of the stake; while open it is neither won nor lost
    if end is not None and end.code is ReportCode.SETTLED_WON:
        share = float(rates.table.instruments[row].binary_payout)
    elif end is not None and end.code is ReportCode.SETTLED_LOST:
        share = -1.0
    won = share * stake
    leg = Leg(
        row=row,
        instrument=rates.table.instruments[row].id,
        side=envelope.side,
        qty=stake,
        unit=rates.table.instruments[row].quote,
        entry_ts_ns=start.ts_ns if start is not None else -1,
        entry_px=start.price if start is not None else math.nan,
        exit_ts_ns=end.ts_ns if end is not None else -1,
        exit_px=end.price if end is not None else math.nan,
        mark_px=rates.mid(row, end_ns) if status == OPEN else math.nan,
        fees=sum(r.fee * rates.quote_rate(row, r.ts_ns) for r in reports if r.fee != 0.0),
        pnl=won * rates.quote_rate(row, end_ns) if won else 0.0,
    )
    return leg, status


def _reward_risk(envelope: _Envelope, rates: Rates) -> float:
    """Planned reward over planned risk.

    Spot: way to the take-profit over way to the stop. Binary: payout per unit staked. Arbitrage:
    the spread's way back on the first leg's notional, over the reserved worst case.
    """
    instrument = rates.table.instruments[envelope.row]
    if envelope.engine is Engine.BINARY:
        return float(instrument.binary_payout)
    if envelope.engine is Engine.SPOT:
        risk = abs(envelope.mid - envelope.stop_px)
        reward = abs(envelope.target_px - envelope.mid)
    else:
        spread = math.log(envelope.mid / envelope.mid_second)
        inverse = instrument.kind is InstrumentKind.INVERSE
        notional = (
            envelope.qty * float(instrument.contract_size) * (1.0 if inverse else envelope.mid)
        )
        rate = rates.quote_rate(envelope.row, envelope.ts_ns)
        reward, risk = abs(spread - envelope.target_px) * notional * rate, envelope.worst_loss
    return reward / risk if risk > 0.0 else math.nan
