"""What came from outside stands in `market.v1` once: every source row, and every report."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.log.api import Log
from flows.log.codec import JsonRow
from flows.log.reader import LaneReader
from flows.replay.cursor import Cursor
from flows.replay.extent import Recorded, lanes_of
from flows.replay.found import DifferentError, Span
from operators.execution.report_rows import is_drained, report_rows
from schemas.digest import Difference, first_difference
from schemas.kinds import Kind
from schemas.rows import I8, MarketRows, take
from schemas.topics import MARKET, QUARANTINE, REPORTS

PAGE_ROWS = 1 << 20  # of a source, remembered as one byte each until all of them have come
BATCH_ROWS = 8192
# In such a source each row has the number behind that of the row before. A recording of bars may
# be cut for each length of bar, and a topic lacks what was refused.
GAPLESS = ("book", "trades", "quotes", "open_interest", "mark_price", "simulated")
REPORT_SIDES = ("in reports.v1", "in market.v1")
MISSING_SIDES = ("on the log", "from the source")
TWICE_SIDES = ("a second time", "from the source")
WHOLE = np.zeros(0, np.bool_)


class ReportsPlaced:
    """Every row of `reports.v1` stands in `market.v1` once, lane by lane in the same order.

    Except the rows that only say that a lane is drained, and, in a log that goes on, those that are
    still under way.
    """

    def __init__(self, log: Log, run: Recorded, *, span: Span) -> None:
        self._table, self._may_rest = run.table, not run.ended or span.bounded
        self._cursors = {
            lane: Cursor(log, REPORTS, lane, run.reports_ends)
            for lane in lanes_of(REPORTS, run.table)
        }

    def take_in(self, market: MarketRows) -> None:
        """Compare the reports among these rows; DifferentError at the first that differs."""
        reports = take(market, market.kind == Kind.REPORT)
        for lane in np.unique(reports.lane).tolist():
            placed = take(reports, reports.lane == lane)
            self._same(lane, placed)

    def finish(self) -> None:
        """No report has got lost on its way."""
        for lane, cursor in self._cursors.items():
            rest = [] if self._may_rest else self._next(lane, 1)
            if rest:
                told = Difference(0, tuple(rest[0]), rest[0], None)
                raise DifferentError(REPORTS, cursor.n_read - 1, told, REPORT_SIDES)

    def close(self) -> None:
        """Let go of the log."""
        for cursor in self._cursors.values():
            cursor.close()

    def _same(self, lane: int, placed: MarketRows) -> None:
        rows = self._next(lane, placed.seq.size)
        try:
            recorded = report_rows(rows, self._table)
        except ValueError as error:
            told = Difference(0, ("unreadable",), {"unreadable": str(error)}, None)
            raise DifferentError(REPORTS, rows[0]["seq"], told, REPORT_SIDES) from error
        n = min(recorded.seq.size, placed.seq.size)
        # When it arrived is ingest's to say, and so is its number.
        recorded.ts_recv_ns[:n], recorded.seq[:n] = placed.ts_recv_ns[:n], placed.seq[:n]
        different = first_difference(recorded, placed)
        if different is not None:
            row = int(placed.seq[min(different.row, placed.seq.size - 1)])
            raise DifferentError(MARKET, row, different, REPORT_SIDES)

    def _next(self, lane: int, n: int) -> list[JsonRow]:
        """The lane's next `n` reports, fewer at the end."""
        found: list[JsonRow] = []
        while len(found) < n:
            rows = self._cursors[lane].next(n - len(found))
            if rows is None:
                break
            found += [row for row in rows if not is_drained(row)]
        return found


class SourceRowsPlaced:
    """Every row of every source stands in `market.v1` or in `quarantine.v1`, and once.

    Rows of a source are known by their number in it. Where each row has one, none between two that
    came may be missing; and when a log has ended, as many must have come as its first record says.
    Memory: a byte per row of what is incomplete, and 10 bytes per row in quarantine.
    """

    def __init__(self, log: Log, run: Recorded, *, span: Span) -> None:
        self._names = [source["name"] for source in run.record.sources]
        self._due = [int(source["rows"]) for source in run.record.sources]
        # A fused run that was killed may have written one lane's rows and not another's.
        gapless = GAPLESS if run.ended or run.split else ()
        self._gapless = [source["kind"] in gapless for source in run.record.sources]
        self._whole = run.ended and not span.bounded
        self._seen = [_Seen() for _ in self._names]
        self._refused = _quarantined(log, run)

    def take_in(self, market: MarketRows) -> None:
        """Note these rows; DifferentError at the first that came before."""
        for source in np.unique(market.source[market.source >= 0]).tolist():
            mine = np.flatnonzero(market.source == source)
            again = self._seen[source].add(market.source_row[mine])
            if again is not None:
                row = take(market, mine[again : again + 1])
                found = first_difference(row, take(row, slice(0, 0)))
                assert found is not None
                raise DifferentError(MARKET, int(row.seq[0]), found, TWICE_SIDES)

    def finish(self) -> None:
        """DifferentError if a row is missing."""
        for source, seen in enumerate(self._seen):
            self._add_refused(source, seen)
            hole = seen.first_hole() if self._gapless[source] else None
            if hole is not None:
                self._missing(source, {"source_row": hole})
            if self._whole and seen.n != self._due[source]:
                self._missing(source, {"rows": self._due[source]}, {"rows": seen.n})

    def _add_refused(self, source: int, seen: "_Seen") -> None:
        """Rows in quarantine, as far as the log was read."""
        rows = self._refused.get(source, np.zeros(0, np.int64))
        if not self._whole:
            rows = rows[rows <= seen.last]
        again = seen.add(rows)
        if again is not None:
            told = {"source": self._names[source], "source_row": int(rows[again])}
            found = Difference(0, tuple(told), told, None)
            raise DifferentError(QUARANTINE, int(rows[again]), found, TWICE_SIDES)

    def _missing(
        self, source: int, due: dict[str, Any], recorded: dict[str, Any] | None = None
    ) -> None:
        name = {"source": self._names[source]}
        told = Difference(0, tuple(due), None if recorded is None else name | recorded, name | due)
        row = due.get("source_row", due.get("rows"))
        raise DifferentError(MARKET, int(row or 0), told, MISSING_SIDES)


@dataclass
class _Seen:
    """Which rows of a source have come."""

    n: int = 0
    first: int = -1
    last: int = -1
    pages: dict[int, NDArray[np.bool_]] = field(default_factory=dict)

    def add(self, rows: I8) -> int | None:
        """Note rows; the index of one that has come before, None if all are new."""
        if rows.size == 0:
            return None
        order = np.argsort(rows, kind="stable")
        inside = rows[order]
        twice = np.flatnonzero(inside[1:] == inside[:-1])
        if twice.size:
            return int(order[twice[0] + 1])
        page_of = inside // PAGE_ROWS
        for number in np.unique(page_of).tolist():
            here = page_of == number
            page = self.pages.setdefault(number, np.zeros(PAGE_ROWS, np.bool_))
            places = inside[here] % PAGE_ROWS
            again = np.ones(places.size, np.bool_) if page is WHOLE else page[places]
            if again.any():
                return int(order[np.flatnonzero(here)[np.flatnonzero(again)[0]]])
            page[places] = True
            if page.all():
                self.pages[number] = WHOLE
        self.n += rows.size
        self.first = int(inside[0]) if self.first < 0 else min(self.first, int(inside[0]))
        self.last = max(self.last, int(inside[-1]))
        return None

    def first_hole(self) -> int | None:
        """The first row that is missing between the first and the last; None if there is none."""
        if self.n == 0 or self.n == self.last - self.first + 1:
            return None
        for number in range(self.first // PAGE_ROWS, self.last // PAGE_ROWS + 1):
            page = self.pages.get(number)
            if page is WHOLE:
                continue
            start = number * PAGE_ROWS
            missing = (np.arange(PAGE_ROWS) if page is None else np.flatnonzero(~page)) + start
            missing = missing[(missing > self.first) & (missing < self.last)]
            if missing.size:
                return int(missing[0])
        return None


def _quarantined(log: Log, run: Recorded) -> dict[int, I8]:
    """Source to the numbers of its rows in quarantine."""
    inputs = [(QUARANTINE.name, lane) for lane in lanes_of(QUARANTINE, run.table)]
    ends = {partition: run.ends[partition] for partition in inputs}
    reader = LaneReader(log, inputs, state=None, merge=False, ends=ends)
    found: dict[int, list[I8]] = {}
    try:
        while not reader.done():
            for rows in reader.window(BATCH_ROWS).values():
                for source in np.unique(rows.source).tolist():
                    found.setdefault(source, []).append(rows.source_row[rows.source == source])
    finally:
        reader.close()
    return {source: np.concatenate(parts) for source, parts in found.items()}
