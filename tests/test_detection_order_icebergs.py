"""Icebergs by orders: by hand, among the simulator's planted ones, and on recordings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.detection_input import CHUNK_ROWS, alarms_of
from bench.detection_match import score
from operators.features.detection.alarms import AlarmKind, AlarmRows
from operators.features.detection.thresholds import Thresholds
from operators.features.feature import Terms
from operators.features.signal_log import SignalLog
from operators.features.signals import Signals
from operators.market.books.l3 import L3Books
from operators.market.books.words import BookReason, BookState, OrderAction
from schemas.kinds import Kind
from schemas.rows import concat, take
from tests.check_operator import check_operator
from tests.order_cases import BUY, SELL, Event, add, market, order, random_orders, shown, table
from venues.frames import order_rows
from venues.lob import LobSimulator
from venues.tape import open_tapes

A = OrderAction
NAN = float("nan")
NAMES = ("refills", "peak", "qty", "px")
GAP: Event = {"kind": Kind.BOOK_STATUS, "code": BookState.GAP, "symbol": 1,
              "reason": BookReason.SEQUENCE_GAP}  # fmt: skip


def background(n: int = 200) -> list[Event]:
    """Orders of all sizes far away, so that no size is usual."""
    return [add(0.001 * i, 10_000 + i, SELL, 120.0 + i, 10.0 + i) for i in range(n)]


def parts(n: int, *, at_s: float = 10.0, gap_s: float = 0.05, qty: float = 5.0, first: int = 1,
          price: float = 99.0, side: int = BUY) -> list[Event]:  # fmt: skip
    """An order, and n more of its size, each so long after the one before was filled."""
    events: list[Event] = []
    for i in range(n + 1):
        events.append(add(at_s, first + i, side, price, qty))
        at_s += 1.0
        events.append(order(at_s, A.EXECUTE, first + i, side, price, qty))
        at_s += gap_s
    return events[:-1]


def told(rows: AlarmRows) -> list[tuple[int, float, float, float]]:
    return [
        (int(s), float(p), float(q), float(x))
        for kind, s, p, q, x in zip(
            rows.kind, rows.side, rows.price, rows.size, rows.strength, strict=True
        )
        if kind == AlarmKind.ICEBERG
    ]


def alarms(events: list[Event]) -> list[tuple[int, float, float, float]]:
    return told(alarms_of(iter([market(*events)]), table().arrays(), [Thresholds()])[0])


def native(at_s: float = 10.0, refills: int = 2) -> list[Event]:
    """The venue fills one order up again."""
    events = [add(at_s, 1, BUY, 99.0, 4.0)]
    for i in range(refills):
        events += [
            order(at_s + 1 + i, A.FILL, 1, qty=4.0),
            order(at_s + 1 + i, A.CHANGE, 1, qty=4.0),
        ]
    return events


def in_two_steps(events: list[Event]) -> list[Event]:
    """Each order is filled by 2, and by the 3 that are left."""
    made: list[Event] = []
    for event in events:
        if event["code"] == A.EXECUTE:
            made.append(event | {"qty": 2.0, "at_s": event["at_s"] - 0.1})
            event = event | {"qty": 3.0}
        made.append(event)
    return made


THREE, FILLED = parts(3), order(15, A.EXECUTE, 4, BUY, 99.0, 5.0)  # its last order is filled
USUAL = [add(5.0 + 0.001 * i, 500 + i, BUY, 80.0, 5.0) for i in range(400)]
ONE = add(10, 1, BUY, 99.0, 4.0)
PART = [ONE, order(11, A.FILL, 1, qty=3.0), order(11, A.CHANGE, 1, qty=1.0)]
REDUCED = [e if e["code"] == A.ADD else e | {"code": A.REDUCE} for e in THREE]
CANCELLED = [THREE[0], order(10.5, A.DELETE, 1, qty=5.0), *THREE[2:6]]
TOLD = [(1, 99.0, 20.0, 3.0)]
# fmt: off
CASES: list[tuple[str, list[Event], list[tuple[int, float, float, float]]]] = [
    ("three refills",               THREE,                              TOLD),
    ("of an ask",                   parts(3, side=SELL, price=101.0),   [(-1, 101.0, 20.0, 3.0)]),
    ("five: told once",             parts(5),                           TOLD),
    ("filled in two steps each",    in_two_steps(THREE),                TOLD),
    ("two are not enough",          parts(2),                           []),
    ("each too late",               parts(3, gap_s=0.2),                []),
    ("of other sizes",              [e | {"qty": 5.0 + e["ref_id"]} for e in THREE], []),
    ("at other prices",             [e | {"price": 90.0 + e["ref_id"]} for e in THREE], []),
    ("the first order is cancelled", CANCELLED,                         []),
    ("all reduced, none filled",    REDUCED,                            []),
    ("one of many of its size",     [*USUAL, *THREE],                   []),
    ("filled up by its venue",      native(),                           [(1, 99.0, 8.0, 0.0)]),
    ("its owner wants more",        [ONE, order(11, A.CHANGE, 1, qty=6.0)], []),
    ("changed to what is left",     PART,                               []),
    ("again at the price, soon",    [*THREE, FILLED, *parts(3, at_s=20, first=50)], TOLD),
    ("again after a quiet time",    [*THREE, FILLED, *parts(3, at_s=60, first=50)], TOLD * 2),
    ("a gap inside",                [*THREE[:5], GAP | {"at_s": 12.5}, *THREE[5:]], []),
]
# fmt: on


@pytest.mark.parametrize(("events", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_case(events: list[Event], expected: list[tuple[int, float, float, float]]) -> None:
    assert alarms([*background(), *events]) == expected


def held(events: list[Event], side: str = "bid") -> tuple[float, ...]:
    found = shown(market(*background(), *events), "detection")
    return tuple(float(found[f"order_iceberg_{side}_{name}"][-1]) for name in NAMES)


def test_features_are_those_of_the_last_iceberg() -> None:
    nothing = (0.0, NAN, NAN, NAN)
    assert held(parts(2)) == pytest.approx(nothing, nan_ok=True)
    assert held(parts(3)) == (3.0, 5.0, 20.0, 99.0)
    assert held(parts(3), "ask") == pytest.approx(nothing, nan_ok=True)
    assert held(native(refills=3)) == (3.0, 4.0, 16.0, 99.0)
    gone = [*parts(3), order(13.9, A.DELETE, 4, qty=5.0)]
    assert held(gone) == pytest.approx(nothing, nan_ok=True)
    lost = [*parts(3), GAP | {"at_s": 14.0}]
    assert held(lost) == pytest.approx((NAN,) * 4, nan_ok=True)
    ended = [*parts(3), order(14.0, A.EXECUTE, 4, BUY, 99.0, 5.0), add(14.2, 99, BUY, 50.0, 1.0)]
    assert held(ended) == pytest.approx(nothing, nan_ok=True)


def test_whole_size_is_kaplan_meiers() -> None:
    """Five that end after 3, 3, 4, 5, 7 refills, one cancelled after 4; then one with 3."""
    events: list[Event] = []
    for n, (n_refills, ends) in enumerate(
        [(3, 1), (3, 1), (4, 1), (5, 1), (7, 1), (4, 0), (3, -1)]
    ):
        first, price = 100 * (n + 1), 60.0 + n
        events += parts(n_refills, at_s=10.0 + 20.0 * n, first=first, price=price)
        last_id, at_s = first + n_refills, events[-1]["at_s"] + 1.0
        if ends > 0:
            events.append(order(at_s, A.EXECUTE, last_id, BUY, price, 5.0))
        elif ends == 0:
            events.append(order(at_s, A.DELETE, last_id, BUY, price, 5.0))
    found = shown(market(*background(3000), *events), "detection")["order_iceberg_bid_expected_qty"]
    # At risk from 3 on: 6, of which 2 end; from 4 on 4 (1 ends, 1 lost); at 5 2 (1 ends); 7: 1.
    survive = [1 - 2 / 6, (1 - 2 / 6) * (1 - 1 / 4), (1 - 2 / 6) * (1 - 1 / 4) * (1 - 1 / 2)]
    refills = 3.0 + survive[0] + survive[1] + 2 * survive[2]
    assert found[-1] == pytest.approx(5.0 * (1.0 + refills))


# ---- the simulator's labels


@pytest.fixture(scope="module")
def simulator() -> LobSimulator:
    return LobSimulator(seed=202, minutes=12.0, faults_per_hour=0.0, by_order=True)


def test_orders_tell_the_same_market(simulator: LobSimulator) -> None:
    """The same trades and quotes as by level, and books that follow from the orders alone."""
    by_level = LobSimulator(seed=202, minutes=12.0, faults_per_hour=0.0).rows
    rows = simulator.rows
    for kind, names in ((Kind.TRADE, ("price", "qty", "side")),
                        (Kind.QUOTE, ("bid_px", "bid_qty", "ask_px", "ask_qty"))):  # fmt: skip
        for source in range(len(simulator.venues)):
            here = take(rows, (rows.kind == kind) & (rows.source == source))
            there = take(by_level, (by_level.kind == kind) & (by_level.source == source))
            for name in names:
                np.testing.assert_array_equal(getattr(here, name), getattr(there, name))
    books = L3Books(simulator.table.arrays())
    _, tops = books.step(books.initial(), order_rows(rows))
    assert tops.unknown.max() == tops.ghosts.max() == tops.repeated.max() == 0
    for symbol in range(len(simulator.venues)):
        quotes = take(rows, (rows.kind == Kind.QUOTE) & (rows.symbol == symbol))
        top = take(tops, tops.symbol == symbol)
        number = take(rows, (rows.kind == Kind.BOOK) & (rows.symbol == symbol))
        number = number.venue_seq[number.flags & 1 == 1]
        if number[-1] < 0:
            continue  # the venue has no numbers to join by
        at = np.searchsorted(number, quotes.venue_seq, side="right") - 1
        for ours, theirs in (("bid_px", "bid_px"), ("bid_qty", "bid_qty"), ("ask_px", "ask_px"),
                             ("ask_qty", "ask_qty")):  # fmt: skip
            np.testing.assert_allclose(getattr(top, ours)[at], getattr(quotes, theirs), atol=1e-9)


def test_planted_icebergs_are_found_and_little_else(simulator: LobSimulator) -> None:
    """At the declared strength, with the literature's thresholds; nothing was tuned on it."""
    tick = simulator.table.arrays()
    found = alarms_of(simulator.read(0, CHUNK_ROWS), tick, [Thresholds()])[0]
    icebergs = score(found, simulator.labels, AlarmKind.ICEBERG, tick.tick)
    assert icebergs.hit.size >= 10
    assert icebergs.hit.mean() >= 0.9
    assert icebergs.right.mean() >= 0.8, icebergs.wrong_at


def test_faults_of_a_feed_by_orders_are_refused() -> None:
    with pytest.raises(ValueError, match="by_order needs faults_per_hour=0"):
        LobSimulator(seed=1, by_order=True)


# ---- recordings

Find = Callable[[str], Path]


def test_native_icebergs_of_a_futures_market_are_told_by_their_ids(data_path: Find) -> None:
    """Orders that its venue filled up again, from the file: a fill, then a change to more."""
    path = data_path("orders_l3/cme_ESH4_20231225T0000.parquet")
    feed = open_tapes([path], lanes=1)
    rows = concat(list(feed.read(0, CHUNK_ROWS)))
    found = alarms_of(iter([rows]), feed.table.arrays(), [Thresholds()])[0]
    native_ones = take(found, (found.kind == AlarmKind.ICEBERG) & (found.strength == 0.0))
    left: dict[int, float] = {}
    refilled: set[tuple[int, float]] = set()
    owed: dict[int, float] = {}
    book = take(rows, (rows.kind == Kind.BOOK) & (rows.reason == 0))
    for code, side, number, price, qty in zip(
        book.code, book.side, book.ref_id, book.price, book.qty, strict=True
    ):
        if code == A.FILL:
            owed[number] = owed.get(number, 0.0) + qty
            continue
        if code == A.CHANGE and number in owed and owed[number] >= left[number]:
            refilled.add((int(side), float(price)))
        owed.pop(number, None)
        left[number] = qty
    assert len(refilled) >= 8
    assert {
        (int(s), float(p)) for s, p in zip(native_ones.side, native_ones.price, strict=True)
    } == (refilled)


def test_every_promise_of_an_operator() -> None:
    events = [*background(), *parts(5, at_s=1.0), *native(at_s=8.0, refills=3)]
    random = random_orders(900, seed=4, symbol=0)
    rows: Any = market(*sorted([*events, *random], key=lambda event: event["at_s"]))
    instruments = table()
    words = [
        name for name in Signals(Terms.of(instruments), ("detection",)).names if "order_" in name
    ]
    operator = SignalLog(instruments.arrays(), Signals(Terms.of(instruments), words))
    check_operator(operator, rows, warm_up=0.9, without_numba=True)
