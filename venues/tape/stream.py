"""The rows of one tape in receive order, chunk by chunk.

Unvarying columns of a chunk are broadcast views (stride 0) of one value: cheap to carry through
the merge, which makes real arrays of them at its end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.instruments import InstrumentTable
from schemas.kinds import NO_ID, NO_SYMBOL, Flag, Kind
from schemas.reasons import Reason
from schemas.rows import I1, I8, U1, U2, MarketRows, dtypes
from venues.tape.columns import Mask, NameCodes, batches, booleans, floats, integers
from venues.tape.interest import own_units
from venues.tape.scan import Scan, times

LONG_AGO_NS = np.iinfo(np.int64).min
SECOND_NS = 1_000_000_000

# MarketRows column: tape column, per layout.
_FLOATS = {
    "trades": {"price": "price", "qty": "size"},
    "quotes": {"bid_px": "bid_px", "bid_qty": "bid_sz", "ask_px": "ask_px", "ask_qty": "ask_sz"},
    "book": {"price": "price", "qty": "size"},
    "bars": {"open": "open", "high": "high", "low": "low", "price": "close", "qty": "volume"},
    # A quote bar is known when it ends; what then stands is its closing quote.
    "quote_bars": {
        "bid_px": "bid_close", "bid_qty": "bid_sz", "ask_px": "ask_close", "ask_qty": "ask_sz",
    },
    "options": {"bid_px": "bid_px", "bid_qty": "bid_sz", "ask_px": "ask_px", "ask_qty": "ask_sz"},
    "futures_chain": {"bid_px": "bid_px", "ask_px": "ask_px"},
    "funding": {"price": "rate"},
    "open_interest": {"qty": "oi"},
    "mark_price": {"price": "mark_px", "ref": "index_px"},
}  # fmt: skip


@dataclass
class Clock:
    """What a stream remembers of its times from one chunk to the next."""

    event_ns: int  # last known
    raw_ns: int  # last known on the clock that orders
    top_ns: int = LONG_AGO_NS  # the latest so far
    firm_ns: int = LONG_AGO_NS  # the latest so far outside of book snapshots


class Timed(NamedTuple):
    """Times of one chunk, and what is wrong with them."""

    event_ns: I8
    recv_ns: I8  # never going back
    reason: U2


@dataclass(frozen=True)
class Stream:
    """One tape, or of a tape of bars those of one length.

    Bars are known at their end, so bars of several lengths in one file are several streams: each
    is in order where their mixture is not. `names` maps (venue, symbol) to the table's rows.

    Times: where every tape has receive times these order, else venue times plus `latency_ns`. A
    row without a usable time stands at its source's last known time. A row that goes back in time
    stands there too, with RECV_REGRESSED. Excepted are the changes of a book that arrive while its
    snapshot is still under way: they count as received with the snapshot, as a reader has to hold
    them back until then.
    """

    scan: Scan
    source: int
    table: InstrumentTable
    names: dict[tuple[str, str], int]
    interval_s: int | None
    use_recv: bool
    latency_ns: int

    def times(self) -> Iterator[I8]:
        """Receive times of every row, in order, for cutting: nothing else is read."""
        wanted = {"ts_ns", "recv_ns", "is_snapshot", "interval_s"}
        needed = {*self.scan.layout.columns, *self.scan.layout.optional} & wanted
        clock = self._clock()
        for batch in batches(self.scan.path, sorted(needed)):
            keep = self._keep(batch)
            timed = self._timed(batch, clock, keep)
            yield timed.recv_ns

    def chunks(self, start: int, stop: int) -> Iterator[MarketRows]:
        """Rows number `start` to `stop` of the stream, with the `source_row` of the file.

        A cut lies between two receive times, so never inside a message.
        """
        position = 0
        held: MarketRows | None = None  # until it is known whether its last message goes on
        for rows in self._all():
            first, last = max(start - position, 0), min(stop - position, rows.seq.size)
            if first < last:
                piece = MarketRows._make(column[first:last] for column in rows)
                if held is not None:
                    yield _end_of_messages(held, piece)
                held = piece
            position += rows.seq.size
            if position >= stop:
                break
        if held is not None:
            yield _end_of_messages(held, None)

    def _all(self) -> Iterator[MarketRows]:
        layout = self.scan.layout
        codes = NameCodes(lambda venue, symbol: self.names.get((venue, symbol), -1))
        lane = np.array([i.lane for i in self.table.instruments] + [0], np.int16)
        symbol = np.array([i.symbol for i in self.table.instruments] + [NO_SYMBOL], np.int32)
        clock, first_row = self._clock(), 0
        for batch in batches(self.scan.path, [*layout.columns, *layout.optional]):
            keep = self._keep(batch)
            row = np.arange(first_row, first_row + batch.num_rows)
            first_row += batch.num_rows
            timed = self._timed(batch, clock, keep)
            market = _kept(codes(batch), keep)  # -1, unknown, picks the last entry
            columns = self._values(batch, keep)
            if layout.kind == Kind.OPEN_INTEREST:
                columns["qty"] = columns["qty"] * own_units(batch, market, self.table)
            reason = np.where(market < 0, np.uint16(Reason.UNKNOWN_SYMBOL), np.uint16(0))
            for found in (timed.reason, columns.pop("reason")):
                reason = np.where(reason == 0, found, reason)
            yield _rows(
                row.size if keep is None else int(np.count_nonzero(keep)),
                columns
                | {
                    "lane": lane[market],
                    "symbol": symbol[market],
                    "ts_event_ns": timed.event_ns,
                    "ts_recv_ns": timed.recv_ns,
                    "reason": reason.astype(np.uint16),
                    "source_row": _kept(row, keep),
                    "source": np.int16(self.source),
                    "kind": np.uint8(layout.kind),
                },
            )

    def _values(self, batch: pa.RecordBatch, keep: Mask | None) -> dict[str, Any]:
        layout = self.scan.layout
        columns: dict[str, Any] = {"flags": np.uint8(Flag.MSG_LAST)}
        reason = np.zeros(batch.num_rows, np.uint16)
        for ours, theirs in _FLOATS[layout.name].items():
            columns[ours], nan = floats(batch, theirs)
            if nan is not None:
                reason[nan] = Reason.NOT_FINITE
        if "side" in layout.columns:
            columns["side"], bad = _side(batch)
            reason[bad & (reason == 0)] = Reason.BAD_SIDE
        if "interval_s" in layout.columns:
            seconds, _ = integers(batch, "interval_s")
            columns["ref"] = seconds.astype(np.float64)
            reason[(seconds <= 0) & (reason == 0)] = Reason.OUT_OF_RANGE
            if layout.kind == Kind.QUOTE:
                del columns["ref"]
        if "seq" in layout.optional:
            number, given = integers(batch, "seq")
            columns["venue_seq"] = number if given is None else np.where(given, number, -1)
        if "prev_seq" in layout.optional:
            number, given = integers(batch, "prev_seq")
            columns["ref_id"] = number if given is None else np.where(given, number, NO_ID)
        if "is_snapshot" in layout.columns:
            columns["flags"] = booleans(batch, "is_snapshot") * np.uint8(Flag.SNAPSHOT)
        columns["reason"] = reason
        return {name: _kept(column, keep) for name, column in columns.items()}

    def _clock(self) -> Clock:
        shift = (self.interval_s or 0) * SECOND_NS
        event_ns = (self.scan.first_ts_ns or 0) + shift
        raw_ns = (self.scan.first_recv_ns or 0) if self.use_recv else event_ns
        return Clock(event_ns=event_ns, raw_ns=raw_ns)

    def _keep(self, batch: pa.RecordBatch) -> Mask | None:
        """Which rows of the file are in this stream; None for all."""
        if self.interval_s is None or len(self.scan.intervals_s) == 1:
            return None
        return np.asarray(integers(batch, "interval_s")[0] == self.interval_s)

    def _timed(self, batch: pa.RecordBatch, clock: Clock, keep: Mask | None) -> Timed:
        ts, real = times(batch, "ts_ns")
        given = integers(batch, "ts_ns")[1] if real is not None else None
        reason = np.zeros(ts.size, np.uint16)
        if real is not None:
            reason[~real] = Reason.OUT_OF_RANGE
            if given is not None:
                reason[~given] = Reason.NULL_TIME
        event, reason = _kept(ts, keep), _kept(reason, keep)
        real = None if real is None else _kept(real, keep)
        if self.interval_s:
            event = event + self.interval_s * SECOND_NS
        event = _filled(event, real, clock.event_ns)
        raw, snapshot = event, None
        if self.use_recv:
            recv, recv_real = times(batch, "recv_ns")
            recv_real = None if recv_real is None else _kept(recv_real, keep)
            raw = _filled(_kept(recv, keep), recv_real, clock.raw_ns)
        if "is_snapshot" in self.scan.layout.columns:
            snapshot = _kept(booleans(batch, "is_snapshot"), keep)
        if not event.size:
            return Timed(event, raw, reason)
        clock.event_ns, clock.raw_ns = int(event[-1]), int(raw[-1])
        top = np.maximum.accumulate(np.maximum(raw, clock.top_ns))
        firm = raw if snapshot is None else np.where(snapshot, LONG_AGO_NS, raw)
        firm = np.maximum.accumulate(np.maximum(firm, clock.firm_ns))
        back = raw < firm if snapshot is None else (raw < firm) & ~snapshot
        reason[back & (reason == 0)] = Reason.RECV_REGRESSED
        clock.top_ns, clock.firm_ns = int(top[-1]), int(firm[-1])
        return Timed(event, top if self.use_recv else top + self.latency_ns, reason)


def _kept(column: Any, keep: Mask | None) -> Any:
    return column if keep is None or np.ndim(column) == 0 else column[keep]


def _filled(values: I8, real: Mask | None, before: int) -> I8:
    """Values that are not real replaced by the last one that is."""
    if real is None or real.all():
        return values
    last = np.maximum.accumulate(np.where(real, np.arange(values.size), -1))
    return np.where(last >= 0, values[last], before)


def _side(batch: pa.RecordBatch) -> tuple[I1, Mask]:
    side, given = integers(batch, "side")
    bad = (side < -1) | (side > 1)
    bad = bad if given is None else bad | ~given
    return np.where(bad, 0, side).astype(np.int8), bad


def _blank(dtype: np.dtype[Any]) -> Any:
    return dtype.type(np.nan if dtype.kind == "f" else 0)


_BLANK = {name: _blank(dtype) for name, dtype in dtypes(MarketRows).items()}
_BLANK |= {"ref_id": np.int64(NO_ID), "venue_seq": np.int64(-1)}


def _rows(n: int, columns: dict[str, Any]) -> MarketRows:
    given = ((name, columns.get(name, blank)) for name, blank in _BLANK.items())
    return MarketRows(
        **{name: np.broadcast_to(c, (n,)) if np.ndim(c) == 0 else c for name, c in given}
    )


def _end_of_messages(rows: MarketRows, following: MarketRows | None) -> MarketRows:
    """Flag the last row of each message of a book; rows of other kinds are messages of their own.

    A message is a run of rows of one market, venue number, times and snapshot flag.
    """
    if int(rows.kind[0]) != Kind.BOOK:
        return rows
    last: NDArray[np.bool_] = np.zeros(rows.seq.size, np.bool_)
    last[-1] = following is None
    snapshot = rows.flags & np.uint8(Flag.SNAPSHOT)
    for name in ("venue_seq", "ts_event_ns", "ts_recv_ns", "lane", "symbol"):
        column = getattr(rows, name)
        last[:-1] |= column[1:] != column[:-1]
        if following is not None:
            last[-1] |= getattr(following, name)[0] != column[-1]
    last[:-1] |= snapshot[1:] != snapshot[:-1]
    if following is not None:
        last[-1] |= (following.flags[0] & np.uint8(Flag.SNAPSHOT)) != snapshot[-1]
    flags: U1 = snapshot | last * np.uint8(Flag.MSG_LAST)
    return rows._replace(flags=flags)
