"""Spoofing and layering scores: planted schemes, decoys, and the rules in dictionaries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.features.detection.alarms import AlarmKind
from operators.features.detection.spoofs import SIZES_MIN, Spoofs
from operators.features.detection.thresholds import SpoofThresholds, Thresholds
from operators.market.books.words import BookState
from schemas.kinds import Kind
from schemas.rows import MarketRows
from tests.check_operator import check_operator
from tests.detection_cases import (
    BUY,
    SELL,
    Behind,
    Event,
    alarms,
    book,
    busy_market,
    instruments,
    marked,
    market,
    opening,
    shown,
    told,
    trade,
)

LIMITS = SpoofThresholds()
AT = 99.95  # four ticks behind the best bid
BID, ASK = 99.99, 100.01


def ordinary(n: int = SIZES_MIN) -> list[Event]:
    """Orders of 1, so that an order of 10 is ten times the median."""
    events: list[Event] = []
    for i in range(n):
        events += book(10.0 + i, (SELL, 100.05, 6.0)) + book(10.5 + i, (SELL, 100.05, 5.0))
    return events


def large(
    *,
    qty: float = 10.0,
    price: float = AT,
    at_ms: float = 1000.0,
    life_ms: float = 500.0,
    left: float = 0.0,
    side: int = BUY,
) -> list[Event]:
    """A large order behind the 5 that stand at a price, and what is left of it then."""
    return [
        *book(at_ms, (side, price, 5.0 + qty)), *book(at_ms + life_ms, (side, price, 5.0 + left)),
    ]  # fmt: skip


def scheme(
    *events: list[Event], buy_ms: float = 1300.0, side: int = BUY, **order: float
) -> list[Event]:
    """A large order, and somebody buys from the asks meanwhile; then something else happens."""
    found = [*large(side=side, **order), *trade(buy_ms, side, ASK if side == BUY else BID, 0.1)]
    for event in events:
        found += event
    return sorted(found, key=lambda event: float(event["ms"])) + book(8000.0, (BUY, 99.9, 3.0))


def expected_score(ratio: float, ticks: float, life_ms: float, filled: float = 0.0) -> float:
    size, near, haste = 1 - 5 / (2 * ratio), 1 - ticks / 100, 1 - life_ms / 4000
    return round((size + near + haste) / 3 * (1 - filled), 4)


FULL = expected_score(10, 4, 500)
# fmt: off
CASES: list[tuple[str, list[Event], list[tuple[int, float, float, float]]]] = [
    # events; the alarms: side, price, size, score
    ("large, cancelled, and bought",   scheme(),                        [(1, AT, 10.0, FULL)]),
    ("on the other side",              scheme(price=100.05, side=SELL), [(-1, 100.05, 10.0, FULL)]),
    ("nobody bought",                  [*large(), *book(8000, (BUY, 99.9, 3.0))], []),
    ("somebody sold",                  [*large(), *trade(1300, SELL, BID, 0.1),
                                        *book(8000, (BUY, 99.9, 3.0))], []),
    ("bought 4 s after the cancel",    scheme(buy_ms=5500.0),           [(1, AT, 10.0, FULL)]),
    ("bought 6 s after",               scheme(buy_ms=7000.0),           []),
    ("bought before it came",          scheme(buy_ms=900.0),            []),
    ("an ordinary cancel of 4.9",      scheme(qty=4.9),                 []),
    ("of 5",                           scheme(qty=5.0),
                                       [(1, AT, 5.0, expected_score(5, 4, 500))]),
    ("it stood for 2.1 s",             scheme(life_ms=2100.0),          []),
    ("for 1.9 s",                      scheme(life_ms=1900.0),
                                       [(1, AT, 10.0, expected_score(10, 4, 1900))]),
    ("a fifth of it stays",            scheme(left=2.0),                [(1, AT, 10.0, FULL)]),
    ("a third of it stays",            scheme(left=3.3),                []),
    ("a tenth of it was filled",       scheme(trade(1200, SELL, AT, 1.0)),
                                       [(1, AT, 10.0, expected_score(10, 4, 500, 0.1))]),
    ("more was filled",                scheme(trade(1200, SELL, AT, 1.2)), []),
    ("told of the fill too late",      scheme(trade(1580, SELL, AT, 9.0)), []),
    ("far from the best price",        scheme(price=99.40),             []),
    ("a new best price",               scheme(price=100.0, left=-5.0),
                                       [(1, 100.0, 15.0, expected_score(15, 0, 500))]),
    ("grown in two steps",             scheme(book(1100, (BUY, AT, 19.0))),
                                       [(1, AT, 14.0, expected_score(14, 4, 500))]),
    ("taken back and shown again near", scheme(large(at_ms=1600, price=99.94)),
                                                                        [(1, AT, 10.0, FULL)]),
    ("shown again elsewhere",          scheme(large(at_ms=1600, price=99.92)),
                                       [(1, AT, 10.0, FULL),
                                        (1, 99.92, 10.0, expected_score(10, 7, 500))][:1]),
    ("a market maker's flicker",       scheme(*[large(qty=2.0, price=BID, at_ms=1100.0 + 90 * i,
                                                      life_ms=40) for i in range(9)], qty=1.0), []),
]
# fmt: on


@pytest.mark.parametrize(("what", "events", "expected"), CASES, ids=[c[0] for c in CASES])
def test_case(
    what: str, events: list[Event], expected: list[tuple[int, float, float, float]]
) -> None:
    found = alarms(market(opening(), ordinary(), events))
    assert told(found, AlarmKind.SPOOF) == expected


def layers(n: int, *, gap_ms: float = 40.0, buy: bool = True) -> list[Event]:
    """Large bids at n prices, one tick further each, and they are cancelled in that order."""
    events: list[Event] = trade(1300.0, BUY, ASK, 0.1) if buy else []
    for i in range(n):
        price = round(AT - 0.01 * i, 2)
        events += large(price=price, at_ms=1000.0 + gap_ms * i, qty=10.0 + i)
    events += book(3000.0, (BUY, 99.9, 2.0)) + book(8000.0, (BUY, 99.9, 3.0))
    return sorted(events, key=lambda event: float(event["ms"]))


def test_layers_are_one_alarm_of_their_own() -> None:
    rows = market(opening(), ordinary(), layers(4))
    found = alarms(rows)
    assert told(found, AlarmKind.SPOOF) == []
    [(side, price, size, score)] = told(found, AlarmKind.LAYERING)
    assert (side, price, size) == (1, AT, 46.0)
    parts = [expected_score(10.0 + i, 4 + i, 500) for i in range(4)]
    assert score == pytest.approx(np.mean(parts), abs=5e-3)  # the median moves
    first = first_layer_ns(rows)
    assert found.onset_ns.tolist() == [first]


def first_layer_ns(rows: MarketRows) -> int:
    return int(rows.ts_recv_ns[len(opening()) + len(ordinary())])


# fmt: off
NO_LAYERS = [
    ("two prices",              layers(2)),
    ("nobody bought",           layers(4, buy=False)),
    ("one after the other",     layers(4, gap_ms=1100.0)),
]
# fmt: on


@pytest.mark.parametrize(("what", "events"), NO_LAYERS, ids=[c[0] for c in NO_LAYERS])
def test_no_layers(what: str, events: list[Event]) -> None:
    rows = market(opening(), ordinary(), events)
    assert told(alarms(rows), AlarmKind.LAYERING) == []


def test_features_are_scores_of_the_last_five_seconds() -> None:
    rows = market(opening(), ordinary(), layers(4))
    found = shown(Spoofs(instruments()), rows)
    assert np.isnan(found["spoof_bid"][: len(opening())]).all()
    assert np.nanmax(found["spoof_bid"]) == pytest.approx(expected_score(13, 7, 500), abs=1e-2)
    assert np.nanmax(found["layering_bid"]) == 4.0
    assert (found["spoof_bid"][-1], found["layering_bid"][-1]) == (0.0, 0.0)  # 6 s later
    assert np.nanmax(found["spoof_ask"]) == np.nanmax(found["layering_ask"]) == 0.0


def test_a_score_without_benefit_is_low() -> None:
    events = [*large(), *book(6100.0, (BUY, 99.9, 3.0))]
    found = shown(Spoofs(instruments()), market(opening(), ordinary(), events))
    assert found["spoof_bid"][-1] == pytest.approx(0.4 * FULL, abs=1e-4)


@pytest.mark.parametrize("lost", ["gap", "few orders", "left out"])
def test_where_nothing_can_be_said(lost: str) -> None:
    gap: list[Event] = [{"kind": Kind.BOOK_STATUS, "code": BookState.GAP, "ms": 1400.0}]
    before = ordinary(SIZES_MIN - 3) if lost == "few orders" else ordinary()
    rows = market(opening(), before, scheme(gap) if lost == "gap" else scheme())
    out = np.array([lost == "left out", 0, 0], np.uint8)
    assert told(alarms(rows, excluded=out), AlarmKind.SPOOF) == []
    found = shown(Spoofs(instruments(), excluded=out), rows)["spoof_bid"]
    at = len(opening()) + len(before) + 3
    assert np.isnan(found[at])


def test_thresholds_are_used() -> None:
    rows = market(opening(), ordinary(), scheme())
    strict = Thresholds(spoof=LIMITS._replace(size_ratio_min=11.0))
    assert told(alarms(rows, strict), AlarmKind.SPOOF) == []
    scored = Thresholds(spoof=LIMITS._replace(score_min=0.99))
    assert told(alarms(rows, scored), AlarmKind.SPOOF) == []


class SlowSpoofs:
    """Bids of one instrument by the rules, with lists that only grow; orders of 1 are typical."""

    def __init__(self, levels: dict[float, float]) -> None:
        self.book, self.best = dict(levels), max(levels)
        self.live: dict[float, Order] = {}
        self.gone: list[Order] = []  # not yet judged
        self.cancelled: list[Order] = []
        self.bought: list[float] = []  # when
        self.alarms: list[tuple[int, float, float]] = []

    def trade(self, number: int, ms: float, side: int, price: float, qty: float) -> None:
        if side == BUY:
            self.bought.append(ms)
        for order in [*self.live.values(), *self.gone]:
            if side == SELL and order["price"] == price and order is self.newest(price):
                order["filled"] += qty
        self.judge(number, ms)

    def newest(self, price: float) -> "Order | None":
        same = [o for o in [*self.gone, *self.live.values()] if o["price"] == price]
        return max(same, key=lambda o: float(o["ms"])) if same else None

    def message(self, number: int, ms: float, price: float, qty: float) -> None:
        before = self.book.get(price, 0.0)
        self.book[price] = qty
        order = self.live.get(price)
        if order:
            if qty > before:
                order["qty"] += qty - before
            elif qty <= order["before"] + 0.2 * order["qty"] + 0.005:
                order["gone"] = ms
                self.gone.append(self.live.pop(price))
        elif qty - before >= LIMITS.size_ratio_min:
            distance = max(round((self.best - price) / 0.01), 0)
            if distance <= LIMITS.distance_max_ticks:
                self.live[price] = {"price": price, "ms": ms, "before": before, "filled": 0.0,
                                    "qty": qty - before, "number": number}  # fmt: skip
        self.best = max(p for p, q in self.book.items() if q > 0.0)
        self.judge(number, ms)

    def judge(self, number: int, ms: float) -> None:
        for price, order in list(self.live.items()):
            if ms - order["ms"] > 2000.0:
                del self.live[price]
        for order in sorted(self.gone, key=lambda o: float(o["ms"])):
            if "waits" not in order and ms >= order["gone"] + 100.0:
                order["waits"] = 1.0
                hasty = order["gone"] - order["ms"] <= 2000.0
                if not hasty or order["filled"] > 0.1 * order["qty"]:
                    self.gone.remove(order)
                    continue
            in_time = [t for t in self.bought if order["ms"] < t <= order["ms"] + 5000.0]
            late = ms - order["ms"] > 5000.0
            if "waits" in order and (in_time or late):
                self.gone.remove(order)
                order["told"] = float(bool(in_time))
                old = [o for o in self.cancelled if o["told"] and ms - o["gone"] <= 5000.0]
                if in_time and not any(abs(o["price"] - order["price"]) < 0.055 for o in old):
                    self.alarms.append((number, order["price"], order["qty"]))
                self.cancelled.append(order)


Order = dict[str, float]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["large", "cancel", "cancel", "sold", "bought", "other", "quiet"]),
        st.integers(1, 900),  # ms
        st.sampled_from([99.98, 99.95, 99.88]),
        st.sampled_from([0.4, 2.0, 6.0, 9.0]),
    ),
    min_size=10, max_size=60,
)  # fmt: skip


@given(STEPS)
def test_slow_and_obvious(steps: list[tuple[str, int, float, float]]) -> None:
    limits = LIMITS._replace(score_min=0.0, layers_min=99)
    events = [*opening(levels_=15), *ordinary(400)]  # so many that the median stays 1
    slow = SlowSpoofs({round(99.99 - 0.01 * j, 2): 5.0 for j in range(15)})
    ms = 1000.0
    for what, wait_ms, price, qty in steps:
        ms += wait_ms
        number = len(events)
        if what in ("sold", "bought"):
            side, at = (SELL, price) if what == "sold" else (BUY, ASK)
            events += trade(ms, side, at, qty)
            slow.trade(number, ms, side, at, qty)
            continue
        now = slow.book[price]
        level = {"large": now + qty, "cancel": 5.0, "other": now + 1.0, "quiet": now}[what]
        events += book(ms, (BUY, price, level))
        slow.message(number, ms, price, level)
    found = alarms(market(events), Thresholds(spoof=limits))
    mine = found.kind == AlarmKind.SPOOF
    expected = slow.alarms
    assert found.seq[mine].tolist() == [number for number, *_ in expected]
    assert found.price[mine].tolist() == [price for _, price, _ in expected]
    np.testing.assert_allclose(found.size[mine], [qty for *_, qty in expected])


def test_every_promise_of_an_operator() -> None:
    rows = marked(busy_market(2500, seed=4))
    operator = Behind(Spoofs(instruments()))
    values = operator.step(operator.initial(), rows)[1].values
    assert np.nanmax(values[:, 0]) > 0.0
    check_operator(operator, rows, without_numba=True)
