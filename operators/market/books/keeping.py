"""How books' states follow from rows: the loop of the keeper, and what it remembers."""

from typing import NamedTuple

from operators.arrays import F8, I1, I2, I4, I8, U1, U2, kernel
from operators.market.books.l2 import lose, take_level
from operators.market.books.l2_state import BookTerms, L2State, best
from operators.market.books.sides import ASK, BID, is_tight
from operators.market.books.status import NEVER_NS, next_state
from operators.market.books.words import BookEvent, BookReason, BookState
from operators.records import Record, Records
from schemas.expectations import TIME_MAX_NS as _TIME_MAX_NS
from schemas.kinds import Control, Flag, Kind
from schemas.reasons import Reason

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
    "asked": "<i8",  # the Control that an operator gave and that holds from its lane's next row on
    "halted": "<i8",  # 1: by an operator
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

_BOOK, _STATUS, _CONTROL = int(Kind.BOOK), int(Kind.BOOK_STATUS), int(Kind.CONTROL)
_HALT_BOOK, _RESUME_BOOK = int(Control.HALT_BOOK), int(Control.RESUME_BOOK)
_LAST, _SNAPSHOT_FLAG = int(Flag.MSG_LAST), int(Flag.SNAPSHOT)
_OK, _SUPERSEDED = int(Reason.OK), int(Reason.SUPERSEDED)
_NONE, _SYNCED, _GAP_STATE = int(BookState.NONE), int(BookState.SYNCED), int(BookState.GAP)
_RESYNC_STATE, _CHECKSUM_STATE = int(BookState.RESYNC), int(BookState.CHECKSUM_FAIL)
_CROSSED_STATE = int(BookState.CROSSED)
_HALTED, _UNPROVABLE = int(BookState.HALTED), int(BookState.UNPROVABLE)
_SNAPSHOT, _MESSAGE = int(BookEvent.SNAPSHOT), int(BookEvent.MESSAGE)
_GAP, _CROSSED = int(BookEvent.GAP), int(BookEvent.CROSSED)
_STALE, _RESYNC = int(BookEvent.STALE), int(BookEvent.RESYNC)
_HALT, _RESUME = int(BookEvent.HALT), int(BookEvent.RESUME)
_UNFINISHED, _BAD_ROW = int(BookReason.UNFINISHED), int(BookReason.BAD_ROW)
_CUT_SHORT, _OPERATOR = int(Reason.MESSAGE_UNFINISHED), int(BookReason.OPERATOR)
_SEQUENCE_GAP, _EVICTED = int(BookReason.SEQUENCE_GAP), int(BookReason.EVICTED)
LOST, RESUMED = 1, 2  # why a feed has to bring a snapshot
AT, MADE, TIGHT = 0, 1, 2  # a cursor: the next row, rows made, the side that needs room
_NOW = -1  # before any row
_TAKE, _PASS, _BREAK = 0, 1, 2  # what a message is: the next one, known already, after a lost one
ROW_MAKES = 5  # status rows at most, besides one for each book of the lane that goes stale


class KeeperState(NamedTuple):
    """The books, and what the log says of them."""

    l2: L2State
    books: Records  # (instruments,) BOOK_FIELDS
    lanes: Records  # (lanes,) LANE_FIELDS


class Known(NamedTuple):
    base: I4
    n_of_lane: I4
    provable: U1
    fresh_ns: I8
    terms: BookTerms
    levels_max: int
    told: bool
    bare: U1


class KeptRows(NamedTuple):
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


class Words(NamedTuple):
    """What the keeper changes of the rows, as in `Kept`; `lost` is LOST, RESUMED or 0 per book."""

    reason: U2
    code: U1
    why: U2
    lost: U1


@kernel
def fold(
    known: Known,
    table: I8,
    reasons: I8,
    state: KeeperState,
    rows: KeptRows,
    out: Words,
    cursor: I8,
    made: Records,
) -> None:
    """Take rows until one needs room: a side of a book, or what it may make."""
    spare = made.size - ROW_MAKES
    cursor[TIGHT] = -1
    for i in range(cursor[AT], rows.kind.size):
        kind, lane, symbol = rows.kind[i], rows.lane[i], rows.symbol[i]
        if kind == _CONTROL:
            _ask(known, state, int(rows.code[i]), int(rows.ref_id[i]), out)
            continue
        if not 0 <= lane < known.base.size or not 0 <= symbol < known.n_of_lane[lane]:
            continue
        k = known.base[lane] + symbol
        if cursor[MADE] + known.n_of_lane[lane] > spare:
            cursor[AT] = i
            return
        if out.reason[i] != _OK:
            if kind == _BOOK:
                _refused(known, table, state, rows, i, k, out, cursor, made)
            continue
        if kind == _BOOK:
            s = 2 * k + (BID if rows.side[i] > 0 else ASK)
            if is_tight(state.l2.sides[s], known.levels_max):
                cursor[AT], cursor[TIGHT] = i, s
                return
        if rows.ts_recv_ns[i] > state.lanes[lane].next_ns and not state.lanes[lane].inside:
            _expire(known, table, reasons, state, rows, i, cursor, made)
        if kind == _STATUS:
            _take_over(known, state, rows, i, k, out)
        elif kind == _BOOK:
            _take_row(known, table, reasons, state, rows, i, k, out, cursor, made)
    cursor[AT] = rows.kind.size


@kernel
def _refused(
    known: Known,
    table: I8,
    state: KeeperState,
    rows: KeptRows,
    i: int,
    k: int,
    out: Words,
    cursor: I8,
    made: Records,
) -> None:
    """A row of a message that does not enter the log: a change is missing."""
    mine, book = state.books[k], state.l2.books[k]
    loading = rows.flags[i] & _SNAPSHOT_FLAG != 0
    if not known.told and _is_old(mine, book, rows.venue_seq[i], _follows(rows, i), loading):
        return
    why = _UNFINISHED if out.reason[i] == _CUT_SHORT else _BAD_ROW
    lose(book, why)
    if 0 <= rows.ts_recv_ns[i] <= _TIME_MAX_NS:  # else its next message says so
        _lost(known, table, state, k, why, i, i + 1, out, cursor, made)


@kernel
def _ask(known: Known, state: KeeperState, command: int, k: int, out: Words) -> None:
    """An operator's word about a book holds from the next row of its lane on, as silence does."""
    if not 0 <= k < state.books.size or command not in (_HALT_BOOK, _RESUME_BOOK):
        return
    mine = state.books[k]
    if command == _HALT_BOOK:
        mine.asked = _HALT_BOOK
    elif mine.state == _HALTED:
        mine.asked, out.lost[k] = _RESUME_BOOK, RESUMED
    else:
        mine.asked = 0
    for lane in range(known.base.size):
        if known.base[lane] <= k < known.base[lane] + known.n_of_lane[lane]:
            state.lanes[lane].next_ns = _NOW


@kernel
def _obey(
    known: Known, table: I8, state: KeeperState, k: int, i: int, cursor: I8, made: Records
) -> None:
    """What an operator asked for comes into force, before row `i`."""
    mine = state.books[k]
    if mine.state == _NONE:  # nothing has been heard of it, and perhaps it has no book
        return
    again = mine.halted != 0 and mine.asked == _HALT_BOOK
    event = _HALT if mine.asked == _HALT_BOOK else _RESUME
    mine.halted, mine.asked = 1 if event == _HALT else 0, 0
    if known.told:  # else its state waits for a snapshot, and which rows are refused stays the same
        lose(state.l2.books[k], _OPERATOR)
    if again:
        _make(state, k, mine.state, _OPERATOR, i, i, cursor, made)
    else:
        _happen(known, table, state, k, event, _OPERATOR, i, i, cursor, made)


@kernel
def _expire(
    known: Known,
    table: I8,
    reasons: I8,
    state: KeeperState,
    rows: KeptRows,
    i: int,
    cursor: I8,
    made: Records,
) -> None:
    """Books of the row's lane that an operator spoke of, or that have been silent for too long."""
    lane, now_ns = rows.lane[i], rows.ts_recv_ns[i]
    next_ns = NEVER_NS
    for k in range(known.base[lane], known.base[lane] + known.n_of_lane[lane]):
        mine = state.books[k]
        if mine.asked:
            _obey(known, table, state, k, i, cursor, made)
        if now_ns > mine.due_ns:
            mine.due_ns = NEVER_NS
            _happen(known, table, state, k, _STALE, reasons[_STALE], i, i, cursor, made)
        next_ns = min(next_ns, _NOW if mine.asked else mine.due_ns)
    state.lanes[lane].next_ns = next_ns


@kernel
def _take_over(
    known: Known, state: KeeperState, rows: KeptRows, i: int, k: int, out: Words
) -> None:
    """The feed says in which state a book is."""
    mine, book, said = state.books[k], state.l2.books[k], int(rows.code[i])
    if mine.halted:
        said = _HALTED
        out.code[i], out.why[i] = said, _OPERATOR
    if said in (_GAP_STATE, _RESYNC_STATE, _CHECKSUM_STATE, _HALTED):
        lose(book, out.why[i])
    elif said in (_SYNCED, _UNPROVABLE) and not book.synced and not known.bare[k]:
        said = _GAP_STATE
        out.code[i] = said
        if rows.reason[i] == 0:  # else it tells of something else beside the state
            out.why[i], out.lost[k] = book.reason, LOST
    mine.state, mine.epoch = said, rows.ref_id[i]


@kernel
def _take_row(
    known: Known,
    table: I8,
    reasons: I8,
    state: KeeperState,
    rows: KeptRows,
    i: int,
    k: int,
    out: Words,
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
    if not book.open and not known.told:
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
    known: Known,
    table: I8,
    reasons: I8,
    state: KeeperState,
    rows: KeptRows,
    i: int,
    k: int,
    loading: bool,
    out: Words,
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
        made[cursor[MADE] - 1].evicted = evicted


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
def _follows(rows: KeptRows, i: int) -> int:
    """The number of the message before a row's own, negative where the row does not say."""
    return int(rows.ref_id[i]) if rows.code[i] == 0 else -1


@kernel
def _lost(
    known: Known,
    table: I8,
    state: KeeperState,
    k: int,
    reason: int,
    i: int,
    at: int,
    out: Words,
    cursor: I8,
    made: Records,
) -> None:
    """A change is missing in book `k`."""
    if state.books[k].state == _NONE:
        _happen(known, table, state, k, _RESYNC, reason, i, at, cursor, made)
        return
    n = cursor[MADE]
    _happen(known, table, state, k, _GAP, reason, i, at, cursor, made)
    if known.told and cursor[MADE] > n:  # else it waits for a snapshot anyway
        out.lost[k] = LOST


@kernel
def _happen(
    known: Known,
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
    one = made[cursor[MADE]]
    cursor[MADE] += 1
    one.at, one.row, one.k, one.state, one.reason = at, i, k, code, reason
    one.epoch, one.evicted = state.books[k].epoch, -1
