"""Icebergs by level: what is one, what only looks like one, and what is said of it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.features.detection.alarms import AlarmKind
from operators.features.detection.icebergs import Icebergs
from operators.features.detection.refills import ENDED_MIN, chance
from operators.features.detection.thresholds import IcebergThresholds, Thresholds
from operators.market.books.words import BookState
from schemas.kinds import Kind
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

LIMITS = IcebergThresholds()
BID, ASK = 99.99, 100.01


def refills(
    n: int,
    *,
    peak: float = 2.0,
    start_ms: float = 1000.0,
    every_ms: float = 1000.0,
    delay_ms: float = 50.0,
    sizes: list[float] | None = None,
) -> list[Event]:
    """The level of 5 at 99.99 is sold to until it is empty, and each time `peak` comes back."""
    events: list[Event] = []
    now, level = start_ms, 5.0
    for i in range(n):
        size = sizes[i] if sizes else peak
        events += trade(now, SELL, BID, level)
        events += book(now, (BUY, BID, 0.0))
        level = size
        events += book(now + delay_ms, (BUY, BID, level))
        now += every_ms
    return events


def flicker(n: int) -> list[Event]:
    """A market maker whose order at the best price comes and goes, and nobody trades."""
    events: list[Event] = []
    for i in range(n):
        at = 1000.0 + 100.0 * i
        events += book(at, (BUY, BID, 7.0)) + book(at + 40, (BUY, BID, 5.0))
    return events


NETTED = [
    [*trade(1000.0 + 500 * i, SELL, BID, 5.0), *book(1050.0 + 500 * i, (BUY, 99.97, 6.0 + i))]
    for i in range(4)
]  # the book shows 5 as before, whenever it says something


def grown(i: int) -> list[Event]:
    return book(1000.0 + 9 * i, (BUY, BID, 7.0 + 2 * i))


def cut(i: int) -> list[Event]:
    return book(1000.0 + 99 * i, (BUY, BID, 4.0 - i))


def behind(i: int, qty: float, left: float) -> list[Event]:
    """A trade, and 50 ms later a new order of 2 behind what is left."""
    now = 1000.0 + 900 * i
    return [*trade(now, SELL, BID, qty), *book(now, (BUY, BID, left)),
            *book(now + 50, (BUY, BID, left + 2.0))]  # fmt: skip


# fmt: off
CASES: list[tuple[str, list[Event], list[tuple[int, float, float, float]]]] = [
    # events; the alarms: side, price, size so far, refills
    ("three refills of one size",      refills(3),                      [(1, BID, 8.0, 3.0)]),
    ("two are too few",                refills(2),                      []),
    ("one episode is one alarm",       refills(9),                      [(1, BID, 8.0, 3.0)]),
    ("they come too late",             refills(5, delay_ms=200.0),      []),
    ("each of another size",           refills(5, sizes=[2, 3, 4, 2.5, 3.5]), []),
    ("nearly the same size",           refills(3, sizes=[2, 2.02, 2]),  [(1, BID, 8.0267, 3.0)]),
    ("an ordinary refill, once",       refills(1),                      []),
    ("a market maker's flicker",       flicker(20),                     []),
    ("nobody traded: orders come",     [e for i in range(9) for e in grown(i)], []),
    ("orders are cancelled",           [e for i in range(4) for e in cut(i)], []),
    ("hidden from the book: netted",   [e for part in NETTED for e in part],
                                                                        [(1, BID, 20.0, 3.0)]),
    ("new orders of more than was traded",
     [e for i in range(6) for e in behind(i, 0.5, 4.5 + 1.5 * i)],      []),
    ("new orders while the last one cannot have been filled yet",
     [e for i in range(6) for e in behind(i, 2.0, 3.0)],                []),
    ("a trade of twice what is shown", trade(1, SELL, BID, 10.0),       [(1, BID, 10.0, 0.0)]),
    ("of less than that",              trade(1, SELL, BID, 9.0),        []),
    ("when the book is old news",      trade(50, SELL, BID, 10.0),      []),
    ("at a price that shows nothing",  trade(1, SELL, 99.5, 10.0),      []),
    ("bought from the ask",            trade(1, BUY, ASK, 10.0),        [(-1, ASK, 10.0, 0.0)]),
]
# fmt: on


@pytest.mark.parametrize(("what", "events", "expected"), CASES, ids=[c[0] for c in CASES])
def test_case(
    what: str, events: list[Event], expected: list[tuple[int, float, float, float]]
) -> None:
    found = alarms(market(opening(), events))
    assert told(found, AlarmKind.ICEBERG) == expected


def test_an_alarm_knows_its_row_and_its_onset() -> None:
    rows = market(opening(), refills(3))
    found = alarms(rows)
    assert found.seq.tolist() == [rows.seq[-1]]
    assert found.onset_ns.tolist() == [rows.ts_recv_ns[16]]  # of the first trade
    assert found.ts_recv_ns.tolist() == [rows.ts_recv_ns[-1]]
    assert (found.lane[0], found.symbol[0]) == (1, 0)


def test_a_trade_may_be_told_after_the_change_that_it_made() -> None:
    events: list[Event] = []
    for i in range(4):
        now, level = 1000.0 + 900.0 * i, 2.0 if i else 5.0
        events += book(now, (BUY, BID, 0.0)) + trade(now + 20, SELL, BID, level)
        events += book(now + 50, (BUY, BID, 2.0))
    found = told(alarms(market(opening(), trade(900, SELL, BID, 0.01), events)), AlarmKind.ICEBERG)
    assert found == [(1, BID, 8.0133, 3.0)]


def test_features_follow_the_iceberg_and_end_with_it() -> None:
    found = shown(Icebergs(instruments()), market(opening(), refills(4)))
    last = {name: column[-1] for name, column in found.items()}
    assert last["iceberg_bid_refills"] == 4.0
    assert last["iceberg_bid_peak"] == 2.0
    assert last["iceberg_bid_qty"] == 10.0
    assert last["iceberg_bid_px"] == BID
    assert np.isnan(last["iceberg_bid_expected_qty"])
    assert last["iceberg_ask_refills"] == 0.0
    assert np.isnan(last["iceberg_ask_px"])
    gone = [
        *trade(6000, SELL, BID, 2.0),
        *book(6000, (BUY, BID, 0.0)),
        *book(6400, (BUY, 99.9, 1.0)),
    ]
    after = shown(Icebergs(instruments()), market(opening(), refills(4), gone))
    assert after["iceberg_bid_refills"][-1] == 0.0


def icebergs_of(*counts: int) -> list[Event]:
    """One after the other, each with so many refills, and then its price is empty."""
    events: list[Event] = []
    now = 1000.0
    for n in counts:
        events += book(now - 500, (BUY, BID, 5.0)) + refills(n, start_ms=now, every_ms=100.0)
        now += 100.0 * n
        events += trade(now, SELL, BID, 2.0) + book(now, (BUY, BID, 0.0))
        events += book(now + 400, (BUY, 99.9, 1.0 + now))
        now += 2000.0
    return events


def test_whole_size_is_expected_from_those_that_ended() -> None:
    before = [3, 4, 4, 5, 9]
    assert len(before) == ENDED_MIN
    rows = market(opening(), icebergs_of(*before), icebergs_of(4)[:1],
                  [e | {"ms": e["ms"] + 40_000} for e in icebergs_of(4)[:13]])  # fmt: skip
    found = shown(Icebergs(instruments()), rows)
    assert found["iceberg_bid_refills"][-1] == 4.0
    longer = [n for n in before if n >= 4]
    assert found["iceberg_bid_expected_qty"][-1] == pytest.approx(2.0 * (1.0 + np.mean(longer)))


@pytest.mark.parametrize("told_by", ["a gap", "a snapshot with nothing there"])
def test_what_is_not_known_any_more(told_by: str) -> None:
    if told_by == "a gap":
        event: list[Event] = [{"kind": Kind.BOOK_STATUS, "code": BookState.GAP, "ms": 5000.0}]
    else:
        event = book(5000.0, (BUY, 99.0, 1.0), (SELL, 101.0, 1.0), snapshot=True)
    rows = market(opening(), refills(3), event, trade(5001, SELL, BID, 2.0))
    found = shown(Icebergs(instruments()), rows)["iceberg_bid_refills"]
    assert found[-3 if told_by == "a gap" else -4] == 3.0
    assert np.isnan(found[-1]) if told_by == "a gap" else found[-1] >= 0.0


def test_a_snapshot_of_the_same_book_changes_nothing() -> None:
    events = refills(3)
    rows = market(opening(), events[:7], book(3010, *[(BUY, round(99.98 - 0.01 * j, 2), 5.0)
                  for j in range(7)], (SELL, ASK, 5.0), snapshot=True), events[7:])  # fmt: skip
    assert told(alarms(rows), AlarmKind.ICEBERG) == [(1, BID, 8.0, 3.0)]


def test_instruments_that_are_left_out() -> None:
    rows, out = market(opening(), refills(3)), np.array([1, 0, 0], np.uint8)
    assert alarms(rows, excluded=out).seq.size == 0
    found = shown(Icebergs(instruments(), excluded=out), rows)
    assert all(np.isnan(column).all() for column in found.values())
    with pytest.raises(ValueError, match=r"excluded must be \(3,\), was \(2,\)"):
        Icebergs(instruments(), excluded=out[:2])


def test_chance_is_the_binomial_term() -> None:
    assert chance(5, 2, 0.1) == pytest.approx(10 * 0.01)
    assert chance(7, 0, 0.1) == 1.0


class SlowPrice:
    """One price as the docstring has it."""

    def __init__(self, shown_: float, ms: float) -> None:
        self.shown, self.traded, self.total, self.left = shown_, 0.0, 0.0, 0.0
        self.owed, self.owed_ms, self.trade_ms, self.active_ms = 0.0, -1e9, -1e9, ms
        self.sizes: list[dict[str, Any] | None] = [None] * 3
        self.named: int | None = None
        self.touched = self.told = False


class SlowIcebergs:
    """Bids of one instrument, with dictionaries; gives (event, price, size, refills)."""

    def __init__(self, limits: IcebergThresholds) -> None:
        self.limits = limits
        self.book: dict[float, Any] = {}
        self.prices: dict[float, Any] = {}
        self.book_ms = -1e9
        self.alarms: list[tuple[int, float, float, float]] = []

    def trade(self, number: int, ms: float, price: float, qty: float) -> None:
        if price not in self.book:
            return
        one = self.prices.setdefault(price, SlowPrice(self.book[price], ms))
        if one.owed > 0.0 and ms - one.owed_ms <= self.limits.late_ns / 1e6:
            paid = min(qty, one.owed)
            one.owed, one.left, one.total = one.owed - paid, one.left - paid, one.total + paid
            qty -= paid
        one.traded += qty
        hidden = one.traded >= self.limits.native_ratio_min * one.shown
        if (not one.told and one.shown > 0.005 and hidden
                and 0 <= ms - self.book_ms <= self.limits.native_fresh_ns / 1e6):  # fmt: skip
            one.told = True
            self.alarms.append((number, price, one.traded, 0.0))
        one.trade_ms = one.active_ms = ms

    def message(self, number: int, ms: float, levels: dict[float, float]) -> None:
        self.book |= levels
        self.book_ms = ms
        for price in levels.keys() & self.prices.keys():
            self.prices[price].touched = True
        for price, one in list(self.prices.items()):
            wait = 0.0 if one.touched else self.limits.settle_ns / 1e6
            if (one.touched or one.traded > 0.0) and ms >= one.trade_ms + wait:
                self.settle(one, self.book[price], ms)
            if one.named is not None and not one.told:
                one.told = True
                size = one.sizes[one.named]
                assert size
                hidden = size["peak"] * size["n"]
                self.alarms.append((number, price, size["peak"] + hidden, float(size["n"])))
            quiet_ms = ms - max(one.trade_ms, one.owed_ms)
            if quiet_ms > self.limits.refill_ns / 1e6 and self.is_over(one):
                del self.prices[price]

    def settle(self, one: SlowPrice, now: float, ms: float) -> None:
        netted, back = one.traded, now - one.shown + one.traded
        one.total += one.traded
        one.traded, one.shown, one.touched = 0.0, now, False
        if back < -0.005:
            one.owed, one.owed_ms, one.left = -back, ms, one.left - back
            return
        soon = ms - one.trade_ms <= self.limits.refill_ns / 1e6
        if not (back > 0.005 and soon and back >= self.limits.shown_share_min * now):
            return
        slack = self.limits.size_tolerance * back + 0.005
        known, fits = False, []
        for j, size in enumerate(one.sizes):
            if size is None:
                continue
            n = max(round(back / size["peak"]), 1)
            alike = abs(back - n * size["peak"]) <= slack
            known |= alike
            traded, gone = one.total - size["total"], one.total + one.left - size["gone"]
            if traded < size["peak"] - slack or gone < size["shown"] - slack:
                continue
            size["tries"] += 1
            if alike and (n == 1 or (n <= 8 and netted >= back - slack)):
                fits.append((-size["n"], j, n))
        mark = {"total": one.total, "gone": one.total + one.left, "shown": now, "ms": ms}
        if fits:
            _, j, n = min(fits)
            size = one.sizes[j]
            assert size
            hidden = size["peak"] * size["n"] + back
            size |= mark | {"n": size["n"] + n, "tries": size["tries"] + n - 1}
            size["peak"] = hidden / size["n"]
            one.active_ms = ms
            likely = chance(size["tries"], size["n"] - 1, self.limits.alike_share)
            if size["n"] >= self.limits.refills_min and likely <= self.limits.chance_max:
                one.named = j if one.named is None else one.named
        elif not known and one.total >= back - slack:
            weak = [(0, 0.0) if s is None else (s["n"], s["ms"]) for s in one.sizes]
            at = weak.index(min(weak))
            if at != one.named:
                one.sizes[at] = mark | {"peak": back, "n": 1, "tries": 0}

    def is_over(self, one: SlowPrice) -> bool:
        if one.shown == 0.0:
            return True
        for j, size in enumerate(one.sizes):
            if size and one.total - size["total"] > size["shown"] + 0.005:
                if one.named == j:
                    return True
                one.sizes[j] = None
        return False


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["trade", "trade", "level", "level", "refill", "other"]),
        st.integers(1, 120),  # ms
        st.sampled_from([99.99, 99.98, 99.97]),
        st.sampled_from([0.0, 1.0, 2.0, 2.0, 2.02, 3.0]),
    ),
    min_size=20, max_size=80,
)  # fmt: skip


@given(STEPS)
def test_slow_and_obvious(steps: list[tuple[str, int, float, float]]) -> None:
    limits = LIMITS._replace(chance_max=0.2, alike_share=0.2, refills_min=2)
    slow, events, ms = SlowIcebergs(limits), opening(), 0.0
    levels = {round(99.99 - 0.01 * j, 2): 5.0 for j in range(8)}
    slow.message(len(events) - 1, 0.0, levels)
    for what, wait_ms, price, qty in steps:
        ms += wait_ms
        if what == "trade":
            events += trade(ms, SELL, price, max(qty, 0.5))
            slow.trade(len(events) - 1, ms, price, max(qty, 0.5))
            continue
        level = qty if what == "level" else round(slow.book[price] + qty, 2)
        if what == "refill" and price in slow.prices:
            level = round(slow.book[price] - slow.prices[price].traded + 2.0, 2)
        at = 99.95 if what == "other" else price
        events += book(ms, (BUY, at, max(level, 0.0)))
        slow.message(len(events) - 1, ms, {at: max(level, 0.0)})
    found = alarms(market(events), Thresholds(iceberg=limits))
    mine = sorted(  # of one row by price
        (int(found.seq[i]), float(found.price[i]), float(found.size[i]), float(found.strength[i]))
        for i in np.flatnonzero(found.kind == AlarmKind.ICEBERG)
    )
    assert [(*one[:2], one[3]) for one in mine] == [
        (*one[:2], one[3]) for one in sorted(slow.alarms)
    ]
    np.testing.assert_allclose([one[2] for one in mine], [one[2] for one in sorted(slow.alarms)])


def test_every_promise_of_an_operator() -> None:
    rows = marked(busy_market(2500, seed=3))
    operator = Behind(Icebergs(instruments()))
    values = operator.step(operator.initial(), rows)[1].values
    assert np.isfinite(values[:, 4]).any()  # some icebergs, and their price
    check_operator(operator, rows, without_numba=True)
