"""Is a book that nothing proves still the venue's? It is compared with a snapshot by REST.

The snapshot is of a moment while it was fetched. So a window is opened before it is asked for and
closed after it came, and a level may have any of the quantities that it had in the window; where
snapshot and changes are numbered, the one that it had at the snapshot's number. A change that was
lost earlier cannot hide: its level is wrong in the whole window.
"""

from enum import Enum

from venues.frames.parsed import Book, Levels

NEVER_NS = 2**63 - 1
_NO_NUMBER = -1
_Side = dict[float, float]  # price to quantity
_Seen = dict[tuple[bool, float], list[tuple[int, float]]]  # is a bid, price: number, quantity


class Found(Enum):
    """What an audit needs or says."""

    NOTHING = 0
    ASK = 1  # now: a snapshot to compare with
    AGREES = 2
    DIFFERS = 3  # a change was lost: the book is wrong
    UNDECIDED = 4  # no snapshot came, or one from before the window


class BookAudit:
    """One book by its changes, and the audit of it that goes on.

    Parameters
    ----------
    slack_ns : int
        How much later than over REST a change may come over the websocket, or earlier.
    patience_ns : int
        For the snapshot.
    """

    def __init__(self, *, slack_ns: int, patience_ns: int) -> None:
        self._slack_ns, self._patience_ns = slack_ns, patience_ns
        self._bids: _Side = {}
        self._asks: _Side = {}
        self._number = _NO_NUMBER  # of the last change
        self.cancel()

    def cancel(self) -> None:
        """The book is wrong anyway, or another one."""
        self._seen: _Seen = {}
        self._from_number = _NO_NUMBER
        self._ask_ns = self._end_ns = self._give_up_ns = NEVER_NS
        self._snapshot: Book | None = None

    @property
    def is_open(self) -> bool:
        return self._give_up_ns != NEVER_NS

    def begin(self, now_ns: int) -> None:
        """Open the window."""
        self.cancel()
        self._from_number = self._number
        self._ask_ns = now_ns + self._slack_ns
        self._give_up_ns = now_ns + self._slack_ns + self._patience_ns

    def take(self, book: Book) -> None:
        """A message that is in the book."""
        if book.snapshot:
            self.cancel()
            self._bids, self._asks = {}, {}
        self._number = book.link.last if book.link else _NO_NUMBER
        self._change(self._bids, book.bids, is_bid=True)
        self._change(self._asks, book.asks, is_bid=False)

    def answer(self, snapshot: Book, now_ns: int) -> None:
        """The snapshot came."""
        if self.is_open and self._snapshot is None:
            self._snapshot, self._end_ns = snapshot, now_ns + self._slack_ns

    def failed(self, now_ns: int) -> None:
        """It did not."""
        if self.is_open and self._snapshot is None:
            self._give_up_ns = now_ns

    def look(self, now_ns: int) -> Found:
        """What is due; the answer counts as done."""
        if now_ns >= self._ask_ns:
            self._ask_ns = NEVER_NS
            return Found.ASK
        if self._snapshot is not None:
            return self._close() if now_ns >= self._end_ns else Found.NOTHING
        if now_ns >= self._give_up_ns:
            self.cancel()
            return Found.UNDECIDED
        return Found.NOTHING

    def _change(self, side: _Side, levels: Levels, *, is_bid: bool) -> None:
        for price, qty in levels:
            if self.is_open:
                before = [(_NO_NUMBER, side.get(price, 0.0))]
                self._seen.setdefault((is_bid, price), before).append((self._number, qty))
            if qty:
                side[price] = qty
            else:
                side.pop(price, None)

    def _close(self) -> Found:
        snapshot = self._snapshot
        assert snapshot is not None
        number = snapshot.link.last if snapshot.link else _NO_NUMBER
        found = Found.AGREES
        if number != _NO_NUMBER and number < self._from_number:
            found = Found.UNDECIDED
        elif any(
            self._differs(ours, dict(theirs), number, is_bid=is_bid)
            for ours, theirs, is_bid in (
                (self._bids, snapshot.bids, True),
                (self._asks, snapshot.asks, False),
            )
        ):
            found = Found.DIFFERS
        self.cancel()
        return found

    def _differs(self, ours: _Side, theirs: _Side, number: int, *, is_bid: bool) -> bool:
        for price in ours.keys() | theirs.keys():
            qty = theirs.get(price, 0.0)
            seen = self._seen.get((is_bid, price))
            if seen is None:
                if ours.get(price, 0.0) != qty:
                    return True
            elif number != _NO_NUMBER:
                if [had for at, had in seen if at <= number][-1] != qty:
                    return True
            elif all(had != qty for _, had in seen):
                return True
        return False
