"""What book tests share: an instrument table, rows of book messages, and a slow, obvious book."""

from typing import Any

import numpy as np

from schemas.instruments import InstrumentTable
from schemas.kinds import Flag, Kind
from schemas.rows import MarketRows, empty
from venues.venue_classes import instrument, terms

LAST, SNAP = int(Flag.MSG_LAST), int(Flag.SNAPSHOT)
BUY, SELL = 1, -1
MARKETS = [  # lane, symbol
    (0, 0, "binance_spot", "BTCUSDT"),
    (0, 1, "binance_usdm", "BTCUSDT"),
    (0, 2, "binance_coinm", "BTCUSD_PERP"),
    (2, 0, "binance_spot", "ETHUSDT"),
]


def table() -> InstrumentTable:
    made = []
    for lane, symbol, venue, name in MARKETS:
        found = terms(venue, name)
        assert found
        made.append(
            instrument(venue, name, found, lane=lane, symbol=symbol, tick="0.1", lot="0.001",
                       has_quotes=True, clock_offset_ns=0)
        )  # fmt: skip
    return InstrumentTable(3, "USD", tuple(made))


Level = tuple[int, float, float]  # side, price, quantity


def message(
    levels: list[Level], *, k: int = 0, snapshot: bool = False, number: int = 0, whole: bool = True
) -> list[dict[str, Any]]:
    """The rows of one venue message; its last row is flagged if it is whole."""
    lane, symbol = MARKETS[k][:2]
    flags = SNAP if snapshot else 0
    rows: list[dict[str, Any]] = [
        {"lane": lane, "symbol": symbol, "side": side, "price": price, "qty": qty, "flags": flags,
         "venue_seq": number}
        for side, price, qty in levels
    ]  # fmt: skip
    if whole:
        rows[-1]["flags"] |= LAST
    return rows


def market(*messages: list[dict[str, Any]]) -> MarketRows:
    """Book rows with row numbers as times, `seq` and `source_row`, unless they say otherwise."""
    each = [row for rows in messages for row in rows]
    table_ = empty(MarketRows, len(each))
    for i, row in enumerate(each):
        plain = {"kind": Kind.BOOK, "ts_event_ns": i, "ts_recv_ns": i, "seq": i, "source_row": i}
        for name, value in (plain | row).items():
            getattr(table_, name)[i] = value
    return table_


class SlowBook:
    """One book as two dictionaries, sorted whenever somebody looks."""

    def __init__(self, *, depth: int = 0, snapshot_depth: int = 0, levels_max: int = 10**9) -> None:
        self.depth, self.snapshot_depth, self.levels_max = depth, snapshot_depth, levels_max
        self.sides: dict[int, dict[float, float]] = {BUY: {}, SELL: {}}
        self.cover = {BUY: np.nan, SELL: np.nan}
        self.synced = False

    def take(self, levels: list[Level], *, snapshot: bool) -> None:
        """One whole message."""
        if snapshot:
            self.sides, self.synced = {BUY: {}, SELL: {}}, True
            self.cover = {BUY: -np.inf, SELL: np.inf}
        if not self.synced:
            return
        for side, price, qty in levels:
            self._set(side, price, qty)
        for side in (BUY, SELL):
            prices, limit = self.prices(side), self.depth or self.snapshot_depth
            for price in prices[self.depth :] if self.depth else []:
                del self.sides[side][price]
            if self.depth or snapshot:
                cut = limit and len(prices) >= limit
                end = self.prices(side)[-1] if cut else -side * np.inf
                self.cover[side] = end if self.depth else self._nearer(side, end)

    def prices(self, side: int) -> list[float]:
        """The best first."""
        return sorted(self.sides[side], reverse=side == BUY)

    def levels(self, side: int) -> list[tuple[float, float]]:
        return [(price, self.sides[side][price]) for price in self.prices(side)]

    def _set(self, side: int, price: float, qty: float) -> None:
        if qty == 0.0:
            self.sides[side].pop(price, None)
            return
        self.sides[side][price] = qty
        if len(self.sides[side]) > self.levels_max:
            del self.sides[side][self.prices(side)[-1]]
            self.cover[side] = self._nearer(side, self.prices(side)[-1])

    def _nearer(self, side: int, price: float) -> float:
        return max(price, self.cover[side]) if side == BUY else min(price, self.cover[side])
