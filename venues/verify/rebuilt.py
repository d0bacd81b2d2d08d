"""One instrument's book, rebuilt by the desk's own operators, by level or order by order."""

import math
from typing import NamedTuple

import numpy as np

from operators.market.books.l2 import BookTopRows, L2Books
from operators.market.books.l2_state import BookTerms, covered, key_of, levels
from operators.market.books.l3 import L3Books, OrderTopRows
from operators.market.books.l3_state import NOBODY, USED, L3State, order_levels, order_of
from operators.market.books.sides import ASK, BID
from operators.market.books.words import BookReason, BookState
from schemas.instruments import Instrument, InstrumentKind, InstrumentTable
from schemas.kinds import Kind
from schemas.rows import I8, U1, MarketRows, empty
from venues.frames.orders import order_rows
from venues.verify.quotes import Tops

_COUNTS = ("evicted", "ghosts", "unknown", "repeated")  # of OrderTopRows


Levels = list[tuple[float, float]]  # price and quantity, the best first


class Known(NamedTuple):
    """A book by level at one moment: of each side its levels, and up to where it knows all."""

    bids: tuple[Levels, float]
    asks: tuple[Levels, float]

    def agrees(self, bids: Levels, asks: Levels) -> bool:
        """Whether a snapshot of the venue shows what the book has, as far as both know.

        The snapshot's levels may be fewer than the book's.
        """
        for (ours, edge), shown, far in (
            (self.bids, bids, -math.inf),
            (self.asks, asks, math.inf),
        ):
            low, high = sorted((edge, -far))
            here, theirs = (
                {price: qty for price, qty in each if low <= price <= high}
                for each in (ours[: len(shown)], shown)
            )
            if here != theirs:
                return False
        return True


class RebuiltBook:
    """The book of one instrument; what it was like is counted.

    Parameters
    ----------
    name : str
    by_order : bool
        Whether its rows are about single orders.
    begins_empty : bool
        Whether the feed has no snapshot: the book fills from the first message on.
    cut_snapshots : bool
        Whether there are levels beyond those of a snapshot.
    """

    def __init__(
        self, name: str, *, by_order: bool, begins_empty: bool, cut_snapshots: bool
    ) -> None:
        self.by_order = by_order
        self.messages = self.synced = self.crossed = self.outside = 0
        self.crossed_at_end = False
        self.held = 0  # levels, or open orders, at the end
        self._since = 0  # changes since the last snapshot
        self.evicted = self.ghosts = self.unknown = self.repeated = 0
        self._lost = (0, 0, 0, 0)  # these, of orders before the book was lost
        self._table = _table_of(name)
        one = np.ones(1, np.int64)
        self._terms = BookTerms(np.zeros(1, np.int64), one if cut_snapshots else 0 * one)
        self._levels = L2Books(self._table.arrays(), self._terms)
        self._orders = L3Books(self._table.arrays(), begins_empty=begins_empty)
        self._l2 = None if by_order else self._levels.initial()
        self._l3 = self._orders.initial() if by_order else None

    def cut_to(self, depth: int) -> None:
        """The subscription shows so many levels a side, 0 for all."""
        self._terms.depth[0] = depth

    def step(self, rows: MarketRows) -> Tops:
        """Take rows of this instrument alone; other kinds than BOOK are passed over."""
        here = np.zeros(rows.seq.size, np.int32)
        rows = rows._replace(lane=here.astype(np.int16), symbol=here)
        if self._l3 is not None:
            self._l3, orders = self._orders.step(self._l3, order_rows(rows))
            tops = _of_orders(orders)
            if orders.seq.size:
                self.held = int(orders.n_orders[-1])
                self.evicted, self.ghosts, self.unknown, self.repeated = (
                    before + int(getattr(orders, name)[-1])
                    for before, name in zip(self._lost, _COUNTS, strict=True)
                )
        elif self._l2 is not None:
            self._l2, made = self._levels.step(self._l2, rows)
            tops = tops_of(made)
            if made.seq.size:
                self.held = int(made.n_bids[-1] + made.n_asks[-1])
                self.evicted = int(made.evicted[-1])
        tops = tops._replace(since=self._count_since(tops.snapshot))
        self.messages += tops.seq.size
        self.synced += int(np.count_nonzero(tops.synced))
        self.crossed += int(np.count_nonzero(tops.crossed))
        self.outside += int(np.count_nonzero(tops.outside))
        if tops.seq.size:
            self.crossed_at_end = bool(tops.crossed[-1])
        return tops

    def known(self, most: int) -> "Known":
        """The best `most` levels of each side of a book by level; none unless it is usable."""
        if self._l2 is None:
            raise ValueError("a book of orders has no levels to compare")
        sides = []
        for s in (BID, ASK):
            price, qty = np.empty(most), np.empty(most)
            n = levels(self._l2, s, price, qty)
            pairs = zip(price[:n].tolist(), qty[:n].tolist(), strict=True)
            sides.append((list(pairs), covered(self._l2, s)))
        return Known(*sides)

    def best_orders(self, side: int, n: int) -> list[tuple[float, float]]:
        """Price and quantity of the best `n` levels of a book of orders; `side` is a Side."""
        price, qty, n_orders = np.empty((3, n))
        found = order_levels(self._open_orders, _row_of(side), price, qty, n_orders)
        return list(zip(price[:found].tolist(), qty[:found].tolist(), strict=True))

    def knows(self, order_id: int) -> bool:
        """Whether an order is open, or has been deleted lately."""
        return order_of(self._open_orders, 0, order_id) != NOBODY

    def orders_at(self, side: int, price: float) -> list[int]:
        """Ids of the open orders of one level, in no order. Looks at every order."""
        orders, s = self._open_orders.orders, _row_of(side)
        here = (orders.s == s) & (orders.dead == 0) & (orders.key == key_of(price, s))
        here[self._open_orders.counts[USED] :] = False
        return [int(one) for one in orders.order_id[here]]

    @property
    def _open_orders(self) -> L3State:
        if self._l3 is None:
            raise ValueError("a book of levels has no orders")
        return self._l3

    def _count_since(self, snapshot: U1) -> I8:
        place = np.arange(snapshot.size)
        last = np.maximum.accumulate(np.where(snapshot == 1, place, -1 - self._since))
        since = place - last
        self._since = int(since[-1]) if since.size else self._since
        return since

    def lose(self, state: BookState, reason: BookReason) -> None:
        """A message is missing or wrong: the book is of no use until its next snapshot."""
        if self._l2 is None:
            self._orders = L3Books(self._table.arrays())
            self._l3 = self._orders.initial()
            self._lost = (self.evicted, self.ghosts, self.unknown, self.repeated)
            return
        row = empty(MarketRows, 1)
        row.kind[:], row.code[:], row.reason[:] = Kind.BOOK_STATUS, state, reason
        self._l2, _ = self._levels.step(self._l2, row)


def _row_of(side: int) -> int:
    return BID if side > 0 else ASK


def tops_of(rows: BookTopRows) -> Tops:
    """The tops of one book by level; only `RebuiltBook` knows `since`, here it is 0."""
    outside = (rows.bid_px < rows.covered_bid) | (rows.ask_px > rows.covered_ask)
    n = rows.seq.size
    return Tops(
        rows.seq, rows.ts_recv_ns, rows.venue_seq, rows.synced, rows.snapshot,
        np.zeros(n, np.int64), rows.crossed, outside.astype(np.uint8), rows.bid_px, rows.bid_qty,
        rows.ask_px, rows.ask_qty,
    )  # fmt: skip


def _of_orders(rows: OrderTopRows) -> Tops:
    n = rows.seq.size
    return Tops(
        rows.seq, rows.ts_recv_ns, np.full(n, -1, np.int64), rows.synced, np.zeros(n, np.uint8),
        np.zeros(n, np.int64), rows.crossed, np.zeros(n, np.uint8), rows.bid_px, rows.bid_qty,
        rows.ask_px, rows.ask_qty,
    )  # fmt: skip


def _table_of(name: str) -> InstrumentTable:
    """One instrument: books need no more of it than its place."""
    one = Instrument(
        lane=0, symbol=0, venue="", name=name, kind=InstrumentKind.SPOT, base="", quote="",
        settle="", contract_size="1", tick="1", lot="1", fee_maker="0", fee_taker="0",
        can_short=False, has_quotes=True, binary_payout="0", clock_offset_ns=0, assumed="",
    )  # fmt: skip
    return InstrumentTable(1, "USD", (one,))
