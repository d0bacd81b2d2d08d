"""Books of written digits: what a venue's checksum is computed over.

A price of 0.00005100 has the same float as 0.000051 but another checksum, so the texts are kept as
the venue wrote them; the float only orders the levels.
"""

import zlib
from bisect import bisect_left
from collections.abc import Sequence

from venues.frames.parsed import Book, Levels, Texts
from venues.frames.venue import CHECKSUM_DEPTH, Checksum


class DigitBook:
    """One book's levels with their digits, cut to the subscribed depth after each message.

    Parameters
    ----------
    rule : Checksum
        How the venue computes its checksum.

    Notes
    -----
    State: one text pair per level, at most the subscription's depth a side where it has one.
    """

    def __init__(self, rule: Checksum) -> None:
        self.rule = rule
        self.bids = _Half(sign=-1.0)
        self.asks = _Half(sign=1.0)

    def apply(self, book: Book) -> bool | None:
        """Take one message; whether its checksum holds afterwards, None where it has none."""
        if book.snapshot:
            self.bids, self.asks = _Half(sign=-1.0), _Half(sign=1.0)
        self.bids.change(book.bids, book.bid_texts, book.depth)
        self.asks.change(book.asks, book.ask_texts, book.depth)
        if book.checksum is None:
            return None
        return self.checksum() == book.checksum

    def checksum(self) -> int:
        """The checksum of the book as it stands, in the venue's form."""
        depth = CHECKSUM_DEPTH[self.rule]
        return _CRC[self.rule](self.bids.best(depth), self.asks.best(depth))


class _Half:
    """One side, best first."""

    def __init__(self, sign: float) -> None:
        self.sign = sign
        self.keys: list[float] = []  # sign * price, ascending
        self.texts: list[tuple[str, str]] = []

    def change(self, levels: Levels, texts: Texts, depth: int) -> None:
        for (price, qty), text in zip(levels, texts, strict=True):
            key = self.sign * price
            at = bisect_left(self.keys, key)
            known = at < len(self.keys) and self.keys[at] == key
            if qty == 0.0:
                if known:
                    del self.keys[at], self.texts[at]
            elif known:
                self.texts[at] = text
            else:
                self.keys.insert(at, key)
                self.texts.insert(at, text)
        if depth:
            del self.keys[depth:], self.texts[depth:]

    def best(self, n: int) -> Sequence[tuple[str, str]]:
        return self.texts[:n]


def _kraken(bids: Texts, asks: Texts) -> int:
    """Asks from the best, then bids; each number without its point and its leading zeros."""
    text = "".join(
        price.replace(".", "").lstrip("0") + qty.replace(".", "").lstrip("0")
        for side in (asks, bids)
        for price, qty in side
    )
    return zlib.crc32(text.encode())


def _okx(bids: Texts, asks: Texts) -> int:
    """Bid and ask in turn while both last, then the rest of the longer side; int32."""
    parts: list[str] = []
    for k in range(max(len(bids), len(asks))):
        for side in (bids, asks):
            if k < len(side):
                parts += side[k]
    crc = zlib.crc32(":".join(parts).encode())
    return crc - 2**32 if crc >= 2**31 else crc


_CRC = {Checksum.KRAKEN: _kraken, Checksum.OKX: _okx}
