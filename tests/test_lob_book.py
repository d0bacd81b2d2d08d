"""Promise: orders are matched by price, then by time; nothing is lost and nothing made.

Oracle: a list of orders that is searched from the start for whoever comes next.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from venues.lob.engine.book import (
    ADDED,
    ASK,
    BID,
    CANCELLED,
    GRID,
    NOBODY,
    NONE,
    TRADED,
    Books,
    Outcome,
    blank_books,
    blank_outcome,
    cancel,
    lots_ahead,
    lots_of_side,
    rest,
    take,
)

MID = 1_000


@dataclass
class Order:
    name: int
    side: int
    tick: int
    lots: int
    reserve: int
    display: int


class Plain:
    """The slow, obvious matcher: a list in order of time."""

    def __init__(self) -> None:
        self.orders: list[Order] = []

    def best(self, side: int) -> int:
        ticks = [o.tick for o in self.orders if o.side == side]
        return (max(ticks) if side == BID else min(ticks)) if ticks else (-1, GRID)[side]

    def take(self, side: int, lots: int, limit: int) -> list[tuple[int, int, int]]:
        fills = []
        while lots:
            rivals = [o for o in self.orders if o.side != side]
            rivals = [o for o in rivals if (o.tick <= limit if side == BID else o.tick >= limit)]
            if not rivals:
                break
            best = min(rivals, key=lambda o: o.tick if side == BID else -o.tick)
            filled = min(lots, best.lots)
            lots -= filled
            best.lots -= filled
            fills.append((best.name, best.tick, filled))
            if best.lots == 0:
                self.orders.remove(best)
                if best.reserve:
                    best.lots = min(best.display, best.reserve)
                    best.reserve -= best.lots
                    self.orders.append(best)  # the end of the line
        return fills


def fills_of(out: Outcome) -> list[tuple[int, int, int]]:
    return [(f.order, f.tick, f.lots) for f in out.fills[: out.n[0]]]


def shown(books: Books) -> dict[int, int]:
    return {int(t): int(books.lots[0, t]) for t in np.flatnonzero(books.lots[0])}


def test_thousands_of_orders_meet_as_they_should() -> None:
    random = np.random.default_rng(11)
    books, out, plain = blank_books(1), blank_outcome(), Plain()
    traded = reserves = 0
    for step in range(3_000):
        out.n[:] = 0
        side, what = int(random.integers(2)), random.random()
        if what < 0.55:
            tick = MID + int(random.integers(-6, 7))
            lots, reserve = int(random.integers(1, 9)), int(random.integers(0, 12)) * (what < 0.1)
            number = rest(books, 0, side, tick, lots, reserve, NOBODY, out)
            crosses = tick >= plain.best(ASK) if side == BID else tick <= plain.best(BID)
            assert (number == NONE) == crosses
            if not crosses:
                plain.orders.append(Order(number, side, tick, lots, reserve, lots))
        elif what < 0.75 and plain.orders:
            one = plain.orders.pop(int(random.integers(len(plain.orders))))
            assert cancel(books, 0, one.name, out) == one.lots + one.reserve
        else:
            lots, limit = int(random.integers(1, 25)), MID + int(random.integers(-4, 5))
            expected = plain.take(side, lots, limit)
            assert take(books, 0, side, lots, limit, out) == sum(f[2] for f in expected)
            assert fills_of(out) == expected
            traded += len(expected)
            reserves += len(expected) > len({f[0] for f in expected})
        levels: dict[int, int] = {}
        for one in plain.orders:
            levels[one.tick] = levels.get(one.tick, 0) + one.lots
        assert shown(books) == levels, step
        assert books.best[0].tolist() == [plain.best(BID), plain.best(ASK)]
        assert set(out.touched[: out.n[1]].tolist()) >= {f[1] for f in fills_of(out)}
        resting = sum(o.lots + o.reserve for o in plain.orders)
        flows = books.flows[0]
        assert flows[ADDED] == flows[TRADED] + flows[CANCELLED] + resting
    assert traded > 500
    assert reserves > 10  # some orders were filled twice by one


def test_first_come_first_served() -> None:
    books, out = blank_books(1), blank_outcome()
    first, second, better = (
        rest(books, 0, BID, tick, 5, 0, NOBODY, out) for tick in (MID, MID, MID + 1)
    )
    assert [lots_ahead(books, 0, n) for n in (first, second, better)] == [5, 10, 0]
    out.n[:] = 0
    take(books, 0, ASK, 8, MID, out)
    assert fills_of(out) == [(better, MID + 1, 5), (first, MID, 3)]
    assert lots_of_side(books, 0, BID) == 7


def test_a_reserve_waits_at_the_end_of_the_line() -> None:
    books, out = blank_books(1), blank_outcome()
    iceberg = rest(books, 0, ASK, MID, 2, 3, NOBODY, out)
    other = rest(books, 0, ASK, MID, 4, 0, NOBODY, out)
    out.n[:] = 0
    assert take(books, 0, BID, 9, MID, out) == 9
    # 2 shown, the other's 4, 2 of the reserve, then its last one
    assert fills_of(out) == [
        (iceberg, MID, 2), (other, MID, 4), (iceberg, MID, 2), (iceberg, MID, 1)
    ]  # fmt: skip
    assert out.fills[:4].done.tolist() == [0, 1, 0, 1]
    assert books.best[0].tolist() == [-1, GRID]


@pytest.mark.parametrize(
    ("side", "tick", "lots"),
    [(BID, MID, 1), (BID, MID + 3, 1), (BID, 0, 1), (ASK, GRID - 1, 1), (BID, MID - 1, 0)],
    ids=["at the ask", "above the ask", "below the grid", "above the grid", "no lots"],
)
def test_orders_that_find_no_place(side: int, tick: int, lots: int) -> None:
    books, out = blank_books(1), blank_outcome()
    rest(books, 0, ASK, MID, 1, 0, NOBODY, out)
    assert rest(books, 0, side, tick, lots, 0, NOBODY, out) == NONE
    assert shown(books) == {MID: 1}
