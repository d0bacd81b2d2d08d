"""Books order by order: queues, ghosts, and equal to a list of orders, always."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.market.books.l3 import DEAD_KEPT, L3Books, OrderRows, OrderTopRows
from operators.market.books.l3_state import L3State, order_levels, queue_ahead
from operators.market.books.sides import ASK, BID
from operators.market.books.words import BookReason, OrderAction
from schemas.rows import empty, take
from tests.book_cases import BUY, LAST, MARKETS, SELL, SNAP, table
from tests.check_operator import check_operator

Find = Callable[[str], Path]
NAN = float("nan")
A, R = OrderAction, BookReason
Event = tuple[OrderAction, int, int, float, float]  # action, order, side, price, quantity


def books(**more: Any) -> L3Books:
    return L3Books(table().arrays(), **{"begins_empty": True} | more)


def order_rows(
    events: list[Event], *, k: int = 0, flags: int = LAST, number: int = -1
) -> OrderRows:
    """Each event a message of its own, unless the flags say otherwise."""
    rows = empty(OrderRows, len(events))
    rows.lane[:], rows.symbol[:] = MARKETS[k][:2]
    rows.flags[:], rows.venue_seq[:] = flags, number
    rows.seq[:] = rows.ts_event_ns[:] = rows.ts_recv_ns[:] = np.arange(len(events))
    for i, (action, order_id, side, price, qty) in enumerate(events):
        rows.action[i], rows.order_id[i], rows.side[i] = action, order_id, side
        rows.price[i], rows.qty[i] = price, qty
    return rows


def run(events: list[Event], operator: L3Books | None = None) -> tuple[L3State, OrderTopRows]:
    operator = operator or books()
    return operator.step(operator.initial(), order_rows(events))


def levels_of(state: L3State, s: int, n: int = 400) -> list[tuple[float, float, float]]:
    price, qty, n_orders = np.empty(n), np.empty(n), np.empty(n)
    found = order_levels(state, s, price, qty, n_orders)
    assert np.isnan(price[found:]).all()
    return list(zip(*(c[:found].tolist() for c in (price, qty, n_orders)), strict=True))


def bid(out: OrderTopRows) -> tuple[float, float, float]:
    return float(out.bid_px[-1]), float(out.bid_qty[-1]), float(out.bid_orders[-1])


ONE, TWO = (A.ADD, 1, BUY, 99.0, 5.0), (A.ADD, 2, BUY, 99.0, 3.0)
NONE = (NAN, NAN, NAN)
# fmt: off
CASES: list[tuple[str, list[Event], tuple[float, float, float], tuple[int, float]]] = [
    # what happens after ONE and TWO, the best bid, and who then stands before order 2
    ("nothing more",            [],                                      (99.0, 8.0, 2), (1, 5.0)),
    ("the first is deleted",    [(A.DELETE, 1, BUY, NAN, NAN)],          (99.0, 3.0, 1), (0, 0.0)),
    ("the first is reduced",    [(A.REDUCE, 1, BUY, NAN, 1.0)],          (99.0, 7.0, 2), (1, 4.0)),
    ("the first is part filled", [(A.EXECUTE, 1, BUY, 99.0, 4.0)],       (99.0, 4.0, 2), (1, 1.0)),
    ("the first is filled",     [(A.EXECUTE, 1, BUY, 99.0, 5.0)],        (99.0, 3.0, 1), (0, 0.0)),
    ("more is filled than is there", [(A.EXECUTE, 1, BUY, 99.0, 9.0)],   (99.0, 3.0, 1), (0, 0.0)),
    ("a hidden one is filled",  [(A.EXECUTE_HIDDEN, 0, BUY, 99.5, 9.0)], (99.0, 8.0, 2), (1, 5.0)),
    ("the first changes down",  [(A.CHANGE, 1, BUY, 99.0, 2.0)],         (99.0, 5.0, 2), (1, 2.0)),
    ("the first changes up",    [(A.CHANGE, 1, BUY, 99.0, 6.0)],         (99.0, 9.0, 2), (0, 0.0)),
    ("the first changes to the same", [(A.CHANGE, 1, BUY, 99.0, 5.0)],   (99.0, 8.0, 2), (1, 5.0)),
    ("the first moves away",    [(A.CHANGE, 1, BUY, 98.0, 5.0)],         (99.0, 3.0, 1), (0, 0.0)),
    ("the first moves up",      [(A.CHANGE, 1, BUY, 99.5, 5.0)],         (99.5, 5.0, 1), (0, 0.0)),
    ("the first changes to nothing", [(A.CHANGE, 1, BUY, 99.0, 0.0)],    (99.0, 3.0, 1), (0, 0.0)),
    ("the second goes",         [(A.DELETE, 2, BUY, NAN, NAN)],          (99.0, 5.0, 1), (-1, NAN)),
    ("the second comes again",  [(A.ADD, 2, BUY, 99.0, 4.0)],            (99.0, 9.0, 2), (1, 5.0)),
    ("an unknown one is filled", [(A.EXECUTE, 9, BUY, 99.0, 4.0)],       (99.0, 8.0, 2), (1, 5.0)),
    ("an older one is changed", [(A.CHANGE, 9, BUY, 99.7, 4.0)],         (99.7, 4.0, 1), (1, 5.0)),
    ("a ghost changes",         [(A.DELETE, 1, BUY, NAN, NAN), (A.CHANGE, 1, BUY, 99.0, 4.0)],
                                                                         (99.0, 3.0, 1), (0, 0.0)),
    ("a ghost is added",        [(A.DELETE, 7, BUY, NAN, NAN), (A.ADD, 7, BUY, 99.9, 4.0)],
                                                                         (99.0, 8.0, 2), (1, 5.0)),
    ("one comes back by SET",   [(A.DELETE, 1, BUY, NAN, NAN), (A.SET, 1, BUY, 99.0, 4.0)],
                                                                         (99.0, 7.0, 2), (0, 0.0)),
    ("a bad row",               [(A.ADD, 3, BUY, NAN, 4.0)],             NONE, (1, 5.0)),
    ("no such action",          [(9, 3, BUY, 99.0, 4.0)],                NONE, (1, 5.0)),  # type: ignore[list-item]
]
# fmt: on


@pytest.mark.parametrize(
    ("events", "top", "ahead"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_case(
    events: list[Event], top: tuple[float, float, float], ahead: tuple[int, float]
) -> None:
    state, out = run([ONE, TWO, *events])
    assert bid(out) == pytest.approx(top, nan_ok=True)
    assert queue_ahead(state, 0, 2) == pytest.approx(ahead, nan_ok=True)


# fmt: off
DECIMALS: list[tuple[str, list[Event], tuple[float, float, float], tuple[int, float]]] = [
    # what happens after 0.9 and TWO: binary fractions do not add up as decimals do
    ("filled, then told what is left", [(A.FILL, 1, BUY, 99.0, 0.8), (A.CHANGE, 1, BUY, 99.0, 0.1)],
                                                                         (99.0, 3.1, 2), (1, 0.1)),
    ("filled up again",  [(A.FILL, 1, BUY, 99.0, 0.2), (A.CHANGE, 1, BUY, 99.0, 0.9)],
                                                                         (99.0, 3.9, 2), (0, 0.0)),
    ("filled in thirds", [(A.EXECUTE, 1, BUY, 99.0, 0.3)] * 3,           (99.0, 3.0, 1), (0, 0.0)),
    ("reduced in thirds", [(A.REDUCE, 1, BUY, NAN, 0.3)] * 3,            (99.0, 3.0, 1), (0, 0.0)),
]
# fmt: on


@pytest.mark.parametrize(
    ("events", "top", "ahead"), [c[1:] for c in DECIMALS], ids=[c[0] for c in DECIMALS]
)
def test_decimals(
    events: list[Event], top: tuple[float, float, float], ahead: tuple[int, float]
) -> None:
    state, out = run([(A.ADD, 1, BUY, 99.0, 0.9), TWO, *events])
    assert bid(out) == pytest.approx(top)
    assert queue_ahead(state, 0, 2) == pytest.approx(ahead)


def test_what_makes_no_sense_is_counted() -> None:
    _, out = run([
        ONE, ONE, (A.DELETE, 1, BUY, NAN, NAN), (A.DELETE, 1, BUY, NAN, NAN),
        (A.CHANGE, 1, BUY, 99.0, 1.0), (A.EXECUTE, 1, BUY, 99.0, 1.0), (A.DELETE, 8, BUY, NAN, NAN),
    ])  # fmt: skip
    found = (out.ghosts[-1], out.unknown[-1], out.repeated[-1], out.n_orders[-1])
    assert found == (2, 1, 2, 0)


def test_an_order_is_remembered_for_so_many_deletions_and_no_more() -> None:
    dead = [(A.DELETE, 1_000 + i, BUY, NAN, NAN) for i in range(DEAD_KEPT)]
    _, out = run([ONE, (A.DELETE, 1, BUY, NAN, NAN), *dead[1:], ONE])
    assert out.ghosts[-1] == 1
    _, out = run([ONE, (A.DELETE, 1, BUY, NAN, NAN), *dead, ONE])
    assert (out.ghosts[-1], bid(out)) == (0, (99.0, 5.0, 1.0))


def test_an_order_that_came_back_is_no_longer_remembered_as_dead() -> None:
    back = [(A.DELETE, 500, BUY, NAN, NAN), (A.SET, 500, BUY, 90.0, 1.0)]
    dead = [(A.DELETE, 1_000 + i, BUY, NAN, NAN) for i in range(DEAD_KEPT)]
    _, out = run([*back, *dead, (A.ADD, 1_000, BUY, 99.0, 5.0)])
    assert (out.ghosts[-1], out.n_orders[-1]) == (1, 1)


def test_the_dead_of_a_book_go_with_its_snapshot() -> None:
    operator = books()
    state, _ = operator.step(operator.initial(), order_rows([ONE, (A.DELETE, 1, BUY, NAN, NAN)]))
    snapshot = order_rows([(A.ADD, 1, BUY, 98.0, 7.0)], flags=SNAP | LAST)
    state, out = operator.step(state, snapshot)
    assert (out.ghosts[0], bid(out)) == (0, (98.0, 7.0, 1.0))
    dead = [(A.DELETE, 1_000 + i, BUY, NAN, NAN) for i in range(DEAD_KEPT + 9)]
    state, out = operator.step(state, order_rows(dead))
    assert (queue_ahead(state, 0, 1), bid(out)) == ((0, 0.0), (98.0, 7.0, 1.0))


def test_a_change_of_an_unknown_order_means_nothing_after_a_snapshot() -> None:
    operator = books(begins_empty=False)
    state, _ = operator.step(operator.initial(), order_rows([ONE], flags=SNAP | LAST))
    _, out = operator.step(state, order_rows([(A.CHANGE, 9, BUY, 99.7, 4.0)]))
    assert (bid(out), out.unknown[0]) == ((99.0, 5.0, 1.0), 1)


def test_each_order_may_have_a_price_of_its_own() -> None:
    n = 40_000  # more levels than a book by level holds
    added = [(A.ADD, i, BUY, 1_000.0 + i, 1.0) for i in range(1, n + 1)]
    state, out = run(added)
    assert (out.n_orders[-1], out.evicted[-1]) == (n, 0)
    assert len(levels_of(state, BID, n + 1)) == n


def test_equal_ids_of_two_books_are_two_orders() -> None:
    """1,000 orders in a table of 2,048: most share a chain with others."""
    operator, n = books(), 500
    state = operator.initial()
    for k in (0, 1):
        added = [(A.ADD, i * 7, BUY, 100.0 + i, 1.0 + k) for i in range(n)]
        state, _ = operator.step(state, order_rows(added, k=k))
    gone = [(A.DELETE, i * 7, BUY, NAN, NAN) for i in range(0, n, 2)]
    state, _ = operator.step(state, order_rows(gone, k=1))
    state, _ = operator.step(state, order_rows([(A.ADD, 1, BUY, 1.0, 1.0)], flags=SNAP | LAST))
    assert levels_of(state, BID) == [(1.0, 1.0, 1.0)]
    for i in range(n):
        assert queue_ahead(state, 0, i * 7)[0] == -1
        assert queue_ahead(state, 1, i * 7)[0] == (-1 if i % 2 == 0 else 0)
    left = [(100.0 + i, 2.0, 1.0) for i in range(n - 1, 0, -2)]
    assert levels_of(state, 2 + BID) == left


def test_a_snapshot_replaces_its_own_book_only() -> None:
    operator = books(begins_empty=False)
    state = operator.initial()
    state, out = operator.step(state, order_rows([TWO]))
    assert (out.synced[0], out.reason[0]) == (0, R.NO_SNAPSHOT)
    for k in (0, 1):
        state, _ = operator.step(state, order_rows([ONE, TWO], k=k, flags=SNAP)._replace(
            flags=np.array([SNAP, SNAP | LAST], np.uint8)))  # fmt: skip
    state, out = operator.step(state, order_rows([(A.ADD, 5, BUY, 97.0, 1.0)], flags=SNAP | LAST))
    assert (bid(out), out.epoch[0], out.n_orders[0]) == ((97.0, 1.0, 1.0), 2, 1)
    assert levels_of(state, 2 + BID) == [(99.0, 8.0, 2.0)]
    assert (queue_ahead(state, 0, 2)[0], queue_ahead(state, 1, 2)[0]) == (-1, 1)


def test_an_unfinished_message_is_discarded() -> None:
    operator = books()
    state, _ = operator.step(operator.initial(), order_rows([ONE], flags=0, number=1))
    state, out = operator.step(state, order_rows([TWO], number=2))
    assert (out.synced[0], out.reason[0]) == (0, R.UNFINISHED)


def test_room_ends_with_the_dead_and_then_with_the_furthest_order() -> None:
    full: list[Event] = [(A.ADD, i, BUY, 1_000.0 + i, 1.0) for i in range(1, 1_024)]
    dead: list[Event] = [(A.DELETE, 5_000, BUY, NAN, NAN)]
    more: list[Event] = [(A.ADD, 3_000 + i, BUY, 900.0, 2.0) for i in range(2)]
    operator = books(orders_max=1_024)
    state, out = run([*dead, *full, *more], operator)
    assert (out.evicted[-1], out.n_orders[-1]) == (1, 1_024)
    assert levels_of(state, BID, 2_000)[-2:] == [(1_001.0, 1.0, 1.0), (900.0, 2.0, 1.0)]
    state, out = run([*full, (A.ADD, 1, SELL, 3_000.0, 1.0), (A.ADD, 7_000, SELL, 3_001.0, 1.0),
                      (A.ADD, 7_001, SELL, 3_001.0, 1.0)], operator)  # fmt: skip
    assert (out.evicted[-1], out.n_orders[-1]) == (1, 1_024)
    with pytest.raises(ValueError, match="orders_max must be at least 1024, was 5"):
        books(orders_max=5)


def random_events(seed: int, n: int) -> list[Event]:
    random = np.random.default_rng(seed)
    made: list[Event] = []
    middle = 1_000
    for _ in range(n):
        middle += int(random.integers(-2, 3))
        side = BUY if random.random() < 0.5 else SELL
        order_id = int(random.integers(1, 60)) * 7_919 + int(random.integers(0, 3)) * 2**40
        price = float(middle - side * (1 + int(random.exponential(4))))
        action = list(A)[int(random.integers(0, 7))]
        made.append((action, order_id, side, price, float(random.integers(1, 6))))
    return made


class SlowOrders:
    """One book as a list of orders in the order of their arrival."""

    def __init__(self) -> None:
        self.orders: list[list[Any]] = []  # id, side, price, quantity
        self.dead: set[int] = set()

    def take(self, event: Event) -> None:
        action, order_id, side, price, qty = event
        found = next((o for o in self.orders if o[0] == order_id), None)
        if action == A.EXECUTE_HIDDEN or (order_id in self.dead and action != A.SET):
            return
        if found is None:
            if action in (A.ADD, A.SET, A.CHANGE):
                self.orders.append([order_id, side, price, qty])
                self.dead.discard(order_id)
            elif action == A.DELETE:
                self.dead.add(order_id)
            return
        left = {A.DELETE: 0.0, A.REDUCE: found[3] - qty, A.EXECUTE: found[3] - qty}.get(action, qty)
        if left <= 0.0:
            self.orders.remove(found)
            self.dead.add(order_id)
        elif action in (A.REDUCE, A.EXECUTE) or ([side, price] == found[1:3] and left <= found[3]):
            found[3] = left
        else:
            self.orders.remove(found)
            self.orders.append([order_id, side, price, left])

    def levels(self, side: int) -> list[tuple[float, float, float]]:
        made: dict[float, list[float]] = {}
        for _, of, price, qty in self.orders:
            if of == side:
                made.setdefault(price, []).append(qty)
        prices = sorted(made, reverse=side == BUY)
        return [(price, sum(made[price]), float(len(made[price]))) for price in prices]

    def ahead(self, order_id: int) -> tuple[int, float]:
        mine = next(o for o in self.orders if o[0] == order_id)
        before = self.orders[: self.orders.index(mine)]
        same = [o[3] for o in before if o[1:3] == mine[1:3]]
        return len(same), float(sum(same))


@given(st.integers(0, 2**32))
def test_equal_to_a_list_of_orders_after_every_event(seed: int) -> None:
    operator, slow = books(), SlowOrders()
    state = operator.initial()
    for event in random_events(seed, 120):
        state, out = operator.step(state, order_rows([event]))
        slow.take(event)
        assert levels_of(state, BID) == slow.levels(BUY)
        assert levels_of(state, ASK) == slow.levels(SELL)
        assert out.n_orders[0] == len(slow.orders)
        for order in slow.orders:
            assert queue_ahead(state, 0, order[0]) == slow.ahead(order[0])


def test_any_split_and_any_restart_gives_the_same_bytes() -> None:
    wide: list[Event] = [(A.ADD, 10**9 + i, BUY, 100.0 + i / 8, 1.0) for i in range(1_500)]
    rows = order_rows([*wide, *random_events(3, 1_700)])
    check_operator(books(), rows, warm_up=0.6, without_numba=True)


# Recordings ----------------------------------------------------------------------------------

BITSTAMP = {"created": A.ADD, "changed": A.CHANGE, "deleted": A.DELETE}
NASDAQ = {"add": A.ADD, "reduce": A.REDUCE, "delete": A.DELETE, "execute": A.EXECUTE,
          "execute_hidden": A.EXECUTE_HIDDEN}  # fmt: skip
CME = {"snapshot": A.ADD, "add": A.ADD, "modify": A.CHANGE, "cancel": A.DELETE}
GHOST_NS = 1_430_448_690_624_000_000  # 2015-05-01 02:51:30.624
HALF_HOUR_NS = 1_800_000_000_000


def recorded(path: Path, words: dict[str, OrderAction]) -> OrderRows:
    """A file of orders_l3; rows whose action changes no book are left out."""
    found = pq.read_table(path)
    action = np.array([int(words.get(word, 0)) for word in found["action"].to_pylist()], np.uint8)
    rows = empty(OrderRows, action.size)
    rows.flags[:], rows.venue_seq[:] = LAST, -1
    snapshot = np.array([word == "snapshot" for word in found["action"].to_pylist()])
    if snapshot.any():
        rows.flags[snapshot] = SNAP
        rows.flags[np.flatnonzero(snapshot)[-1]] |= LAST
    rows = rows._replace(
        action=action,
        ts_event_ns=found["ts_ns"].to_numpy(), ts_recv_ns=found["ts_ns"].to_numpy(),
        side=found["side"].to_numpy().astype(np.int8), price=found["price"].to_numpy(),
        qty=found["size"].to_numpy(),
        order_id=np.array([int(one) for one in found["order_id"].to_pylist()], np.int64),
    )  # fmt: skip
    return take(rows, action > 0)


def test_bitstamp_agrees_with_the_venues_own_book_and_meets_its_ghosts(data_path: Find) -> None:
    """Tolerance of this feed: 99.8 % of the snapshots after its first half hour, also after the
    order that `changed` 6 ms after its `deleted`.
    """
    name = "bitstamp_BTCUSD_20150501T0000.parquet"
    rows = recorded(data_path(f"orders_l3/{name}"), BITSTAMP)
    _, top = books().step(books().initial(), rows)
    names = ["ts_ns", "bid_px_0", "ask_px_0"]
    columns = pq.read_table(data_path(f"book_snapshots/{name}"), columns=names).columns
    ts_ns, bid_px, ask_px = (c.to_numpy() for c in columns)
    at = np.searchsorted(top.ts_recv_ns, ts_ns, side="right") - 1
    equal = (top.bid_px[at] == bid_px) & (top.ask_px[at] == ask_px)
    warm = ts_ns >= rows.ts_recv_ns[0] + HALF_HOUR_NS
    before, after = warm & (ts_ns < GHOST_NS), ts_ns >= GHOST_NS
    assert equal[before].mean() >= 0.998
    assert equal[after].mean() >= 0.998
    ghost = np.searchsorted(top.ts_recv_ns, GHOST_NS)
    assert top.ghosts[ghost] == top.ghosts[ghost - 1] + 1
    assert top.ghosts[-1] == 5  # one `changed` and four `created`, all within 13 ms
    assert top.crossed[at][warm].mean() < 0.002  # for moments, while an order is being matched


def test_nasdaq_has_the_best_levels_of_its_recorded_book(data_path: Find) -> None:
    """Row n of the snapshots is the book after message n; the opening book is its first row.

    Orders of the opening book have no ids there: what a message does to an order that no message
    added, it does to the level's opening quantity. Three older bids (585.36, 585.38, 585.40) come
    into view later that neither a message nor the first row has; they are added when first seen.
    """
    name = "nasdaq_AAPL_20120621T0930.parquet"
    rows = recorded(data_path(f"orders_l3/{name}"), NASDAQ)
    shown = pq.read_table(data_path(f"book_snapshots/{name}")).to_pydict()
    opening: dict[tuple[int, float], Event] = {}
    for level in range(10):
        for side, word in ((BUY, "bid"), (SELL, "ask")):
            price, qty = shown[f"{word}_px_{level}"][0], shown[f"{word}_sz_{level}"][0]
            if price == rows.price[0] and side == rows.side[0]:
                qty -= rows.qty[0]  # the first message is already in it
            if qty > 0.0:
                opening[side, price] = (A.ADD, 1 + len(opening), side, price, qty)
    unseen = {146: (A.ADD, 100, BUY, 585.40, 50.0), 149: (A.ADD, 101, BUY, 585.38, 22.0),
              150: (A.ADD, 102, BUY, 585.36, 5.0)}  # fmt: skip
    older = {(BUY, one[3]): one for one in unseen.values()} | opening
    added = set(rows.order_id[rows.action == A.ADD].tolist())
    for i in np.flatnonzero(~np.isin(rows.order_id, list(added))).tolist():
        if rows.action[i] != A.EXECUTE_HIDDEN:
            rows.order_id[i] = older[int(rows.side[i]), float(rows.price[i])][1]
            rows.action[i] = A.REDUCE
    operator = books()
    state, _ = operator.step(operator.initial(), order_rows(list(opening.values())))
    equal = np.zeros(10, np.int64)  # levels that agree, at each distance
    for i in range(rows.seq.size):
        if i in unseen:
            state, _ = operator.step(state, order_rows([unseen[i]]))
        state, _ = operator.step(state, take(rows, slice(i, i + 1)))
        for s, word in ((BID, "bid"), (ASK, "ask")):
            for level, (price, qty, _) in enumerate(levels_of(state, s)[:10]):
                expected = (shown[f"{word}_px_{level}"][i], shown[f"{word}_sz_{level}"][i])
                equal[level] += (price, qty) == expected
    assert equal[:3].tolist() == [2 * rows.seq.size] * 3  # further out more older ones come in


def test_cme_names_only_known_orders(data_path: Find) -> None:
    rows = recorded(data_path("orders_l3/cme_ESH4_20231225T0000.parquet"), CME)
    operator = books(begins_empty=False)
    state, top = operator.step(operator.initial(), rows)
    assert (top.unknown[-1], top.ghosts[-1], top.repeated[-1]) == (0, 0, 0)
    assert top.n_orders[-1] == 10_877
    assert top.n_orders[-1] == sum(n for s in (BID, ASK) for *_, n in levels_of(state, s, 9_999))


def test_bitfinex_keeps_its_25_orders_a_side(data_path: Find) -> None:
    """The feed of the best 25 orders: one that fell out comes back under its id."""
    events: list[Event] = []
    flags = []
    path = str(data_path("raw/bitfinex_tBTCUSD_R0_2021.jsonl.zst"))
    with pa.input_stream(path, compression="zstd") as stream:
        lines = io.TextIOWrapper(stream).read().splitlines()[:20_000]
    for line in lines:
        frame = json.loads(line)["frame"]
        if isinstance(frame, dict) or frame[1] == "hb":
            continue
        snapshot = isinstance(frame[1][0], list)
        for order_id, price, amount in frame[1] if snapshot else [frame[1]]:
            side = BUY if amount > 0 else SELL
            action = A.SET if price > 0 else A.DELETE
            events.append((action, order_id, side, price or NAN, abs(amount)))
            flags.append(SNAP if snapshot else LAST)
        flags[-1] |= LAST
    rows = order_rows(events)._replace(flags=np.array(flags, np.uint8))
    operator = books(begins_empty=False)
    _, top = operator.step(operator.initial(), rows)
    assert top.synced.all()
    assert (top.unknown[-1], top.ghosts[-1]) == (0, 0)
    assert top.n_orders.max() == 2 * 25
    assert not top.crossed.any()
