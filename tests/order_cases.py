"""Rows about single orders for tests: by hand, at random, and a slow, obvious book of lists."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from operators.features.feature import Terms
from operators.features.signals import Signals
from operators.market.books.words import OrderAction
from schemas.instruments import InstrumentTable
from schemas.kinds import Flag, Kind
from schemas.rows import F8, MarketRows, empty
from tests import feature_cases

A = OrderAction
BUY, SELL = 1, -1
LAST, SNAP = int(Flag.MSG_LAST), int(Flag.SNAPSHOT)
SECOND_NS, MS_NS = 1_000_000_000, 1_000_000
START_NS = feature_cases.START_NS
TICK = 0.01

Event = dict[str, Any]


def table() -> InstrumentTable:
    return feature_cases.table()


def order(
    at_s: float,
    action: OrderAction,
    order_id: int,
    side: int = BUY,
    price: float = 99.0,
    qty: float = 1.0,
    **more: Any,
) -> Event:
    """One row, a message of its own, of lane 1, symbol 1, which has no quotes."""
    return {"kind": Kind.BOOK, "code": int(action), "ref_id": order_id, "side": side,
            "price": price, "qty": qty, "flags": LAST, "at_s": at_s,
            "symbol": 1} | more  # fmt: skip


def add(at_s: float, order_id: int, side: int, price: float, qty: float, **more: Any) -> Event:
    return order(at_s, A.ADD, order_id, side, price, qty, **more)


def opening(*orders: tuple[int, int, float, float], at_s: float = 0.0) -> list[Event]:
    """A snapshot: (id, side, price, qty)."""
    made = [add(at_s, i, s, p, q, flags=SNAP) for i, s, p, q in orders]
    made[-1]["flags"] |= LAST
    return made


def market(*events: Event) -> MarketRows:
    rows = empty(MarketRows, len(events))
    rows.lane[:], rows.venue_seq[:] = 1, -1
    for i, event in enumerate(events):
        rows.seq[i] = rows.source_row[i] = i
        rows.ts_event_ns[i] = START_NS + round(event["at_s"] * SECOND_NS)
        rows.ts_recv_ns[i] = rows.ts_event_ns[i] + 2 * MS_NS
        for name, value in event.items():
            if name != "at_s":
                getattr(rows, name)[i] = value
    return rows


def shown(rows: MarketRows, *words: str) -> dict[str, F8]:
    """Features after each row."""
    signals = Signals(Terms.of(table()), words)
    block = signals.step(signals.initial(), rows)[1]
    return signals.columns(block)


@dataclass
class Order:
    """One open order, or an imagined one."""

    id: int
    qty: float
    joined_s: float
    imagined: bool = False
    first: float = 0.0  # what stood before an imagined one
    filled: bool = False
    ended: bool = False


@dataclass
class SlowOrders:
    """Queues as lists, in which imagined orders stand like any others."""

    queues: dict[int, dict[float, list[Order]]] = field(default_factory=lambda: {BUY: {}, SELL: {}})

    def find(self, order_id: int) -> tuple[int, float, int] | None:
        for side, prices in self.queues.items():
            for price, queue in prices.items():
                for place, one in enumerate(queue):
                    if one.id == order_id and not one.imagined:
                        return side, price, place
        return None

    def join(self, side: int, price: float, one: Order) -> None:
        if not one.imagined:
            for other in list(self.queues[-side]):
                if side * (price - other) >= 0.0:
                    self._fill(-side, other, all_of_them=True)
        self.queues[side].setdefault(price, []).append(one)

    def leave(self, side: int, price: float, place: int) -> Order:
        return self.queues[side][price].pop(place)

    def execute(self, side: int, price: float, place: int | None) -> None:
        """Something was filled at this place of a queue; None: behind all that is shown."""
        for other in list(self.queues[side]):
            if side * (other - price) > 0.0:
                self._fill(side, other, all_of_them=True)
        queue = self.queues[side].get(price, [])
        self._fill(side, price, upto=len(queue) if place is None else place)

    def _fill(self, side: int, price: float, *, all_of_them: bool = False, upto: int = 0) -> None:
        queue = self.queues[side].get(price, [])
        for one in queue if all_of_them else queue[:upto]:
            if one.imagined and not one.ended:
                one.filled = True

    def real(self, side: int) -> list[tuple[float, list[Order]]]:
        """Prices with real orders, the best first."""
        found = [(p, [o for o in q if not o.imagined]) for p, q in self.queues[side].items()]
        return sorted(((p, q) for p, q in found if q), key=lambda each: -side * each[0])


def random_orders(n: int, seed: int, *, symbol: int = 1, gap_s: float = 0.1) -> list[Event]:
    """A snapshot, then orders that come, move, shrink, leave and are filled, best first."""
    random = np.random.default_rng(seed)
    open_orders: dict[int, list[Any]] = {}  # id: side, ticks, qty
    events: list[Event] = []
    next_id, now_s, slow = 1, 0.0, SlowOrders()

    def put(action: OrderAction, number: int, side: int, ticks: int, qty: float) -> None:
        made = order(now_s, action, number, side, round(ticks * TICK, 2), qty, symbol=symbol)
        apply(slow, made)
        events.append(made)

    for _ in range(20):
        side = BUY if next_id % 2 else SELL
        ticks = 10_000 - side * int(random.integers(1, 5))
        open_orders[next_id] = [side, ticks, float(random.integers(1, 9))]
        put(A.ADD, next_id, *open_orders[next_id])
        events[-1]["flags"] = SNAP
        next_id += 1
    events[-1]["flags"] = SNAP | LAST
    while len(events) < n:
        now_s += float(random.exponential(gap_s))
        side = int(random.choice([BUY, SELL]))
        mine = {i: o for i, o in open_orders.items() if o[0] == side}
        best = {s: max((s * o[1] for o in open_orders.values() if o[0] == s), default=s * 10_000)
                for s in (BUY, SELL)}  # fmt: skip
        what = random.random()
        if what < 0.45 or len(mine) < 4:
            ticks = side * min(best[side] + int(random.integers(-3, 2)), -best[-side] - 1)
            open_orders[next_id] = [side, ticks, float(random.integers(1, 9))]
            put(A.ADD, next_id, *open_orders[next_id])
            next_id += 1
        elif what < 0.65:
            number = int(random.choice(list(mine)))
            put(A.DELETE, number, *open_orders.pop(number))
        elif what < 0.7:
            number = int(random.choice(list(mine)))
            one = open_orders[number]
            if one[2] > 1.0:
                one[2] -= 1.0
                put(A.REDUCE, number, one[0], one[1], 1.0)
        elif what < 0.78:
            number = int(random.choice(list(mine)))
            one = open_orders.pop(number)
            if random.random() < 0.5:
                one[1] = side * (best[side] - int(random.integers(0, 4)))
            one[2] = float(random.integers(1, 9))
            open_orders[number] = one
            put(A.CHANGE, number, *one)
        else:
            number = slow.real(side)[0][1][0].id
            one = open_orders[number]
            qty = min(one[2], float(random.integers(1, 6)))
            told_apart = random.random() < 0.5
            one[2] -= qty
            put(A.FILL if told_apart else A.EXECUTE, number, one[0], one[1], qty)
            if one[2] == 0.0:
                if told_apart:
                    put(A.DELETE, number, one[0], one[1], 0.0)
                del open_orders[number]
            elif told_apart:
                put(A.CHANGE, number, *one)
    return events[:n]


def apply(slow: SlowOrders, event: Event) -> None:
    """One row, on lists."""
    action, number, side = A(event["code"]), event["ref_id"], event["side"]
    price, qty, at_s = event["price"], event["qty"], event["at_s"]
    found = slow.find(number)
    if action is A.ADD:
        slow.join(side, price, Order(number, qty, at_s))
        return
    if action is A.EXECUTE_HIDDEN:
        slow.execute(side, price, None)
        return
    assert found is not None
    _, at, place = found
    one = slow.queues[side][at][place]
    if action is A.FILL:
        slow.execute(side, at, place)
        one.first += qty  # owed
        return
    if action is A.EXECUTE:
        slow.execute(side, at, place)
    if action is A.DELETE:
        left = 0.0
    elif action is A.CHANGE:
        left = qty
    else:
        left = one.qty - qty
    if left <= 0.0:
        slow.leave(side, at, place)
    elif action is A.CHANGE and (price != at or left > one.qty - one.first):
        slow.leave(side, at, place)
        slow.join(side, price, Order(number, left, at_s))
    else:
        one.qty, one.first = left, 0.0
