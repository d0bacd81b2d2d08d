"""A made-up feed with books: what tests of whole messages, commands and reports read."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from schemas.instruments import InstrumentTable
from schemas.kinds import Kind
from schemas.rows import MarketRows, take
from tests.book_cases import BUY, LAST, MARKETS, SELL, SNAP, market, table
from venues.feed import SourceInfo, rebatch

SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND
Message = list[dict[str, Any]]


@dataclass(frozen=True)
class MadeFeed:
    """Rows as a feed of one source."""

    rows: MarketRows
    kind: str = "made"
    table: InstrumentTable = field(default_factory=table)
    names: ClassVar[list[str]] = ["made"]
    simulated: ClassVar[bool] = False
    has_recv: ClassVar[bool] = True

    @property
    def n_rows(self) -> int:
        return int(self.rows.seq.size)

    @property
    def description(self) -> list[SourceInfo]:
        times = self.rows.ts_event_ns
        return [SourceInfo("made", self.kind, self.n_rows, int(times[0]), int(times[-1]), "0" * 64)]

    def read(self, start: int, batch_rows: int) -> Iterator[MarketRows]:
        return rebatch([self.rows], skip_rows=start, batch_rows=batch_rows)


def made(*messages: Message) -> MadeFeed:
    """Messages at their times, given in seconds, in the order of the feed."""
    rows = market(*messages)
    order = np.lexsort((rows.source_row, rows.lane, rows.ts_recv_ns))
    rows = take(rows, order)
    rows.seq[:] = 0
    rows.source_row[:] = np.arange(rows.seq.size)
    return MadeFeed(rows)


def levels(n: int, mid: float = 10_000.0, *, seed: int = 0) -> list[tuple[int, float, float]]:
    """`n` levels, half of them bids."""
    return [
        (side, mid - side * (1.0 + i // 2), 1.0 + (i + seed) % 7)
        for i, side in zip(range(n), [BUY, SELL] * n, strict=False)
    ]


def message(
    at_s: float, number: int, follows: int, *, n: int = 4, k: int = 0, snapshot: bool = False
) -> Message:
    """A message of a book that comes 1 ms after its venue has stamped it."""
    lane, symbol = MARKETS[k][:2]
    at_ns = START_NS + int(at_s * SECOND)
    rows: Message = [
        {"lane": lane, "symbol": symbol, "side": side, "price": price, "qty": qty,
         "flags": SNAP if snapshot else 0, "venue_seq": number, "ref_id": follows,
         "ts_recv_ns": at_ns, "ts_event_ns": at_ns - 1_000_000}
        for side, price, qty in levels(n, seed=number)
    ]  # fmt: skip
    rows[-1]["flags"] |= LAST
    return rows


def snapshot(at_s: float, number: int, *, n: int = 20, k: int = 0) -> Message:
    return message(at_s, number, -1, n=n, k=k, snapshot=True)


def quote(at_s: float, *, k: int = 0) -> Message:
    lane, symbol = MARKETS[k][:2]
    at_ns = START_NS + int(at_s * SECOND)
    return [
        {"kind": Kind.QUOTE, "lane": lane, "symbol": symbol, "bid_px": 9_999.0, "bid_qty": 1.0,
         "ask_px": 10_001.0, "ask_qty": 2.0, "flags": LAST, "ts_recv_ns": at_ns,
         "ts_event_ns": at_ns - 1_000_000}
    ]  # fmt: skip
