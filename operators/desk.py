"""The feedback loop in one operator: lane, portfolio, envelopes and simulated venue, row by row.

Features and predictions have no feedback and run before, over whole batches. What is decided here
comes back as reports, so here rows go one at a time: the reports that are due, then the row itself.
Every row passes the same functions as in the split workers; this file only orders them.
"""

from typing import Any, NamedTuple

import numpy as np

from operators.arrays import ArrayOperator, kernel
from operators.execution.orders import ORDER_FIELDS
from operators.execution.simulated_venue import (
    VenueRules,
    VenueState,
    drop_report,
    initial_venue,
    next_report,
    venue_row,
    venue_take_order,
)
from operators.governor.lane import Lane, LaneRules, LaneState, lane_row
from operators.governor.portfolio import (
    Portfolio,
    PortfolioRules,
    PortfolioState,
    portfolio_row,
)
from operators.records import (
    InstrumentRecords,
    Record,
    Records,
    blank_records,
    from_records,
    instrument_records,
    record_fields,
)
from operators.risk.envelope import (
    ORDERS_PER_ROW_MAX,
    EnvelopeState,
    envelope_row,
    initial_envelopes,
    open_envelope,
)
from operators.risk.safety import resume_due
from schemas.instruments import InstrumentArrays
from schemas.kinds import NO_ID, NO_SYMBOL, Control, Flag, Kind
from schemas.rows import (
    I8,
    DecisionRows,
    FeatureRows,
    MarketRows,
    ProposalRows,
    Rows,
    concat,
)

REPORT, CONTROL, RESUME = int(Kind.REPORT), int(Kind.CONTROL), int(Control.RESUME)
MSG_LAST = int(Flag.MSG_LAST)
NOBODY = int(NO_SYMBOL)
READ_FIELDS = (  # the features that the loop reads; the others go around it
    "lane", "kind", "flags", "symbol", "ts_event_ns", "ts_recv_ns", "side", "code", "role",
    "reason", "ref_id", "price", "qty", "ref", "bid_px", "ask_px", "mid", "window_change",
    "window_std", "window_std_slow", "atr", "pivot_px", "pivot_before_px", "n_ticks", "p_up",
)  # fmt: skip
OUR_FIELDS = frozenset(
    (
        "seq",
        "lane",
        "kind",
        "flags",
        "symbol",
        "ts_event_ns",
        "ts_recv_ns",
        "side",
        "code",
        "role",
        "reason",
        "ref_id",
        "price",
        "qty",
        "ref",
    )
)  # what reports and resumes hold; fmt: skip
SCRATCH_ROWS = 32_768  # of each output per kernel call; a call that fills them is continued


class DeskRules(NamedTuple):
    """Everything that a deployment sets for the loop."""

    lane: LaneRules
    portfolio: PortfolioRules
    venue: VenueRules
    resume_next_session: int  # 1: a backtest's operator resumes after a cooldown, on a later day


class DeskState(NamedTuple):
    """The states of the four, and the next `seq` of each lane of `market.v1`."""

    seq: I8  # (lanes,)
    lane: LaneState
    portfolio: PortfolioState
    envelopes: EnvelopeState
    venue: VenueState


class DeskRows(NamedTuple):
    """What one step makes of its rows; each table in the order of its topic."""

    market: MarketRows
    features: FeatureRows
    proposals: ProposalRows
    decisions: DecisionRows
    orders: Records  # ORDER_FIELDS


class Desk(ArrayOperator[DeskState]):
    """Decides, executes against the simulated venue, and numbers the rows of the log.

    Parameters
    ----------
    instruments : InstrumentArrays
        Of every lane.
    rules : DeskRules

    Notes
    -----
    In: MarketRows and their FeatureRows, in the total order (ts_recv_ns, lane, source position),
    without seq. Out: DeskRows; its market and features hold the same rows with seq, and the
    venue's reports and the operator's resumes between them, at their own time.
    A report or resume of the same time and lane as a row stands before it. A decision acts right
    behind the row that caused it. Chunks: any split gives the same bytes.
    State: that of its four parts, about 400 kB of tables plus 500 bytes per instrument.
    """

    def __init__(self, instruments: InstrumentArrays, rules: DeskRules) -> None:
        self.instruments = instrument_records(instruments)
        self.rules = rules
        self.lane = Lane(instruments, rules.lane)
        self.portfolio = Portfolio(instruments, rules.portfolio)
        per_lane = int(instruments.n_of_lane.max(initial=1))
        self._proposals = blank_records(
            record_fields(ProposalRows), SCRATCH_ROWS + 3 * per_lane + 4
        )
        self._decisions = blank_records(record_fields(DecisionRows), SCRATCH_ROWS + per_lane + 2)
        self._orders = blank_records(ORDER_FIELDS, SCRATCH_ROWS + ORDERS_PER_ROW_MAX)
        self._row_fields = {"seq": "<i8"} | {f: record_fields(FeatureRows)[f] for f in READ_FIELDS}
        self._extra = blank_records(self._row_fields, SCRATCH_ROWS + 1)
        self._extra_at = np.zeros(SCRATCH_ROWS + 1, np.int64)

    def initial(self) -> DeskState:
        n = self.instruments.of.size
        return DeskState(
            seq=np.zeros(self.instruments.base.size, np.int64),
            lane=self.lane.initial(),
            portfolio=self.portfolio.initial(),
            envelopes=initial_envelopes(n),
            venue=initial_venue(),
        )

    def step(
        self, state: DeskState, rows: tuple[MarketRows, FeatureRows]
    ) -> tuple[DeskState, DeskRows]:
        market, features = rows
        records = blank_records(self._row_fields, market.seq.size)
        plain = records.view(np.ndarray)
        for name in READ_FIELDS:
            plain[name] = getattr(features, name)
        parts: list[DeskRows] = []
        i = 0
        while i < records.size or not parts:
            start = i
            i, n_proposals, n_decisions, n_orders, n_extra = _fold(
                self.rules, self.instruments, state, records, i, self._extra, self._extra_at,
                self._proposals, self._decisions, self._orders, SCRATCH_ROWS,
            )  # fmt: skip
            extra, at = self._extra[:n_extra], self._extra_at[:n_extra] - start
            part, seq = slice(start, i), records.seq[start:i].copy()
            parts.append(
                DeskRows(
                    market=_insert(_cut(market, part, seq), extra, at),
                    features=_insert(_cut(features, part, seq), extra, at),
                    proposals=from_records(ProposalRows, self._proposals[:n_proposals]),
                    decisions=from_records(DecisionRows, self._decisions[:n_decisions]),
                    orders=self._orders[:n_orders].copy(),
                )
            )
        return state, parts[0] if len(parts) == 1 else _joined(parts)


@kernel
def _fold(
    rules: DeskRules,
    instruments: InstrumentRecords,
    state: DeskState,
    rows: Records,
    start: int,
    extra: Records,
    extra_at: I8,
    proposals: Records,
    decisions: Records,
    orders: Records,
    room: int,
) -> tuple[int, int, int, int, int]:
    """Rows from `start` on, until they end or an output is full; returns where it stopped."""
    p, d, o, x = 0, 0, 0, 0
    # Taken out of the tuple once: each access to a nested state counts a reference per array.
    next_seq, venue, envelopes = state.seq, state.venue, state.envelopes
    lanes, portfolio = state.lane, state.portfolio
    book = portfolio.book[0]
    i = start
    while i < rows.size and p < room and d < room and o < room and x < room:
        row = rows[i]
        report = next_report(venue, row.ts_recv_ns, row.lane)
        lane, t = row.lane, row.ts_recv_ns
        if report >= 0:
            lane, t = venue.reports[report].lane, venue.reports[report].due_ns
        if rules.resume_next_session and resume_due(book, t):  # also before a day's first report
            row = extra[x]
            _blank_row(next_seq, row, CONTROL, lane, NOBODY, t, t)
            row.code = RESUME
            extra_at[x] = i
            x += 1
        elif report >= 0:
            row = extra[x]
            _report_row(instruments, next_seq, venue, report, row)
            extra_at[x] = i
            x += 1
        else:
            row.seq = next_seq[row.lane]
            next_seq[row.lane] += 1
            i += 1
        first_proposal, first_decision, first_order = p, d, o
        venue_row(rules.venue, instruments, venue, row)
        o = envelope_row(instruments, envelopes, row, orders, o)
        p = lane_row(rules.lane, instruments, lanes, row, proposals, p)
        for j in range(first_proposal, p):
            d = portfolio_row(rules.portfolio, instruments, portfolio, proposals[j], decisions, d)
        for j in range(first_decision, d):
            if decisions[j].approved:
                o = open_envelope(instruments, envelopes, decisions[j], orders, o)
        for j in range(first_order, o):
            venue_take_order(rules.venue, instruments, venue, orders[j])
    return i, p, d, o, x


@kernel
def _report_row(
    instruments: InstrumentRecords, next_seq: I8, venue: VenueState, n: int, row: Record
) -> None:
    """Waiting report `n` becomes a row of its lane."""
    report = venue.reports[n]
    symbol = instruments.of[report.row].symbol
    _blank_row(next_seq, row, REPORT, report.lane, symbol, report.ts_event_ns, report.due_ns)
    row.side, row.code, row.role = report.side, report.code, report.role
    row.reason, row.ref_id = report.reason, report.ref_id
    row.price, row.qty, row.ref = report.price, report.qty, report.fee
    drop_report(venue, n)


@kernel
def _blank_row(
    next_seq: I8,
    row: Record,
    kind: int,
    lane: int,
    symbol: int,
    ts_event_ns: int,
    ts_recv_ns: int,
) -> None:
    row.seq, row.lane, row.kind = next_seq[lane], lane, kind
    next_seq[lane] += 1
    row.flags, row.symbol, row.ref_id = MSG_LAST, symbol, NO_ID
    row.ts_event_ns, row.ts_recv_ns = ts_event_ns, ts_recv_ns
    row.side, row.code, row.role, row.reason = 0, 0, 0, 0
    row.price, row.qty, row.ref, row.bid_px, row.ask_px = np.nan, np.nan, np.nan, np.nan, np.nan
    row.mid = np.nan  # the loop reads no feature of a row without it


def _cut(rows: Rows, part: slice, seq: I8) -> Rows:
    """Views of some rows, with their new seq."""
    return type(rows)(seq, *(column[part] for column in rows[1:]))


def _insert(rows: Rows, extra: Records, at: I8) -> Rows:
    """`rows` with record j of `extra` before row `at[j]`; the rows themselves if there are none.

    A column that our own rows lack is null there, or -1 where it cannot be.
    """
    if at.size == 0:
        return rows
    place = at + np.arange(at.size)
    old = np.ones(rows[0].size + at.size, np.bool_)
    old[place] = False
    table: Any = type(rows)
    columns = []
    for name, column in zip(table._fields, rows, strict=True):
        merged = np.empty(old.size, column.dtype)
        merged[old] = column
        if name in OUR_FIELDS:
            merged[place] = extra[name]
        else:
            merged[place] = np.nan if column.dtype.kind == "f" else -1
        columns.append(merged)
    return type(rows)(*columns)


def _joined(parts: list[DeskRows]) -> DeskRows:
    market, features, proposals, decisions, orders = zip(*parts, strict=True)
    return DeskRows(
        concat(list(market)),
        concat(list(features)),
        concat(list(proposals)),
        concat(list(decisions)),
        np.concatenate(orders).view(np.recarray),
    )
