"""Best orders, their rates and the place in the queue: by hand, and as lists of orders have it."""

from typing import Any

import numpy as np
import pytest

from operators.features.feature import Terms
from operators.features.orders.books import BEGUN_EMPTY_NS, OrderBooks
from operators.features.orders.queue import ENDED_MIN, FADE, FOLLOWED_NS, SHOWN_NS
from operators.features.orders.registry import FEATURES
from operators.features.registry import SETS
from operators.features.signal_log import SignalLog
from operators.features.signals import Signals
from operators.market.books.words import BookReason, BookState, OrderAction
from schemas.kinds import Kind
from schemas.rows import F8, concat, take
from tests.check_operator import check_operator
from tests.order_cases import (
    BUY,
    LAST,
    SECOND_NS,
    SELL,
    SNAP,
    Event,
    Order,
    SlowOrders,
    add,
    apply,
    market,
    opening,
    order,
    random_orders,
    shown,
    table,
)
from tests.test_signals import mixed

A = OrderAction
NAN = float("nan")
START = opening((1, BUY, 99.0, 5.0), (2, BUY, 99.0, 3.0), (3, BUY, 98.0, 9.0),
                (4, SELL, 101.0, 4.0))  # fmt: skip
TOP = ("order_bid_px", "order_bid_qty", "order_bid_count", "order_ask_px", "order_count_imbalance")
GAP: Event = {"kind": Kind.BOOK_STATUS, "code": BookState.GAP, "symbol": 1,
              "reason": BookReason.SEQUENCE_GAP}  # fmt: skip


def last(events: list[Event], *names: str) -> tuple[float, ...]:
    found = shown(market(*events), *names)
    return tuple(float(found[name][-1]) for name in names)


LOST: Event = GAP | {"at_s": 1}
NEXT = opening((8, BUY, 97.0, 2.0), (9, SELL, 98.0, 1.0), at_s=2)
FINE: Event = GAP | {"at_s": 1, "code": BookState.UNPROVABLE}
FIRST, NONE = (99.0, 8.0, 2, 101.0, 1 / 3), (NAN,) * 5
BOTH_GO = [order(1, A.DELETE, 1), order(2, A.DELETE, 2)]
# fmt: off
CASES: list[tuple[str, list[Event], tuple[float, ...]]] = [  # after START
    ("the snapshot",                [],                                  FIRST),
    ("a better bid",                [add(1, 7, BUY, 100.0, 1.0)],        (100.0, 1.0, 1, 101.0, 0)),
    ("the first is filled",         [order(1, A.EXECUTE, 1, qty=5.0)],   (99.0, 3.0, 1, 101.0, 0)),
    ("a fill alone moves nothing",  [order(1, A.FILL, 1, qty=5.0)],      FIRST),
    ("both bids go",                BOTH_GO,                             (98.0, 9.0, 1, 101.0, 0)),
    ("the only ask goes",           [order(1, A.DELETE, 4, SELL)],       (99.0, 8.0, 2, NAN, NAN)),
    ("inside a message: as before", [order(1, A.DELETE, 1, flags=0)],    FIRST),
    ("a crossed book",              [add(1, 7, BUY, 101.0, 1.0)],        NONE),
    ("a gap",                       [LOST],                              NONE),
    ("an order after the gap",      [LOST, add(2, 7, BUY, 100.0, 1.0)],  NONE),
    ("a snapshot after the gap",    [LOST, *NEXT],                       (97.0, 2.0, 1, 98.0, 0)),
    ("a row no order can have",     [order(1, A.CHANGE, 1, price=NAN)],  NONE),
    ("some status of another kind", [FINE],                              FIRST),
]
# fmt: on


@pytest.mark.parametrize(("events", "top"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_best_orders(events: list[Event], top: tuple[float, ...]) -> None:
    assert last([*START, *events], *TOP) == pytest.approx(top, nan_ok=True)


def test_ages_are_since_an_order_joined_its_queue() -> None:
    events = [*START, add(2.0, 5, BUY, 99.0, 1.0), order(4.0, A.REDUCE, 1, qty=1.0)]
    assert last(events, "order_bid_age", "order_ask_age") == pytest.approx((10.0 / 3.0, 4.0))
    events.append(order(6.0, A.CHANGE, 1, price=99.0, qty=9.0))  # more: at the end of the queue
    assert last(events, "order_bid_age") == pytest.approx(((6.0 + 4.0 + 0.0) / 3.0,))


def test_a_book_that_began_empty_is_shown_after_half_an_hour() -> None:
    later_s = BEGUN_EMPTY_NS / SECOND_NS
    status = GAP | {"code": BookState.RESYNC, "reason": BookReason.NO_SNAPSHOT, "at_s": 0.5}
    events = [add(0.0, 1, BUY, 99.0, 1.0), status, add(1.0, 2, SELL, 100.0, 1.0),
              add(later_s - 0.001, 3, BUY, 98.0, 1.0), add(later_s, 4, BUY, 98.0, 1.0)]  # fmt: skip
    found = shown(market(*events), "order_bid_px")["order_bid_px"]
    np.testing.assert_array_equal(found, [NAN, NAN, NAN, NAN, 99.0])
    asked = [*events[:3], status | {"at_s": 2.0, "reason": BookReason.DISCONNECTED}, *events[3:]]
    assert np.isnan(shown(market(*asked), "order_bid_px")["order_bid_px"]).all()


def test_flow_and_depth_read_the_same_levels() -> None:
    """A market without quotes, order by order: its book's best level is its quote."""
    found = shown(market(*START, add(1.0, 5, SELL, 101.0, 4.0)), "microprice", "spread_quoted_bps")
    np.testing.assert_allclose(found["microprice"][[-2, -1]], [(101.0 * 8 + 99 * 4) / 12, 100.0])
    assert np.isnan(found["microprice"][0])
    assert found["spread_quoted_bps"][-1] == pytest.approx(200.0)


# ---- rates


def test_rates_are_per_second_of_the_last_ten() -> None:
    names = ("order_bid_arrivals", "order_ask_arrivals", "order_bid_cancels", "order_ask_cancels",
             "order_cancel_share")  # fmt: skip
    some = [add(11.0, 5, BUY, 99.5, 4.0), add(11.1, 6, SELL, 100.5, 2.0),
            order(11.2, A.CHANGE, 3, price=97.0, qty=9.0),  # moves: it leaves its queue
            order(11.3, A.REDUCE, 4, SELL, qty=1.0),  # stays
            order(11.4, A.EXECUTE, 5, qty=3.0), order(11.5, A.DELETE, 5)]  # fmt: skip
    events = [*START, *some]
    # 3 of order 5 were filled; its last one, order 3's 9 and one of order 4's were not.
    assert last(events, *names) == pytest.approx((0.1, 0.1, 0.2, 0.0, 11.0 / 14.0))
    told_apart = [*START, *some[:4], order(11.4, A.FILL, 5, qty=4.0), order(11.5, A.DELETE, 5)]
    assert last(told_apart, *names) == pytest.approx((0.1, 0.1, 0.1, 0.0, 10.0 / 14.0))
    early = [{**event, "at_s": event["at_s"] - 2.0} for event in some]
    assert np.isnan(last([*START, *early], *names)).all()
    quiet: Event = {"kind": Kind.TRADE, "price": 99.0, "qty": 1.0, "at_s": 30.0, "symbol": 1}
    assert last([*events, quiet], *names) == pytest.approx((0, 0, 0, 0, NAN), nan_ok=True)


def test_feeds_that_tell_no_fills_have_no_share() -> None:
    events = [*START, *(order(11.0 + i, A.DELETE, 1 + i) for i in range(3))]
    assert last(events, "order_bid_cancels", "order_cancel_share") == pytest.approx(
        (0.3, NAN), nan_ok=True
    )


def rate_by_list(events: list[Event], at: int) -> dict[str, float]:
    """From the list of what happened in the present slot of 250 ms and the 39 before it."""
    slow, new, gone, cancelled, done = SlowOrders(), [0.0, 0.0], [0.0, 0.0], 0.0, 0.0
    first = int(events[at]["at_s"] / 0.25) - 39
    for event in events[: at + 1]:
        inside = int(event["at_s"] / 0.25) >= first and not event["flags"] & SNAP
        before = slow.find(event["ref_id"])
        was = slow.queues[before[0]][before[1]][before[2]] if before else None
        qty, owed = (was.qty, was.first) if was else (0.0, 0.0)
        apply(slow, event)
        action, side = A(event["code"]), 0 if event["side"] == BUY else 1
        if not inside or action is A.FILL:
            continue
        behind = slow.find(event["ref_id"])
        now = slow.queues[behind[0]][behind[1]][behind[2]] if behind else None
        if action is A.ADD:
            new[side] += 1.0
        moved = now is not was
        left = qty if moved else qty - (now.qty if now else 0.0)
        filled = min(event["qty"], left) if action is A.EXECUTE else owed
        done += filled
        if was is not None and left > filled:
            cancelled += left - filled
            gone[side] += moved
    return {
        "order_bid_arrivals": new[0] / 10, "order_ask_arrivals": new[1] / 10,
        "order_bid_cancels": gone[0] / 10, "order_ask_cancels": gone[1] / 10,
        "order_cancel_share": cancelled / (cancelled + done),
    }  # fmt: skip


def test_rates_are_those_of_a_list() -> None:
    events = random_orders(900, seed=3)
    found = shown(market(*events), "orders")
    for at in (400, 555, 700, 899):
        expected = rate_by_list(events, at)
        assert {name: float(found[name][at]) for name in expected} == pytest.approx(expected)


# ---- the queue


def queue_of(events: list[Event]) -> tuple[float, ...]:
    return last(events, *(f"queue_bid_ahead_{w}" for w in ("qty", "count", "share")))


STILL = {"kind": Kind.TRADE, "price": 99.0, "qty": 1.0, "symbol": 1}
ALL, GONE = (8.0, 2, 1.0), (NAN,) * 3
BEHIND = add(1, 7, BUY, 99.0, 9.0)
BETTER = [add(1, 7, BUY, 99.5, 9.0), order(2, A.EXECUTE, 7, price=99.5, qty=1.0)]
# fmt: off
WAITING: list[tuple[str, list[Event], tuple[float, ...]]] = [  # an order stands behind START's bids
    ("nothing happens",            [],                                            ALL),
    ("the first shrinks",          [order(1, A.REDUCE, 1, qty=1.0)],              (7.0, 2, 7 / 8)),
    ("the first is part filled",   [order(1, A.EXECUTE, 1, qty=2.0)],             (6.0, 2, 6 / 8)),
    ("the first goes",             [order(1, A.DELETE, 1)],                       (3.0, 1, 3 / 8)),
    ("the second moves up",        [order(1, A.CHANGE, 2, price=99.5, qty=3.0)],  (5.0, 1, 5 / 8)),
    ("the first wants more",       [order(1, A.CHANGE, 1, price=99.0, qty=6.0)],  (3.0, 1, 3 / 8)),
    ("another joins",              [BEHIND],                                      ALL),
    ("one that joined later goes", [BEHIND, order(2, A.DELETE, 7)],               ALL),
    ("one behind shrinks",         [BEHIND, order(2, A.REDUCE, 7, qty=1.0)],      ALL),
    ("all before go",              BOTH_GO,                                       (0.0, 0, 0.0)),
    ("one behind is filled",       [BEHIND, order(2, A.EXECUTE, 7, qty=1.0)],     GONE),
    ("a worse one is filled",      [order(1, A.EXECUTE, 3, price=98.0)],          GONE),
    ("a better one is filled",     BETTER,                                        ALL),
    ("hidden size at its price",   [order(1, A.EXECUTE_HIDDEN, 0, price=99.0)],   GONE),
    ("hidden size at a better one", [order(1, A.EXECUTE_HIDDEN, 0, price=99.5)],  ALL),
    ("an older one is filled there", [order(1, A.EXECUTE, 77, price=99.0)],       ALL),
    ("an ask comes to its price",  [*BOTH_GO, add(3, 7, SELL, 99.0, 1.0)],        GONE),
    ("a gap",                      [LOST],                                        GONE),
]
# fmt: on


@pytest.mark.parametrize(("events", "ahead"), [c[1:] for c in WAITING], ids=[c[0] for c in WAITING])
def test_place_in_the_queue(events: list[Event], ahead: tuple[float, ...]) -> None:
    one_of_them = [*START, *events, STILL | {"at_s": 5.0}]
    assert queue_of(one_of_them) == pytest.approx(ahead, nan_ok=True)


def test_shown_is_the_oldest_of_five_to_ten_seconds() -> None:
    events = [*START, add(4.0, 7, BUY, 99.0, 2.0)]
    assert queue_of([*events, STILL | {"at_s": 4.9}]) == pytest.approx((NAN,) * 3, nan_ok=True)
    assert queue_of([*events, STILL | {"at_s": 9.9}])[0] == 8.0
    assert queue_of([*events, STILL | {"at_s": 10.1}])[0] == 10.0  # that of second 4
    assert queue_of([*events, STILL | {"at_s": 14.1}]) == pytest.approx((NAN,) * 3, nan_ok=True)


def queue_by_lists(events: list[Event], side: int) -> tuple[F8, F8]:
    """Quantity before the oldest imagined order, and the share of those that were filled."""
    slow, second = SlowOrders(), -1
    placed: list[tuple[float, Order]] = []
    ahead, share = np.full((2, len(events)), NAN)
    ended: list[float] = []
    for i, event in enumerate(events):
        now_s = event["at_s"]
        for price, one in placed:
            if not one.ended and now_s - one.joined_s >= FOLLOWED_NS / SECOND_NS:
                one.ended = True
                ended.append(float(one.filled))
                slow.queues[side][price].remove(one)
        placed = [each for each in placed if not each[1].ended]
        apply(slow, event)
        bids, asks = slow.real(BUY), slow.real(SELL)
        whole = event["flags"] & LAST and bids and asks and bids[0][0] < asks[0][0]
        if whole and int(now_s) > second:
            second, best = int(now_s), (bids if side == BUY else asks)[0]
            one = Order(0, 0.0, now_s, imagined=True, first=sum(o.qty for o in best[1]))
            slow.queues[side][best[0]].append(one)
            placed.append((best[0], one))
        waiting = [(price, one) for price, one in placed if not one.filled]
        if waiting and now_s - waiting[0][1].joined_s >= SHOWN_NS / SECOND_NS:
            queue = slow.queues[side][waiting[0][0]]
            before = queue[: next(j for j, o in enumerate(queue) if o is waiting[0][1])]
            ahead[i] = sum(o.qty for o in before if not o.imagined)
        if len(ended) >= ENDED_MIN:
            mean = 0.0
            for n, hit in enumerate(ended, start=1):
                mean += max(1.0 / n, 1.0 - FADE) * (hit - mean)
            share[i] = mean
    return ahead, share


@pytest.mark.parametrize(("seed", "gap_s"), [(1, 0.1), (2, 0.4), (3, 0.02)])
def test_the_queue_is_that_of_lists(seed: int, gap_s: float) -> None:
    events = random_orders(1500, seed=seed, gap_s=gap_s)
    found = shown(market(*events), "orders")
    for side, name in ((BUY, "bid"), (SELL, "ask")):
        ahead, share = queue_by_lists(events, side)
        np.testing.assert_allclose(found[f"queue_{name}_ahead_qty"], ahead, atol=1e-9)
        np.testing.assert_allclose(found[f"queue_{name}_fill_share"], share, atol=1e-9)
        assert np.isfinite(ahead).mean() > 0.2
        assert gap_s < 0.1 or 0.0 < np.nanmean(share) < 1.0


def test_best_orders_are_those_of_lists() -> None:
    events = random_orders(1500, seed=5)
    found, slow = shown(market(*events), "orders"), SlowOrders()
    for i, event in enumerate(events):
        apply(slow, event)
        if not event["flags"] & LAST:
            continue
        for side, name in ((BUY, "bid"), (SELL, "ask")):
            price, queue = slow.real(side)[0]
            ages = [event["at_s"] - one.joined_s for one in queue]
            expected = [price, sum(one.qty for one in queue), len(queue), np.mean(ages)]
            shown_now = [found[f"order_{name}_{w}"][i] for w in ("px", "qty", "count", "age")]
            assert shown_now == pytest.approx(expected, abs=1e-6)


# ---- promises


def test_every_promise_of_an_operator() -> None:
    parts: list[Any] = [market(*random_orders(700, seed=s, symbol=s - 1)) for s in (1, 2)]
    rows = concat([*parts, mixed(800, seed=6)[1]])
    order_ = np.argsort(rows.ts_recv_ns, kind="stable")
    rows = take(rows, order_)
    random = np.random.default_rng(1)
    rows.qty[random.random(rows.seq.size) < 0.002] = NAN
    rows.venue_seq[random.random(rows.seq.size) < 0.01] = 5
    rows.ts_event_ns[random.random(rows.seq.size) < 0.02] -= 3 * SECOND_NS
    for lane in (1, 3):
        mine = rows.lane == lane
        rows.seq[mine] = np.arange(np.count_nonzero(mine))
    instruments = table()
    operator = SignalLog(
        instruments.arrays(), Signals(Terms.of(instruments), ("orders", "microprice"))
    )
    check_operator(operator, rows, warm_up=0.9, without_numba=True)


def test_rows_of_levels_change_nothing() -> None:
    instruments, rows = mixed(1500, seed=8)
    signals = Signals(Terms.of(instruments), ("orders",))
    assert np.isnan(signals.step(signals.initial(), rows)[1].values).all()


def test_registry_says_all_of_every_column() -> None:
    terms = Terms.of(table())
    made = {feature.operator: feature.operator(terms).NAMES for feature in FEATURES}
    assert sorted(name for names in made.values() for name in names) == sorted(
        feature.name for feature in FEATURES
    )
    assert SETS["orders"] == FEATURES


def test_warm_up_is_not_shorter_than_said() -> None:
    events = random_orders(1500, seed=7)
    found = shown(market(*events), "orders")
    for feature in FEATURES:
        known = np.flatnonzero(np.isfinite(found[feature.name]))
        assert known.size, feature.name
        assert events[known[0]]["at_s"] * SECOND_NS >= feature.warm_up_ns, feature.name


def test_state_is_small_but_for_the_books() -> None:
    terms = Terms.of(table())
    for make in dict.fromkeys(feature.operator for feature in FEATURES):
        operator = make(terms)
        assert len(operator.dump(operator.initial())) / 3 < 16_384, make
    books = OrderBooks(terms.instruments)
    assert len(books.dump(books.initial())) < 16_384
