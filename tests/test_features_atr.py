"""Bars and ATR: a page of bars by hand, and the definition over whole arrays."""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest

from operators.features.atr import Atr
from operators.features.bars import BarRows, Bars
from operators.features.prices import PriceRows
from tests.check_operator import check_operator
from tests.feature_cases import START_NS, of, random_prices
from tests.feature_definitions import atr_by_definition

NAN = math.nan
SECOND = 1_000_000_000


class Bar(NamedTuple):
    high: float
    low: float
    close: float


def ticks(rows: list[tuple[float, float, float]]) -> PriceRows:
    """(second, bid, ask) of one instrument."""
    second, bid, ask = np.array(rows).T.copy()
    mid = (bid + ask) / 2
    return PriceRows(
        k=np.zeros(mid.size, np.int32), ts_event_ns=(START_NS + second * SECOND).astype(np.int64),
        mid=mid, log_mid=np.log(mid), bid=bid, ask=ask, n_ticks=np.full(mid.size, np.nan),
    )  # fmt: skip


def closed_bars(rows: PriceRows) -> list[tuple[int, Bar]]:
    operator = Bars(1)
    _, out = operator.step(operator.initial(), rows)
    at = np.flatnonzero(out.closed)
    return [(int(i), Bar(out.high[i], out.low[i], out.close[i])) for i in at]


# fmt: off
BAR_CASES = [  # ticks (second, bid, ask), then bars by the row that closed them
    ("an open bar is not out",
     [(0, 1, 3), (4.99, 5, 7)],                     []),
    ("closed by the first tick of the next bar",
     [(0, 1, 3), (4.99, 5, 7), (5, 2, 4)],          [(2, Bar(high=7, low=1, close=6))]),
    ("high is an ask, low is a bid, close is a mid",
     [(0, 4, 9), (1, 1, 5), (2, 2, 6), (5, 1, 1)],  [(3, Bar(high=9, low=1, close=4))]),
    ("empty bars are skipped",
     [(0, 1, 3), (61, 2, 4), (66, 1, 1)],           [(1, Bar(3, 1, 2)), (2, Bar(4, 2, 3))]),
    ("a late tick counts into the open bar",
     [(7, 1, 3), (3, 0, 4), (10, 1, 1)],            [(2, Bar(high=4, low=0, close=2))]),
    ("and does not open an older one",
     [(7, 1, 3), (3, 0, 4), (4, 1, 1), (9, 1, 3)],  []),
]
# fmt: on


@pytest.mark.parametrize(("what", "rows", "bars"), BAR_CASES, ids=[c[0] for c in BAR_CASES])
def test_bars(
    what: str, rows: list[tuple[float, float, float]], bars: list[tuple[int, Bar]]
) -> None:
    assert closed_bars(ticks(rows)) == bars


def test_bars_of_a_time_before_1970_end_after_it_starts() -> None:
    rows = ticks([(0, 1, 3), (1, 2, 4), (5, 1, 1)])
    rows.ts_event_ns[:] = [-1, 0, 4_999_999_999]  # the first bar ends at 0
    assert closed_bars(rows) == [(1, Bar(3, 1, 2))]


def bar_rows(bars: list[Bar]) -> BarRows:
    high, low, close = np.array(bars, np.float64).T.copy()
    n = high.size
    return BarRows(np.zeros(n, np.int32), np.ones(n, np.uint8), high, low, close)


# A page as Wilder keeps it. A range of 10 each day; day 8 gaps up, day 12 down.
# fmt: off
WILDER = [  # high, low, close, true range, average true range
    (110, 100, 105,  NAN,  NAN),   # no close before it
    (110, 100, 105,   10,  NAN),
    (110, 100, 105,   10,  NAN),
    (110, 100, 105,   10,  NAN),
    (110, 100, 105,   10,  NAN),
    (110, 100, 105,   10,  NAN),
    (110, 100, 105,   10,  NAN),
    (133, 123, 128,   28,  NAN),   # 133 - 105: the gap counts
    (133, 123, 128,   10,  NAN),
    (133, 123, 128,   10,  NAN),
    (133, 123, 128,   10,  NAN),
    (110, 100, 105,   28,  NAN),   # 128 - 100
    (110, 100, 105,   10,  NAN),
    (110, 100, 105,   10,  NAN),
    (110, 100, 105,   10,   12.571428571428571),  # (12 * 10 + 2 * 28) / 14
    (124, 120, 122,   19,   13.030612244897959),  # (13 * 12.5714 + 19) / 14
    (122, 122, 122,    0,   12.09985422740525),   # (13 * 13.0306 + 0) / 14
]
# fmt: on


def test_atr_on_a_page_by_hand() -> None:
    operator = Atr(1)
    rows = bar_rows([Bar(high, low, close) for high, low, close, _, _ in WILDER])
    _, out = operator.step(operator.initial(), rows)
    np.testing.assert_allclose(out.atr, [row[4] for row in WILDER], rtol=1e-14)
    for before, row in pairwise(WILDER):  # the page itself is right
        assert row[3] == max(row[0], before[2]) - min(row[1], before[2])


def test_atr_against_its_definition() -> None:
    rows = random_prices(8000, seed=21)
    bars, atr = Bars(3), Atr(3)
    _, out = atr.step(atr.initial(), bars.step(bars.initial(), rows)[1])
    for k in range(3):
        mine = PriceRows(*(of(k, rows, column) for column in rows))
        expected = atr_by_definition(mine)
        assert np.isfinite(expected).mean() > 0.9
        np.testing.assert_allclose(of(k, rows, out.atr), expected, rtol=1e-12)
    assert np.isnan(out.atr[rows.k < 0]).all()


def test_every_promise_of_an_operator() -> None:
    rows = random_prices(3000, seed=22)
    check_operator(Bars(3), rows, without_numba=True)
    bars = Bars(3)
    _, bar = bars.step(bars.initial(), rows)
    check_operator(Atr(3), bar, without_numba=True)
