"""What the ledger shows: balances, marked equity, and the proof that both follow from the postings.

Views read a book and change nothing. Unrealised profit is shown here and never posted.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from operators.ledger.book import OWNED, Book, LedgerError
from operators.ledger.money import exact_arithmetic, quantise_view, text

MAX_PROBLEMS = 10  # listed by `verify`; more say the same


class Verdict(NamedTuple):
    """What `verify` found; a sound ledger is balanced, has a drift of 0 and no problems."""

    transactions: int
    balanced: bool  # every transaction adds up to 0 per asset
    drift: Decimal  # largest difference between a kept and a recomputed balance, in its own asset
    problems: tuple[str, ...]  # place, expected, found; the first MAX_PROBLEMS


def balances(state: Book) -> dict[str, Decimal]:
    """What the desk owns per asset, stakes of open binaries at cost included; below 0 it owes."""
    owned: dict[str, Decimal] = {}
    with exact_arithmetic():
        for (account, asset), amount in sorted(state.balances.items()):
            if account in OWNED:
                owned[asset] = owned.get(asset, Decimal(0)) + amount
    return owned


def unrealised(state: Book, marks: Mapping[tuple[int, int], Decimal]) -> dict[str, Decimal]:
    """Profit per settle asset if every open lot were closed at its mark.

    Parameters
    ----------
    marks : by (lane, symbol)
        Mark prices, quote units per base unit.
    """
    with exact_arithmetic():
        found = _unrealised(state, marks)
        return {asset: quantise_view(profit) for asset, profit in sorted(found.items())}


def equity(
    state: Book, marks: Mapping[tuple[int, int], Decimal], rates: Mapping[str, Decimal]
) -> Decimal:
    """Balances plus the unrealised profit of open lots, at rates, in the rates' currency.

    Parameters
    ----------
    marks : by (lane, symbol)
        Mark price of every instrument with an open lot.
    rates : by asset
        Worth of one unit of every asset whose balance is not 0.

    Raises
    ------
    LedgerError
        If a mark or rate is missing: equity with a hole in it is no number.
    """
    with exact_arithmetic():
        owned = {asset: Fraction.from_decimal(amount) for asset, amount in balances(state).items()}
        for asset, profit in _unrealised(state, marks).items():
            owned[asset] = owned.get(asset, Fraction(0)) + profit
        missing = sorted(asset for asset, amount in owned.items() if amount and asset not in rates)
        if missing:
            raise LedgerError(f"no rate for {', '.join(missing)}; equity needs one per asset owned")
        worth = (
            amount * Fraction.from_decimal(rates[asset])
            for asset, amount in owned.items()
            if amount
        )
        return quantise_view(sum(worth, Fraction(0)))


def verify(state: Book, journal: Iterable[Mapping[str, Any]]) -> Verdict:
    """Recompute a book's balances from its journal rows, from the first on.

    Checks that seq counts from 0, that each transaction adds up to 0 per asset, and that the sums
    of all postings are the balances that the book kept.
    """
    problems: list[str] = []
    totals: dict[tuple[str, str], Decimal] = {}
    count, balanced = 0, True
    with exact_arithmetic():
        for row in journal:
            if row["seq"] != count:
                problems.append(f"transaction {count}: expected seq {count}, found {row['seq']}")
            sums: dict[str, Decimal] = {}
            for account, asset, amount in row["postings"]:
                sums[asset] = sums.get(asset, Decimal(0)) + Decimal(amount)
                key = (account, asset)
                totals[key] = totals.get(key, Decimal(0)) + Decimal(amount)
            for asset, total in sorted(sums.items()):
                if total:
                    balanced = False
                    problems.append(f"transaction {row['seq']}: {asset} adds up to {text(total)}")
            count += 1
        if count != state.seq:
            problems.append(f"the book has {state.seq} transactions, the journal {count}")
        drift = Decimal(0)
        for key in sorted(totals.keys() | state.balances.keys()):
            kept = state.balances.get(key, Decimal(0))
            found = totals.get(key, Decimal(0))
            drift = max(drift, abs(kept - found))
            if kept != found:
                problems.append(
                    f"{key[0]} {key[1]}: the book has {text(kept)}, its postings {text(found)}, "
                    f"difference {text(kept - found)}"
                )
    return Verdict(count, balanced, drift, tuple(problems[:MAX_PROBLEMS]))


def _unrealised(state: Book, marks: Mapping[tuple[int, int], Decimal]) -> dict[str, Fraction]:
    found: dict[str, Fraction] = {}
    for (lane, ref_id, symbol), lot in state.lots.items():
        mark = marks.get((lane, symbol))
        if mark is None:
            raise LedgerError(
                f"no mark for lane {lane}, symbol {symbol}, in which envelope {ref_id} has "
                f"{text(lot.qty)} contracts open"
            )
        found[lot.asset] = found.get(lot.asset, Fraction(0)) + lot.unrealised(mark)
    return found
