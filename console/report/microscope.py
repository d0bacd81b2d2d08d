"""What the desk saw of some markets: depth over time, trades, flow, structure and refused rows.

A second pass over the log, once the first has told which markets have something to show, over
which time and prices. Everything is computed by the operators of the feature stage, so the
picture shows what the desk could know, at the time at which it could.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from console.report.data import PriceSample
from operators.features.feature import Terms
from operators.features.flow.events import FlowEvents, flow_input
from operators.features.levels import BookLevels, cut_books
from operators.features.signal import SignalInput
from operators.features.signals import Signals
from operators.features.structure.marks import MarkRows, Marks
from operators.market.books.l2_state import L2State, covered, levels
from operators.market.books.sides import ASK, BID
from schemas.instruments import InstrumentTable
from schemas.kinds import Kind
from schemas.rows import F8, I8, MarketRows, concat, empty, take

MARKETS_MOST = 4
COLUMNS = 320  # of time: a chart is some 1,100 pixels wide
PRICES = 120  # rows of a depth picture
LEVELS_READ = 20_000  # a side; more than any venue showed
TRADES_DRAWN = 400  # the largest
MARKS_DRAWN = 150  # the last
MARGIN = 0.15  # of the range of prices, above and below
MINUTE_NS = 60_000_000_000
FLOW = ("cvd", "toxicity_short")


class Frame(NamedTuple):
    """Where a picture is: one market, its time and its prices."""

    row: int  # of the instrument table
    start_ns: int  # our clock
    width_ns: int  # of a column
    low: float  # quote units
    step: float  # height of a row of the depth picture

    def column(self, ts_ns: I8) -> I8:
        """The column of each time; outside of 0..COLUMNS - 1 where the picture ends before."""
        columns: I8 = (ts_ns - self.start_ns) // self.width_ns
        return columns


class View(NamedTuple):
    """What happened in a frame. Columns stand for their end; NaN: not known."""

    frame: Frame
    depth: F8  # (PRICES, COLUMNS) resting quantity of both sides, instrument's units
    bid_px: F8  # (COLUMNS,) best bid, quote units
    ask_px: F8
    cvd: F8  # (COLUMNS,) instrument's units
    toxicity: F8  # (COLUMNS,) 0 to 1
    refused: I8  # (COLUMNS,) rows in quarantine
    trades: MarketRows  # the largest
    marks: MarkRows  # of structure, the last


def frames_of(table: InstrumentTable, counts: I8, prices: Mapping[int, PriceSample]) -> list[Frame]:
    """The markets with most to show: books first, then trades, then prices alone.

    Parameters
    ----------
    counts : int64, shape (instruments, 3)
        Rows of books, trades and quotes.
    """
    shown = [row for row, sample in prices.items() if sample.mid.size > 1]
    shown.sort(key=lambda row: ((-counts[row]).tolist(), row))
    return [_frame(row, prices[row], table.instruments[row].tick) for row in shown[:MARKETS_MOST]]


def bar_length_ns(frames: Sequence[Frame]) -> int:
    """Of the bars that structure is made of: whole minutes, and about as wide as a column."""
    return max(1, *(-(-frame.width_ns // MINUTE_NS) for frame in frames)) * MINUTE_NS


class Microscope:
    """Folds a run's market rows, in their order, into views.

    Parameters
    ----------
    table : InstrumentTable
    frames : sequence of Frame
    """

    def __init__(self, table: InstrumentTable, frames: Sequence[Frame]) -> None:
        arrays = table.arrays()
        n = len(table.instruments)
        self._views = [_blank(frame) for frame in frames]
        self._row_of = arrays.base, arrays.n_of_lane
        self._books = BookLevels(arrays, cut_books([0] * n))
        self.bar_ns = bar_length_ns([view.frame for view in self._views])
        self._events, self._marks = FlowEvents(arrays), Marks(n, bar_ns=self.bar_ns)
        self._signals = Signals(Terms.of(table), FLOW)
        self._state = (
            self._books.initial(),
            self._events.initial(),
            self._signals.initial(),
            self._marks.initial(),
        )
        self._exposed = {view.frame.row: -1 for view in self._views}  # the latest column
        self._price, self._qty = np.empty(LEVELS_READ), np.empty(LEVELS_READ)

    def add(self, rows: MarketRows) -> None:
        """More rows of `market.v1`, in the order of the run."""
        for part in self._cut(rows):
            self._step(part)
            for view in self._views:
                column = int(view.frame.column(part.ts_recv_ns[-1:])[0])
                if 0 <= column < COLUMNS:
                    self._expose(view, column)

    def refuse(self, rows: MarketRows) -> None:
        """Rows of `quarantine.v1`."""
        for view in self._views:
            columns = view.frame.column(rows.ts_recv_ns[self._table_row(rows) == view.frame.row])
            np.add.at(view.refused, columns[(columns >= 0) & (columns < COLUMNS)], 1)

    def views(self) -> list[View]:
        """What was seen."""
        return self._views

    def _cut(self, rows: MarketRows) -> list[MarketRows]:
        """Parts that end where a column of some view ends: there the books are looked at."""
        columns = [view.frame.column(rows.ts_recv_ns) for view in self._views]
        ends = np.unique(np.concatenate([np.flatnonzero(np.diff(c)) + 1 for c in columns] + [[]]))
        places = [0, *ends.astype(int).tolist(), rows.seq.size]
        return [take(rows, slice(a, b)) for a, b in itertools.pairwise(places) if a < b]

    def _step(self, rows: MarketRows) -> None:
        books, events, signals, marks = self._state
        books, block = self._books.step(books, rows)
        signals, values = self._signals.step_behind_books(signals, rows, block.levels)
        k = self._table_row(rows)
        events, flow = self._events.step(events, flow_input(rows, block.levels))
        marks, marked = self._marks.step(marks, SignalInput(rows, k.astype(np.int32), flow))
        self._state = books, events, signals, marks
        of_marks = self._table_row(marked)
        for n, view in enumerate(self._views):
            mine = k == view.frame.row
            _last(view, view.frame.column(rows.ts_recv_ns[mine]), values.values[mine])
            trades = take(rows, mine & (rows.kind == Kind.TRADE))
            self._views[n] = view._replace(
                trades=_largest(concat([view.trades, trades])),
                marks=_newest(concat([view.marks, take(marked, of_marks == view.frame.row)])),
            )
            _best(view, flow.bid_px[mine], flow.ask_px[mine], rows.ts_recv_ns[mine])

    def _expose(self, view: View, column: int) -> None:
        """The depth of a market's book as it is now; not known while the book may not be used."""
        books, frame = self._state[0], view.frame
        depth, n_levels = np.zeros(PRICES), 0
        for side in (2 * frame.row + BID, 2 * frame.row + ASK):
            n = levels(books, side, self._price, self._qty)
            price, qty = self._price[:n], self._qty[:n]
            at = np.floor((price - frame.low) / frame.step).astype(np.int64)
            inside = _is_covered(books, frame.row, price) & (at >= 0) & (at < PRICES)
            np.add.at(depth, at[inside], qty[inside])
            n_levels += n
        quiet = slice(self._exposed[frame.row] + 1, column)  # columns in which nothing happened
        if quiet.start:
            view.depth[:, quiet] = view.depth[:, quiet.start - 1 : quiet.start]
        view.depth[:, column] = depth if n_levels else np.nan
        self._exposed[frame.row] = column

    def _table_row(self, rows: MarketRows | MarkRows) -> I8:
        """The instrument of each row, -1 for none."""
        base, count = self._row_of
        lane = np.clip(rows.lane, 0, base.size - 1)
        known = (lane == rows.lane) & (rows.symbol >= 0) & (rows.symbol < count[lane])
        return np.where(known, base[lane] + rows.symbol, -1).astype(np.int64)


def _frame(row: int, sample: PriceSample, tick: str) -> Frame:
    start_ns, end_ns = int(sample.ts_recv_ns[0]), int(sample.ts_recv_ns[-1])
    low, high = float(sample.mid.min()), float(sample.mid.max())
    room = MARGIN * (high - low) + 5 * float(tick)
    step = (high - low + 2 * room) / PRICES
    step = max(round(step / float(tick)), 1) * float(tick)  # whole ticks: else stripes appear
    return Frame(
        row,
        start_ns,
        (end_ns - start_ns) // COLUMNS + 1,
        (low + high - PRICES * step) / 2.0,
        step,
    )


def _blank(frame: Frame) -> View:
    bid_px, ask_px, cvd, toxicity = np.full((4, COLUMNS), np.nan)
    return View(
        frame, np.full((PRICES, COLUMNS), np.nan), bid_px, ask_px, cvd, toxicity,
        np.zeros(COLUMNS, np.int64), empty(MarketRows), empty(MarkRows),
    )  # fmt: skip


def _last(view: View, columns: I8, values: F8) -> None:
    """The last known values of each column; rows are in order."""
    for n, line in enumerate((view.cvd, view.toxicity)):
        fine = np.isfinite(values[:, n]) & (columns >= 0) & (columns < COLUMNS)
        line[columns[fine]] = values[fine, n]


def _best(view: View, bid_px: F8, ask_px: F8, ts_recv_ns: I8) -> None:
    columns = view.frame.column(ts_recv_ns)
    fine = np.isfinite(bid_px) & np.isfinite(ask_px) & (columns >= 0) & (columns < COLUMNS)
    view.bid_px[columns[fine]], view.ask_px[columns[fine]] = bid_px[fine], ask_px[fine]


def _largest(trades: MarketRows) -> MarketRows:
    if trades.seq.size <= TRADES_DRAWN:
        return trades
    return take(trades, np.sort(np.argsort(-trades.qty, kind="stable")[:TRADES_DRAWN]))


def _newest(marks: MarkRows) -> MarkRows:
    return take(marks, slice(-MARKS_DRAWN, None)) if marks.seq.size > MARKS_DRAWN else marks


def _is_covered(books: L2State, row: int, price: F8) -> NDArray[np.bool_]:
    """Where the feed shows every level; beyond, some are missing."""
    inside: NDArray[np.bool_] = price >= covered(books, 2 * row + BID)
    inside &= price <= covered(books, 2 * row + ASK)
    return inside
