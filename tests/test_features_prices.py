"""Prices: which rows are ticks, and at which price."""

import numpy as np
import pytest

from operators.features.prices import NO_TICK, Prices
from schemas.kinds import Kind
from tests.check_operator import check_operator
from tests.feature_cases import instruments, market, mixed_market, quote, trade

NAN = float("nan")
INF = float("inf")
TRADES_ONLY = {"symbol": 1}
Q = quote(1.0, 3.0)
BOOK = {"kind": Kind.BOOK, "bid_px": 5.0}
NONE = (NO_TICK, NAN, NAN, NAN, NAN, NAN)
OWN = (NO_TICK, NAN, NAN, 1.0, 3.0, NAN)  # what is no tick keeps its own columns
ITS = (NO_TICK, NAN, NAN, 5.0, NAN, NAN)

# fmt: off
CASES = [  # rows, then what the last one: k, mid, spread, bid_px, ask_px, n_ticks
    ("a quote",                            [Q],                             (0, 2, 2, 1, 3, 1)),
    ("a trade after it takes its mid",     [Q, trade(9.0)],                 (0, 2, 2, 1, 3, 2)),
    ("a trade before any quote",           [trade(9.0)],                    NONE),
    ("a one-sided quote is void",          [Q, quote(1.0, NAN)],            NONE),
    ("and so are trades after it",         [Q, quote(NAN, 3.0), trade(9.)], NONE),
    ("until the next two-sided one",       [Q, quote(NAN, 3.0), Q],         (0, 2, 2, 1, 3, 2)),
    ("a crossed quote is void",            [Q, quote(3.0, 1.0)],            NONE),
    ("and so are trades after it too",     [Q, quote(3., 1.), trade(9.0)],  NONE),
    ("a locked quote is a price",          [quote(2.0, 2.0)],               (0, 2, 0, 2, 2, 1)),
    ("an infinite side is no side",        [quote(1.0, INF)],               NONE),
    ("a mid of 0 has no logarithm",        [quote(0.0, 0.0)],               NONE),
    ("a bid of 0 is a price",              [quote(0.0, 2.0)],               (0, 1, 2, 0, 2, 1)),
    ("trades only: the trade's price",     [trade(9.0, **TRADES_ONLY)],     (1, 9, 0, NAN, NAN, 1)),
    ("trades only: quotes do not count",   [quote(1., 3., **TRADES_ONLY)],  NONE),
    ("trades only: a null price",          [trade(NAN, **TRADES_ONLY)],     NONE),
    ("a book row keeps its own columns",   [Q, BOOK],                       ITS),
    ("a symbol that is not in the table",  [quote(1.0, 3.0, symbol=2)],     OWN),
    ("a negative symbol",                  [quote(1.0, 3.0, symbol=-1)],    OWN),
    ("a lane without instruments",         [quote(1.0, 3.0, lane=2)],       OWN),
    ("a lane beyond the last",             [quote(1.0, 3.0, lane=4)],       OWN),
    ("a negative lane",                    [quote(1.0, 3.0, lane=-1)],      OWN),
    ("another lane counts for itself",     [Q, Q, quote(1.0, 3.0, lane=3)], (2, 2, 2, 1, 3, 1)),
]
# fmt: on


@pytest.mark.parametrize(("what", "rows", "expected"), CASES, ids=[c[0] for c in CASES])
def test_case(what: str, rows: list[dict[str, float]], expected: tuple[float, ...]) -> None:
    operator = Prices(instruments())
    _, (price, quotes) = operator.step(operator.initial(), market(rows))
    found = (price.k, price.mid, quotes.spread, quotes.bid_px, quotes.ask_px, price.n_ticks)
    np.testing.assert_array_equal([column[-1] for column in found], expected)


def test_bid_and_ask_mark_positions_and_logarithms_are_of_the_mid() -> None:
    operator = Prices(instruments())
    rows = market([Q, trade(9.0, **TRADES_ONLY), {"kind": Kind.HEARTBEAT}])
    _, (price, _) = operator.step(operator.initial(), rows)
    np.testing.assert_array_equal(price.bid, [1.0, 9.0, NAN])
    np.testing.assert_array_equal(price.ask, [3.0, 9.0, NAN])
    np.testing.assert_allclose(price.log_mid, np.log([2.0, 9.0, NAN]), rtol=1e-15)
    np.testing.assert_array_equal(price.ts_event_ns, rows.ts_event_ns)


def test_every_promise_of_an_operator() -> None:
    rows = mixed_market(3000, seed=1)
    operator = Prices(instruments())
    _, (price, _) = operator.step(operator.initial(), rows)
    share = np.mean(price.k != NO_TICK)
    assert 0.5 < share < 0.95  # the rows are what their maker says
    check_operator(operator, rows, without_numba=True)
