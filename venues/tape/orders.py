"""Tapes of single orders (layout orders_l3): every row of the file as a row of the market.

Their words are the venue's own, so a venue is read only if ORDER_FEEDS has its words.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from operators.market.books.words import OrderAction
from schemas.kinds import Flag, Kind
from schemas.rows import F8, I4, I8, U1, MarketRows, concat, empty, take
from venues.tape.columns import (
    CHUNK_ROWS,
    Mask,
    NameCodes,
    batches,
    floats,
    integers,
    open_parquet,
)
from venues.tape.errors import TapeError
from venues.tape.layouts import ORDERS, check_columns
from venues.tape.scan import times
from venues.tape.stream import LONG_AGO_NS

Market = tuple[str, str]  # venue, symbol

_A = OrderAction


@dataclass(frozen=True)
class OrderFeed:
    """How one venue's order-by-order feed was written down."""

    title: str
    words: Mapping[str, OrderAction]  # the word in the column `action`, and what it does
    unused: Mapping[str, str] = field(default_factory=dict)  # words that leave the book, and why
    opening: str = ""  # the word of the orders that are open at the start; "": there are none
    fill: str = ""  # the word of fills of a resting order that leave the book as it is
    trade: str = ""  # the word of trades, where orders may cross in an auction until it trades
    packets: bool = False  # rows of one number are one message, else each row is
    numbers: str = "no row has a number of the venue"  # what the column `seq` can prove
    tolerance: str = ""  # name in the table of tolerances


ORDER_FEEDS: dict[str, OrderFeed] = {
    "bitstamp": OrderFeed(
        "Bitstamp, live orders",
        {"created": _A.ADD, "changed": _A.CHANGE, "deleted": _A.DELETE},
        tolerance="bitstamp_2015",
    ),
    "cme": OrderFeed(
        "CME, market by order",
        {"snapshot": _A.ADD, "add": _A.ADD, "modify": _A.CHANGE, "cancel": _A.DELETE},
        unused={
            "fill": "a fill is followed by the modify or cancel of its order",
            "trade": "a trade's fills have rows of their own",
        },
        opening="snapshot", fill="fill", trade="trade", packets=True,
        numbers="numbers count the packets of all instruments of the channel",
        tolerance="cme",
    ),
    "nasdaq": OrderFeed(
        "Nasdaq, messages as LOBSTER writes them",
        {
            "add": _A.ADD, "reduce": _A.REDUCE, "delete": _A.DELETE, "execute": _A.EXECUTE,
            "execute_hidden": _A.EXECUTE_HIDDEN,
        },
        numbers="numbers are those of the file's rows, not of the venue's messages",
        tolerance="nasdaq",
    ),
}  # fmt: skip

# Why a row is refused, by its number; 0 is a good row.
FAULTS = (
    "", "the venue or the symbol is missing", "no row has such an action at this venue",
    "the order id is not a whole number", "the side is neither +1 nor -1",
    "the price or the size cannot be an order's", "the time is missing or goes backwards",
)  # fmt: skip
NO_MARKET, BAD_WORD, BAD_ID, BAD_SIDE, BAD_VALUE, BAD_TIME = range(1, len(FAULTS))

_COLUMNS = [*ORDERS.columns, *ORDERS.optional]
_ID_DIGITS_MAX = 18  # what int64 holds for certain
_NOBODY = OrderFeed("", {})


def order_feed(path: Path, venue: str) -> OrderFeed:
    """What is known of the words of a venue. TapeError where nothing is."""
    if venue not in ORDER_FEEDS:
        raise TapeError(
            f"the words of single orders of the venue {venue!r} are not known",
            str(path), f"Known are those of {', '.join(ORDER_FEEDS)}",
        )  # fmt: skip
    return ORDER_FEEDS[venue]


class Word(NamedTuple):
    """One venue's word in the column `action`."""

    venue: str
    text: str  # "" for all that are not known
    action: int  # OrderAction; 0 if it leaves the book, or is not known
    known: bool
    opens: bool  # it is about an order that is open at the start
    trades: bool  # it is a trade that may end an auction


class OrderChunk(NamedTuple):
    """Whole messages of an order tape, every row of the file in its place."""

    rows: MarketRows  # kind BOOK, code OrderAction (0: the row leaves the book), ref_id the order
    word: I8  # place in `OrderTape.words`, -1 without a market
    fault: U1  # place in FAULTS
    message: I8  # counts the messages of the file


class OrderTape:
    """One Parquet file of orders.

    Parameters
    ----------
    path : Path
    fills : bool
        Whether rows of fills have the action FILL; else they leave the book, as trades do.

    Notes
    -----
    `rows.symbol` counts `markets` in the order of their first rows, -1 for none; `seq` and
    `source_row` are places in the file. MSG_LAST is on the last good row of each message that is
    about the book. The opening orders are one message with SNAPSHOT. The receive time is the
    venue's where the file has none. Memory: one chunk, and the message it ends in.

    Raises
    ------
    TapeError
        The file cannot be read, is of another layout, or its venue's words are not known (raised
        when the first row of that venue is read).
    """

    def __init__(self, path: Path, *, fills: bool = False) -> None:
        file = open_parquet(path)
        check_columns(path, file.schema_arrow, ORDERS)
        self.path, self.n_rows, self._fills = path, int(file.metadata.num_rows), fills
        self.markets: list[Market] = []
        self.words: list[Word] = []
        self._places: dict[tuple[str, ...], int] = {}  # of both
        self._newest_ns = LONG_AGO_NS
        self._messages = 0  # so far

    def read(self, chunk_rows: int = CHUNK_ROWS) -> Iterator[OrderChunk]:
        """The rows in the file's order, cut between messages."""
        market, word = NameCodes(self._market), NameCodes(self._word)
        first, held = 0, None
        for part in self._parts(chunk_rows):
            words = [part["venue"], part["action"]]
            actions = pa.RecordBatch.from_arrays(words, ["venue", "symbol"])
            made = self._chunk(part, market(part), word(actions).astype(np.int64), first)
            first += part.num_rows
            if held is not None:
                made = _joined(held, made)
            starts = np.flatnonzero(self._starts(made.rows))
            if starts[-1]:
                yield self._ended(_cut(made, slice(0, int(starts[-1]))), starts[:-1])
            held = _cut(made, slice(int(starts[-1]), None))
        if held is not None:
            yield self._ended(held, np.zeros(1, np.int64))

    def _parts(self, chunk_rows: int) -> Iterator[pa.RecordBatch]:
        for batch in batches(self.path, _COLUMNS):
            for begin in range(0, batch.num_rows, chunk_rows):
                yield batch.slice(begin, chunk_rows)

    def _market(self, venue: str, symbol: str) -> int:
        order_feed(self.path, venue)
        return self._place(self.markets, ("market", venue, symbol), (venue, symbol))

    def _word(self, venue: str, text: str) -> int:
        feed = ORDER_FEEDS.get(venue, _NOBODY)
        known = text in feed.words or text in feed.unused
        text = text if known else ""  # all that are not known are one, so that there are few
        action, opens = int(feed.words.get(text, 0)), text == feed.opening != ""
        if self._fills and text == feed.fill != "":
            action = int(_A.FILL)
        made = Word(venue, text, action, known, opens, text == feed.trade != "")
        return self._place(self.words, ("word", venue, text), made)

    def _place(self, each: list[Any], key: tuple[str, ...], made: Any) -> int:
        if key not in self._places:
            self._places[key] = len(each)
            each.append(made)
        return self._places[key]

    def _chunk(self, part: pa.RecordBatch, market: I4, word: I8, first: int) -> OrderChunk:
        words = [*self.words, Word("", "", 0, False, False, False)]  # the last: no word at all
        action = np.array([one.action for one in words], np.uint8)[word]
        opening = np.array([one.opens for one in words])[word]
        order_id, named = _order_ids(part["order_id"])
        (price, _), (qty, _) = floats(part, "price"), floats(part, "size")
        side = _sided(integers(part, "side")[0], action, order_id)
        ts_ns, real = times(part, "ts_ns")
        recv_ns, given = times(part, "recv_ns") if "recv_ns" in part.schema.names else (ts_ns, None)
        recv_ns = recv_ns if given is None else np.where(given, recv_ns, ts_ns)
        real = np.ones(ts_ns.size, np.bool_) if real is None else real
        newest = np.maximum.accumulate(np.where(real, recv_ns, LONG_AGO_NS))
        newest = np.maximum(newest, self._newest_ns)
        late = ~real | (recv_ns < newest)
        self._newest_ns = int(newest[-1]) if newest.size else self._newest_ns
        used = action > 0
        sound = _sound(action, price, qty)
        fault = np.zeros(word.size, np.uint8)
        for bad, why in (
            (late, BAD_TIME), (used & ~sound, BAD_VALUE), (used & (np.abs(side) != 1), BAD_SIDE),
            (used & ~named, BAD_ID), (~np.array([one.known for one in words])[word], BAD_WORD),
            (market < 0, NO_MARKET),
        ):  # fmt: skip
            fault[bad] = why
        number, counted = integers(part, "seq")
        number = number if counted is None else np.where(counted, number, -1)
        place = np.arange(first, first + word.size)
        rows = empty(MarketRows, word.size)._replace(
            seq=place, source_row=place, symbol=market, ts_event_ns=ts_ns, ts_recv_ns=recv_ns,
            side=np.clip(side, -1, 1).astype(np.int8), code=action, ref_id=order_id, price=price,
            qty=qty, venue_seq=np.where(opening, -1, number),
            flags=np.where(opening, np.uint8(Flag.SNAPSHOT), np.uint8(0)),
        )  # fmt: skip
        rows.kind[:] = Kind.BOOK
        return OrderChunk(rows, word, fault, np.zeros(word.size, np.int64))

    def _starts(self, rows: MarketRows) -> Mask:
        """Where a message begins: at each row, or where the packet, or what it opens, changes."""
        packets = np.array([ORDER_FEEDS[venue].packets for venue, _ in self.markets] + [False])
        opening = rows.flags & np.uint8(Flag.SNAPSHOT) != 0
        goes_on = packets[rows.symbol]
        for name in ("venue_seq", "ts_event_ns", "ts_recv_ns"):
            goes_on = goes_on & ~_changes(getattr(rows, name))
        goes_on |= opening  # the opening orders are one message, whatever their own times are
        return ~goes_on | _changes(opening) | _changes(rows.symbol)

    def _ended(self, chunk: OrderChunk, starts: I8) -> OrderChunk:
        """Number the messages, and flag the last row of each that the book has to see."""
        n = chunk.word.size
        message = np.zeros(n, np.int64)
        message[starts] = 1
        message = self._messages - 1 + np.cumsum(message)
        self._messages = int(message[-1]) + 1
        used = np.flatnonzero((chunk.rows.code > 0) & (chunk.fault == 0))
        last = np.ones(used.size, np.bool_)
        last[:-1] = message[used[1:]] != message[used[:-1]]
        flags = chunk.rows.flags.copy()
        flags[used[last]] |= np.uint8(Flag.MSG_LAST)
        return chunk._replace(rows=chunk.rows._replace(flags=flags), message=message)


def _order_ids(column: pa.Array) -> tuple[I8, Mask]:
    """Ids as numbers, and which of them are whole numbers."""
    if pt.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    good = pc.fill_null(pc.match_substring_regex(column, f"^[0-9]{{1,{_ID_DIGITS_MAX}}}$"), False)
    numbers = pc.if_else(good, column, pa.scalar("0", column.type)).cast(pa.int64())
    return numbers.to_numpy(zero_copy_only=False), good.to_numpy(zero_copy_only=False)


def _sided(side: I8, action: U1, order_id: I8) -> I8:
    """Sides, those of fills that have none (in auctions) from other rows about their orders."""
    without = np.flatnonzero((action == _A.FILL) & (side == 0))
    if not without.size:
        return side
    known = np.flatnonzero((action > 0) & (side != 0))
    of = dict(zip(order_id[known].tolist(), side[known].tolist(), strict=True))
    side = side.copy()
    side[without] = [of.get(order, 0) for order in order_id[without].tolist()]
    return side


def _sound(action: U1, price: F8, qty: F8) -> Mask:
    """Whether price and size can be an order's, as far as the action needs them."""
    placed = np.isin(action, [_A.ADD, _A.CHANGE])
    sized = placed | np.isin(action, [_A.REDUCE, _A.EXECUTE, _A.FILL])
    good = (price > 0) & np.isfinite(price) | ~placed
    good &= ((qty >= 0) & np.isfinite(qty)) | ~sized
    return np.asarray(good & ((qty > 0) | (action != _A.ADD)))


def _changes(column: NDArray[Any]) -> Mask:
    """Which values differ from the one before; the first does."""
    changes = np.ones(column.size, np.bool_)
    changes[1:] = column[1:] != column[:-1]
    return changes


def _cut(chunk: OrderChunk, where: slice) -> OrderChunk:
    rows, word, fault, message = chunk
    return OrderChunk(take(rows, where), word[where], fault[where], message[where])


def _joined(first: OrderChunk, second: OrderChunk) -> OrderChunk:
    return OrderChunk(
        concat([first.rows, second.rows]),
        np.concatenate([first.word, second.word]),
        np.concatenate([first.fault, second.fault]),
        np.concatenate([first.message, second.message]),
    )
