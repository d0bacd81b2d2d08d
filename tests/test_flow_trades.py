"""Trades: who was the aggressor, cumulative volume delta, imbalance; and what is passed over."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from operators.features.flow.aggressors import DAY_NS, Aggressors
from operators.features.flow.events import FlowEvents, flow_input
from operators.features.flow.rows import TRADE
from schemas.instruments import InstrumentKind
from schemas.kinds import Kind
from schemas.rows import F8, MarketRows, empty, take, to_batch
from tests.check_operator import check_operator
from tests.flow_cases import (
    START_NS,
    at,
    flow_rows,
    hand_made,
    instruments,
    mixed_flow,
    of,
    quote,
    recorded,
    slot_sums,
    trade,
    values,
)

NAN = math.nan
Q = quote(99.0, 101.0)
# fmt: off
SIGNS = [  # what is known, the rows, the sign of the last trade
    ("the venue says buy",           [Q, trade(99.0, side=1)],                              1.0),
    ("the venue says sell",          [Q, trade(101.0, side=-1)],                           -1.0),
    ("above the mid",                [Q, trade(100.5, side=0)],                             1.0),
    ("below the mid",                [Q, trade(99.5, side=0)],                             -1.0),
    ("at the mid, after a rise",     [trade(99.0), Q, trade(100.0, side=0)],                1.0),
    ("at the mid, after a fall",     [trade(101.0), Q, trade(100.0, side=0)],              -1.0),
    ("at the mid, first of all",     [Q, trade(100.0, side=0)],                             0.0),
    ("no quote, after a rise",       [trade(9.0), trade(9.1), trade(9.1, side=0)],          1.0),
    ("no quote, after a fall",       [trade(9.1), trade(9.0), trade(9.0, side=0)],         -1.0),
    ("the quote is gone",            [Q, quote(NAN, 1.0), trade(99.5, side=0)],             0.0),
    ("a quote that comes too late",  [quote(9.0, 9.2), trade(9.15, side=0), Q],             1.0),
    ("another instrument's quote",   [{**Q, "lane": 3}, trade(100.5, side=0)],              0.0),
]
# fmt: on


@pytest.mark.parametrize(("what", "rows", "sign"), SIGNS, ids=[s[0] for s in SIGNS])
def test_aggressor(what: str, rows: list[Any], sign: float) -> None:
    found = hand_made(*rows)
    assert found.sign[found.event & TRADE > 0][-1] == sign


# fmt: off
PASSED_OVER = [  # what is wrong, the row, whether it still shows its instrument's values
    ("no price",              trade(NAN),                     True),
    ("price 0",               trade(0.0),                     True),
    ("infinite price",        trade(math.inf),                True),
    ("no quantity",           trade(100.0, NAN),              True),
    ("negative quantity",     trade(100.0, -1.0),             True),
    ("unknown symbol",        trade(100.0, symbol=7),         False),
    ("negative symbol",       trade(100.0, symbol=-1),        False),
    ("unknown lane",          trade(100.0, lane=9),           False),
    ("a mark price",          trade(100.0, kind=Kind.MARK),   False),
    ("a book without levels", trade(100.0, kind=Kind.BOOK),   False),
]
# fmt: on


@pytest.mark.parametrize(("what", "row", "shows"), PASSED_OVER, ids=[p[0] for p in PASSED_OVER])
def test_row_that_counts_for_nothing(what: str, row: Any, shows: bool) -> None:
    found = values(Aggressors(3), hand_made(trade(100.0, 3.0), row, trade(100.0, 2.0, -1)))
    np.testing.assert_array_equal(found["cvd"], [3.0, 3.0 if shows else NAN, 1.0])


PERPETUALS = [
    ("binance_usdm_BTCUSDT_20240808T2354", "0.1"),
    ("binance_usdm_ETHUSDT_20240808T2354", "0.01"),
]


@pytest.mark.parametrize(("name", "tick"), PERPETUALS, ids=[p[0] for p in PERPETUALS])
def test_aggressors_that_are_not_told_are_mostly_found(
    data_path: Callable[[str], Path], name: str, tick: str
) -> None:
    table, rows = recorded(data_path, name, tick=tick, lot="0.001")
    operator = FlowEvents(table.arrays())
    _, blind = operator.step(operator.initial(), rows._replace(side=np.zeros_like(rows.side)))
    traded = rows.kind == Kind.TRADE
    assert (blind.sign[traded] == rows.side[traded]).mean() > 0.8


def test_a_late_row_counts_as_of_the_row_before() -> None:
    rows = hand_made(trade(1.0, ts_event_ns=at(5)), trade(1.0, ts_event_ns=at(2)))
    np.testing.assert_array_equal(rows.ts_ns, [at(5), at(5)])


def test_notional_is_in_quote_units_of_linear_and_inverse_contracts() -> None:
    table = instruments()
    table.contract_size[:2] = [0.01, 100.0]
    table.kind[1] = InstrumentKind.INVERSE
    rows = empty(MarketRows, 2)
    rows.kind[:], rows.lane[:], rows.symbol[:] = Kind.TRADE, 1, [0, 1]
    rows.price[:], rows.qty[:] = 50_000.0, 3.0
    operator = FlowEvents(table)
    _, out = operator.step(operator.initial(), flow_input(rows))
    np.testing.assert_allclose(out.notional, [0.01 * 3 * 50_000, 300.0], rtol=1e-15)


def test_delta_is_that_of_sql_over_the_same_rows() -> None:
    """Recomputed from Arrow by another engine, day by day."""
    rows = mixed_flow(3000, seed=7)
    rows.ts_event_ns[:] += (rows.ts_event_ns - START_NS) * 150  # about two days
    flow = flow_rows(rows)
    market = empty(MarketRows, rows.kind.size)
    market.symbol[:], market.ts_event_ns[:] = flow.k, flow.ts_ns
    market.qty[:] = np.where(flow.event & TRADE > 0, flow.qty * flow.sign, np.nan)
    market.seq[:] = np.arange(rows.kind.size)
    connection = duckdb.connect()
    connection.register("batch", to_batch(market))
    shown = connection.sql(
        f"""select sum(qty) over (partition by symbol, ts_event_ns // {DAY_NS} order by seq),
                   count(qty) over (partition by symbol order by seq)
            from batch where symbol >= 0 order by seq"""
    ).fetchnumpy()
    sums, n = (np.ma.filled(column.astype(float), np.nan) for column in shown.values())
    expected = np.where(n == 0, np.nan, np.where(np.isnan(sums), 0.0, sums))
    assert np.unique(flow.ts_ns // DAY_NS).size > 1
    found = values(Aggressors(3), flow)["cvd"][flow.k >= 0]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_buys_plus_sells_is_all_and_reversed_signs_reverse_it() -> None:
    rows = flow_rows(mixed_flow(3000, seed=8))
    rows = take(rows, rows.k == 0)

    def delta(sign: Any) -> F8:
        return values(Aggressors(3), rows._replace(sign=sign))["cvd"]

    buys, sells = delta((rows.sign > 0) * 1.0), delta((rows.sign < 0) * 1.0)
    everything = delta(rows.sign * rows.sign)
    np.testing.assert_allclose(buys + sells, everything, rtol=1e-12)
    np.testing.assert_array_equal(delta(-rows.sign), -delta(rows.sign))
    np.testing.assert_allclose(buys - sells, delta(rows.sign), rtol=1e-9, atol=1e-9)


def test_imbalance_against_trades_added_up_anew() -> None:
    rows = flow_rows(mixed_flow(4000, seed=9))
    found = values(Aggressors(3), rows)["trade_imbalance"]
    for k in range(3):
        ts_ns, event, qty, sign = (
            of(k, rows, c) for c in (rows.ts_ns, rows.event, rows.qty, rows.sign)
        )
        amounts = np.where(event & TRADE > 0, qty, 0.0)
        signed, volume = slot_sums(ts_ns, amounts * sign), slot_sums(ts_ns, amounts)
        expected = np.divide(signed, volume, where=volume > 0, out=np.full(volume.size, np.nan))
        np.testing.assert_allclose(of(k, rows, found), expected, rtol=1e-9, atol=1e-9)


def test_a_trade_without_aggressor_is_volume_only() -> None:
    found = values(Aggressors(3), hand_made(Q, trade(100.0, 3.0, 0), trade(101.0, 1.0, 1)))
    np.testing.assert_array_equal(found["cvd"], [NAN, 0.0, 1.0])
    np.testing.assert_array_equal(found["trade_imbalance"], [NAN, 0.0, 0.25])


def test_window_without_trades_is_null() -> None:
    rows = hand_made(
        trade(1.0, ts_event_ns=at(0)), {**Q, "ts_event_ns": at(9.7)}, {**Q, "ts_event_ns": at(10)}
    )
    np.testing.assert_array_equal(values(Aggressors(3), rows)["trade_imbalance"], [1.0, 1.0, NAN])


def test_every_promise_of_the_operators() -> None:
    check_operator(FlowEvents(instruments()), mixed_flow(2500, seed=10), without_numba=True)
    check_operator(Aggressors(3), flow_rows(mixed_flow(2500, seed=10)))
