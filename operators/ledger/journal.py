"""Execution reports become balanced journal transactions: the desk's money, to the last digit."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.ledger import book as books
from operators.ledger.book import Book, LedgerError, post
from operators.ledger.entries import (
    FILLS,
    SETTLEMENTS,
    Booked,
    Contract,
    Entry,
    Report,
    book_report,
)
from operators.ledger.money import exact_arithmetic, text
from schemas.instruments import InstrumentTable
from schemas.kinds import NO_ID, Kind
from schemas.rows import MarketRows

JournalRow = dict[str, Any]  # JSON-ready; its keys are listed in Journal

POSTED = np.isin(np.arange(256), sorted(FILLS | SETTLEMENTS))  # by the column `code`
FIRST = np.zeros(1, np.intp)


@dataclass(frozen=True)
class Journal:
    """Double-entry journal of everything that the desk's reports say.

    Parameters
    ----------
    table : InstrumentTable
        Every instrument that a report may name.
    balance : str
        Opening deposit in `table.desk_currency`, a positive decimal; booked at the first row.

    Notes
    -----
    In: MarketRows. Only rows of kind REPORT with code FILLED, FILLED_MAKER, SETTLED_WON,
    SETTLED_LOST or REFUNDED post; price and qty are multiples of (half) a tick and lot up to float
    noise, or are booked as they read; ref is the fee, positive is paid, booked as it reads.
    Out: a list of dicts, one per transaction: seq (contiguous from 0), ts_event_ns, ts_recv_ns,
    lane, market_seq, ref_id, kind (an Entry), postings [[account, asset, amount as text], ...] and
    memo. Every transaction adds up to 0 per asset.
    Money: SPOT and EVENT exchange base and quote, and may borrow either. LINEAR and INVERSE keep a
    lot per (lane, envelope, symbol) at average cost; profit is posted when it is realised, exact
    (linear) or rounded with its residual in `rounding` (inverse, and linear parts of a lot of
    several prices that have no last digit). BINARY stakes move to `binary:open` and come back with
    a payout rounded likewise, do not, or are refunded.
    Nulls: price, qty and fee of a report that posts must be numbers; a binary's null fee is none.
    Time: rows are booked in log order; both times are copied.
    Repeats: a report whose lane has passed its seq is not booked, and counted in `Book.refused`.
    Chunks: any split gives the same rows. State: about 100 bytes per account, asset and open lot.
    Errors: LedgerError, naming lane, seq and instrument. Floats never meet decimals: that raises.
    """

    table: InstrumentTable
    balance: str
    _contracts: dict[tuple[int, int], Contract] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d+(\.\d+)?", self.balance) or not Decimal(self.balance):
            raise ValueError(f"balance must be a positive decimal, as text, was {self.balance!r}")
        found = {(i.lane, i.symbol): Contract.of(i) for i in self.table.instruments}
        object.__setattr__(self, "_contracts", found)

    def initial(self) -> Book:
        return Book()

    def step(self, state: Book, rows: MarketRows) -> tuple[Book, list[JournalRow]]:
        made: list[JournalRow] = []
        with exact_arithmetic():
            if state.seq == 0 and rows.seq.size:
                made.append(self._open(state, next(_reports(rows, FIRST))))
            posted = np.flatnonzero((rows.kind == Kind.REPORT) & POSTED[rows.code])
            for report in _reports(rows, posted):
                if report.seq <= state.last.get(report.lane, -1):
                    state.refused += 1
                    continue
                made.append(self._book(state, report))
                state.last[report.lane] = report.seq
        return state, made

    def dump(self, state: Book) -> bytes:
        return books.dump(state)

    def load(self, saved: bytes) -> Book:
        return books.load(saved)

    def _open(self, state: Book, first: Report) -> JournalRow:
        asset, amount = self.table.desk_currency, Decimal(self.balance)
        postings = [(books.DESK, asset, amount), (books.OPENING, asset, -amount)]
        memo = f"opening balance {text(amount)} {asset}"
        return _write(state, first._replace(ref_id=NO_ID), (Entry.OPENING, postings, memo))

    def _book(self, state: Book, report: Report) -> JournalRow:
        contract = self._contracts.get((report.lane, report.symbol))
        if contract is None:
            raise LedgerError(f"{report.place}: the symbol is not in the instrument table")
        return _write(state, report, book_report(state, contract, report))


def _write(state: Book, report: Report, booked: Booked) -> JournalRow:
    entry, postings, memo = booked
    post(state, postings, f"transaction {state.seq}, {report.place}")
    row = {
        "seq": state.seq,
        "ts_event_ns": report.ts_event_ns,
        "ts_recv_ns": report.ts_recv_ns,
        "lane": report.lane,
        "market_seq": report.seq,
        "ref_id": report.ref_id,
        "kind": entry.value,
        "postings": [[account, asset, text(amount)] for account, asset, amount in postings],
        "memo": memo,
    }
    state.seq += 1
    return row


def _reports(rows: MarketRows, index: NDArray[np.intp]) -> Iterator[Report]:
    columns = (
        rows.seq, rows.lane, rows.symbol, rows.ts_event_ns, rows.ts_recv_ns, rows.side,
        rows.code, rows.role, rows.ref_id, rows.price, rows.qty, rows.ref,
    )  # fmt: skip
    return map(Report._make, zip(*(column[index].tolist() for column in columns), strict=True))
