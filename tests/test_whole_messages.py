"""Promise: a book message is on the log whole, or in quarantine whole, however its rows come."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from operators.market import whole
from operators.market.intake import Intake, IntakeRows, IntakeState
from operators.market.whole import MESSAGE_ROWS_MAX
from schemas.kinds import Flag, Kind
from schemas.reasons import Reason
from schemas.rows import MarketRows, concat, empty, take
from tests.book_cases import BUY, LAST, MARKETS, SNAP, market, table
from tests.check_operator import check_operator

R = Reason
OK, REFUSED, UNFINISHED = R.OK, R.MESSAGE_REFUSED, R.MESSAGE_UNFINISHED
NAN = float("nan")
Row = dict[str, Any]


def row(number: int, at: int = -1, *, last: bool = False, **more: Any) -> Row:
    """A row of the first book, without its own reason to be refused."""
    lane, symbol = MARKETS[more.pop("k", 0)][:2]
    made: Row = {
        "kind": Kind.BOOK, "lane": lane, "symbol": symbol, "side": BUY, "price": 9.0, "qty": 1.0,
        "venue_seq": number, "flags": LAST if last else 0,
    }  # fmt: skip
    return made | ({} if at < 0 else {"source_row": at}) | more


def end(number: int, at: int = -1, **more: Any) -> Row:
    return row(number, at, last=True, **more)


def trade(**more: Any) -> Row:
    return row(-1, last=True, kind=Kind.TRADE, **more)


def bad(number: int, **more: Any) -> Row:
    return row(number, price=NAN, **more)


def snap(each: Row) -> Row:
    return each | {"flags": each["flags"] | SNAP}


# fmt: off
CASES: list[tuple[str, list[Row], list[Reason], int]] = [
    # what comes, its rows, the reason of each that came out, rows still held
    ("a whole message",                [row(1), row(1), end(1)],            [OK, OK, OK], 0),
    ("no end yet",                     [end(1), row(2), row(2)],            [OK], 2),
    ("the first row is bad",           [bad(1), row(1), end(1)],
                                                            [R.NULL_PRICE, REFUSED, REFUSED], 0),
    ("one in the middle",              [row(1), bad(1), end(1), end(2)],
                                                        [REFUSED, R.NULL_PRICE, REFUSED, OK], 0),
    ("the last one",                   [row(1), row(1), bad(1, last=True), end(2)],
                                                        [REFUSED, REFUSED, R.NULL_PRICE, OK], 0),
    ("two of them",                    [row(1), bad(1), bad(1), end(1)],
                                                 [REFUSED, R.NULL_PRICE, R.NULL_PRICE, REFUSED], 0),
    ("of a symbol that nobody knows",  [row(1), row(1, symbol=77), end(1)],
                                                        [REFUSED, R.UNKNOWN_SYMBOL, REFUSED], 0),
    ("another message cuts it short",  [row(1), row(1), end(2)], [UNFINISHED, UNFINISHED, OK], 0),
    ("a bad one does",                 [row(1), bad(2), end(2), end(3)],
                                                  [UNFINISHED, R.NULL_PRICE, REFUSED, OK], 0),
    ("another book does",              [row(1), end(1, k=1)],                  [UNFINISHED, OK], 0),
    ("a trade does",                   [row(1), trade(), end(2)],     [UNFINISHED, OK, OK], 0),
    ("and its rest comes later",       [row(1), trade(), row(1), end(1), end(2)],
                                            [UNFINISHED, OK, UNFINISHED, UNFINISHED, OK], 0),
    ("behind another book's message",  [row(1), end(1, k=1), row(1), end(1), end(2)],
                                            [UNFINISHED, OK, UNFINISHED, UNFINISHED, OK], 0),
    ("and never comes",                [row(1), trade(), row(2), end(2)],
                                                                 [UNFINISHED, OK, OK, OK], 0),
    ("a hole in it",                   [row(1, 0), row(1, 1), row(1, 5), end(1, 6), end(2, 7)],
                                                                 [UNFINISHED] * 4 + [OK], 0),
    ("a hole at its end and another's beginning",
                                       [row(1, 0), row(2, 5), end(2, 6), end(3, 7)],
                                                                 [UNFINISHED] * 3 + [OK], 0),
    ("a hole in a snapshot",           [snap(row(1, 0)), snap(row(1, 5)), snap(end(1, 6))],
                                                                 [UNFINISHED] * 3, 0),
    ("without numbers of rows",        [row(1, source_row=-1), end(1, source_row=-1)], [OK, OK], 0),
    ("without any numbers, a trade inside",
                                 [row(-1, 0), trade(source_row=90), end(-1, 1), end(-1, 2)],
                                                            [UNFINISHED, OK, UNFINISHED, OK], 0),
    ("and behind that another one",    [row(-1, 0), trade(source_row=90), row(-1, 7), end(-1, 8)],
                                                            [UNFINISHED, OK, OK, OK], 0),
    ("of a source that begins again",  [row(1, 7), trade(source_row=-1), row(1, 0), end(1, 1)],
                                                            [UNFINISHED, OK, OK, OK], 0),
    ("a snapshot inside a change",     [row(1), snap(row(1)), snap(end(1))],
                                                                 [UNFINISHED, OK, OK], 0),
    ("rows of another source between", [row(1), end(1, source=1), end(1)],
                                                                 [UNFINISHED, OK, UNFINISHED], 0),
]
# fmt: on


def intake() -> Intake:
    return Intake(table().arrays(), 2, None)


def judged(rows: MarketRows, cuts: list[int]) -> tuple[list[Reason], IntakeRows, list[int]]:
    """Reasons in the order in which rows came, what came out at last, and when it came."""
    operator = intake()
    state = operator.initial()
    found: dict[int, Reason] = {}
    came = []
    for first, last in zip([0, *cuts], [*cuts, rows.seq.size], strict=True):
        state, out = operator.step(state, take(rows, slice(first, last)))
        for table_ in (out.market, out.rejected):
            reasons = table_.reason if table_ is out.rejected else np.zeros_like(table_.reason)
            found |= dict(zip(table_.seq.tolist(), map(Reason, reasons.tolist()), strict=True))
        assert len(found) + out.held == last  # every row is somewhere
        came.append(len(found))
    return [found[i] for i in sorted(found)], out, came


@pytest.mark.parametrize(
    ("rows", "expected", "held"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_case(rows: list[Row], expected: list[Reason], held: int) -> None:
    made = market(rows)
    made.ts_event_ns[:] = made.ts_recv_ns
    reasons, out, _ = judged(made, [])
    assert (reasons, out.held) == (expected, held)
    for cut in range(1, len(rows)):
        assert judged(made, [cut])[0] == expected
    assert judged(made, list(range(1, len(rows))))[0] == expected


def test_nothing_but_the_open_message_is_held() -> None:
    made = market([trade(), row(1), row(1), end(1), trade(), row(2)])
    made.ts_event_ns[:] = made.ts_recv_ns
    assert judged(made, [1, 2, 3, 4, 5])[2] == [1, 1, 1, 4, 5, 5]


def test_the_end_of_a_feed_refuses_what_is_held_and_what_still_comes_of_it() -> None:
    operator = intake()
    made = market([end(1), row(2), row(2)], [row(2), end(2), end(3)])
    made.ts_event_ns[:] = made.ts_recv_ns
    state, out = operator.step(operator.initial(), take(made, slice(0, 3)))
    assert (out.market.seq.size, out.held) == (1, 2)
    state, out = operator.end(operator.load(operator.dump(state)))
    assert out.rejected.reason.tolist() == [UNFINISHED, UNFINISHED]
    assert out.rejected.seq.tolist() == [1, 2]
    assert (out.market.seq.size, out.held) == (0, 0)
    state, out = operator.step(state, take(made, slice(3, 6)))
    assert out.rejected.reason.tolist() == [UNFINISHED, UNFINISHED]
    assert operator.end(state)[1].rejected.seq.size == 0


def test_a_message_has_a_longest_length(monkeypatch: pytest.MonkeyPatch) -> None:
    n = MESSAGE_ROWS_MAX + 2
    rows = empty(MarketRows, n)
    columns: zip[tuple[Any, Any]] = zip(rows, market([row(1)]), strict=True)
    for column, value in columns:
        column[:] = value[0]
    rows.seq[:] = rows.source_row[:] = np.arange(n)
    rows.flags[-1] = LAST
    operator = intake()
    _, out = operator.step(operator.initial(), rows)
    assert (out.market.seq.size, out.held) == (0, 0)
    assert set(out.rejected.reason.tolist()) == {UNFINISHED}
    rows.flags[-3] = LAST  # the longest: what follows is another
    _, out = operator.step(operator.initial(), rows)
    assert (out.market.seq.size, out.held) == (n, 0)


def test_a_message_inside_one_table_is_not_copied() -> None:
    made = market([trade(), row(1), end(1)])
    made.ts_event_ns[:] = made.ts_recv_ns
    operator = intake()
    _, out = operator.step(operator.initial(), made)
    assert np.shares_memory(out.market.price, made.price)


def test_rows_come_one_by_one_at_a_cost_that_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held rows are copied when room doubles, not with each row."""
    copies = Counter[int]()

    def counted(parts: list[MarketRows]) -> MarketRows:
        copies.update([parts[0].seq.size])
        return concat(parts)

    monkeypatch.setattr(whole, "concat", counted)
    made = market([row(1) for _ in range(3000)], [end(1)])
    made.ts_event_ns[:] = made.ts_recv_ns
    assert judged(made, list(range(1, 3001)))[0] == [OK] * 3001
    assert sum(size * n for size, n in copies.items()) < 3 * 3001


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


def random_rows(n: int) -> Iterator[Row]:
    """Messages of two books and sources, some with holes, bad rows, trades inside, or no end."""
    random = np.random.default_rng(3)
    at = [0, 0]
    for number in range(n):
        source, k = (int(random.integers(0, 2)) for _ in range(2))
        size = int(random.integers(1, 9))
        for i in range(size):
            at[source] += 1 if random.random() > 0.02 else 3
            more: Row = {"source": source, "k": k}
            if random.random() < 0.01:
                more["price"] = NAN
            if random.random() < 0.01:
                yield trade(source=source, k=k, source_row=-1)
            last = i == size - 1 and random.random() > 0.05
            made = row(number if k else -1, at[source], last=last, **more)
            yield snap(made) if number % 5 == 0 else made


def test_any_split_gives_the_same_bytes() -> None:
    made = market([*random_rows(400), trade()])
    made.ts_event_ns[:] = made.ts_recv_ns
    check_operator(Tables(intake()), made, without_numba=True, warm_up=0.999)


def test_each_message_is_in_one_place() -> None:
    """By a slow and obvious look at the rows that came out."""
    made = market([*random_rows(3000), trade()])
    made.ts_event_ns[:] = made.ts_recv_ns
    operator = intake()
    _, out = operator.step(operator.initial(), made)
    assert np.array_equal(
        np.sort(np.r_[out.market.seq, out.rejected.seq]), np.arange(made.seq.size)
    )
    assert {R.NULL_PRICE, REFUSED, UNFINISHED} == set(map(Reason, out.rejected.reason.tolist()))
    rows = concat([out.market, out.rejected])
    passed = np.r_[np.ones(out.market.seq.size, bool), np.zeros(out.rejected.seq.size, bool)]
    order = np.argsort(rows.seq)
    rows, passed = take(rows, order), passed[order]
    opened = -1  # the row with which the message began that the last passed row is inside of
    for i in np.flatnonzero(passed).tolist():
        if rows.kind[i] != Kind.BOOK:
            assert opened < 0
            continue
        if opened >= 0:
            assert rows.seq[i] == rows.seq[i - 1] + 1
            assert passed[i - 1]
            assert rows.venue_seq[i] == rows.venue_seq[opened]
            assert rows.source_row[i] == rows.source_row[i - 1] + 1
        opened = -1 if rows.flags[i] & Flag.MSG_LAST else (i if opened < 0 else opened)
    assert opened < 0
