"""Rebuilt tops against the venue's own quotes, by number or by order; bounded memory."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.rows import F8, I8, U1, concat, empty, take
from venues.verify.tolerance import Match, Tolerance

QUOTES_MAX = 1 << 18  # quotes that wait for a message; more than an hour of the busiest recording
TOPS_MAX = 1 << 16  # messages that wait for the quote after theirs
S_NS = 1_000_000_000


class Tops(NamedTuple):
    """A book after each whole message. Prices and quantities are null where there is none."""

    seq: I8  # place of the message's last row in its file
    ts_recv_ns: I8
    number: I8  # the venue's, -1 where it gives none
    synced: U1
    snapshot: U1
    since: I8  # changes since the last snapshot, this one too
    crossed: U1
    outside: U1  # 1: the best bid or ask is beyond what the snapshot covered
    bid_px: F8
    bid_qty: F8
    ask_px: F8
    ask_qty: F8


class Quotes(NamedTuple):
    """The venue's best bid and ask; quantities are null where it names none."""

    seq: I8
    ts_recv_ns: I8
    number: I8
    bid_px: F8
    bid_qty: F8
    ask_px: F8
    ask_qty: F8


class Difference(NamedTuple):
    """A message after which book and quote differ."""

    number: int  # the venue's number of the message, or -1
    ts_recv_ns: int
    book: tuple[float, float, float, float]  # bid price and quantity, ask price and quantity
    quote: tuple[float, float, float, float]


@dataclass
class Agreement:
    """What was compared, and how it came out."""

    compared: int = 0
    equal: int = 0
    early: int = 0  # could not be compared: before the first quote, or before the book settles
    unsynced: int = 0  # could not be compared: the book had a gap
    late: int = 0  # quotes passed over because their number had gone back
    settling: int = 0  # of those compared: not equal, but right after a snapshot
    first_difference: Difference | None = None

    @property
    def share(self) -> float:
        """What agrees of what had to; NaN where nothing was compared."""
        wanted = self.compared - self.settling
        return self.equal / wanted if wanted else float("nan")


class ByNumber:
    """Each change against the last quote whose number is not above the message's.

    Quotes and messages may come in any interleaving, each in the order of its numbers.
    """

    def __init__(self, *, sizes: bool, settle_changes: int) -> None:
        self.found = Agreement()
        self._sizes, self._settle = sizes, settle_changes
        self._tops, self._quotes = empty(Tops), empty(Quotes)

    def add(self, tops: Tops, quotes: Quotes) -> None:
        changes = tops.snapshot == 0
        usable = changes & (tops.synced == 1)
        self.found.unsynced += int(np.count_nonzero(changes & ~usable))
        self._tops = concat([self._tops, take(tops, np.flatnonzero(usable))])
        if quotes.number.size:
            self._take(quotes)
        if self._quotes.number.size:
            self._resolve(self._tops.number < self._quotes.number[-1])
        if self._tops.seq.size > TOPS_MAX:
            self._resolve(np.arange(self._tops.seq.size) < self._tops.seq.size - TOPS_MAX // 2)
        if self._quotes.seq.size > QUOTES_MAX:
            self._quotes = take(self._quotes, slice(-QUOTES_MAX // 2, None))

    def finish(self) -> Agreement:
        """Compare what still waits for a quote after its own; no more come."""
        self._resolve(np.ones(self._tops.seq.size, np.bool_))
        return self.found

    @property
    def number(self) -> int:
        """The greatest number of a quote so far, -1 before the first."""
        return int(self._quotes.number[-1]) if self._quotes.number.size else -1

    def _take(self, quotes: Quotes) -> None:
        top = np.maximum.accumulate(np.maximum(quotes.number, self.number))
        rising = np.flatnonzero(quotes.number == top)
        self.found.late += quotes.number.size - rising.size
        self._quotes = concat([self._quotes, take(quotes, rising)])

    def _resolve(self, ready: NDArray[np.bool_]) -> None:
        ripe = take(self._tops, np.flatnonzero(ready))
        if not ripe.seq.size:
            return
        self._tops = take(self._tops, np.flatnonzero(~ready))
        at = np.searchsorted(self._quotes.number, ripe.number, side="right") - 1
        known = at >= 0
        self.found.early += int(np.count_nonzero(~known))
        _lay(self.found, take(ripe, np.flatnonzero(known)), take(self._quotes, at[known]),
             sizes=self._sizes, settle_changes=self._settle)  # fmt: skip
        self._quotes = take(self._quotes, slice(max(int(at.max()), 0), None))


class ByOrder:
    """Each quote against the book as the messages before it have left it."""

    def __init__(self, *, sizes: bool, after_s: int) -> None:
        self.found = Agreement()
        self._sizes, self._after_ns = sizes, after_s * S_NS
        self._last = empty(Tops)  # the latest, if any
        self._begin_ns: int | None = None

    def add(self, tops: Tops, quotes: Quotes) -> None:
        tops = concat([self._last, tops])
        self._last = take(tops, slice(-1, None))
        if self._begin_ns is None and tops.seq.size:
            self._begin_ns = int(tops.ts_recv_ns[0])
        if not quotes.seq.size:
            return
        at = np.searchsorted(tops.seq, quotes.seq) - 1
        settled = at >= 0
        if self._begin_ns is not None:
            settled &= quotes.ts_recv_ns >= self._begin_ns + self._after_ns
        self.found.early += int(np.count_nonzero(~settled))
        beside = take(tops, np.maximum(at, 0)[settled])
        synced = np.flatnonzero(beside.synced == 1)
        self.found.unsynced += beside.seq.size - synced.size
        quotes = take(take(quotes, np.flatnonzero(settled)), synced)
        _lay(self.found, take(beside, synced), quotes, sizes=self._sizes)

    def finish(self) -> Agreement:
        return self.found


def matcher(rule: Tolerance) -> ByNumber | ByOrder | None:
    """What compares a venue's quotes with its book; None where nothing can."""
    if rule.match is Match.NUMBER:
        return ByNumber(sizes=rule.sizes, settle_changes=rule.settle_changes)
    if rule.match is Match.ORDER:
        return ByOrder(sizes=rule.sizes, after_s=rule.after_s)
    return None


_PRICES, _ALL = ("bid_px", "ask_px"), ("bid_px", "ask_px", "bid_qty", "ask_qty")
_SHOWN = ("bid_px", "bid_qty", "ask_px", "ask_qty")


def _lay(
    found: Agreement, tops: Tops, quotes: Quotes, *, sizes: bool, settle_changes: int = 0
) -> None:
    """Count where two tables of one length agree, row for row."""
    equal = np.ones(tops.seq.size, np.bool_)
    for name in _ALL if sizes else _PRICES:
        ours, theirs = getattr(tops, name), getattr(quotes, name)
        equal &= (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))  # null: an empty side
    found.compared += equal.size
    found.equal += int(np.count_nonzero(equal))
    settling = ~equal & (tops.since <= settle_changes)
    found.settling += int(np.count_nonzero(settling))
    wrong = np.flatnonzero(~equal & ~settling)
    if found.first_difference is None and wrong.size:
        k = int(wrong[0])
        found.first_difference = Difference(
            int(tops.number[k]), int(tops.ts_recv_ns[k]), _shown(tops, k), _shown(quotes, k)
        )


def _shown(table: Tops | Quotes, k: int) -> tuple[float, float, float, float]:
    bid_px, bid_qty, ask_px, ask_qty = (float(getattr(table, name)[k]) for name in _SHOWN)
    return bid_px, bid_qty, ask_px, ask_qty
