"""A file of snapshots beside a tape of orders, row by row and in every level."""

import math
from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from operators.market.books.words import OrderAction
from schemas.kinds import NO_ID, Flag, Kind, Side
from schemas.rows import MarketRows, concat, take
from venues.verify.evidence import Shown
from venues.verify.rebuilt import RebuiltBook
from venues.verify.report import utc_ms
from venues.verify.snapshots import WORDS, Levels, Snapshots

_SIDES = (Side.BUY, Side.SELL)
_SUM = 1e-9  # a level's orders are added and taken away again
_TAKES = (OrderAction.REDUCE, OrderAction.DELETE, OrderAction.EXECUTE)
_ADDS: dict[int, float] = {OrderAction.ADD: 1.0, **dict.fromkeys(_TAKES, -1.0)}  # to its level


class ByRow:
    """Snapshot n against the book after row n of a tape of orders, in every level it has.

    The opening book is what the first snapshot leaves when its row is undone: orders that nobody
    has named, one for each level. A row about an order that no row has added takes from that one.
    The file shows so many levels, and the tape has no message beyond them. What comes into view
    from there is taken as it is shown; all that stays in view has to be equal.

    Parameters
    ----------
    book : RebuiltBook
        Of orders, without one so far.
    snapshots : iterator of Snapshots
    """

    def __init__(self, book: RebuiltBook, snapshots: Iterator[Snapshots]) -> None:
        self.found = Shown()
        self._book = book
        self._rows = ((each, k) for each in snapshots for k in range(each.row.size))
        self._older: dict[tuple[int, float], int] = {}  # by side and price, the order of nobody
        self._last_id = NO_ID  # of these; the venue's are not negative
        self._replaced: set[int] = set()  # orders that left the book out of view
        self._in_view: dict[Side, float] = {}  # the furthest price that the last one showed
        self._revealed: list[_Event] = []  # goes into the book with the next row
        self._n = 0  # rows of the tape
        self.has_begun = False  # the opening book is known

    def step(self, row: MarketRows, *, usable: bool) -> None:
        """Take one row of the tape, and compare; code 0 leaves the book.

        `usable` is whether nothing is known to be missing from the book before this row.
        """
        shown = next(self._rows, None)
        self.found.rows += shown is not None
        if self._n == 0 and shown is not None:
            self._open(row, *shown)
        if row.code[0]:
            before = _rows_of(self._revealed, like=row)
            self._book.step(concat([before, self._of_nobody(row)]))
            self._revealed = []
        if shown is None:
            self._differs(f"row {self._n + 1:,} of the orders has no snapshot")
        elif not usable:
            self.found.agreement.unsynced += self._n > 0
        elif self._n > 0:
            self._compare(int(row.ts_event_ns[0]), *shown)
        self._n += 1

    def finish(self) -> Shown:
        """Count the snapshots that no row of the tape belongs to."""
        for _ in self._rows:
            self.found.rows += 1
            self._differs(f"snapshot {self.found.rows:,} has no row of the orders")
        return self.found

    def _differs(self, what: str) -> None:
        self.found.agreement.compared += 1
        self.found.first = self.found.first or what

    def _open(self, row: MarketRows, rows: Snapshots, k: int) -> None:
        events = []
        for side in _SIDES:
            levels = rows.levels(k, side)
            self._in_view[side] = _furthest(side, levels, rows.depth)
            book = dict(levels)
            if side == row.side[0]:
                price, qty = float(row.price[0]), float(row.qty[0])
                book[price] = book.get(price, 0.0) - _ADDS.get(int(row.code[0]), 0.0) * qty
            events += [self._new(side, price, qty) for price, qty in book.items() if qty > 0.0]
        opening = _rows_of(events or [_NOTHING], like=row)
        opening.flags[:] = Flag.SNAPSHOT
        opening.flags[-1] |= np.uint8(Flag.MSG_LAST)
        self._book.step(opening)
        self.has_begun = True

    def _new(self, side: int, price: float, qty: float) -> "_Event":
        self._last_id -= 1
        self._older[side, price] = self._last_id
        return _Event(OrderAction.ADD, self._last_id, side, price, qty)

    def _of_nobody(self, row: MarketRows) -> MarketRows:
        """The row, about the order of nobody at its price if no row has added its own order."""
        order_id, action = int(row.ref_id[0]), int(row.code[0])
        if action not in _TAKES or (self._book.knows(order_id) and order_id not in self._replaced):
            return row
        side, price = int(row.side[0]), float(row.price[0])
        older = self._older.get((side, price), NO_ID)
        is_new = any(event.order_id == older for event in self._revealed)
        if not is_new and older not in self._book.orders_at(side, price):
            return row
        code, ref_id = np.array([OrderAction.REDUCE], np.uint8), np.array([older])
        return row._replace(code=code, ref_id=ref_id)

    def _compare(self, ts_ns: int, rows: Snapshots, k: int) -> None:
        where = f"row {self._n + 1:,} ({utc_ms(ts_ns)})"
        problem = ""
        if rows.ts_ns[k] != ts_ns:
            problem = f"{where} has a snapshot of another time"
            problem += f", {rows.ts_ns[k] - ts_ns:+,} ns from its own"
        for side in _SIDES:
            shown, furthest = rows.levels(k, side), side * self._in_view[side]
            inside = [level for level in shown if side * level[0] >= furthest]
            ours = self._book.best_orders(side, rows.depth)
            ours = [level for level in ours if side * level[0] >= furthest]
            self.found.levels += len(inside)
            unlike = _first_unlike(ours, inside)
            if unlike >= 0:
                both = (_said(each, unlike) for each in (ours, inside))
                says = "{} in the book, {} in the snapshot".format(*both)
                problem = problem or f"{where}, {WORDS[side]} level {unlike + 1}: {says}"
            self._reveal(side, shown, rows.depth)
        if problem:
            self._differs(problem)
        else:
            self.found.agreement.compared += 1
            self.found.agreement.equal += 1

    def _reveal(self, side: Side, shown: Levels, depth: int) -> None:
        """Take the levels that were out of view as they are shown."""
        before, now = self._in_view[side], _furthest(side, shown, depth)
        self._in_view[side] = now
        if side * now >= side * before:
            return
        held = self._book.best_orders(side, self._book.held + 1)
        theirs, ours = (
            {price: qty for price, qty in each if side * now <= side * price < side * before}
            for each in (shown, held)
        )
        for price in sorted({*theirs, *ours}):
            if ours.get(price) == theirs.get(price):
                continue
            self.found.revealed += price in theirs
            for order_id in self._book.orders_at(side, price):
                self._replaced.add(order_id)
                gone = _Event(OrderAction.DELETE, order_id, side, price, 0.0)
                self._revealed.append(gone)
            if price in theirs:
                self._revealed.append(self._new(side, price, theirs[price]))


class _Event(NamedTuple):
    """What happens to one order."""

    action: int
    order_id: int
    side: int
    price: float
    qty: float


_NOTHING = _Event(OrderAction.EXECUTE_HIDDEN, NO_ID, 0, math.nan, 0.0)  # the whole of an empty book


def _rows_of(events: list[_Event], *, like: MarketRows) -> MarketRows:
    """Rows without MSG_LAST, in the message and at the time of another."""
    rows = take(like, np.zeros(len(events), np.int64))
    rows.kind[:], rows.flags[:] = Kind.BOOK, 0
    for k, event in enumerate(events):
        rows.code[k], rows.ref_id[k], rows.side[k], rows.price[k], rows.qty[k] = event
    return rows


def _furthest(side: Side, levels: Levels, depth: int) -> float:
    """The price up to which a snapshot shows all levels: beyond its last, if there is room."""
    return levels[-1][0] if len(levels) == depth else -side * math.inf


def _first_unlike(ours: Levels, theirs: Levels) -> int:
    """The first place where two lists of levels differ, -1 if none does."""
    for k, pairs in enumerate(zip_longest(ours, theirs)):
        if None in pairs:
            return k
        (price, qty), (other, other_qty) = pairs
        if price != other or not math.isclose(qty, other_qty, rel_tol=_SUM):
            return k
    return -1


def _said(levels: Levels, k: int) -> str:
    return f"{levels[k][0]:g} x {levels[k][1]:g}" if k < len(levels) else "no level"
