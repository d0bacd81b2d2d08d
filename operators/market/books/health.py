"""How healthy each book is, between 0 and 1, and whether the desk may quote on it."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import F8, I2, I4, I8, U1, ArrayOperator, kernel
from operators.market.books.words import BookState
from operators.records import Record, Records, blank_records
from schemas.instruments import InstrumentArrays
from schemas.kinds import Kind
from schemas.rows import MarketRows, concat, empty, take

S = BookState
HALF_LIFE_NS = 60_000_000_000  # after which an incident counts half: one gap is forgiven in 20 s
STOP_BELOW = 0.5  # health: quoting stops
RETURN_ABOVE = 0.8  # health that must hold ...
RETURN_AFTER_NS = 30_000_000_000  # ... for so long before quoting returns
UNPROVABLE_MAX = (
    0.9  # health of a book that may have lost something without a trace: quoted on, and
)
# never as good as one that is proven
PENALTY = {  # what entering a state costs; a gap and its resync are one incident
    S.NONE: 0.0,
    S.SYNCED: 0.0,
    S.GAP: 0.25,  # the feed lost something, and said so: the third in a minute stops quoting
    S.RESYNC: 0.0,
    S.CHECKSUM_FAIL: 0.4,  # the book was wrong and looked right
    S.CROSSED: 0.3,  # the book was wrong and showed it
    S.STALE: 0.2,  # the venue was silent
    S.HALTED: 0.6,  # somebody took it out of use: it comes back last
    S.UNPROVABLE: 0.0,  # no incident, but see UNPROVABLE_MAX
}
HEALTH_FIELDS = {
    "told": "<i8",  # 1: there was a status row, so the feed has a book
    "state": "<i8",  # BookState
    "burden": "<f8",  # penalties so far, faded to since_ns
    "since_ns": "<i8",
    "quoting": "<i8",  # 1: the desk may quote
    "stopped": "<i8",  # 1: it was quoting before, so that it has to wait
    "return_ns": "<i8",  # quoting returns then, NEVER_NS while that is not foreseen
}
NEVER_NS = np.iinfo(np.int64).max

_STATUS = int(Kind.BOOK_STATUS)
_SYNCED, _UNPROVABLE = int(S.SYNCED), int(S.UNPROVABLE)
PENALTY_TABLE = np.array([PENALTY[state] for state in S])  # for kernels
_AT, _MADE = 0, 1  # a cursor: the next row, rows made so far


class HealthRows(NamedTuple):
    """The health of a book after its state changed, or when quoting returns."""

    seq: I8  # of the row that says so, or that our clock took past the return; so the next two
    ts_event_ns: I8
    ts_recv_ns: I8
    lane: I2  # of the book
    symbol: I4
    state: U1  # BookState
    health: F8  # 0 to 1
    quoting: U1  # 1: the desk may quote on this book


class HealthState(NamedTuple):
    """Each book's incidents, and when the next may be quoted on again."""

    of: Records  # (instruments,) HEALTH_FIELDS
    next_ns: I8  # (1,) no book returns before


class BookHealth(ArrayOperator[HealthState]):
    """Health of each book from the status rows on the log alone.

    Parameters
    ----------
    instruments : InstrumentArrays

    Notes
    -----
    In: MarketRows; BOOK_STATUS rows carry the states (see `status.to_market`), every row moves the
    clock, `ts_recv_ns`. Out: HealthRows, one for each status row, and one when quoting returns.
    Health is 0 unless the book is SYNCED or UNPROVABLE, else 1 minus the PENALTY of each incident,
    halved every HALF_LIFE_NS, not below 0, and while it is UNPROVABLE not above UNPROVABLE_MAX: a
    live feed takes that state back when audits do not confirm it (`venues.live.watch`). A stale
    book says so in a status row of its own.
    Quoting begins with the first sync, if health allows, stops below STOP_BELOW, and returns when
    health has been above RETURN_ABOVE for RETURN_AFTER_NS: at the first row from then on.
    Chunks: any split gives the same bytes. State: 56 bytes per instrument.
    `judge` and `is_pulled` are the same for one book, for stages that have no use for rows: a lane
    asks when it evaluates.
    """

    def __init__(self, instruments: InstrumentArrays) -> None:
        self._known = (
            instruments.base, instruments.n_of_lane, instruments.lane, instruments.symbol,
        )  # fmt: skip

    def initial(self) -> HealthState:
        of = blank_records(HEALTH_FIELDS, self._known[2].size)
        of.return_ns[:] = NEVER_NS
        return HealthState(of, np.full(1, NEVER_NS, np.int64))

    def step(self, state: HealthState, rows: MarketRows) -> tuple[HealthState, HealthRows]:
        used = _Rows(
            rows.kind, rows.lane, rows.symbol, rows.code, rows.seq, rows.ts_event_ns,
            rows.ts_recv_ns,
        )  # fmt: skip
        parts: list[HealthRows] = []
        cursor = np.zeros(2, np.int64)
        size = int(np.count_nonzero(rows.kind == _STATUS)) + state.of.size + 1
        while cursor[_AT] < rows.seq.size or not parts:
            out = empty(HealthRows, size)
            cursor[_MADE] = 0
            _fold(self._known, PENALTY_TABLE, state, used, cursor, out)
            parts.append(take(out, slice(0, int(cursor[_MADE]))))
        return state, concat(parts)


class _Rows(NamedTuple):
    kind: U1
    lane: I2
    symbol: I4
    code: U1
    seq: I8
    ts_event_ns: I8
    ts_recv_ns: I8


@kernel
def health(state: HealthState, k: int, now_ns: int) -> float:
    """Health of book `k` at a time of our clock, not before its last status row."""
    return _health(state.of[k], now_ns)


@kernel
def may_quote(state: HealthState, k: int) -> bool:
    """Whether the desk may quote on book `k`, as of the last row."""
    return bool(state.of[k].quoting)


@kernel
def is_pulled(book: Record, now_ns: int) -> bool:
    """Whether a feed has a book and nobody may quote on it, at a time not before its last row."""
    return bool(book.told and not book.quoting and now_ns < book.return_ns)


@kernel
def judge(book: Record, status: int, now_ns: int, penalty: F8) -> None:
    """A status row says in which state a book is. `book` has HEALTH_FIELDS, among others maybe."""
    if book.told == 0:
        book.told, book.return_ns = 1, NEVER_NS
    if now_ns >= book.return_ns:
        book.quoting, book.return_ns = 1, NEVER_NS
    if status == book.state:  # a further snapshot: what quoting waits for goes on
        return
    book.burden = book.burden * _fade(now_ns - book.since_ns) + penalty[status]
    book.state, book.since_ns, book.return_ns = status, now_ns, NEVER_NS
    found = _health(book, now_ns)
    if book.quoting and found < STOP_BELOW:
        book.quoting, book.stopped = 0, 1
    if book.quoting or (status != _SYNCED and status != _UNPROVABLE):
        return
    if not book.stopped and found >= STOP_BELOW:
        book.quoting = 1
        return
    wait_ns = 0
    if found <= RETURN_ABOVE:
        halvings = math.log(book.burden / (1.0 - RETURN_ABOVE)) / math.log(2.0)
        wait_ns = math.ceil(halvings * HALF_LIFE_NS)
    book.return_ns = now_ns + wait_ns + RETURN_AFTER_NS


@kernel
def _health(book: Record, now_ns: int) -> float:
    if book.state != _SYNCED and book.state != _UNPROVABLE:
        return 0.0
    most = UNPROVABLE_MAX if book.state == _UNPROVABLE else 1.0
    return float(min(most, max(0.0, 1.0 - book.burden * _fade(now_ns - book.since_ns))))


@kernel
def _fade(age_ns: int) -> float:
    return math.exp(-age_ns / HALF_LIFE_NS * math.log(2.0))


@kernel
def _fold(
    known: tuple[I4, I4, I2, I4],
    penalty: F8,
    state: HealthState,
    rows: _Rows,
    cursor: I8,
    out: HealthRows,
) -> None:
    """Take rows until there may be no room for what the next one makes."""
    base, count, _, _ = known
    for i in range(cursor[_AT], rows.kind.size):
        if cursor[_MADE] + state.of.size + 1 > out.seq.size:
            cursor[_AT] = i
            return
        lane, symbol, now_ns = rows.lane[i], rows.symbol[i], rows.ts_recv_ns[i]
        if now_ns >= state.next_ns[0]:
            _return_those_due(known, state, rows, i, cursor, out)
        if rows.kind[i] != _STATUS:
            continue
        if not 0 <= lane < base.size or not 0 <= symbol < count[lane]:
            continue
        if rows.code[i] >= penalty.size:
            continue
        k = base[lane] + symbol
        judge(state.of[k], int(rows.code[i]), now_ns, penalty)
        state.next_ns[0] = min(state.next_ns[0], state.of[k].return_ns)
        _emit(known, state, k, rows, i, cursor, out)
    cursor[_AT] = rows.kind.size


@kernel
def _return_those_due(
    known: tuple[I4, I4, I2, I4],
    state: HealthState,
    rows: _Rows,
    i: int,
    cursor: I8,
    out: HealthRows,
) -> None:
    state.next_ns[0] = NEVER_NS
    for k in range(state.of.size):
        book = state.of[k]
        if rows.ts_recv_ns[i] >= book.return_ns:
            book.quoting, book.return_ns = 1, NEVER_NS
            _emit(known, state, k, rows, i, cursor, out)
        state.next_ns[0] = min(state.next_ns[0], book.return_ns)


@kernel
def _emit(
    known: tuple[I4, I4, I2, I4],
    state: HealthState,
    k: int,
    rows: _Rows,
    i: int,
    cursor: I8,
    out: HealthRows,
) -> None:
    m = cursor[_MADE]
    cursor[_MADE] += 1
    out.seq[m], out.ts_event_ns[m] = rows.seq[i], rows.ts_event_ns[i]
    out.ts_recv_ns[m], out.lane[m], out.symbol[m] = rows.ts_recv_ns[i], known[2][k], known[3][k]
    out.state[m], out.quoting[m] = state.of[k].state, state.of[k].quoting
    out.health[m] = health(state, k, rows.ts_recv_ns[i])
