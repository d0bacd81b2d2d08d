"""Hidden executions in order-by-order feeds: hand-made rows, and all that a recording labels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from operators.features.detection.alarms import AlarmKind, Alarms
from operators.features.detection.hidden import ORDERS, HiddenOrders
from operators.market.books.words import OrderAction
from schemas.kinds import Kind
from schemas.rows import MarketRows, empty
from tests.check_operator import check_operator
from tests.detection_cases import (
    BUY,
    DEPTH,
    LAST,
    SELL,
    START_NS,
    Behind,
    Event,
    alarms,
    instruments,
    marked,
    market,
    opening,
    shown,
    signal_input,
    told,
    trade,
)

A = OrderAction


def order(
    ms: float,
    action: OrderAction,
    order_id: int,
    qty: float,
    *,
    side: int = BUY,
    price: float = 99.0,
) -> Event:
    return {"kind": Kind.BOOK, "code": int(action), "ref_id": order_id, "qty": qty, "side": side,
            "price": price, "flags": LAST, "ms": ms}  # fmt: skip


# fmt: off
CASES: list[tuple[str, list[Event], list[tuple[int, float, float, float]]]] = [
    ("the venue says so",           [order(0, A.EXECUTE_HIDDEN, 0, 3.0)], [(1, 99.0, 3.0, 1.0)]),
    ("of an ask",                   [order(0, A.EXECUTE_HIDDEN, 0, 3.0, side=SELL)],
                                                                       [(-1, 99.0, 3.0, 1.0)]),
    ("all that was shown",          [order(0, A.ADD, 7, 3.0), order(1, A.EXECUTE, 7, 3.0)], []),
    ("more than was shown",         [order(0, A.ADD, 7, 3.0), order(1, A.EXECUTE, 7, 5.0)],
                                                                       [(1, 99.0, 2.0, 1.0)]),
    ("more than was left",          [order(0, A.ADD, 7, 3.0), order(1, A.REDUCE, 7, 2.0),
                                     order(2, A.EXECUTE, 7, 2.0)],     [(1, 99.0, 1.0, 1.0)]),
    ("more than it was changed to", [order(0, A.ADD, 7, 3.0), order(1, A.CHANGE, 7, 1.0),
                                     order(2, A.EXECUTE, 7, 2.0)],     [(1, 99.0, 1.0, 1.0)]),
    ("in two steps",                [order(0, A.SET, 7, 3.0), order(1, A.EXECUTE, 7, 2.0),
                                     order(2, A.EXECUTE, 7, 2.0)],     [(1, 99.0, 1.0, 1.0)]),
    ("reduced by more is no trade", [order(0, A.ADD, 7, 3.0), order(1, A.REDUCE, 7, 5.0)], []),
    ("an order that is not known",  [order(0, A.EXECUTE, 7, 5.0)],     []),
    ("one that was deleted",        [order(0, A.ADD, 7, 3.0), order(1, A.DELETE, 7, 0.0),
                                     order(2, A.EXECUTE, 7, 5.0)],     []),
    ("forgotten for many others",   [order(0, A.ADD, 7, 3.0)]
                                    + [order(1, A.ADD, 8 + i, 3.0) for i in range(20 * ORDERS)]
                                    + [order(2, A.EXECUTE, 7, 5.0)],   []),
    ("a bad quantity",              [order(0, A.EXECUTE_HIDDEN, 0, np.nan)], []),
    ("rows of levels and trades",   [*opening(), *trade(9, SELL, 99.99, 1.0)], []),
]
# fmt: on


@pytest.mark.parametrize(("what", "events", "expected"), CASES, ids=[c[0] for c in CASES])
def test_case(
    what: str, events: list[Event], expected: list[tuple[int, float, float, float]]
) -> None:
    rows = market(events)
    made = signal_input(rows, instruments(), np.full((rows.seq.size, 4, DEPTH), np.nan))
    operator = Alarms(instruments())
    assert told(operator.step(operator.initial(), made)[1], AlarmKind.HIDDEN) == expected


def test_features_are_the_volume_of_ten_seconds() -> None:
    events = [order(0, A.ADD, 1, 2.0), order(100, A.EXECUTE_HIDDEN, 0, 3.0),
              order(200, A.EXECUTE_HIDDEN, 0, 1.0, side=SELL), order(4000, A.EXECUTE, 1, 2.5),
              order(11_000, A.DELETE, 1, 0.0), order(15_000, A.DELETE, 1, 0.0)]  # fmt: skip
    found = shown(HiddenOrders(instruments()), market(events))
    assert found["hidden_bid_qty"].tolist() == [0.0, 3.0, 3.0, 3.5, 0.5, 0.0]
    assert found["hidden_ask_qty"].tolist() == [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]


def test_feeds_by_level_know_nothing_of_it() -> None:
    found = shown(HiddenOrders(instruments()), market(opening(), trade(9, SELL, 99.99, 1.0)))
    assert np.isnan(found["hidden_bid_qty"]).all()


def recorded(path: Path, words: dict[str, OrderAction]) -> MarketRows:
    """A recording's rows about orders, as those of instrument 0."""
    columns = pq.read_table(path).to_pydict()
    rows = empty(MarketRows, len(columns["action"]))
    rows.lane[:], rows.kind[:], rows.flags[:] = 1, Kind.BOOK, LAST
    rows.seq[:] = np.arange(rows.seq.size)
    rows.code[:] = [words.get(word, 0) for word in columns["action"]]
    rows.kind[rows.code == 0] = Kind.HEARTBEAT
    rows.ref_id[:] = [int(one) for one in columns["order_id"]]
    rows.ts_event_ns[:] = rows.ts_recv_ns[:] = columns["ts_ns"]
    rows.side[:], rows.price[:], rows.qty[:] = columns["side"], columns["price"], columns["size"]
    return rows


Find = Callable[[str], Path]
NASDAQ = {"add": A.ADD, "reduce": A.REDUCE, "delete": A.DELETE, "execute": A.EXECUTE,
          "execute_hidden": A.EXECUTE_HIDDEN}  # fmt: skip
CME = {"add": A.ADD, "snapshot": A.ADD, "modify": A.CHANGE, "cancel": A.DELETE}
BITSTAMP = {"created": A.ADD, "changed": A.CHANGE, "deleted": A.DELETE}


def hidden_rows(rows: MarketRows) -> Any:
    made = signal_input(rows, instruments(), np.full((rows.seq.size, 4, DEPTH), np.nan))
    operator = Alarms(instruments())
    return operator.step(operator.initial(), made)[1]


def test_nasdaq_labels_are_found_and_nothing_else(data_path: Find) -> None:
    rows = recorded(data_path("orders_l3/nasdaq_AAPL_20120621T0930.parquet"), NASDAQ)
    labels = np.flatnonzero(rows.code == A.EXECUTE_HIDDEN)
    found = hidden_rows(rows)
    assert labels.size == 61
    assert (found.kind == AlarmKind.HIDDEN).all()
    for column in ("seq", "side", "price"):
        np.testing.assert_array_equal(getattr(found, column), getattr(rows, column)[labels])
    np.testing.assert_array_equal(found.size, rows.qty[labels])


@pytest.mark.parametrize(
    ("name", "words"),
    [("bitstamp_BTCUSD_20150501T0000", BITSTAMP), ("cme_ESH4_20231225T0000", CME)],
    ids=["bitstamp", "cme"],
)
def test_feeds_that_never_say_so_are_not_made_to(
    data_path: Find, name: str, words: dict[str, OrderAction]
) -> None:
    rows = recorded(data_path(f"orders_l3/{name}.parquet"), words)
    assert hidden_rows(rows).seq.size == 0


def test_every_promise_of_an_operator() -> None:
    random = np.random.default_rng(8)
    events: list[Event] = []
    for i in range(1500):
        action = A(int(random.integers(1, 8)))
        qty = float(random.integers(0, 4))
        side = BUY if i % 2 else SELL
        events.append(order(30.0 * i, action, int(random.integers(40)), qty, side=side))
    rows = market(events)
    assert rows.ts_event_ns[0] == START_NS
    assert (told(alarms(rows), AlarmKind.HIDDEN)) != []
    check_operator(Behind(HiddenOrders(instruments())), marked(rows), without_numba=True)
