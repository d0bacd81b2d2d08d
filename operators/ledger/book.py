"""The book behind the journal: its balances, open lots and stakes, and the one way to post."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from operators.ledger.lots import Lot
from operators.ledger.money import text
from schemas.instruments import InstrumentKind

DESK = "assets:desk"  # what the desk owns or owes, per asset; below zero it has borrowed
STAKES = "binary:open"  # stakes of open binary contracts, at cost
OPENING = "equity:opening"
FEES = "expenses:fees"
TRADING_INCOME = "income:trading"
BINARY_INCOME = "income:binary"
ROUNDING = "rounding"  # what quantise functions moved
OWNED = (DESK, STAKES)  # the accounts that are the desk's equity; all others say where it came from

Posting = tuple[str, str, Decimal]  # account, asset, amount; the amounts of an asset add up to 0
Position = tuple[int, int, int]  # lane, envelope, symbol


class LedgerError(ValueError):
    """The ledger cannot book what it was told; says where, what it found and what must hold."""


class UnbalancedTransaction(LedgerError):  # noqa: N818 - the name says what was found
    """The postings of one transaction do not add up to zero in some asset."""


@dataclass(slots=True)
class Book:
    """All that the ledger remembers; grows with accounts and open positions, not with time."""

    seq: int = 0  # of the next transaction
    refused: int = 0  # report rows not booked because their lane had passed their seq
    last: dict[int, int] = field(default_factory=dict)  # lane: market seq of its last report
    balances: dict[tuple[str, str], Decimal] = field(default_factory=dict)  # by account and asset
    lots: dict[Position, Lot] = field(default_factory=dict)
    stakes: dict[Position, Decimal] = field(default_factory=dict)


def post(book: Book, postings: Sequence[Posting], place: str) -> None:
    """Add the postings of one transaction to the balances; refuses them unless they balance.

    Raises
    ------
    UnbalancedTransaction
        Naming `place` and the assets whose sum is not zero. The book is then left as it was.
    """
    sums: dict[str, Decimal] = {}
    for _, asset, amount in postings:
        sums[asset] = sums.get(asset, Decimal(0)) + amount
    wrong = [f"{asset} {text(total)}" for asset, total in sorted(sums.items()) if total]
    if wrong:
        lines = "; ".join(f"{account} {text(x)} {asset}" for account, asset, x in postings)
        raise UnbalancedTransaction(
            f"{place}: postings must add up to 0 per asset, left over: {', '.join(wrong)} ({lines})"
        )
    for account, asset, amount in postings:
        key = (account, asset)
        book.balances[key] = book.balances.get(key, Decimal(0)) + amount


def dump(book: Book) -> bytes:
    """The book as canonical JSON: equal books give equal bytes."""
    found: dict[str, Any] = {
        "seq": book.seq,
        "refused": book.refused,
        "last": sorted([lane, seq] for lane, seq in book.last.items()),
        "balances": sorted([*key, text(amount)] for key, amount in book.balances.items()),
        "lots": [
            [*key, int(x.kind), x.asset, text(x.contract_size), text(x.qty), str(x.cost)]
            for key, x in sorted(book.lots.items())
        ],
        "stakes": [[*key, text(stake)] for key, stake in sorted(book.stakes.items())],
    }
    return json.dumps(found, sort_keys=True).encode()


def load(saved: bytes) -> Book:
    """The book that `dump` wrote."""
    found = json.loads(saved)
    return Book(
        seq=found["seq"],
        refused=found["refused"],
        last=dict(found["last"]),
        balances={(account, asset): Decimal(x) for account, asset, x in found["balances"]},
        lots={
            (lane, ref_id, symbol): Lot(
                InstrumentKind(kind), asset, Decimal(size), Decimal(qty), Fraction(cost)
            )
            for lane, ref_id, symbol, kind, asset, size, qty, cost in found["lots"]
        },
        stakes={
            (lane, ref_id, symbol): Decimal(stake)
            for lane, ref_id, symbol, stake in found["stakes"]
        },
    )
