"""A run as its log holds it: everything that the report needs, read back in one pass per topic.

Nothing but the log is asked, so that the report of a run can be made again at any time, and that
of a run that was resumed is that of one that was not.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from console.report.books import BookStories
from console.report.clocks import ClockStories
from console.report.data import Curve, LedgerView, ModelInfo, RunData
from console.report.extent import Extent, extent_of
from console.report.microscope import Frame, Microscope, View, frames_of
from console.report.sampler import PriceSampler
from console.report.signals import WarmShares
from console.report.timing import Timing
from console.report.words import day
from flows.desk_run import RunRecord
from flows.log.api import Log
from flows.log.reader import merge_windows
from flows.recorded import signal_names
from models.card import Card, ModelRefused, overlaps
from models.registry import SHIPPED
from operators.execution.report_rows import is_drained
from operators.features.prices import Prices
from operators.ledger.book import Book, LedgerError
from operators.ledger.journal import Journal, JournalRow
from operators.ledger.views import balances, equity
from schemas.digest import DecisionDigest, LedgerDigest
from schemas.instruments import InstrumentTable
from schemas.kinds import Control, Kind
from schemas.reasons import Reason
from schemas.rows import F8, I8, DecisionRows, MarketRows, concat, empty, take
from schemas.topics import DECISIONS, LEDGER, MARKET, QUARANTINE, REPORTS, SIGNALS

FINISHED = "finished"  # key in the log's meta table, written when the run has ended: a Timing
COUNTED = (Kind.BOOK, Kind.TRADE, Kind.QUOTE)
LONG_AGO_NS, FAR_AHEAD_NS = np.iinfo(np.int64).min, np.iinfo(np.int64).max


def collect(log: Log) -> RunData:
    """Read a run back from its log, finished or not, and also while a desk of workers goes on.

    Memory: that of one window of rows, of the approved decisions, reports and journal rows, and
    16 bytes per decision whose marked equity moved.

    Raises
    ------
    LogError
        The log holds no run, nothing to report yet, or is damaged.
    """
    read, texts = extent_of(log), log.texts()
    record, table = read.run.record, read.run.table
    timing = Timing.from_json(texts[FINISHED]) if FINISHED in texts else None
    decided = _decisions(read)
    market = _market(read, table, len(record.sources), decided.last)
    refused_rows = _quarantine(read, record, market.last_rows)
    journal, ledger_digest = _ledger(read)
    balance = str(record.settings["balance"])
    book, view = _ledger_view(table, balance, market, decided)
    prices = market.sampler.samples()
    return RunData(
        run_id=record.run_id,
        finished=timing is not None or (read.run.split and not read.is_cut),
        as_of_ns=read.to_ns if read.is_cut else None,
        mode=record.settings["mode"],
        profile=record.profile,
        topology=record.topology,
        seed=record.settings["seed"],
        tapes=[source["name"] for source in record.sources],
        simulated=record.simulated,
        instruments=table,
        sources=[_source(source) for source in record.sources],
        rows=(
            market.rows + refused_rows.rows
            if timing is None
            else sum(source["rows"] for source in record.sources)
        ),
        rows_on_log=market.rows,
        rows_quarantined=refused_rows.rows,
        quarantine=refused_rows.counts,
        quarantine_first=refused_rows.first,
        ticks=market.ticks,
        ticks_timed=None if timing is None else timing.ticks,
        wall_s=float("nan") if timing is None else timing.wall_s,
        decisions=decided.approved,
        refused=decided.refused,
        marks=decided.marks,
        reports=market.reports,
        prices=prices,
        views=_views(read, table, frames_of(table, market.counts, prices)),
        journal=journal,
        book=book,
        ledger=view,
        model=_model(record, market),
        settings=record.settings,
        cadence=record.settings["cadence"],
        balance=float(balance),
        operator_resumes=market.resumes,
        decision_digest=decided.digest,
        ledger_digest=ledger_digest,
        equity_end=None if view.equity is None else float(view.equity),
        latency_us=np.empty(0) if timing is None else timing.latency_us,
        books=market.books.stories(),
        clocks=market.clocks.stories(),
        report_delay_ms=_report_delays(read, table, market.reports)
        if record.topology == "split"
        else np.empty(0),
        signals=_signals(read, table),
    )


def _signals(read: Extent, table: InstrumentTable) -> dict[str, float | None]:
    """How warm each enabled feature was."""
    names = signal_names(read.log)
    counted = WarmShares(table, names)
    for window in read.windows(SIGNALS, merge=False) if names else ():
        for rows in window.values():
            counted.add(rows)
    return counted.shares()


def _report_delays(read: Extent, table: InstrumentTable, reports: MarketRows) -> F8:
    """How much market time each report took from when it was due until it stood on the log."""
    due_ns: dict[int, list[int]] = {lane: [] for lane in table.active_lanes()}
    for window in read.windows(REPORTS, merge=False):
        for (_, lane), rows in window.items():
            due_ns[lane] += [row["ts_recv_ns"] for row in rows if not is_drained(row)]
    delays = [np.empty(0)]
    for lane, due in due_ns.items():
        came_ns = reports.ts_recv_ns[reports.lane == lane]
        delays.append((came_ns - np.array(due[: came_ns.size], np.int64)) / 1e6)
    return np.concatenate(delays)


@dataclass(frozen=True)
class _Decided:
    """`decisions.v1`, without what nobody asks of a refused decision."""

    approved: DecisionRows
    refused: Mapping[int, int]  # Reason: decisions
    marks: Curve
    digest: str
    last: tuple[int, int] | None  # lane and market seq of the last decision
    last_equity: float  # NaN without a decision


@dataclass
class _Market:
    """`market.v1`, folded."""

    sampler: PriceSampler
    books: BookStories
    clocks: ClockStories
    rows: int = 0  # from the sources; our own rows are not counted
    ticks: int = 0
    resumes: int = 0
    first: MarketRows | None = None  # the very first row
    kept: list[MarketRows] = field(default_factory=list)  # reports
    reports_before: int = 0  # those up to the last decision
    mids_then: F8 = field(default_factory=lambda: np.empty(0))  # marks at the last decision
    span_ns: I8 = field(default_factory=lambda: np.empty((0, 2), np.int64))  # of each source
    last_rows: I8 = field(default_factory=lambda: np.empty(0, np.int64))  # its number in each
    counts: I8 = field(default_factory=lambda: np.empty((0, 3), np.int64))  # see frames_of

    @property
    def reports(self) -> MarketRows:
        return concat(self.kept) if self.kept else empty(MarketRows)


@dataclass(frozen=True)
class _Quarantined:
    rows: int
    counts: dict[str, dict[str, int]]
    first: dict[str, dict[str, int]]


def _decisions(read: Extent) -> _Decided:
    digest, refused = DecisionDigest(), Counter[int]()
    approved, marks = [], []
    last, before = None, float("nan")
    for window in read.windows(DECISIONS, merge=False):
        rows: DecisionRows = take(window[DECISIONS.name, 0], slice(None))
        digest.update(rows)
        rows = take(rows, rows.kind == Kind.DECISION)
        if not rows.seq.size:
            continue
        traded = rows.approved == 1
        approved.append(take(rows, traded))
        refused.update(rows.reason[~traded].tolist())
        marks.append(_moves(rows, before))
        before = float(rows.equity[-1])
        last = int(rows.lane[-1]), int(rows.market_seq[-1])
    curve = Curve(np.empty(0, np.int64), np.empty(0))
    if marks:
        times, values = zip(*marks, strict=True)
        curve = Curve(np.concatenate(times), np.concatenate(values))
    rows = concat(approved) if approved else empty(DecisionRows)
    return _Decided(rows, refused, curve, digest.hexdigest(), last, before)


def _moves(rows: DecisionRows, before: float) -> Curve:
    """Marked equity where it moved, and on both sides of a stretch where it stood still."""
    value = rows.equity
    moved = np.append(value[:1] != before, value[1:] != value[:-1])
    keep = moved | np.append(moved[1:], True)
    return Curve(rows.ts_recv_ns[keep], value[keep])


def _market(
    read: Extent, table: InstrumentTable, sources: int, last: tuple[int, int] | None
) -> _Market:
    """One pass in the order of the run; `last` is the row of the last decision."""
    found = _Market(PriceSampler(len(table.instruments)), BookStories(table), ClockStories(table))
    found.last_rows = np.full(sources, -1, np.int64)
    found.span_ns = np.tile(np.array([FAR_AHEAD_NS, LONG_AGO_NS]), (sources, 1))
    found.counts = np.zeros((len(table.instruments), len(COUNTED)), np.int64)
    arrays = table.arrays()
    prices = Prices(arrays)
    state = prices.initial()
    for window in read.windows(MARKET, merge=True):
        rows: MarketRows = merge_windows(window)
        _count(found, rows)
        found.books.add(rows)
        found.clocks.add(rows)
        for n, kind in enumerate(COUNTED):
            mine = rows.kind == kind
            np.add.at(found.counts[:, n], arrays.base[rows.lane[mine]] + rows.symbol[mine], 1)
        for part in _parted(rows, last):
            state, (ticks, _) = prices.step(state, part)
            found.sampler.add(table_row=ticks.k, ts_recv_ns=part.ts_recv_ns, mid=ticks.mid)
            reports = part.kind == Kind.REPORT
            if reports.any():
                found.kept.append(take(part, reports))
            if last is not None and (int(part.lane[-1]), int(part.seq[-1])) == last:
                found.mids_then = found.sampler.last()
                found.reports_before = sum(kept.seq.size for kept in found.kept)
    return found


def _views(read: Extent, table: InstrumentTable, frames: list[Frame]) -> list[View]:
    """A second pass over the market, for pictures of what happened in it."""
    if not frames:
        return []
    microscope = Microscope(table, frames)
    for window in read.windows(MARKET, merge=True):
        microscope.add(merge_windows(window))
    for window in read.windows(QUARANTINE, merge=False):
        for rows in window.values():
            microscope.refuse(rows)
    return microscope.views()


def _count(found: _Market, rows: MarketRows) -> None:
    if found.first is None:
        found.first = take(rows, slice(0, 1))
    tape = rows.source >= 0
    found.rows += int(tape.sum())
    found.ticks += int((tape & ((rows.kind == Kind.TRADE) | (rows.kind == Kind.QUOTE))).sum())
    found.resumes += int(((rows.kind == Kind.CONTROL) & (rows.code == Control.RESUME)).sum())
    np.maximum.at(found.last_rows, rows.source[tape], rows.source_row[tape])
    np.minimum.at(found.span_ns[:, 0], rows.source[tape], rows.ts_recv_ns[tape])
    np.maximum.at(found.span_ns[:, 1], rows.source[tape], rows.ts_recv_ns[tape])


def _parted(rows: MarketRows, last: tuple[int, int] | None) -> list[MarketRows]:
    """The rows, cut behind the row (lane, seq) if it is among them."""
    here = np.empty(0, np.intp)
    if last is not None:
        here = np.flatnonzero((rows.lane == last[0]) & (rows.seq == last[1]))
    cut = int(here[0]) + 1 if here.size else rows.seq.size
    parts = [take(rows, slice(0, cut)), take(rows, slice(cut, None))]
    return [part for part in parts if part.seq.size]


def _quarantine(read: Extent, record: RunRecord, last_rows: I8) -> _Quarantined:
    """Of a log that is cut, as far as `last_rows` of the sources: a refused row bears any time."""
    counts: dict[str, dict[str, int]] = {}
    first: dict[str, dict[str, int]] = {}
    total = 0
    for window in read.windows(QUARANTINE, merge=False):
        for rows in window.values():
            if read.is_cut:
                rows = take(rows, rows.source_row <= last_rows[rows.source])
            total += rows.seq.size
            for reason, source in set(zip(rows.reason.tolist(), rows.source.tolist(), strict=True)):
                mine = (rows.reason == reason) & (rows.source == source)
                name, place = Reason(reason).name, record.sources[source]["name"]
                at = int(rows.source_row[mine].min())
                into, earliest = counts.setdefault(name, {}), first.setdefault(name, {})
                into[place] = into.get(place, 0) + int(mine.sum())
                earliest[place] = min(at, earliest.get(place, at))
    order = sorted(counts, key=lambda name: (-sum(counts[name].values()), name))
    return _Quarantined(
        total,
        {name: dict(sorted(counts[name].items())) for name in order},
        {name: dict(sorted(first[name].items())) for name in order},
    )


def _ledger(read: Extent) -> tuple[list[JournalRow], str]:
    digest, journal = LedgerDigest(), []
    for window in read.windows(LEDGER, merge=False):
        rows = window[LEDGER.name, 0]
        digest.update(rows)
        journal += rows
    return journal, digest.hexdigest()


def _ledger_view(
    table: InstrumentTable, balance: str, market: _Market, decided: _Decided
) -> tuple[Book, LedgerView]:
    """The book, folded anew from the reports, and its exact equity beside the desk's own mark.

    Folded from the reports and not from `ledger.v1`, so that the journal is compared with
    something that it did not make itself.
    """
    journal = Journal(table, balance)
    book = journal.initial()
    if market.first is not None:  # the opening is booked at the very first row
        opening = market.first._replace(kind=np.array([Kind.HEARTBEAT], np.uint8))
        book, _ = journal.step(book, opening)
    reports = market.reports
    book, _ = journal.step(book, take(reports, slice(0, market.reports_before)))
    then = exact_equity(table, book, market.mids_then)
    book, _ = journal.step(book, take(reports, slice(market.reports_before, None)))
    now = exact_equity(table, book, market.sampler.last())
    known = then is not None and np.isfinite(decided.last_equity)
    gap = float(then) - decided.last_equity if then is not None and known else None
    return book, LedgerView(now, gap)


def exact_equity(table: InstrumentTable, book: Book, mids: F8) -> Decimal | None:
    """Equity in the desk's currency at the mids, by table row; None without a mark or rate.

    The mids are the only floats in it, each taken at its shortest decimal.
    """
    if not mids.size:
        return None
    marks = {
        (i.lane, i.symbol): Decimal(repr(float(mid)))
        for i, mid in zip(table.instruments, mids, strict=True)
        if np.isfinite(mid)
    }
    try:
        return equity(book, marks, _rates(table, marks, balances(book)))
    except LedgerError:
        return None


def _rates(
    table: InstrumentTable, marks: Mapping[tuple[int, int], Decimal], owned: Mapping[str, Decimal]
) -> dict[str, Decimal]:
    """Worth of one unit of each asset owned, at the first market that can tell, in table order."""
    currency = table.currency
    desk = currency(table.desk_currency)
    known = {desk: Decimal(1)}
    for _ in range(2):  # a second time for what is quoted in something that is not the desk's
        for instrument in table.instruments:
            mark = marks.get((instrument.lane, instrument.symbol))
            base, quote = currency(instrument.base), currency(instrument.quote)
            if mark is None:
                continue
            if quote in known:
                known.setdefault(base, mark * known[quote])
            elif base == desk:
                known.setdefault(quote, 1 / mark)
    return {asset: known[currency(asset)] for asset in owned if currency(asset) in known}


def _model(record: RunRecord, market: _Market) -> ModelInfo:
    """The recorded model; whether the run meets its training is known for the shipped one alone."""
    found, overlap = record.model, False
    try:
        card = Card.read(SHIPPED / "card.json")
    except ModelRefused:
        card = None
    if card is not None and card.sha256 == found["sha256"] and not record.simulated:
        spans = [(int(a), int(b)) for a, b in market.span_ns if a <= b]
        overlap = any(overlaps(card, start, end) for start, end in spans)
    return ModelInfo(found["name"], found["version"], found["sha256"], found["notice"], overlap)


def _source(source: Mapping[str, Any]) -> str:
    """One source in words."""
    days = sorted({day(source["first_ns"]), day(source["last_ns"])})
    when, digest = " to ".join(days), source["sha256"][:12]
    return f"{source['name']}: {source['kind']}, {source['rows']:,} rows, {when}, sha256 {digest}"
