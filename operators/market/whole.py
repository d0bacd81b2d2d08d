"""Book messages whole or not at all: rows wait for the last row of their message."""

from typing import Any, NamedTuple

import numpy as np

from operators.arrays import I2, I4, I8, U1, U2, kernel
from operators.records import Record, Records, blank_records
from schemas.instruments import InstrumentArrays
from schemas.kinds import Flag, Kind
from schemas.reasons import Reason
from schemas.rows import MarketRows, concat, empty

MESSAGE_ROWS_MAX = 131_072  # twice the levels of the fullest book: no message needs more, and what
# has no end must not be waited for
OPEN_FIELDS = {
    "open": "<i8",  # 1: inside a message whose rows were good so far
    "k": "<i8",  # its instrument, and what all its rows have in common
    "source": "<i8",
    "venue_seq": "<i8",
    "loading": "<i8",  # 1: a snapshot
    "source_row": "<i8",  # of its last row
    "n": "<i8",  # rows of it so far
}
TORN_FIELDS = {
    "torn": "<i8",  # 1: the last message was cut short, and its rest may still come; as above:
    "source": "<i8",
    "venue_seq": "<i8",
    "loading": "<i8",
    "source_row": "<i8",
}
FIRST_ROWS = 256  # room for held rows; doubled as needed

_BOOK, _LAST, _SNAPSHOT = int(Kind.BOOK), int(Flag.MSG_LAST), int(Flag.SNAPSHOT)
_OK, _REFUSED = int(Reason.OK), int(Reason.MESSAGE_REFUSED)
_UNFINISHED = int(Reason.MESSAGE_UNFINISHED)
_OPENS, _WHY = 0, 1  # what a table shows: where its open message begins, what held rows became
_NOTHING = empty(MarketRows)


class WholeState(NamedTuple):
    """The message that is open, with its rows so far."""

    one: Records  # (1,) OPEN_FIELDS
    torn: Records  # (instruments,) TORN_FIELDS
    held: MarketRows  # room for rows; the first n_held are held
    n_held: I8  # (1,)


class WholeMessages:
    """Gives rows out with what became of their book message.

    Parameters
    ----------
    instruments : InstrumentArrays

    Notes
    -----
    In: MarketRows in the feed's order, and the reason of each as the gate gave it. Out: the same
    rows and reasons, but those of a message that has not ended yet, which come out with its end.
    A message is a run of BOOK rows of one instrument that share source, venue_seq and the flag
    SNAPSHOT, whose source_row (where it is not -1) has no hole, up to MSG_LAST. No other row stands
    inside one. A refused row makes the rest of its message MESSAGE_REFUSED. A message that another
    row cuts short is MESSAGE_UNFINISHED, and so is what comes of it later, and what follows a hole:
    nobody knows whether that begins at its beginning. So is one of more than MESSAGE_ROWS_MAX rows.
    Nothing but rows of the open message is ever held, so order holds. A message inside one table
    costs no copy; one of two tables costs its rows and a copy of the second.
    Chunks: any split gives the same rows. State: 40 bytes an instrument, and 180 for each row that
    is held: those of one message.
    """

    def __init__(self, instruments: InstrumentArrays) -> None:
        self._known = (instruments.base, instruments.n_of_lane)
        self._n = instruments.lane.size

    def initial(self) -> WholeState:
        return WholeState(
            blank_records(OPEN_FIELDS, 1), blank_records(TORN_FIELDS, self._n),
            empty(MarketRows, FIRST_ROWS), np.zeros(1, np.int64),
        )  # fmt: skip

    def settle(
        self, state: WholeState, rows: MarketRows, reason: U2
    ) -> tuple[WholeState, MarketRows, U2]:
        """Rows whose message has ended, and the reason of each; `reason` is changed in place."""
        n, n_held = rows.seq.size, int(state.n_held[0])
        told = np.zeros(2, np.int64)
        columns = _Columns(
            rows.kind, rows.flags, rows.lane, rows.symbol, rows.venue_seq, rows.source,
            rows.source_row,
        )  # fmt: skip
        _settle(self._known, state.one, state.torn, columns, reason, told)
        opens = int(told[_OPENS])
        if opens < 0:  # the message that was open still is
            return _hold(state, rows), _NOTHING, reason[:0]
        out, why = _cut(rows, 0, opens), reason[:opens]
        if n_held:
            out = concat([_cut(state.held, 0, n_held), out])
            why = np.concatenate([np.full(n_held, told[_WHY], np.uint16), why])
            state.n_held[0] = 0
        return (_hold(state, _cut(rows, opens, n)) if opens < n else state), out, why

    def end(self, state: WholeState) -> tuple[WholeState, MarketRows, U2]:
        """Held rows, refused: nothing more of their message comes."""
        held = concat([_cut(state.held, 0, int(state.n_held[0])), _NOTHING])
        if state.one[0].open:
            _tear(state.one, state.torn)
        state.n_held[0] = 0
        return state, held, np.full(held.seq.size, _UNFINISHED, np.uint16)


def trimmed(state: WholeState) -> WholeState:
    """The state without room to spare, which depends on how rows came."""
    return state._replace(held=_cut(state.held, 0, int(state.n_held[0])))


def _hold(state: WholeState, rows: MarketRows) -> WholeState:
    """The state with more rows of the open message."""
    n, more = int(state.n_held[0]), rows.seq.size
    room = state.held.seq.size
    if n + more > room:
        spare = empty(MarketRows, max(2 * room, n + more, FIRST_ROWS) - n)
        state = state._replace(held=concat([_cut(state.held, 0, n), spare]))
    columns: zip[tuple[Any, Any]] = zip(state.held, rows, strict=True)
    for column, values in columns:
        column[n : n + more] = values
    state.n_held[0] = n + more
    return state


def _cut(rows: MarketRows, start: int, stop: int) -> MarketRows:
    """A slice; its columns are views."""
    return MarketRows._make(column[start:stop] for column in rows)


class _Columns(NamedTuple):
    """The columns of MarketRows by which messages are told apart."""

    kind: U1
    flags: U1
    lane: I2
    symbol: I4
    venue_seq: I8
    source: I2
    source_row: I8


@kernel
def _settle(
    known: tuple[I4, I4], ones: Records, torns: Records, rows: _Columns, reason: U2, told: I8
) -> None:
    """Give rows of messages that end here, and are not whole, their reason.

    told[_OPENS] becomes the row with which the message begins that is open at the end: their number
    where none is, -1 where it began before. told[_WHY]: the reason of rows held before.
    """
    base, count = known
    one = ones[0]
    begins = -1 if one.open else rows.kind.size
    for i in range(rows.kind.size):
        if rows.kind[i] != _BOOK:
            if one.open:
                _tear(ones, torns)
                _refuse(_UNFINISHED, begins, i, reason, told)
            continue
        lane, symbol = rows.lane[i], rows.symbol[i]
        inside = 0 <= lane < base.size and 0 <= symbol < count[lane]
        k = base[lane] + symbol if inside else -1
        source, venue_seq, source_row = rows.source[i], rows.venue_seq[i], rows.source_row[i]
        loading = 1 if rows.flags[i] & _SNAPSHOT else 0
        if one.open:
            alike = _is_alike(one, source, venue_seq, loading)
            hole = source_row >= 0 and source_row != one.source_row + 1
            if alike and reason[i] != _OK:  # the gate refuses what follows of it itself
                one.open = 0
                _refuse(_REFUSED, begins, i, reason, told)
                continue
            if not alike or k != one.k or hole or one.n >= MESSAGE_ROWS_MAX:
                _tear(ones, torns)
                _refuse(_UNFINISHED, begins, i, reason, told)
                if k == one.k and source == one.source and hole:  # it has lost what it begins with
                    torns[k].venue_seq, torns[k].loading = venue_seq, loading
                    torns[k].source_row = source_row - 1
        if reason[i] != _OK:
            continue
        torn = torns[k]
        if torn.torn and torn.source == source:
            follows = source_row < 0 or source_row == torn.source_row + 1
            follows = follows or (venue_seq >= 0 and source_row > torn.source_row)
            if follows and _is_alike(torn, source, venue_seq, loading):
                reason[i], torn.source_row = _UNFINISHED, source_row
                torn.torn = 0 if rows.flags[i] & _LAST else 1
                continue
            torn.torn = 0
        if not one.open:
            begins = i
            one.open, one.k, one.n = 1, k, 0
            one.source, one.venue_seq, one.loading = source, venue_seq, loading
        one.source_row = source_row
        one.n += 1
        one.open = 0 if rows.flags[i] & _LAST else 1
    told[_OPENS] = begins if one.open else rows.kind.size


@kernel
def _is_alike(message: Record, source: int, venue_seq: int, loading: int) -> bool:
    return bool(
        message.source == source and message.venue_seq == venue_seq and message.loading == loading
    )


@kernel
def _tear(ones: Records, torns: Records) -> None:
    """The open message is cut short."""
    one, torn = ones[0], torns[ones[0].k]
    one.open, torn.torn = 0, 1
    torn.source, torn.venue_seq, torn.loading = one.source, one.venue_seq, one.loading
    torn.source_row = one.source_row


@kernel
def _refuse(why: int, begins: int, stop: int, reason: U2, told: I8) -> None:
    """Rows of the open message: from `begins` on, and those held if it is -1, to before `stop`."""
    if begins < 0:
        told[_WHY] = why
    for j in range(max(begins, 0), stop):
        reason[j] = why
