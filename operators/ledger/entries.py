"""What each kind of report books: the postings of one transaction, balanced by construction."""

import math
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from operators.ledger.book import (
    BINARY_INCOME,
    DESK,
    FEES,
    ROUNDING,
    STAKES,
    TRADING_INCOME,
    Book,
    LedgerError,
    Position,
    Posting,
)
from operators.ledger.lots import Lot, fill
from operators.ledger.money import (
    exact,
    exact_money,
    on_step,
    quantise_amount,
    quantise_if_endless,
    quantise_ratio,
    text,
)
from schemas.instruments import Instrument, InstrumentKind
from schemas.kinds import ReportCode, Role, Side

FILLS = frozenset({ReportCode.FILLED, ReportCode.FILLED_MAKER})
SETTLEMENTS = frozenset({ReportCode.SETTLED_WON, ReportCode.SETTLED_LOST, ReportCode.REFUNDED})


class Entry(StrEnum):
    """What a transaction records; the column `kind` of a journal row."""

    OPENING = "opening"  # the deposit with which the desk starts
    EXCHANGE = "exchange"  # base against quote
    OPEN = "open"  # contracts opened or added: only the fee moves money
    CLOSE = "close"  # contracts closed, their profit realised
    STAKE = "stake"
    WON = "won"
    LOST = "lost"
    REFUND = "refund"


class Contract(NamedTuple):
    """The facts of an instrument that the ledger needs, as decimals."""

    id: str
    kind: InstrumentKind
    base: str
    quote: str
    fee_asset: str
    trading: str  # account through which base and quote are exchanged
    contract_size: Decimal
    tick: Decimal
    lot: Decimal
    binary_payout: Decimal

    @classmethod
    def of(cls, i: Instrument) -> "Contract":
        contracts = i.kind in (InstrumentKind.LINEAR, InstrumentKind.INVERSE)
        return cls(
            id=i.id,
            kind=i.kind,
            base=i.base,
            quote=i.quote,
            fee_asset=i.settle if contracts else i.quote,
            trading=f"trading:{i.base}-{i.quote}",
            contract_size=Decimal(i.contract_size),
            tick=Decimal(i.tick),
            lot=Decimal(i.lot),
            binary_payout=Decimal(i.binary_payout),
        )


class Report(NamedTuple):
    """One report row as Python numbers."""

    seq: int
    lane: int
    symbol: int
    ts_event_ns: int
    ts_recv_ns: int
    side: int
    code: int
    role: int
    ref_id: int
    price: float
    qty: float
    fee: float

    @property
    def position(self) -> Position:
        return self.lane, self.ref_id, self.symbol

    @property
    def place(self) -> str:
        """Where it stands on the log, for messages."""
        return f"lane {self.lane}, market seq {self.seq}, symbol {self.symbol}"


Booked = tuple[Entry, list[Posting], str]  # what it is, its postings, its memo


def book_report(state: Book, contract: Contract, report: Report) -> Booked:
    """The transaction of one report; opens and closes lots and stakes, posts nothing yet.

    Raises
    ------
    LedgerError
        If the report cannot mean money: no price or size, no side, no rule for its instrument.
    """
    place = f"{report.place}, {contract.id}"
    if not (0 < report.price < math.inf and 0 < report.qty < math.inf):
        raise LedgerError(
            f"{place}: price and qty of a report must be positive numbers, "
            f"were {report.price} and {report.qty}"
        )
    if report.role == Role.BINARY:
        return _binary(state, contract, report)
    if report.code not in FILLS:
        raise LedgerError(
            f"{place}: only a binary contract is settled or refunded, "
            f"found {ReportCode(report.code).name} with role {report.role}"
        )
    if report.side not in (Side.BUY, Side.SELL):
        raise LedgerError(f"{place}: a fill must buy or sell, its side was {report.side}")
    if contract.kind in (InstrumentKind.SPOT, InstrumentKind.EVENT):
        return _exchange(contract, report)
    if contract.kind in (InstrumentKind.LINEAR, InstrumentKind.INVERSE):
        return _contracts_fill(state, contract, report)
    raise LedgerError(f"{place}: the ledger has no rule for {contract.kind.name}")


def _exchange(contract: Contract, report: Report) -> Booked:
    """Base for quote, both through the trading account of the pair."""
    price, qty = exact(report.price, contract.tick), exact(report.qty, contract.lot)
    base, quote = report.side * qty, -report.side * qty * price
    postings = [
        (DESK, contract.base, base),
        (contract.trading, contract.base, -base),
        (DESK, contract.quote, quote),
        (contract.trading, contract.quote, -quote),
        *_fee(contract, report),
    ]
    return Entry.EXCHANGE, postings, _fill_memo(contract, report, price, qty)


def _contracts_fill(state: Book, contract: Contract, report: Report) -> Booked:
    """A lot of contracts grows (only the fee is posted) or shrinks (its profit is realised)."""
    price, qty = exact(report.price, contract.tick), exact(report.qty, contract.lot)
    none = Lot(contract.kind, contract.fee_asset, contract.contract_size, Decimal(0), Fraction(0))
    before = state.lots.pop(report.position, none)
    after, realised = fill(before, report.side * qty, price)
    if after.qty:
        state.lots[report.position] = after
    postings = _fee(contract, report)
    if realised is not None:
        linear = contract.kind == InstrumentKind.LINEAR
        profit, residual = (quantise_if_endless if linear else quantise_ratio)(realised)
        postings = [*_income(contract.fee_asset, TRADING_INCOME, profit, residual), *postings]
    entry = Entry.OPEN if realised is None else Entry.CLOSE
    return entry, postings, _fill_memo(contract, report, price, qty)


def _binary(state: Book, contract: Contract, report: Report) -> Booked:
    """A stake is set aside, and comes back with a payout, not at all, or as it was."""
    stake, asset = exact_money(report.qty), contract.quote
    memo = f"{ReportCode(report.code).name} binary {contract.id} stake {text(stake)} {asset}"
    fee = [] if math.isnan(report.fee) else _fee(contract, report, asset=asset)
    if report.code in FILLS:
        if report.position in state.stakes:
            raise LedgerError(f"{report.place}, {contract.id}: this binary is already open")
        state.stakes[report.position] = stake
        strike = text(exact(report.price, contract.tick))
        postings = [(STAKES, asset, stake), (DESK, asset, -stake)]
        return Entry.STAKE, postings + fee, f"{memo} strike {strike}"
    if state.stakes.get(report.position) != stake:
        raise LedgerError(
            f"{report.place}, {contract.id}: settles a stake of {text(stake)}, but open is "
            f"{state.stakes.get(report.position, 'none')}"
        )
    del state.stakes[report.position]
    if report.code == ReportCode.SETTLED_LOST:
        postings = [(STAKES, asset, -stake), (BINARY_INCOME, asset, stake)]
        return Entry.LOST, postings + fee, memo
    postings = [(STAKES, asset, -stake), (DESK, asset, stake)]
    if report.code == ReportCode.REFUNDED:
        return Entry.REFUND, postings + fee, memo
    paid, residual = quantise_amount(stake * contract.binary_payout)
    return Entry.WON, postings + _income(asset, BINARY_INCOME, paid, residual) + fee, memo


def _income(asset: str, account: str, paid: Decimal, residual: Decimal) -> list[Posting]:
    """Income as it was earned, the desk as it was paid, and the difference in `rounding`."""
    postings = [(DESK, asset, paid), (account, asset, -(paid + residual))]
    return [*postings, (ROUNDING, asset, residual)] if residual else postings


def _fee(contract: Contract, report: Report, asset: str = "") -> list[Posting]:
    if not math.isfinite(report.fee):
        raise LedgerError(
            f"{report.place}, {contract.id}: the fee of a fill must be a number, was {report.fee}"
        )
    fee, asset = exact_money(report.fee), asset or contract.fee_asset
    return [(DESK, asset, -fee), (FEES, asset, fee)]


def _fill_memo(contract: Contract, report: Report, price: Decimal, qty: Decimal) -> str:
    how = "maker" if report.code == ReportCode.FILLED_MAKER else "taker"
    memo = f"{Side(report.side).name} {text(qty)} {contract.id} @ {text(price)} {how}"
    memo = f"{memo} {Role(report.role).name}"
    if not on_step(price, contract.tick):
        memo += ", price off tick"
    return memo if on_step(qty, contract.lot) else f"{memo}, qty off lot"
