"""Promise: what enters the log says, behind each message, how far its book can be trusted."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.books import book_feeds
from operators.market.books.keeper import BookFeeds
from operators.market.books.l2_state import BookTerms
from operators.market.books.status import NEXT
from operators.market.books.words import BookEvent, BookReason, BookState, OrderAction
from operators.market.intake import Intake, IntakeRows, IntakeState
from schemas.kinds import NO_ID, NO_SYMBOL, Control, Flag, Kind
from schemas.reasons import Reason
from schemas.rows import MarketRows, concat, empty, take
from tests.book_cases import BUY, LAST, MARKETS, SELL, SNAP, Level, SlowBook, market, table
from tests.check_operator import check_operator
from venues.frames.parsed import Link
from venues.frames.sequence import Chain, Verdict, judge
from venues.tape import open_tapes

S, E, R = BookState, BookEvent, BookReason
NAN, SECOND = float("nan"), 1_000_000_000
N = len(MARKETS)
FRESH_S = 60
WHOLE: list[Level] = [(BUY, 99.0, 1.0), (SELL, 101.0, 1.0)]
Message = list[dict[str, Any]]


def intake(*, provable: int = 1, told: bool = False, levels_max: int = 50) -> Intake:
    feeds = BookFeeds(
        BookTerms.full(N), np.full(N, provable, np.uint8),
        np.full(N, FRESH_S * SECOND, np.int64), told,
    )  # fmt: skip
    return Intake(table().arrays(), 1, feeds, levels_max=levels_max)


def run(*messages: Message, **how: Any) -> IntakeRows:
    operator = intake(**how)
    rows = market(*messages)
    rows.ts_event_ns[:] = rows.ts_recv_ns
    return operator.step(operator.initial(), rows)[1]


def book(
    levels: list[Level], number: int = -1, follows: int = NO_ID, *, k: int = 0, at_s: float = 0.0,
    snapshot: bool = False, whole: bool = True,
) -> Message:  # fmt: skip
    """The rows of one message."""
    lane, symbol = MARKETS[k][:2]
    rows: Message = [
        {"lane": lane, "symbol": symbol, "side": side, "price": price, "qty": qty,
         "flags": SNAP if snapshot else 0, "venue_seq": number, "ref_id": follows,
         "ts_recv_ns": int(at_s * SECOND)}
        for side, price, qty in levels
    ]  # fmt: skip
    rows[-1]["flags"] |= LAST if whole else 0
    return rows


def snapshot(number: int = -1, *, levels: list[Level] = WHOLE, **how: Any) -> Message:
    return book(levels, number, snapshot=True, **how)


def change(number: int = -1, follows: int = NO_ID, **how: Any) -> Message:
    return book([(BUY, 98.0, 2.0), (SELL, 102.0, 2.0)], number, follows, **how)


def crossing(number: int, follows: int, **how: Any) -> Message:
    return book([(BUY, 98.0, 2.0), (BUY, 101.0, 1.0)], number, follows, **how)


def bad(number: int, follows: int, **how: Any) -> Message:
    """Its second row has no price; the others are good."""
    levels = [(BUY, 98.0, 3.0), (BUY, NAN, 3.0), (SELL, 102.0, 3.0)]
    return book(levels, number, follows, **how)


def orders(*, snapshot: bool = False) -> Message:
    """A message about single orders."""
    rows = book(WHOLE, snapshot=snapshot)
    return [
        row | {"code": OrderAction.SET, "ref_id": 7 + i, "source_row": 10 * snapshot + i}
        for i, row in enumerate(rows)
    ]


def trade(at_s: float, *, k: int = 0) -> Message:
    lane, symbol = MARKETS[k][:2]
    return [{"kind": Kind.TRADE, "lane": lane, "symbol": symbol, "price": 100.0, "qty": 1.0,
             "side": BUY, "flags": LAST, "ts_recv_ns": int(at_s * SECOND)}]  # fmt: skip


def told(state: BookState, reason: BookReason = R.OK, *, epoch: int = 0) -> Message:
    return [{"kind": Kind.BOOK_STATUS, "code": state, "reason": reason, "flags": LAST,
             "ref_id": epoch, "source": -1, "source_row": -1, "venue_seq": -1}]  # fmt: skip


def statuses(out: IntakeRows) -> list[tuple[BookState, BookReason]]:
    rows = take(out.market, out.market.kind == Kind.BOOK_STATUS)
    return [(S(code), R(reason)) for code, reason in zip(rows.code, rows.reason, strict=True)]


GOOD, UNPROVABLE = (S.SYNCED, R.OK), (S.UNPROVABLE, R.OK)
WAITS, GAP = (S.RESYNC, R.NO_SNAPSHOT), (S.GAP, R.SEQUENCE_GAP)
# fmt: off
STORIES: list[tuple[str, list[Message], list[tuple[BookState, BookReason]], int]] = [
    # what happens, messages, states, rows that are refused
    ("changes without a snapshot", [change(2, 1), change(3, 2)],                  [WAITS], 0),
    ("a snapshot and its changes", [snapshot(1), change(2, 1), change(5, 2)],      [GOOD], 0),
    ("waited for its snapshot",    [change(2, 1), snapshot(2), change(3, 2)], [WAITS, GOOD], 0),
    ("a lost message",             [snapshot(1), change(2, 1), change(4, 3)],  [GOOD, GAP], 0),
    ("what follows a gap is gapped", [snapshot(1), change(4, 3), change(5, 4), change(6, 5)],
                                                                               [GOOD, GAP], 0),
    ("a snapshot mends it",        [snapshot(1), change(4, 3), snapshot(4), change(5, 4)],
                                                                         [GOOD, GAP, GOOD], 0),
    ("a snapshot too old does not", [snapshot(1), change(4, 3), snapshot(2), change(5, 4)],
                                                                    [GOOD, GAP, GOOD, GAP], 0),
    ("a message twice",            [snapshot(1), change(2, 1), change(2, 1), change(3, 2)],
                                                                                   [GOOD], 2),
    ("an old message",             [snapshot(9), change(5, 4), change(10, 9)],     [GOOD], 2),
    ("an overlap with a snapshot", [snapshot(9), change(10, 7), change(11, 10)],   [GOOD], 0),
    ("an overlap later on",        [snapshot(8), change(9, 8), change(11, 7)], [GOOD, GAP], 0),
    ("a further snapshot is no news", [snapshot(1), snapshot(1), snapshot(7)],     [GOOD], 0),
    ("changes without numbers",    [snapshot(), change(), change()],         [UNPROVABLE], 0),
    ("numbers that only order",    [snapshot(1), change(2), change(2), change(3)],
                                                                       [GOOD, UNPROVABLE], 0),
    ("of which one is old",        [snapshot(3), change(2), change(3), change(4)],
                                                                       [GOOD, UNPROVABLE], 4),
    ("unproven once, for ever",    [snapshot(1), change(2), snapshot(3)],
                                                           [GOOD, UNPROVABLE], 0),
    ("crossed for a message",      [snapshot(1), crossing(2, 1), book([(BUY, 101.0, 0.0)], 3, 2)],
                                                   [GOOD, (S.CROSSED, R.CROSSED), GOOD], 0),
    ("a crossed snapshot",         [snapshot(1, levels=[(BUY, 2.0, 1.0), (SELL, 1.0, 1.0)])],
                                                         [GOOD, (S.CROSSED, R.CROSSED)], 0),
    ("snapshots that stay crossed", [snapshot(i, levels=[(BUY, 2.0, 1.0), (SELL, 1.0, 1.0)])
                                     for i in range(1, 5)] + [snapshot(5)],
                                                   [GOOD, (S.CROSSED, R.CROSSED), GOOD], 0),
    ("a refused row",              [snapshot(1), bad(2, 1), change(3, 2)],
                                                             [GOOD, (S.GAP, R.BAD_ROW)], 3),
    ("a refused row of an old one", [snapshot(5), bad(2, 1)[1:], change(6, 5)],     [GOOD], 2),
    ("a refused row of a snapshot", [bad(1, NO_ID, snapshot=True), change(2, 1)],
                                                               [(S.RESYNC, R.BAD_ROW)], 3),
    ("a message without its end",  [snapshot(1), change(2, 1, whole=False), change(3, 2)],
                                                          [GOOD, (S.GAP, R.UNFINISHED)], 2),
    ("of a snapshot",              [snapshot(1, whole=False), change(2, 1)],
                                                            [(S.RESYNC, R.UNFINISHED)], 2),
    ("silence",                    [snapshot(1), trade(60), trade(61), trade(99)],
                                                              [GOOD, (S.STALE, R.STALE)], 0),
    ("silence, ended",             [snapshot(1), change(2, 1, at_s=61)],
                                                        [GOOD, (S.STALE, R.STALE), GOOD], 0),
    ("silence, and a lost message", [snapshot(1), change(4, 3, at_s=61)],
                                                         [GOOD, (S.STALE, R.STALE), GAP], 0),
    ("silence of another lane",    [snapshot(1), trade(99, k=3)],                  [GOOD], 0),
    ("silence behind a refused row", [snapshot(1), snapshot(1, k=1), bad(2, 1, k=1), trade(61)],
                                     [GOOD, GOOD, (S.GAP, R.BAD_ROW), (S.STALE, R.STALE)], 3),
    ("silence inside a message",   [snapshot(1), snapshot(1, k=1)[:1],
                                    snapshot(1, k=1, at_s=61)[1:], trade(62)],
                                                        [GOOD, GOOD, (S.STALE, R.STALE)], 0),
    ("silence behind a message without its end", [snapshot(1), snapshot(1, k=1),
                                    change(2, 1, whole=False), trade(61)],
                              [GOOD, GOOD, (S.GAP, R.UNFINISHED), (S.STALE, R.STALE)], 2),
    ("orders, not levels",         [orders(snapshot=True), orders(), orders()],
                                                                         [UNPROVABLE], 0),
    ("orders without their end",   [orders(snapshot=True), orders()[:1], orders(), orders()],
                                                   [UNPROVABLE, (S.GAP, R.UNFINISHED)], 3),
    ("an old one without its end", [snapshot(9), change(2, 1, whole=False), snapshot(1),
                                    change(2, 1)],                                 [GOOD], 2),
    ("a gapped book is not stale", [snapshot(1), change(4, 3), trade(99)],     [GOOD, GAP], 0),
    ("books of one lane",          [snapshot(1), snapshot(1, k=1), change(4, 3, k=1), change(2, 1)],
                                                                         [GOOD, GOOD, GAP], 0),
]
# fmt: on


@pytest.mark.parametrize(
    ("messages", "expected", "refused"), [c[1:] for c in STORIES], ids=[c[0] for c in STORIES]
)
def test_story(
    messages: list[Message], expected: list[tuple[BookState, BookReason]], refused: int
) -> None:
    out = run(*messages)
    assert statuses(out) == expected
    assert out.rejected.seq.size == refused
    assert set(out.rejected.reason.tolist()) <= {
        Reason.NULL_PRICE, Reason.SUPERSEDED, Reason.MESSAGE_REFUSED, Reason.MESSAGE_UNFINISHED,
    }  # fmt: skip


def test_known_messages_are_superseded() -> None:
    out = run(snapshot(1), change(2, 1), change(2, 1))
    assert set(out.rejected.reason.tolist()) == {Reason.SUPERSEDED}
    assert out.rejected.venue_seq.tolist() == [2, 2]


def test_a_feed_without_proof_is_never_called_synced() -> None:
    out = run(snapshot(1), change(2, 1), change(4, 3), snapshot(5), provable=0)
    assert [state for state, _ in statuses(out)] == [S.UNPROVABLE, S.GAP, S.UNPROVABLE]


def test_a_loss_stands_before_the_message_that_shows_it_and_all_else_behind() -> None:
    out = run(snapshot(1), crossing(2, 1), change(4, 3), bad(5, 4), snapshot(6), bad(7, 6))
    found = [
        S(code).name if kind == Kind.BOOK_STATUS else "."
        for kind, code in zip(out.market.kind, out.market.code, strict=True)
    ]
    assert " ".join(found) == ". . SYNCED . . CROSSED GAP . . . . SYNCED GAP"


def test_a_status_row_has_time_and_place_of_the_row_that_caused_it() -> None:
    out = run(snapshot(1, at_s=1), change(4, 3, at_s=2), trade(3)).market
    rows = take(out, out.kind == Kind.BOOK_STATUS)
    assert rows.ts_recv_ns.tolist() == [1 * SECOND, 2 * SECOND]
    assert rows.seq.tolist() == [1, 2]
    assert rows.ref_id.tolist() == [1, 1]  # snapshots so far
    assert set(rows.source) == set(rows.source_row) == {-1}
    assert set(rows.flags) == {LAST}
    assert np.all(np.diff(out.ts_recv_ns) >= 0)


def test_a_refused_row_without_a_usable_time_gaps_its_book_with_the_next_message() -> None:
    late = bad(2, 1)
    for row in late:
        row["ts_recv_ns"] = 8 * 10**18  # beyond the year 2200
    out = run(snapshot(1), late, change(3, 2, at_s=1))
    assert statuses(out) == [GOOD, (S.GAP, R.BAD_ROW)]
    assert out.market.ts_recv_ns.max() == SECOND


def test_dropped_levels_are_told_at_each_doubling() -> None:
    levels = [(BUY, 99.0 - i, 1.0) for i in range(5)]
    changes = [book([(BUY, 50.0 - i, 1.0)], 2 + i, 1 + i) for i in range(9)]
    rows = run(snapshot(1, levels=levels), *changes, levels_max=5).market
    rows = take(rows, (rows.kind == Kind.BOOK_STATUS) & (rows.reason == R.EVICTED))
    assert rows.qty.tolist() == [1, 2, 4, 8]
    assert set(rows.code) == {S.SYNCED}


def test_rows_without_books_pass_as_they_are() -> None:
    rows = market(trade(1), trade(99), trade(3))
    rows.ts_event_ns[:] = rows.ts_recv_ns
    operator = intake()
    _, out = operator.step(operator.initial(), rows)
    assert out.rejected.reason.tolist() == [Reason.RECV_REGRESSED]
    for name in MarketRows._fields:
        np.testing.assert_array_equal(getattr(out.market, name), getattr(rows, name)[:2])


def test_wrong_settings_are_refused() -> None:
    short = BookFeeds(BookTerms.full(N), np.ones(2, np.uint8), np.ones(N, np.int64), False)
    with pytest.raises(ValueError, match="must have 4 entries, one for each instrument, not 2 and"):
        Intake(table().arrays(), 1, short)
    never = BookFeeds(BookTerms.full(N), np.ones(N, np.uint8), np.zeros(N, np.int64), False)
    with pytest.raises(ValueError, match="fresh_ns must be positive, was 0"):
        Intake(table().arrays(), 1, never)


# Feeds that tell the states themselves ---------------------------------------------------------

SYNCED, LOST = told(S.SYNCED, epoch=1), (S.GAP, R.BAD_ROW)
# fmt: off
TOLD: list[tuple[str, list[Message], list[tuple[BookState, BookReason]], list[int]]] = [
    ("what the feed says stands",   [snapshot(), SYNCED, change(), told(S.GAP, R.SEQUENCE_GAP)],
                                                                             [GOOD, GAP], []),
    ("and nothing else",            [snapshot(), SYNCED, crossing(7, 1), change(9, 8, at_s=99)],
                                                                                  [GOOD], []),
    ("but a refused row",           [snapshot(), SYNCED, bad(-1, -1), change()], [GOOD, LOST], [0]),
    ("which the feed does not know", [snapshot(), SYNCED, bad(-1, -1), told(S.STALE, R.STALE),
                                      SYNCED],
                                           [GOOD, LOST, (S.STALE, R.STALE), LOST], [0]),
    ("until it brings a snapshot",  [snapshot(), SYNCED, bad(-1, -1), told(S.GAP, R.BAD_ROW),
                                     told(S.RESYNC, R.BAD_ROW), snapshot(), SYNCED],
                                           [GOOD, LOST, LOST, (S.RESYNC, R.BAD_ROW), GOOD], [0]),
    ("a refused row of a snapshot", [told(S.RESYNC, R.NO_SNAPSHOT), bad(-1, -1, snapshot=True),
                                     SYNCED],
                                                                           [WAITS, LOST], [0]),
    ("a message without its end",   [snapshot(), SYNCED, change(2, 1, whole=False), change(3, 2)],
                                                          [GOOD, (S.GAP, R.UNFINISHED)], [0]),
    ("a book order by order",       [orders(snapshot=True), SYNCED, orders()],    [GOOD], []),
    ("a clock that was set",        [snapshot(), SYNCED, bad(-1, -1), told(S.SYNCED, R.CLOCK_JUMP)],
                                                   [GOOD, LOST, (S.GAP, R.CLOCK_JUMP)], [0]),
]
# fmt: on


@pytest.mark.parametrize(
    ("messages", "expected", "lost"), [c[1:] for c in TOLD], ids=[c[0] for c in TOLD]
)
def test_a_feed_that_tells_its_states(
    messages: list[Message], expected: list[tuple[BookState, BookReason]], lost: list[int]
) -> None:
    out = run(*messages, told=True)
    assert statuses(out) == expected
    assert out.lost.tolist() == lost


# Operators ---------------------------------------------------------------------------------------


def command(which: Control, *, k: int = 0, at_s: float = 0.0) -> Message:
    """In the lane of another book than k = 3."""
    return [{"kind": Kind.CONTROL, "code": which, "ref_id": k, "symbol": NO_SYMBOL, "flags": LAST,
             "source": -1, "source_row": -1, "ts_recv_ns": int(at_s * SECOND)}]  # fmt: skip


HALT, RESUME = command(Control.HALT_BOOK), command(Control.RESUME_BOOK)
HALTED, ASKED = (S.HALTED, R.OPERATOR), (S.RESYNC, R.OPERATOR)
# fmt: off
COMMANDS: list[tuple[str, list[Message], list[tuple[BookState, BookReason]]]] = [
    ("from the next row on",       [snapshot(1), HALT, trade(1)],                  [GOOD, HALTED]),
    ("which has not come",         [snapshot(1), HALT],                                    [GOOD]),
    ("whatever comes",             [snapshot(1), HALT, change(4, 3), snapshot(9), trade(99)],
                                                                                   [GOOD, HALTED]),
    ("until it is resumed",        [snapshot(1), HALT, change(2, 1), RESUME, change(3, 2),
                                    change(4, 3)],                          [GOOD, HALTED, ASKED]),
    ("and has a snapshot",         [snapshot(1), HALT, change(2, 1), RESUME, snapshot(2),
                                    change(3, 2)],                    [GOOD, HALTED, ASKED, GOOD]),
    ("halted twice, resumed once", [snapshot(1), HALT, HALT, trade(1), HALT, RESUME, trade(2)],
                                                                            [GOOD, HALTED, ASKED]),
    ("resumed before it held",     [snapshot(1), HALT, RESUME, trade(1)],                  [GOOD]),
    ("halted again before it was", [snapshot(1), HALT, trade(1), RESUME, HALT, trade(2)],
                                                                           [GOOD, HALTED, HALTED]),
    ("resumed without need",       [snapshot(1), RESUME, trade(1)],                        [GOOD]),
    ("a book of which nothing is known", [HALT, trade(1), snapshot(1), trade(2)],  [GOOD, HALTED]),
    ("another book",               [snapshot(1), command(Control.HALT_BOOK, k=1), trade(1)],
                                                                                           [GOOD]),
    ("another lane's rows",        [snapshot(1), snapshot(1, k=3), command(Control.HALT_BOOK, k=3),
                                    trade(1), trade(2, k=3)],                [GOOD, GOOD, HALTED]),
    ("no book at all",             [snapshot(1), command(Control.HALT_BOOK, k=99), trade(1)],
                                                                                           [GOOD]),
    ("another command",            [snapshot(1), command(Control.SWAP_MODEL), trade(1)],   [GOOD]),
]
# fmt: on


@pytest.mark.parametrize(
    ("messages", "expected"), [c[1:] for c in COMMANDS], ids=[c[0] for c in COMMANDS]
)
def test_an_operator_halts_and_resumes_a_book(
    messages: list[Message], expected: list[tuple[BookState, BookReason]]
) -> None:
    out = run(*messages)
    assert statuses(out) == expected
    controls = sum(row.get("kind") == Kind.CONTROL for message in messages for row in message)
    assert np.count_nonzero(out.market.kind == Kind.CONTROL) == controls  # they stay on the log


def test_no_command_changes_which_rows_of_a_tape_are_refused() -> None:
    again = [change(2, 1), change(4, 3), change(4, 3)]
    out = run(snapshot(1), change(2, 1), HALT, *again, RESUME, *again, snapshot(5), change(6, 5))
    plain = run(snapshot(1), change(2, 1), *again, *again, snapshot(5), change(6, 5))
    assert out.rejected.venue_seq.tolist() == plain.rejected.venue_seq.tolist() == [2, 2]
    assert statuses(out) == [GOOD, HALTED, ASKED, GOOD]


def test_a_feed_that_tells_its_states_is_overruled_and_asked_for_a_snapshot() -> None:
    begin = [snapshot(), SYNCED, HALT, SYNCED, told(S.GAP, R.DISCONNECTED), snapshot(), SYNCED]
    out = run(*begin, told=True)
    assert statuses(out) == [GOOD, HALTED, HALTED, HALTED, HALTED]
    assert (out.resumed.tolist(), out.lost.tolist()) == ([], [])
    out = run(*begin, RESUME, told=True)
    assert (out.resumed.tolist(), out.lost.tolist()) == ([0], [])
    out = run(*begin, RESUME, told(S.RESYNC, R.OPERATOR), snapshot(), SYNCED, told=True)
    assert statuses(out)[5:] == [ASKED, ASKED, GOOD]


def test_a_book_that_its_feed_gave_up_can_be_resumed() -> None:
    begin = [snapshot(), SYNCED, told(S.HALTED, R.NO_SNAPSHOT), change(), RESUME]
    out = run(*begin, told(S.RESYNC, R.OPERATOR), snapshot(), SYNCED, told=True)
    assert statuses(out) == [GOOD, (S.HALTED, R.NO_SNAPSHOT), ASKED, ASKED, GOOD]
    assert out.resumed.tolist() == [0]


# Against a slow and obvious one, and in pieces ---------------------------------------------------


class Slow:
    """One provable book: dictionaries, the venues' own judge, and the table of states."""

    def __init__(self) -> None:
        self.chain, self.state, self.book = Chain(), S.NONE, SlowBook()
        self.said: list[BookState] = []

    def take(self, levels: list[Level], number: int, follows: int, *, snapshot: bool) -> None:
        link = Link(number, number, follows)
        chain, verdict = judge(self.chain, link, snapshot=snapshot)
        if verdict in (Verdict.DUPLICATE, Verdict.STALE):
            return
        self.chain = chain
        broken = any(np.isnan(price) for _, price, _ in levels)
        if verdict is Verdict.NEEDS_SNAPSHOT or verdict is Verdict.GAP or broken:
            self.chain = Chain()
            self._happen(E.RESYNC if self.state is S.NONE else E.GAP)
            return
        self.book.take(levels, snapshot=snapshot)
        bids, asks = self.book.prices(BUY), self.book.prices(SELL)
        crossed = bool(bids and asks and bids[0] >= asks[0])
        if snapshot and not (crossed and self.state is S.CROSSED):
            self._happen(E.SNAPSHOT)
        if crossed:
            self._happen(E.CROSSED)
        elif not snapshot:
            self._happen(E.MESSAGE)

    def _happen(self, event: BookEvent) -> None:
        if self.state is S.RESYNC and event is E.GAP:
            return
        after = NEXT[self.state].get(event, self.state)
        if after is not self.state:
            self.state = after
            self.said.append(after)


def random_messages(n: int) -> Iterator[tuple[int, list[Level], int, int, bool]]:
    """Of all books: in order, lost, twice, old, overlapping, crossed, broken, snapshots."""
    random = np.random.default_rng(11)
    number = dict.fromkeys(range(N), 10)
    for _ in range(n):
        k = int(random.integers(0, N))
        chance, last = random.random(), number[k]
        levels: list[Level] = [
            (side, 100.0 - side * float(random.integers(1, 9)), float(random.integers(0, 3)))
            for side in random.choice([BUY, SELL], int(random.integers(1, 5))).tolist()
        ]
        if random.random() < 0.03:
            levels.append((BUY, 104.0, 1.0))
        if random.random() < 0.04:
            levels.insert(int(random.integers(0, len(levels) + 1)), (SELL, NAN, 1.0))
        if chance < 0.1:
            yield k, [*WHOLE, *levels], last, last - 1, True
            continue
        step = int(random.integers(1, 4))
        if chance < 0.2:  # twice, or older
            yield k, levels, last - int(random.integers(0, 3)), last - 4, False
            continue
        follows = last + (1 if chance < 0.25 else -1 if chance < 0.3 else 0)
        number[k] = last + step + 1
        yield k, levels, number[k], follows, False


def test_states_are_those_of_a_slow_book() -> None:
    slow = [Slow() for _ in range(N)]
    messages = []
    for k, levels, number, follows, is_snapshot in random_messages(3000):
        slow[k].take(levels, number, follows, snapshot=is_snapshot)
        messages.append(book(levels, number, follows, k=k, snapshot=is_snapshot))
    out = run(*messages).market
    for k, (lane, symbol, *_) in enumerate(MARKETS):
        mine = take(
            out, (out.kind == Kind.BOOK_STATUS) & (out.lane == lane) & (out.symbol == symbol)
        )
        assert [S(code) for code in mine.code] == slow[k].said
    said = {state for one in slow for state in one.said}
    assert said == {S.SYNCED, S.GAP, S.CROSSED, S.RESYNC}


class Tables:
    """The operator as `check_operator` knows them: tables out."""

    def __init__(self, operator: Intake) -> None:
        self._operator = operator
        self.initial, self.dump, self.load = operator.initial, operator.dump, operator.load

    def step(
        self, state: IntakeState, rows: MarketRows
    ) -> tuple[IntakeState, tuple[MarketRows, MarketRows]]:
        state, out = self._operator.step(state, rows)
        return state, (out.market, out.rejected)


@pytest.mark.parametrize("told_", [False, True])
def test_any_split_of_the_rows_gives_the_same_bytes(told_: bool) -> None:
    random = np.random.default_rng(5)
    messages: list[Message] = []
    for i, (k, levels, number, follows, is_snapshot) in enumerate(random_messages(400)):
        at_s = 20.0 * i if i % 50 < 3 else float(20 * i - 19)
        messages.append(book(levels, number, follows, k=k, snapshot=is_snapshot, at_s=at_s,
                             whole=random.random() < 0.98))  # fmt: skip
        if random.random() < 0.2:
            messages.append(trade(at_s, k=int(random.integers(0, N))))
        if random.random() < 0.1:
            state = list(S)[int(random.integers(0, len(S)))]
            messages.append([row | {"ts_recv_ns": int(at_s * SECOND)} for row in told(state)])
        if random.random() < 0.05:
            which = Control.HALT_BOOK if random.random() < 0.5 else Control.RESUME_BOOK
            messages.append(command(which, k=int(random.integers(0, N)), at_s=at_s))
    rows = market(*messages)
    rows.ts_event_ns[:] = rows.ts_recv_ns
    check_operator(Tables(intake(told=told_)), rows, without_numba=not told_, warm_up=0.9)


def test_nothing_of_ours_stands_inside_a_message() -> None:
    out = run(*(
        book(levels, number, follows, k=k, snapshot=is_snapshot, at_s=3.0 * i)
        for i, (k, levels, number, follows, is_snapshot) in enumerate(random_messages(2000))
    )).market  # fmt: skip
    assert np.count_nonzero(out.kind == Kind.BOOK_STATUS) > 100
    rows = np.flatnonzero(out.kind == Kind.BOOK)
    for first, second in itertools.pairwise(rows.tolist()):
        same_message = out.ts_recv_ns[first] == out.ts_recv_ns[second]
        assert second == first + 1 or not same_message


# Recorded books ----------------------------------------------------------------------------------


def recorded(path: Path, n_rows: int) -> tuple[Any, MarketRows]:
    feed = open_tapes([path])
    parts, n = [], 0
    for part in feed.read(0, 8192):
        parts.append(part)
        n += part.seq.size
        if n >= n_rows:
            break
    return feed, concat(parts)


def through(feed: Any, rows: MarketRows) -> IntakeRows:
    operator = Intake(feed.table.arrays(), len(feed.names), book_feeds(feed))
    return operator.step(operator.initial(), rows)[1]


BINANCE = ("binance_coinm_BTCUSD_PERP", "binance_spot_ETHUSDT", "binance_usdm_BTCUSDT")


@pytest.mark.parametrize("name", BINANCE)
def test_any_dropped_message_of_a_numbered_tape_is_a_gap(
    name: str, data_path: Callable[[str], Path]
) -> None:
    feed, rows = recorded(data_path(f"book/{name}_20240808T2354.parquet"), 40_000)
    out = through(feed, rows)
    assert statuses(out) == [GOOD]
    assert not out.rejected.seq.size
    numbers = np.unique(rows.venue_seq[rows.flags & Flag.SNAPSHOT == 0])
    for lost in numbers[[0, 1, 100, -3]]:  # the last one has no end
        kept = take(rows, rows.venue_seq != lost)
        found = through(feed, kept)
        assert statuses(found) == [GOOD, GAP]
        gap = int(np.flatnonzero(found.market.code == S.GAP)[0])
        assert found.market.venue_seq[gap - 1] < lost < found.market.venue_seq[gap + 1]
        assert found.market.ref_id[gap + 1] == lost


def test_a_dropped_message_of_coinbase_shows_nowhere_so_it_is_unprovable(
    data_path: Callable[[str], Path],
) -> None:
    feed, rows = recorded(data_path("book/coinbase_BTC-USD_20180417T0055.parquet"), 60_000)
    ends = np.flatnonzero(rows.flags & Flag.MSG_LAST)
    kept = take(rows, np.r_[: ends[9] + 1, ends[10] + 1 : rows.seq.size])
    for each in (rows, kept):
        found = statuses(through(feed, each))
        assert {state for state, _ in found} == {S.UNPROVABLE}


def test_heartbeats_and_the_like_pass_untouched() -> None:
    rows = empty(MarketRows, 2)
    rows.kind[:], rows.symbol[:] = Kind.HEARTBEAT, NO_SYMBOL
    operator = intake()
    state, _ = operator.step(operator.initial(), market(snapshot(1)))
    assert operator.step(state, rows)[1].market.kind.tolist() == [Kind.HEARTBEAT] * 2
