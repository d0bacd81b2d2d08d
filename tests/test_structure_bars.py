"""Bars of market structure: when they close, what they hold, and the ATR over them."""

import math
from typing import Any

import numpy as np
import pytest

from operators.features.atr import Atr
from operators.features.flow.rows import LEVELS, TOP, TRADE
from operators.features.structure.accumulation import Accumulation
from operators.features.structure.candles import NONE_OPEN, SEEN, blank_candles, look, tick
from operators.features.structure.marks import Marks
from operators.features.structure.structure import Structure
from operators.records import blank_records
from tests.structure_cases import BAR_NS, START_NS, mixed_rows, per_bar, rows_of, walk
from tests.structure_definitions import atr

NAN = math.nan

# fmt: off
TICKS = [  # (seconds, event, mid, qty) of one bar: open, high, low, close, qty
    ("one price",               [(0, TOP, 5, NAN)],                       (5, 5, 5, 5, 0)),
    ("a path",                  [(0, TOP, 5, 0), (1, TOP, 7, 0),
                                 (2, TOP, 4, 0), (3, TOP, 6, 0)],         (5, 7, 4, 6, 0)),
    ("trades bring quantity",   [(0, TRADE, 5, 2), (1, TRADE, 6, 3)],     (5, 6, 5, 6, 5)),
    ("a book's levels bring no price", [(0, TOP, 5, NAN), (1, LEVELS, 9, NAN)],
                                                                          (5, 5, 5, 5, 0)),
    ("no quote, so no price, but quantity", [(0, TOP, 5, NAN), (1, TRADE, NAN, 2)],
                                                                          (5, 5, 5, 5, 2)),
    ("before the first price not that either", [(0, TRADE, NAN, 2), (1, TOP, 5, NAN)],
                                                                          (5, 5, 5, 5, 0)),
]
# fmt: on


@pytest.mark.parametrize(("what", "ticks", "bar"), TICKS, ids=[t[0] for t in TICKS])
def test_bar(what: str, ticks: list[Any], bar: tuple[float, ...]) -> None:
    candles = blank_candles(1)
    for seconds, event, mid, qty in ticks:
        tick(candles[0], BAR_NS, START_NS + seconds * 10**9, event, float(mid), float(qty))
    one = candles[0]
    assert (one.open, one.high, one.low, one.close, one.qty) == bar
    assert (one.start_ns, one.end_ns) == (START_NS, START_NS + BAR_NS)


def test_nothing_is_open_before_the_first_price() -> None:
    candles = blank_candles(1)
    assert not tick(candles[0], BAR_NS, START_NS, TRADE, NAN, 1.0)
    assert candles[0].end_ns == NONE_OPEN


def test_times_of_high_and_low_are_those_of_the_first_such_price() -> None:
    candles = blank_candles(1)
    for seconds, mid in enumerate([5.0, 7.0, 7.0, 3.0, 3.0]):
        tick(candles[0], BAR_NS, START_NS + seconds, TOP, mid, NAN)
    seen = blank_records(SEEN, 2)
    look(candles[0], seen[0], seen[1])
    assert (seen[0].high_ns, seen[1].high_ns) == (START_NS + 1, START_NS + 3)
    assert (seen[1].open, seen[1].high, seen[1].low, seen[1].close) == (-5, -3, -7, -3)


def test_a_bar_is_known_from_the_first_row_after_it() -> None:
    rows = rows_of(walk(20, seed=1))
    operator = Structure(3)
    shown = operator.step(operator.initial(), rows)[1].values[:, operator.NAMES.index("bar_atr")]
    assert np.flatnonzero(np.isfinite(shown))[0] == 15 * 4
    assert rows.flow.ts_ns[15 * 4] == START_NS + 15 * BAR_NS


def test_minutes_without_a_price_are_no_bars() -> None:
    rows = rows_of(walk(40, seed=2))
    later = rows.flow._replace(ts_ns=rows.flow.ts_ns + (np.arange(161) >= 80) * 7 * BAR_NS)
    signals: tuple[Any, ...] = (Structure(3), Accumulation(3))
    for operator in signals:
        names = [n for n in operator.NAMES if "_ns" not in n]
        at = [operator.NAMES.index(n) for n in names]
        found, expected = (
            operator.step(operator.initial(), rows._replace(flow=flow))[1].values[:, at]
            for flow in (later, rows.flow)
        )
        np.testing.assert_array_equal(found, expected)


def test_atr_of_the_bars() -> None:
    bars = walk(60, seed=3)
    np.testing.assert_allclose(per_bar(Structure(3), bars)["bar_atr"], atr(bars), rtol=1e-12)


@pytest.mark.parametrize("bar_ns", [10**9, 5 * 10**9, 60 * 10**9])
def test_atr_of_any_length_over_mixed_rows(bar_ns: int) -> None:
    """Bars from groups of whole arrays: quotes of one instrument, trades of another, late rows."""
    rows = mixed_rows(6000, seed=4)
    operator = Structure(3, bar_ns=bar_ns)
    shown = operator.step(operator.initial(), rows)[1].values[:, 0]
    for k in range(3):
        flow = [c[rows.flow.k == k] for c in rows.flow]
        event, ts_ns, mid = flow[1], flow[2], flow[11]
        priced = (event & (TRADE | TOP) > 0) & np.isfinite(mid)
        number = ts_ns // bar_ns
        averages = Atr(1)
        memory, expected = averages.initial(), list[float]()
        group: list[tuple[int, float]] = []
        for i in range(ts_ns.size):
            if group and number[i] != group[0][0]:
                add_by_hand(memory, [m for _, m in group])
                group = []
            if priced[i]:
                group.append((number[i], mid[i]))
            expected.append(memory.mean[0] if memory.n[0] >= 14 else NAN)
        np.testing.assert_array_equal(shown[rows.flow.k == k], expected)


def add_by_hand(memory: Any, mids: list[float]) -> None:
    before, memory.close[0] = memory.close[0], mids[-1]
    if math.isnan(before):
        return
    memory.n[0] += 1
    n, size = memory.n[0], max(*mids, before) - min(*mids, before)
    if n <= 14:
        memory.mean[0] = (memory.mean[0] + size) / (14 if n == 14 else 1)
    else:
        memory.mean[0] = (13 * memory.mean[0] + size) / 14


@pytest.mark.parametrize("operator", [Structure, Marks, Accumulation])
def test_length_must_be_positive(operator: Any) -> None:
    with pytest.raises(ValueError, match="bar_ns must be positive, was 0"):
        operator(3, bar_ns=0)
