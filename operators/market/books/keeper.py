"""What becomes of each book while its rows enter the log: the states that ingest writes."""

from typing import NamedTuple

import numpy as np

from operators.arrays import F8, I1, I2, I4, I8, U1, U2, kernel
from operators.market.books.l2 import LEVELS_MAX, L2Books, carries_on, lose, take_level
from operators.market.books.l2_state import BookTerms, L2State, best
from operators.market.books.sides import ASK, BID, is_tight
from operators.market.books.status import NEVER_NS, NEXT_TABLE, REASON_TABLE, next_state
from operators.market.books.words import BookEvent, BookReason, BookState
from operators.records import Record, Records, blank_records
from schemas.expectations import TIME_MAX_NS as _TIME_MAX_NS
from schemas.instruments import InstrumentArrays
from schemas.kinds import Flag, Kind
from schemas.reasons import Reason
from schemas.rows import MarketRows, empty

BOOK_FIELDS = {
    "state": "<i8",  # BookState, as the log has it
    "epoch": "<i8",  # snapshots taken so far
    "due_ns": "<i8",  # STALE after this; NEVER where nothing is to be expected
    "last": "<i8",  # number of the last message taken, -1 where it had none
    "fresh": "<i8",  # 1: that was a snapshot
    "unproven": "<i8",  # 1: a message came that did not say which one it follows
    "late": "<i8",  # 1: inside a message that the book has already
    "late_number": "<i8",  # of that message
    "evicted": "<i8",  # levels dropped for want of room, as far as told
}
LANE_FIELDS = {
    "next_ns": "<i8",  # no book of the lane goes stale before
    "inside": "<i8",  # 1: inside a message of a book, where no row of ours may stand
}
MADE_FIELDS = {
    "at": "<i8",  # stands before this row, or behind the last for their number
    "row": "<i8",  # whose times it has
    "k": "<i8",  # the instrument
    "state": "<i8",
    "reason": "<i8",
    "epoch": "<i8",
    "evicted": "<i8",  # levels, -1 where that is not the news
}

_BOOK, _STATUS = int(Kind.BOOK), int(Kind.BOOK_STATUS)
_LAST, _SNAPSHOT_FLAG = int(Flag.MSG_LAST), int(Flag.SNAPSHOT)
_OK, _SUPERSEDED = int(Reason.OK), int(Reason.SUPERSEDED)
_NONE, _SYNCED, _GAP_STATE = int(BookState.NONE), int(BookState.SYNCED), int(BookState.GAP)
_RESYNC_STATE, _CHECKSUM_STATE = int(BookState.RESYNC), int(BookState.CHECKSUM_FAIL)
_CROSSED_STATE = int(BookState.CROSSED)
_HALTED, _UNPROVABLE = int(BookState.HALTED), int(BookState.UNPROVABLE)
_SNAPSHOT, _MESSAGE = int(BookEvent.SNAPSHOT), int(BookEvent.MESSAGE)
_GAP, _CROSSED = int(BookEvent.GAP), int(BookEvent.CROSSED)
_STALE, _RESYNC = int(BookEvent.STALE), int(BookEvent.RESYNC)
_UNFINISHED, _BAD_ROW = int(BookReason.UNFINISHED), int(BookReason.BAD_ROW)
_SEQUENCE_GAP, _EVICTED = int(BookReason.SEQUENCE_GAP), int(BookReason.EVICTED)
_AT, _MADE, _TIGHT = 0, 1, 2  # a cursor: the next row, rows made, the side that needs room
_TAKE, _PASS, _BREAK = 0, 1, 2  # what a message is: the next one, known already, after a lost one
_ROW_MAKES = 5  # status rows at most, besides one for each book of the lane that goes stale


class KeeperState(NamedTuple):
    """The books, and what the log says of them."""

    l2: L2State
    books: Records  # (instruments,) BOOK_FIELDS
    lanes: Records  # (lanes,) LANE_FIELDS


class BookFeeds(NamedTuple):
    """What the feed of each instrument says of its book."""

    terms: BookTerms
    provable: U1  # (instruments,) 1 where messages can prove that none is missing
    fresh_ns: I8  # (instruments,) silence after which a book is stale
    told: bool  # the feed brings BOOK_STATUS rows of its own, and asks for snapshots
    bare: U1 | None = None  # (instruments,) 1 where it has quotes only; None: it has books

    @classmethod
    def silent(cls, instruments: int) -> "BookFeeds":
        """Of feeds that nobody asks."""
        one = np.ones(instruments, np.int64)
        return cls(BookTerms.full(instruments), one.astype(np.uint8), one, told=True)


class Kept(NamedTuple):
    """What the keeper found in some rows."""

    reason: U2  # (n,) why a row may not enter the log: the gate's word, or SUPERSEDED
    code: U1  # (n,) as they came, but GAP for a good word about a book that was lost here
    why: U2  # (n,) as `reason` came with the rows, and the reason for such a GAP
    made: Records  # (m,) MADE_FIELDS, in order
    lost: I8  # instruments whose feed does not know that it has to bring a snapshot


class BookKeeper:
    """Keeps every book while its rows enter the log, and says in which state it is.

    Parameters
    ----------
    instruments : InstrumentArrays
    feeds : BookFeeds
    levels_max : int
        As for `L2Books`.

    Notes
    -----
    Messages: `venue_seq` is the number of a message, `ref_id` that of the one it follows. Where it
    is another than the last one's, a message is missing: the book is gapped before it. A message
    whose number the book has, or that is older, is SUPERSEDED, all its rows. Right after a
    snapshot a change may overlap it. Messages without predecessor prove nothing: UNPROVABLE.
    Rows that were refused gap their book at once; a refused row of a superseded message does not.
    A book without its first snapshot says RESYNC with its first message.
    Silence: a book is stale from the first row of its own lane beyond `fresh_ns`; a lane without
    rows decides nothing, so nobody misses it.
    Told: where the feed brings states itself these are taken over, and ours are added where we
    know of a loss that it cannot see: `lost` then asks for a snapshot. A good word about a book
    that is not whole here is written as GAP, but where the feed has quotes only.
    Orders: of a book that comes order by order the messages are kept, and no levels: that it is
    crossed its feed has to say.
    Place: a loss stands before the message that shows it, as no one may use that one; everything
    else behind. Never inside a message.
    """

    def __init__(
        self, instruments: InstrumentArrays, feeds: BookFeeds, *, levels_max: int = LEVELS_MAX
    ) -> None:
        n = instruments.lane.size
        if feeds.provable.size != n or feeds.fresh_ns.size != n:
            raise ValueError(
                f"provable and fresh_ns must have {n} entries, one for each instrument, "
                f"not {feeds.provable.size} and {feeds.fresh_ns.size}"
            )
        if (feeds.fresh_ns <= 0).any():
            raise ValueError(f"fresh_ns must be positive, was {feeds.fresh_ns.min()}")
        self._l2 = L2Books(instruments, feeds.terms, levels_max=levels_max)
        self._known = _Known(
            instruments.base, instruments.n_of_lane, feeds.provable, feeds.fresh_ns, feeds.terms,
            levels_max, feeds.told, np.zeros(n, np.uint8) if feeds.bare is None else feeds.bare,
        )  # fmt: skip
        self._spare = int(instruments.n_of_lane.max(initial=0)) + _ROW_MAKES

    def initial(self) -> KeeperState:
        known = self._known
        books = blank_records(BOOK_FIELDS, known.provable.size)
        books.due_ns[:], books.last[:] = NEVER_NS, -1
        lanes = blank_records(LANE_FIELDS, known.base.size)
        lanes.next_ns[:] = NEVER_NS
        return KeeperState(self._l2.initial(), books, lanes)

    def keep(self, state: KeeperState, rows: MarketRows, reason: U2) -> tuple[KeeperState, Kept]:
        """Take rows as the gate judged them: `reason` is OK where it let them pass."""
        out = _Words(
            reason.copy(), rows.code.copy(), rows.reason.copy(), np.zeros_like(self._known.provable)
        )
        columns = _Rows(
            rows.kind, rows.flags, rows.lane, rows.symbol, rows.side, rows.price, rows.qty,
            rows.venue_seq, rows.ref_id, rows.source, rows.source_row, rows.ts_recv_ns, rows.code,
            rows.reason,
        )  # fmt: skip
        parts: list[Records] = []
        cursor = np.zeros(3, np.int64)
        made = blank_records(MADE_FIELDS, rows.seq.size + self._spare)
        while cursor[_AT] < rows.seq.size:
            _fold(self._known, NEXT_TABLE, REASON_TABLE, state, columns, out, cursor, made)
            if cursor[_TIGHT] >= 0:
                state = state._replace(l2=self._l2.roomier(state.l2, int(cursor[_TIGHT])))
            elif cursor[_AT] < rows.seq.size:
                parts.append(made[: cursor[_MADE]])
                made, cursor[_MADE] = blank_records(MADE_FIELDS, made.size), 0
        parts.append(made[: cursor[_MADE]])
        all_made = parts[0] if len(parts) == 1 else np.concatenate(parts).view(np.recarray)
        return state, Kept(*out[:3], all_made, np.flatnonzero(out.lost))


def status_rows(made: Records, rows: MarketRows, instruments: InstrumentArrays) -> MarketRows:
    """The rows that the keeper made, as they stand on the log.

    `code` is the BookState, `reason` a BookReason, `ref_id` the epoch, and `qty` the levels
    evicted so far where that is the news. `seq`, as the times, is that of the row that caused it.
    """
    out = empty(MarketRows, made.size)
    out.kind[:], out.flags[:] = _STATUS, _LAST
    out.venue_seq[:] = out.source[:] = out.source_row[:] = -1
    out.lane[:], out.symbol[:] = instruments.lane[made.k], instruments.symbol[made.k]
    out.seq[:], out.ts_recv_ns[:] = rows.seq[made.row], rows.ts_recv_ns[made.row]
    out.ts_event_ns[:] = rows.ts_event_ns[made.row]
    out.code[:], out.reason[:], out.ref_id[:] = made.state, made.reason, made.epoch
    out.qty[:] = np.where(made.evicted < 0, np.nan, made.evicted)
    return out


class _Known(NamedTuple):
    base: I4
    n_of_lane: I4
    provable: U1
    fresh_ns: I8
    terms: BookTerms
    levels_max: int
    told: bool
    bare: U1


class _Rows(NamedTuple):
    """The columns of MarketRows that the keeper reads."""

    kind: U1
    flags: U1
    lane: I2
    symbol: I4
    side: I1
    price: F8
    qty: F8
    venue_seq: I8
    ref_id: I8
    source: I2
    source_row: I8
    ts_recv_ns: I8
    code: U1
    reason: U2


class _Words(NamedTuple):
    """What the keeper changes of the rows, as in `Kept`; `lost` is 1 per instrument."""

    reason: U2
    code: U1
    why: U2
    lost: U1


@kernel
def _fold(
    known: _Known,
    table: I8,
    reasons: I8,
    state: KeeperState,
    rows: _Rows,
    out: _Words,
    cursor: I8,
    made: Records,
) -> None:
    """Take rows until one needs room: a side of a book, or what it may make."""
    spare = made.size - _ROW_MAKES
    cursor[_TIGHT] = -1
    for i in range(cursor[_AT], rows.kind.size):
        kind, lane, symbol = rows.kind[i], rows.lane[i], rows.symbol[i]
        if not 0 <= lane < known.base.size or not 0 <= symbol < known.n_of_lane[lane]:
            continue
        k = known.base[lane] + symbol
        if cursor[_MADE] + known.n_of_lane[lane] > spare:
            cursor[_AT] = i
            return
        if out.reason[i] != _OK:
            if kind == _BOOK:
                _refused(known, table, state, rows, i, k, out, cursor, made)
            continue
        if kind != _BOOK:
            state.lanes[lane].inside = 0  # a message has no hole: its end will not come
        else:
            s = 2 * k + (BID if rows.side[i] > 0 else ASK)
            if is_tight(state.l2.sides[s], known.levels_max):
                cursor[_AT], cursor[_TIGHT] = i, s
                return
        if rows.ts_recv_ns[i] > state.lanes[lane].next_ns and not state.lanes[lane].inside:
            _expire(known, table, reasons, state, rows, i, cursor, made)
        if kind == _STATUS:
            _take_over(known, state, rows, i, k, out)
        elif kind == _BOOK:
            _take_row(known, table, reasons, state, rows, i, k, out, cursor, made)
    cursor[_AT] = rows.kind.size


@kernel
def _refused(
    known: _Known,
    table: I8,
    state: KeeperState,
    rows: _Rows,
    i: int,
    k: int,
    out: _Words,
    cursor: I8,
    made: Records,
) -> None:
    """A row of a book that the gate did not let pass takes its message, and so the book, along."""
    mine, book = state.books[k], state.l2.books[k]
    if not known.told and not book.open:
        loading = rows.flags[i] & _SNAPSHOT_FLAG != 0
        if _is_old(mine, book, rows.venue_seq[i], _follows(rows, i), loading):
            return
    state.lanes[rows.lane[i]].inside = 0
    lose(book, _BAD_ROW)
    if 0 <= rows.ts_recv_ns[i] <= _TIME_MAX_NS:  # else its next message says so
        _lost(known, table, state, k, _BAD_ROW, i, i + 1, out, cursor, made)


@kernel
def _expire(
    known: _Known,
    table: I8,
    reasons: I8,
    state: KeeperState,
    rows: _Rows,
    i: int,
    cursor: I8,
    made: Records,
) -> None:
    """Books of the row's lane that have been silent for too long."""
    lane, now_ns = rows.lane[i], rows.ts_recv_ns[i]
    next_ns = NEVER_NS
    for k in range(known.base[lane], known.base[lane] + known.n_of_lane[lane]):
        mine = state.books[k]
        if now_ns > mine.due_ns:
            mine.due_ns = NEVER_NS
            _happen(known, table, state, k, _STALE, reasons[_STALE], i, i, cursor, made)
        next_ns = min(next_ns, mine.due_ns)
    state.lanes[lane].next_ns = next_ns


@kernel
def _take_over(known: _Known, state: KeeperState, rows: _Rows, i: int, k: int, out: _Words) -> None:
    """The feed says in which state a book is."""
    mine, book, said = state.books[k], state.l2.books[k], int(rows.code[i])
    if said in (_GAP_STATE, _RESYNC_STATE, _CHECKSUM_STATE, _HALTED):
        lose(book, rows.reason[i])
    elif said in (_SYNCED, _UNPROVABLE) and not book.synced and not known.bare[k]:
        said = _GAP_STATE
        out.code[i] = said
        if rows.reason[i] == 0:  # else it tells of something else beside the state
            out.why[i], out.lost[k] = book.reason, 1
    mine.state, mine.epoch = said, rows.ref_id[i]


@kernel
def _take_row(
    known: _Known,
    table: I8,
    reasons: I8,
    state: KeeperState,
    rows: _Rows,
    i: int,
    k: int,
    out: _Words,
    cursor: I8,
    made: Records,
) -> None:
    """A row of a book that the gate let pass."""
    mine, book = state.books[k], state.l2.books[k]
    number, follows = rows.venue_seq[i], _follows(rows, i)
    loading = rows.flags[i] & _SNAPSHOT_FLAG != 0
    ends = rows.flags[i] & _LAST != 0
    if mine.late and number == mine.late_number:
        out.reason[i], mine.late = _SUPERSEDED, 0 if ends else 1
        return
    mine.late = 0
    if not (book.open and carries_on(book, loading, number, rows.source[i], rows.source_row[i])):
        if book.open:
            lose(book, _UNFINISHED)
            _lost(known, table, state, k, _UNFINISHED, i, i, out, cursor, made)
        if not known.told:
            found = _judge(mine, book, number, follows, loading)
            if found == _PASS:
                out.reason[i], mine.late, mine.late_number = _SUPERSEDED, 0 if ends else 1, number
                return
            if found == _BREAK:
                lose(book, _SEQUENCE_GAP)
                _lost(known, table, state, k, _SEQUENCE_GAP, i, i, out, cursor, made)
    qty = rows.qty[i] if rows.code[i] == 0 else 0.0  # of a single order: its message, no level
    take_level(
        state.l2, known.terms, known.levels_max, k, rows.flags[i], rows.side[i], rows.price[i],
        qty, number, rows.source[i], rows.source_row[i],
    )  # fmt: skip
    state.lanes[rows.lane[i]].inside = 0 if ends else 1
    if ends:
        _end(known, table, reasons, state, rows, i, k, loading, out, cursor, made)


@kernel
def _end(
    known: _Known,
    table: I8,
    reasons: I8,
    state: KeeperState,
    rows: _Rows,
    i: int,
    k: int,
    loading: bool,
    out: _Words,
    cursor: I8,
    made: Records,
) -> None:
    """A message is whole."""
    mine, book = state.books[k], state.l2.books[k]
    if not book.synced:
        _lost(known, table, state, k, book.reason, i, i + 1, out, cursor, made)
        return
    mine.last, mine.fresh = rows.venue_seq[i], 1 if loading else 0
    if not known.told:
        if (rows.venue_seq[i] if loading else _follows(rows, i)) < 0:
            mine.unproven = 1
        bid, _ = best(state.l2, 2 * k + BID)
        ask, _ = best(state.l2, 2 * k + ASK)
        if loading and bid >= ask and mine.state == _CROSSED_STATE:
            mine.epoch += 1  # a further snapshot, as crossed: one incident, not one a message
        elif loading:
            _happen(known, table, state, k, _SNAPSHOT, 0, i, i + 1, cursor, made)
        if bid >= ask:
            _happen(known, table, state, k, _CROSSED, reasons[_CROSSED], i, i + 1, cursor, made)
        elif not loading:
            _happen(known, table, state, k, _MESSAGE, 0, i, i + 1, cursor, made)
        mine.due_ns = rows.ts_recv_ns[i] + known.fresh_ns[k]
        lane = state.lanes[rows.lane[i]]
        lane.next_ns = min(lane.next_ns, mine.due_ns)
    evicted = state.l2.sides[2 * k + BID].evicted + state.l2.sides[2 * k + ASK].evicted
    if evicted >= max(1, 2 * mine.evicted):  # told at 1, 2, 4, ...
        mine.evicted = evicted
        _make(state, k, mine.state, _EVICTED, i, i + 1, cursor, made)
        made[cursor[_MADE] - 1].evicted = evicted


@kernel
def _judge(mine: Record, book: Record, number: int, follows: int, loading: bool) -> int:
    """What a message is to its book; `venues.frames.sequence.judge` for messages of a log."""
    if _is_old(mine, book, number, follows, loading):
        return _PASS
    if loading or not book.synced or follows < 0 or follows == mine.last:
        return _TAKE
    if follows < mine.last and mine.fresh:  # quantities are absolute: an overlap does no harm
        return _TAKE
    return _BREAK


@kernel
def _is_old(mine: Record, book: Record, number: int, follows: int, loading: bool) -> bool:
    """Whether the book contains a change. A snapshot is none: it is taken, and the next change
    shows whether it was too old.
    """
    if loading or not book.synced or number < 0:
        return False
    if number == mine.last:  # two changes of one number are fine where numbers only order
        return bool(follows >= 0 or mine.fresh)
    return bool(number < mine.last)


@kernel
def _follows(rows: _Rows, i: int) -> int:
    """The number of the message before a row's own, negative where the row does not say."""
    return int(rows.ref_id[i]) if rows.code[i] == 0 else -1


@kernel
def _lost(
    known: _Known,
    table: I8,
    state: KeeperState,
    k: int,
    reason: int,
    i: int,
    at: int,
    out: _Words,
    cursor: I8,
    made: Records,
) -> None:
    """A change is missing in book `k`."""
    if state.books[k].state == _NONE:
        _happen(known, table, state, k, _RESYNC, reason, i, at, cursor, made)
        return
    n = cursor[_MADE]
    _happen(known, table, state, k, _GAP, reason, i, at, cursor, made)
    if known.told and cursor[_MADE] > n:  # else it waits for a snapshot anyway
        out.lost[k] = 1


@kernel
def _happen(
    known: _Known,
    table: I8,
    state: KeeperState,
    k: int,
    event: int,
    reason: int,
    i: int,
    at: int,
    cursor: I8,
    made: Records,
) -> None:
    """One event of one book; a row where it changes the state."""
    mine = state.books[k]
    provable = known.provable[k] != 0 and mine.unproven == 0
    after = next_state(table, mine.state, event, provable)
    mine.epoch += 1 if event == _SNAPSHOT else 0
    if after == mine.state:  # also a further snapshot: its rows say so, on some feeds with each
        return
    mine.state = after
    good = after in (_SYNCED, _UNPROVABLE)
    _make(state, k, after, 0 if good else reason, i, at, cursor, made)


@kernel
def _make(
    state: KeeperState, k: int, code: int, reason: int, i: int, at: int, cursor: I8, made: Records
) -> None:
    one = made[cursor[_MADE]]
    cursor[_MADE] += 1
    one.at, one.row, one.k, one.state, one.reason = at, i, k, code, reason
    one.epoch, one.evicted = state.books[k].epoch, -1
