"""Execute as a worker of its own: envelopes and simulated venue behind the rows of the log.

The same row functions as in `operators/desk.py`; there reports become rows at once, here they leave
and come back later as rows of kind REPORT.
"""

from typing import NamedTuple

import numpy as np

from operators.arrays import ArrayOperator, kernel
from operators.execution.orders import ORDER_FIELDS
from operators.execution.report_rows import unlogged_reports
from operators.execution.simulated_venue import (
    REPORT_FIELDS,
    REPORTS_MAX,
    VenueRules,
    VenueState,
    close_lane,
    drop_report,
    initial_venue,
    next_report,
    venue_row,
    venue_take_order,
)
from operators.records import (
    InstrumentRecords,
    Record,
    Records,
    blank_records,
    instrument_records,
    record_fields,
    to_records,
)
from operators.risk.envelope import (
    ORDERS_PER_ROW_MAX,
    EnvelopeState,
    envelope_row,
    initial_envelopes,
    open_envelope,
)
from schemas.instruments import InstrumentArrays
from schemas.kinds import NO_ID, Flag, Kind, ReportCode
from schemas.rows import I8, DecisionRows, FeatureRows, MarketRows, take

DRAINED, LAST_CALL = int(ReportCode.DRAINED), int(Flag.LAST_CALL)
READ_FIELDS = (  # the features that envelopes and venue read
    "seq", "lane", "kind", "flags", "symbol", "ts_event_ns", "ts_recv_ns", "side", "code", "role",
    "ref_id", "price", "qty", "mid", "bid_px", "ask_px",
)  # fmt: skip
SCRATCH_ROWS = 4_096  # of each output per kernel call; a call that fills them is continued


class ExecutorState(NamedTuple):
    """What is open, what works at the venue, and which lanes have heard their last call."""

    envelopes: EnvelopeState
    venue: VenueState
    drained: I8  # (lanes,) 1: the venue serves the lane no more


class Executed(NamedTuple):
    """What one step sends and what leaves the venue: `OrderJournal` takes it as it is."""

    orders: Records  # ORDER_FIELDS, in sending order
    reports: MarketRows  # seq -1: not on the log yet; ts_recv_ns is when they are due


class Executor(ArrayOperator[ExecutorState]):
    """Lets approved decisions act, and the simulated venue answer.

    Parameters
    ----------
    instruments : InstrumentArrays
        Of every lane.
    rules : VenueRules

    Notes
    -----
    In: FeatureRows of every lane, with seq, in the order (ts_recv_ns, lane, seq); and DecisionRows
    in the order of `decisions.v1`, each in the step that holds the row (lane, market_seq) that
    caused it, behind which it acts. Rows of kind PROGRESS say nothing here. Out: Executed.
    A report leaves before the first row that stands behind (due time, lane). It acts once it comes
    back as a row of kind REPORT.
    A row with Flag.LAST_CALL ends the venue's service of its lane: reports that are due by then
    leave, later ones never do, and one of code DRAINED, without an instrument, is the last. Orders
    that the lane sends afterwards get no answer; a second last call changes nothing.
    Chunks: any split between rows gives the same bytes, if decisions stay with their rows.
    Errors: ValueError for a decision whose row is not there.
    State: 64 envelopes, 256 orders, 1,024 reports and 8 bytes per instrument, about 160 kB.
    """

    def __init__(self, instruments: InstrumentArrays, rules: VenueRules) -> None:
        self.rules = rules
        self.instruments = instrument_records(instruments)
        self._arrays = instruments
        fields = record_fields(FeatureRows)
        self._row_fields = {name: fields[name] for name in READ_FIELDS}
        self._orders = blank_records(ORDER_FIELDS, SCRATCH_ROWS + ORDERS_PER_ROW_MAX)
        self._reports = blank_records(REPORT_FIELDS, SCRATCH_ROWS + REPORTS_MAX + 1)

    def initial(self) -> ExecutorState:
        return ExecutorState(
            envelopes=initial_envelopes(self.instruments.of.size),
            venue=initial_venue(),
            drained=np.zeros(self.instruments.base.size, np.int64),
        )

    def step(
        self, state: ExecutorState, rows: tuple[FeatureRows, DecisionRows]
    ) -> tuple[ExecutorState, Executed]:
        features, decisions = rows
        records = blank_records(self._row_fields, features.seq.size)
        plain = records.view(np.ndarray)
        for name in READ_FIELDS:
            plain[name] = getattr(features, name)
        acting = to_records(take(decisions, decisions.kind == Kind.DECISION))
        orders: list[Records] = []
        reports: list[Records] = []
        i, d = 0, 0
        while i < records.size or not orders:
            i, d, n_orders, n_reports = _fold(
                self.rules, self.instruments, state, records, i, acting, d,
                self._orders, self._reports, SCRATCH_ROWS,
            )  # fmt: skip
            orders.append(self._orders[:n_orders].copy())
            reports.append(self._reports[:n_reports].copy())
        if d < acting.size:
            raise ValueError(_missing(acting[d]))
        left = np.concatenate(reports).view(np.recarray)
        return state, Executed(
            orders=np.concatenate(orders).view(np.recarray),
            reports=unlogged_reports(left, self._arrays),
        )


def _missing(decision: Record) -> str:
    return (
        f"decision {decision.seq} acts behind row {decision.market_seq} of lane {decision.lane}, "
        "which is not among the rows of its step, or stands before the row of an earlier decision; "
        "features.v1 and decisions.v1 must be of one log and come up to the same time"
    )


@kernel
def _fold(
    rules: VenueRules,
    instruments: InstrumentRecords,
    state: ExecutorState,
    rows: Records,
    start: int,
    decisions: Records,
    next_decision: int,
    orders: Records,
    reports: Records,
    room: int,
) -> tuple[int, int, int, int]:
    """Rows from `start` on, until they end or an output is full; returns where it stopped."""
    d, o, r = next_decision, 0, 0
    # Taken out of the tuple once: each access to a nested state counts a reference per array.
    venue, envelopes, drained = state.venue, state.envelopes, state.drained
    i = start
    while i < rows.size and o < room and r < room:
        row = rows[i]
        first_order = o
        r = _due(venue, row, reports, r)
        if row["flags"] & LAST_CALL and not drained[row.lane]:
            drained[row.lane] = 1
            close_lane(venue, row.lane)
            _put_drained(row, reports[r])
            r += 1
        venue_row(rules, instruments, venue, row)  # no order of a drained lane is left to touch
        o = envelope_row(instruments, envelopes, row, orders, o)
        while d < decisions.size:
            decision = decisions[d]
            if decision.lane != row.lane or decision.market_seq != row.seq:
                break
            if decision.approved:
                o = open_envelope(instruments, envelopes, decision, orders, o)
            d += 1
        if not drained[row.lane]:
            for j in range(first_order, o):
                venue_take_order(rules, instruments, venue, orders[j])
        i += 1
    return i, d, o, r


@kernel
def _due(venue: VenueState, row: Record, reports: Records, r: int) -> int:
    """Every report that stands before a row leaves, to `reports[r]` on; returns the next free."""
    n = next_report(venue, row.ts_recv_ns, row.lane)
    while n >= 0:
        reports[r] = venue.reports[n]
        r += 1
        drop_report(venue, n)
        n = next_report(venue, row.ts_recv_ns, row.lane)
    return r


@kernel
def _put_drained(row: Record, report: Record) -> None:
    report.due_ns, report.lane, report.row = row.ts_recv_ns, row.lane, -1
    report.side, report.code, report.role, report.reason = 0, DRAINED, 0, 0
    report.ref_id, report.ts_event_ns = NO_ID, row.ts_event_ns
    report.price, report.qty, report.fee = np.nan, np.nan, np.nan
