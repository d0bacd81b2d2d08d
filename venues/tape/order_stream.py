"""The rows of one tape of single orders in receive order, as a desk runs on them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from operators.market.books.words import OrderAction
from schemas.instruments import InstrumentTable
from schemas.kinds import NO_ID, NO_SYMBOL, Flag, Kind
from schemas.reasons import Reason
from schemas.rows import I8, MarketRows
from venues.tape.columns import Mask
from venues.tape.orders import BAD_ID, BAD_SIDE, BAD_TIME, BAD_VALUE, BAD_WORD, NO_MARKET, OrderTape
from venues.tape.scan import Scan
from venues.tape.stream import LONG_AGO_NS

_REASON = np.zeros(7, np.uint16)  # by the number of the fault
for _fault, _reason in (
    (NO_MARKET, Reason.UNKNOWN_SYMBOL), (BAD_WORD, Reason.OUT_OF_RANGE),
    (BAD_ID, Reason.OUT_OF_RANGE), (BAD_SIDE, Reason.BAD_SIDE),
    (BAD_VALUE, Reason.NOT_POSITIVE), (BAD_TIME, Reason.RECV_REGRESSED),
):  # fmt: skip
    _REASON[_fault] = _reason


@dataclass(frozen=True)
class OrderStream:
    """One tape of the layout orders_l3, every row of it; see `OrderTape` for what a row says.

    Rows about orders are BOOK rows, fills among them (FILL, where the venue tells them apart from
    what they do to the book), and rows of trades are TRADE rows. A fill of an order that the tape
    has nothing else of, and no side for, is SUPERSEDED by its trade. Times as in `Stream`, but that
    opening orders, which may have times of their own, count as received with the last of them: no
    row of another tape, and no heartbeat, stands inside a message.
    """

    scan: Scan
    source: int
    table: InstrumentTable
    names: dict[tuple[str, str], int]
    use_recv: bool
    latency_ns: int

    def times(self) -> Iterator[I8]:
        """Receive times of every row, in order."""
        for rows in self._all():
            yield rows.ts_recv_ns

    def chunks(self, start: int, stop: int) -> Iterator[MarketRows]:
        """Rows number `start` to `stop` of the tape."""
        position = 0
        for rows in self._all():
            first, last = max(start - position, 0), min(stop - position, rows.seq.size)
            if first < last:
                yield MarketRows._make(column[first:last] for column in rows)
            position += rows.seq.size
            if position >= stop:
                return

    def _all(self) -> Iterator[MarketRows]:
        tape = OrderTape(self.scan.path, fills=True)
        lane = np.array([i.lane for i in self.table.instruments] + [0], np.int16)
        symbol = np.array([i.symbol for i in self.table.instruments] + [NO_SYMBOL], np.int32)
        top_ns = LONG_AGO_NS
        for rows, word, fault, message in tape.read():
            of = np.array([self.names.get(market, -1) for market in tape.markets] + [-1])
            at = of[rows.symbol]  # -1, unknown, picks the last entry of both
            trade = np.array([one.trades for one in tape.words] + [False])[word] & (fault == 0)
            void = (rows.code == OrderAction.FILL) & (rows.side == 0)
            raw_ns = rows.ts_recv_ns if self.use_recv else rows.ts_event_ns
            newest_ns = np.maximum.accumulate(np.maximum(raw_ns, top_ns))
            ends = np.flatnonzero(np.diff(message, append=message[-1] + 1))
            newest_ns = newest_ns[ends[message - message[0]]]
            top_ns = int(newest_ns[-1])
            reason = np.where(void, np.uint16(Reason.SUPERSEDED), _REASON[fault])
            yield _as_trades(rows, trade | void)._replace(
                seq=np.zeros_like(rows.seq),
                lane=lane[at],
                symbol=symbol[at],
                reason=np.where(at < 0, np.uint16(Reason.UNKNOWN_SYMBOL), reason),
                ts_recv_ns=newest_ns if self.use_recv else newest_ns + self.latency_ns,
                source=np.full(rows.seq.size, self.source, np.int16),
            )


def _as_trades(rows: MarketRows, trade: Mask) -> MarketRows:
    """The rows, some of them as TRADE rows; what stands before one ends its message of the book."""
    flags = np.where(trade, np.uint8(Flag.MSG_LAST), rows.flags)
    flags[:-1][trade[1:]] |= np.uint8(Flag.MSG_LAST)
    return rows._replace(
        kind=np.where(trade, np.uint8(Kind.TRADE), rows.kind),
        flags=flags,
        ref_id=np.where(trade, NO_ID, rows.ref_id),
        code=np.where(trade, np.uint8(0), rows.code),
    )
