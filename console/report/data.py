"""All that a finished run hands to its report. Nothing here is computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from console.report.books import BookStory
from console.report.clocks import ClockStory
from operators.ledger.book import Book
from operators.ledger.journal import JournalRow
from schemas.instruments import InstrumentTable
from schemas.rows import F8, I8, DecisionRows, MarketRows

if TYPE_CHECKING:
    from console.report.microscope import View


class PriceSample(NamedTuple):
    """Mids of one instrument, thinned so that extremes stay; equally long, in log order."""

    ts_recv_ns: I8  # our clock, UTC, never decreasing
    mid: F8  # quote units, finite


class Curve(NamedTuple):
    """A line over time; equally long, in log order."""

    ts_recv_ns: I8
    value: F8  # desk currency, finite


class LedgerView(NamedTuple):
    """The exact ledger in the desk's currency."""

    equity: Decimal | None  # at the last marks; None where an asset has no mark or rate
    gap: float | None  # exact less marked equity, both at the last decision


@dataclass(frozen=True)
class ModelInfo:
    """Which model predicted."""

    name: str
    version: str
    sha256: str  # "" for the momentum fallback
    notice: str  # what a reader must know about it, "" for nothing
    overlap: bool  # True: the run lies inside the span that the model was trained on


@dataclass(frozen=True)
class RunData:
    """A finished run, as its logs and its operators left it.

    Attributes
    ----------
    rows, rows_on_log, rows_quarantined : int
        Tape rows read; of these, rows on `market.v1` and in quarantine, which add up to them.
    quarantine : reason name -> source name -> rows
    quarantine_first : reason name -> source name -> first position in that source
    ticks : int
        Quotes and trades among the rows.
    ticks_timed : int or None
        Of these, those that passed in `wall_s`; None: all.
    wall_s : float
        Seconds; NaN where it was not measured.
    decisions : DecisionRows
        Of kind DECISION, in log order; all that were approved. Refused ones may be left out if
        `refused` counts them and `marks` has the equity of all; kind PROGRESS is passed over.
    refused : Reason -> decisions
        Refused decisions that are not in `decisions`.
    marks : Curve or None
        Marked equity of every decision, or where it moved; None: as `decisions` has it.
    reports : MarketRows
        Rows of kind REPORT, in log order. `ref_id` is the `seq` of the approved decision.
    prices : table row -> PriceSample
        Row as in `InstrumentTable.arrays()`; instruments without a price are left out.
    journal : sequence of JournalRow
        Every transaction, from the first on.
    book : Book
        The ledger at the end; its balances are compared with the journal's postings.
    finished : bool
        All there is to come is on the log.
    as_of_ns : int or None
        Workers only: the moment up to which all of them are through, where that is not the end.
    ledger : LedgerView or None
        None where it was not computed.
    equity_end : float or None
        Marked equity after the last row, desk currency; None takes the last decision's.
    books : sequence of BookStory
        Instruments with an order book, in the order of the table.
    clocks : sequence of ClockStory
        Venues whose rows say when they were sent, by name.
    latency_us : float64, shape (n,)
        Time from a row to its decision, microseconds; a sample, ascending, may be empty.
    report_delay_ms : float64, shape (n,)
        Workers only: market time from when each report was due until it stood on the log.
    signals : feature name -> float or None
        Share of rows at which each enabled feature had a value; None: it applies to no instrument.
    views : sequence of View
        Some markets under the microscope.
    """

    run_id: str
    mode: str
    profile: str
    topology: str
    seed: int
    tapes: Sequence[str]
    simulated: bool
    instruments: InstrumentTable
    sources: Sequence[str]
    rows: int
    rows_on_log: int
    rows_quarantined: int
    quarantine: Mapping[str, Mapping[str, int]]
    quarantine_first: Mapping[str, Mapping[str, int]]
    ticks: int
    wall_s: float
    decisions: DecisionRows
    reports: MarketRows
    prices: Mapping[int, PriceSample]
    journal: Sequence[JournalRow]
    book: Book
    model: ModelInfo
    settings: Mapping[str, Any]
    cadence: str
    balance: float  # desk currency, at the start
    operator_resumes: int
    decision_digest: str
    ledger_digest: str
    finished: bool = True
    as_of_ns: int | None = None
    ticks_timed: int | None = None
    refused: Mapping[int, int] = field(default_factory=dict)
    marks: Curve | None = None
    ledger: LedgerView | None = None
    equity_end: float | None = None
    books: Sequence[BookStory] = ()
    clocks: Sequence[ClockStory] = ()
    latency_us: F8 = field(default_factory=lambda: np.empty(0))
    report_delay_ms: F8 = field(default_factory=lambda: np.empty(0))
    signals: Mapping[str, float | None] = field(default_factory=dict)
    views: Sequence["View"] = ()

    def table_row(self) -> dict[tuple[int, int], int]:
        """(lane, symbol) -> row of the instrument table."""
        return {(i.lane, i.symbol): k for k, i in enumerate(self.instruments.instruments)}
