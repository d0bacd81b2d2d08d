"""What state each book is in: events of its feed in, a row for each change of state out."""

from typing import NamedTuple

import numpy as np

from operators.arrays import I2, I4, I8, U1, U2, ArrayOperator, kernel
from operators.market.books.l2 import BookTopRows
from operators.market.books.words import BookEvent, BookReason, BookState
from operators.records import Records, blank_records
from schemas.instruments import InstrumentArrays
from schemas.kinds import Flag, Kind
from schemas.rows import MarketRows, concat, empty, take

S, E = BookState, BookEvent

# What an event makes of a state; it stays where nothing is written. SYNCED is UNPROVABLE on a feed
# without proof. A message ends STALE because a feed that skipped some says GAP with it, and one
# without proof was never better than UNPROVABLE.
NEXT: dict[BookState, dict[BookEvent, BookState]] = {
    S.NONE: {E.SNAPSHOT: S.SYNCED, E.RESYNC: S.RESYNC, E.HALT: S.HALTED},
    S.SYNCED: {
        E.GAP: S.GAP, E.CHECKSUM_FAIL: S.CHECKSUM_FAIL, E.CROSSED: S.CROSSED, E.STALE: S.STALE,
        E.RESYNC: S.RESYNC, E.HALT: S.HALTED,
    },
    S.GAP: {E.SNAPSHOT: S.SYNCED, E.RESYNC: S.RESYNC, E.HALT: S.HALTED},
    S.RESYNC: {E.SNAPSHOT: S.SYNCED, E.HALT: S.HALTED},
    S.CHECKSUM_FAIL: {E.SNAPSHOT: S.SYNCED, E.RESYNC: S.RESYNC, E.HALT: S.HALTED},
    S.CROSSED: {
        E.SNAPSHOT: S.SYNCED, E.MESSAGE: S.SYNCED, E.GAP: S.GAP, E.CHECKSUM_FAIL: S.CHECKSUM_FAIL,
        E.STALE: S.STALE, E.RESYNC: S.RESYNC, E.HALT: S.HALTED,
    },
    S.STALE: {
        E.SNAPSHOT: S.SYNCED, E.MESSAGE: S.SYNCED, E.ALIVE: S.SYNCED, E.GAP: S.GAP,
        E.CHECKSUM_FAIL: S.CHECKSUM_FAIL, E.CROSSED: S.CROSSED, E.RESYNC: S.RESYNC,
        E.HALT: S.HALTED,
    },
    S.HALTED: {E.RESUME: S.RESYNC},
}  # fmt: skip
NEXT[S.UNPROVABLE] = NEXT[S.SYNCED]
# fmt: off
REASON = {  # of an event that brings none
    E.GAP: BookReason.SEQUENCE_GAP, E.CHECKSUM_FAIL: BookReason.CHECKSUM,
    E.CROSSED: BookReason.CROSSED, E.STALE: BookReason.STALE, E.RESYNC: BookReason.NO_SNAPSHOT,
    E.HALT: BookReason.OPERATOR, E.RESUME: BookReason.OPERATOR,
}
# fmt: on
STATUS_FIELDS = {
    "state": "<i8",
    "epoch": "<i8",  # snapshots taken so far
    "due_ns": "<i8",  # STALE after this; NEVER while the book is of no use anyway
}
NEVER_NS = np.iinfo(np.int64).max

_EVENTS = len(BookEvent)
_SYNCED, _UNPROVABLE, _HALTED = int(S.SYNCED), int(S.UNPROVABLE), int(S.HALTED)
_STALE, _CROSSED_STATE = int(S.STALE), int(S.CROSSED)
_SNAPSHOT, _MESSAGE, _ALIVE = int(E.SNAPSHOT), int(E.MESSAGE), int(E.ALIVE)
_GOES_STALE, _CROSSED = int(E.STALE), int(E.CROSSED)
NEXT_TABLE = np.array([[NEXT[s].get(e, s) for e in E] for s in S], np.int64)  # for kernels
REASON_TABLE = np.array([REASON.get(e, BookReason.OK) for e in E], np.int64)
_AT, _MADE = 0, 1  # a cursor: the next row, rows made so far


class BookEventRows(NamedTuple):
    """What happened to books, in the order of our clock."""

    lane: I2
    symbol: I4  # NO_SYMBOL: nothing happened but that time went on
    ts_event_ns: I8
    ts_recv_ns: I8
    event: U1  # BookEvent
    reason: U2  # BookReason; OK for the event's own


class BookStatusRows(NamedTuple):
    """A book changed its state, or took another snapshot."""

    lane: I2
    symbol: I4
    ts_event_ns: I8
    ts_recv_ns: I8
    state: U1  # BookState
    before: U1  # BookState
    reason: U2  # BookReason, OK where it is synced
    epoch: I8


class StatusState(NamedTuple):
    """Each book's state, and when the next may go stale."""

    of: Records  # (instruments,) STATUS_FIELDS
    next_ns: I8  # (1,) no book goes stale before


class BookStatus(ArrayOperator[StatusState]):
    """The state machine of each book; its table is NEXT.

    Parameters
    ----------
    instruments : InstrumentArrays
    provable : U1, shape (instruments,)
        1 where the feed can prove that nothing is missing: by sequence or checksum.
    fresh_ns : I8, shape (instruments,), > 0
        Silence after which a book is stale.

    Notes
    -----
    In: BookEventRows. Out: BookStatusRows, none where nothing changed. A row of any symbol moves
    the clock, `ts_recv_ns`: books that went stale meanwhile come first, in table order, with the
    row's times. Rows of unknown symbols move the clock only.
    Chunks: any split gives the same bytes. State: 24 bytes per instrument.
    Errors: ValueError for a budget that is not positive, or arrays of another length.
    """

    def __init__(self, instruments: InstrumentArrays, *, provable: U1, fresh_ns: I8) -> None:
        n = instruments.lane.size
        if provable.size != n or fresh_ns.size != n:
            raise ValueError(
                f"provable and fresh_ns must have {n} entries, one for each instrument, "
                f"not {provable.size} and {fresh_ns.size}"
            )
        if (fresh_ns <= 0).any():
            raise ValueError(f"fresh_ns must be positive, was {fresh_ns.min()}")
        self._instruments = instruments.base, instruments.n_of_lane
        self._of = instruments.lane, instruments.symbol
        self._provable, self._fresh_ns = provable, fresh_ns

    def initial(self) -> StatusState:
        of = blank_records(STATUS_FIELDS, self._fresh_ns.size)
        of.due_ns[:] = NEVER_NS
        return StatusState(of, np.full(1, NEVER_NS, np.int64))

    def step(self, state: StatusState, rows: BookEventRows) -> tuple[StatusState, BookStatusRows]:
        known = _Known(*self._instruments, *self._of, self._provable, self._fresh_ns)
        parts: list[BookStatusRows] = []
        cursor = np.zeros(2, np.int64)
        while cursor[_AT] < rows.lane.size or not parts:
            out = empty(BookStatusRows, rows.lane.size + self._fresh_ns.size + 1)
            cursor[_MADE] = 0
            _fold(known, NEXT_TABLE, REASON_TABLE, state, rows, cursor, out)
            parts.append(take(out, slice(0, int(cursor[_MADE]))))
        return state, concat(parts)


class _Known(NamedTuple):
    base: I4
    n_of_lane: I4
    lane: I2
    symbol: I4
    provable: U1
    fresh_ns: I8


def events_of(rows: BookTopRows) -> BookEventRows:
    """What the tops of books say: snapshots, messages, gaps, and crossed books."""
    event = np.select(
        [rows.synced == 0, rows.snapshot == 1, rows.crossed == 1],
        [int(E.GAP), _SNAPSHOT, _CROSSED],
        default=_MESSAGE,
    ).astype(np.uint8)
    crossed = (rows.snapshot == 1) & (rows.crossed == 1)  # a crossed snapshot is two events
    at = np.repeat(np.arange(event.size), 1 + crossed)
    event = event[at]
    event[1:][at[1:] == at[:-1]] = _CROSSED
    return BookEventRows(
        rows.lane[at], rows.symbol[at], rows.ts_event_ns[at], rows.ts_recv_ns[at], event,
        rows.reason[at],
    )  # fmt: skip


def to_market(rows: BookStatusRows) -> MarketRows:
    """Status rows as they stand on the log: `code` is the BookState, `ref_id` the epoch."""
    out = empty(MarketRows, rows.lane.size)
    out.kind[:], out.flags[:] = Kind.BOOK_STATUS, Flag.MSG_LAST
    out.venue_seq[:] = out.source[:] = out.source_row[:] = -1
    return out._replace(
        lane=rows.lane, symbol=rows.symbol, ts_event_ns=rows.ts_event_ns,
        ts_recv_ns=rows.ts_recv_ns, code=rows.state, reason=rows.reason, ref_id=rows.epoch,
    )  # fmt: skip


@kernel
def next_state(table: I8, before: int, event: int, provable: bool) -> int:
    """What an event makes of a state, by NEXT_TABLE."""
    after = table[before, event]
    return _UNPROVABLE if after == _SYNCED and not provable else after


@kernel
def _fold(
    known: _Known,
    table: I8,
    reasons: I8,
    state: StatusState,
    rows: BookEventRows,
    cursor: I8,
    out: BookStatusRows,
) -> None:
    """Take rows until there may be no room for what the next one makes."""
    for i in range(cursor[_AT], rows.lane.size):
        if cursor[_MADE] + state.of.size + 1 > out.lane.size:
            cursor[_AT] = i
            return
        now_ns, lane, symbol = rows.ts_recv_ns[i], rows.lane[i], rows.symbol[i]
        if now_ns > state.next_ns[0]:
            _expire(known, table, reasons, state, rows, i, cursor, out)
        if not 0 <= lane < known.base.size or not 0 <= symbol < known.n_of_lane[lane]:
            continue
        if rows.event[i] >= table.shape[1]:
            continue
        k = known.base[lane] + symbol
        book, event = state.of[k], int(rows.event[i])
        if event in (_MESSAGE, _ALIVE, _SNAPSHOT, _CROSSED):
            book.due_ns = now_ns + known.fresh_ns[k]
        _happen(known, table, reasons, state, k, event, rows.reason[i], rows, i, cursor, out)
        if book.due_ns < state.next_ns[0]:
            state.next_ns[0] = book.due_ns
    cursor[_AT] = rows.lane.size


@kernel
def _expire(
    known: _Known,
    table: I8,
    reasons: I8,
    state: StatusState,
    rows: BookEventRows,
    i: int,
    cursor: I8,
    out: BookStatusRows,
) -> None:
    """Books that have been silent for too long."""
    state.next_ns[0] = NEVER_NS
    for k in range(state.of.size):
        book = state.of[k]
        if rows.ts_recv_ns[i] > book.due_ns:
            book.due_ns = NEVER_NS
            _happen(known, table, reasons, state, k, _GOES_STALE, 0, rows, i, cursor, out)
        state.next_ns[0] = min(state.next_ns[0], book.due_ns)


@kernel
def _happen(
    known: _Known,
    table: I8,
    reasons: I8,
    state: StatusState,
    k: int,
    event: int,
    reason: int,
    rows: BookEventRows,
    i: int,
    cursor: I8,
    out: BookStatusRows,
) -> None:
    """One event of one book."""
    book, before = state.of[k], state.of[k].state
    after = next_state(table, before, event, known.provable[k] != 0)
    snapshot = event == _SNAPSHOT and before != _HALTED
    if after == before and not snapshot:
        return
    book.state = after
    book.epoch += 1 if snapshot else 0
    m = cursor[_MADE]
    cursor[_MADE] += 1
    out.lane[m], out.symbol[m] = known.lane[k], known.symbol[k]
    out.ts_event_ns[m], out.ts_recv_ns[m] = rows.ts_event_ns[i], rows.ts_recv_ns[i]
    out.state[m], out.before[m], out.epoch[m] = after, before, book.epoch
    if after != _SYNCED and after != _UNPROVABLE:
        out.reason[m] = reason if reason != 0 else reasons[event]
