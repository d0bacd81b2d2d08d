"""What may enter the log, and what the log says of each book: the gate, whole messages, books."""

from typing import Any, NamedTuple

import numpy as np

from operators.arrays import I8, U2, ArrayOperator, pack
from operators.market.books.keeper import BookFeeds, BookKeeper, status_rows
from operators.market.books.keeping import KeeperState
from operators.market.books.l2 import LEVELS_MAX
from operators.market.gate import Gate, GateState
from operators.market.whole import WholeMessages, WholeState, trimmed
from schemas.instruments import InstrumentArrays
from schemas.kinds import Kind
from schemas.reasons import Reason
from schemas.rows import MarketRows, concat, empty, take

_NOTHING = empty(MarketRows)  # made once: a call with one row would spend most of its time on it
_BOOK, _STATUS, _OK = int(Kind.BOOK), int(Kind.BOOK_STATUS), int(Reason.OK)
_CONTROL = int(Kind.CONTROL)


class IntakeState(NamedTuple):
    """Of the gate, of the message that is open, and of the books."""

    gate: GateState
    whole: WholeState
    books: KeeperState
    any_book: I8  # (1,) 1 once a row about a book came: till then there is nothing to keep


class IntakeRows(NamedTuple):
    """What became of some rows."""

    market: MarketRows  # those that passed, and BOOK_STATUS rows where they stand
    rejected: MarketRows
    lost: I8  # instruments whose feed has to bring a snapshot of the book, and cannot know
    held: int  # rows that wait for the end of their message, behind all others
    resumed: I8  # instruments whose feed has to bring one because an operator resumed them


class Intake(ArrayOperator[IntakeState]):
    """The gate, messages whole or not at all, and status rows for the books of what passes.

    Parameters
    ----------
    instruments : InstrumentArrays
    sources : int, > 0
        As for `Gate`.
    feeds : BookFeeds or None
        None: the rows hold all states of their books, as those of a recorded log do.
    levels_max : int
        As for `L2Books`.

    Notes
    -----
    In: MarketRows, in the feed's order. Out: IntakeRows; apart from status rows (source -1) its
    two tables and the rows still held are together the rows that came in. A status row has `seq`
    and times of the row that caused it. Which rows are refused is said by `Gate`; of which messages
    they take the other rows along, by `WholeMessages`; for messages that a book has already, and
    what status rows say, by `BookKeeper`.
    Rows without any book pass as through the gate alone.
    Chunks: any split gives the same bytes. State: that of the gate, 240 bytes a book with its
    levels as in `L2Books`, and the rows of one message.
    """

    def __init__(
        self,
        instruments: InstrumentArrays,
        sources: int,
        feeds: BookFeeds | None,
        *,
        levels_max: int = LEVELS_MAX,
    ) -> None:
        self._instruments = instruments
        self._gate = Gate(instruments, sources)
        self._whole = WholeMessages(instruments)
        self._tells = feeds is not None
        feeds = feeds or BookFeeds.silent(instruments.lane.size)
        self._keeper = BookKeeper(instruments, feeds, levels_max=levels_max)

    def initial(self) -> IntakeState:
        return IntakeState(
            self._gate.initial(), self._whole.initial(), self._keeper.initial(),
            np.zeros(1, np.int64),
        )  # fmt: skip

    def dump(self, state: IntakeState) -> bytes:
        return pack(state._replace(whole=trimmed(state.whole)))

    def compile(self) -> None:
        """Compile what any row may need, so that none waits for it."""
        row, reason = empty(MarketRows, 1), np.zeros(1, np.uint16)
        self._gate.mark(self._gate.initial(), row)
        self._whole.settle(self._whole.initial(), row, reason)
        if self._tells:
            self._keeper.keep(self._keeper.initial(), row, reason)

    def step(self, state: IntakeState, rows: MarketRows) -> tuple[IntakeState, IntakeRows]:
        rows, reason = self._gate.mark(state.gate, rows)
        if state.any_book[0] or _has_book(rows):
            state.any_book[0] = 1
            whole, rows, reason = self._whole.settle(state.whole, rows, reason)
            state = state._replace(whole=whole)
        return self._kept(state, rows, reason)

    def end(self, state: IntakeState) -> tuple[IntakeState, IntakeRows]:
        """Nothing more comes of the message that is open: its rows are refused."""
        whole, rows, reason = self._whole.end(state.whole)
        return self._kept(state._replace(whole=whole), rows, reason)

    def _kept(
        self, state: IntakeState, rows: MarketRows, reason: U2
    ) -> tuple[IntakeState, IntakeRows]:
        """Rows whose messages have ended, as the books take them."""
        passed, made = rows, _NOTHING
        lost = resumed = at = np.zeros(0, np.int64)
        if self._tells and state.any_book[0]:
            books, kept = self._keeper.keep(state.books, rows, reason)
            state = state._replace(books=books)
            reason, at = kept.reason, kept.made.at.astype(np.int64)
            lost, resumed = kept.lost, kept.resumed
            if at.size:
                made = status_rows(kept.made, rows, self._instruments)
            passed = rows._replace(code=kept.code, reason=kept.why)
        bad = reason != _OK
        if bad.any():
            rejected = take(rows, bad)._replace(reason=reason[bad])
            if at.size:
                at = np.cumsum(np.concatenate([[0], ~bad]))[at]  # before which of those that pass
            passed = take(passed, ~bad)
        else:
            rejected = _NOTHING
        held = int(state.whole.n_held[0])
        return state, IntakeRows(_inserted(passed, made, at), rejected, lost, held, resumed)


def _has_book(rows: MarketRows) -> bool:
    kind = rows.kind
    return bool((kind == _BOOK).any() or (kind == _STATUS).any() or (kind == _CONTROL).any())


def _inserted(rows: MarketRows, made: MarketRows, at: Any) -> MarketRows:
    """`rows` with `made` row j before row at[j]; the rows themselves where there are none."""
    n, m = rows.seq.size, made.seq.size
    if m == 0:
        return rows
    return take(concat([rows, made]), np.insert(np.arange(n), at, np.arange(n, n + m)))
