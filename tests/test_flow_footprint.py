"""The delta footprint: a bar's volume by price and aggressor, added up anew from its trades."""

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.features.flow.footprint import BAR_NS, BUYS, ROWS, SELLS, Footprint, value_area
from operators.features.flow.rows import TRADE
from tests.check_operator import check_operator
from tests.flow_cases import TICK, at, flow_rows, hand_made, mixed_flow, of, quote, trade, values

NAMES = Footprint.NAMES
Trade = tuple[int, float, int]  # ticks, quantity, side


def by_definition(trades: list[Trade], tick: float = 0.01) -> list[float]:
    """The columns of one closed bar, from a dictionary of its trades."""
    price = trades[0][0] * tick
    height = max(1, round(1e-4 * price / tick))
    ticks = [t for t, _, _ in trades]
    seen: list[int] = []
    for t in ticks:  # the first trade that needs more than 256 rows doubles them
        seen.append(t)
        while max(seen) // height - min(seen) // height >= ROWS:
            height *= 2
    volume: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for t, qty, side in trades:
        volume[t // height][0] += qty * (1 + side) / 2
        volume[t // height][1] += qty * (1 - side) / 2
    low, high = min(volume), max(volume)
    both = {r: sum(volume[r]) for r in range(low, high + 1)}
    poc = min(both, key=lambda r: (-both[r], r))
    area = [poc, poc]
    while sum(both[r] for r in range(area[0], area[1] + 1)) < 0.7 * sum(both.values()) - 1e-9:
        below, above = both.get(area[0] - 1, -1.0), both.get(area[1] + 1, -1.0)
        area = [area[0] - 1, area[1]] if below >= above else [area[0], area[1] + 1]
    runs = {1: 0, -1: 0}
    stacks = 0
    for r in range(low, high):
        sells, buys = volume[r][1], volume[r + 1][0]
        for sign, strong, weak in ((1, buys, sells), (-1, sells, buys)):
            runs[sign] = runs[sign] + 1 if weak > 0 and strong >= 3 * weak else 0
            stacks += sign * (runs[sign] == 3)
    delta = sum(b - s for b, s in volume.values())
    return [
        delta,
        ((poc + 0.5) * height - 0.5) * tick,
        (area[0] * height - 0.5) * tick,
        ((area[1] + 1) * height - 0.5) * tick,
        float(stacks),
    ]


def shown(trades: list[Trade]) -> list[float]:
    """What the operator says of one bar."""
    rows = [trade(t / 100, q, s, ts_event_ns=at(0) + i) for i, (t, q, s) in enumerate(trades)]
    close = quote(1.0, 1.1, ts_event_ns=at(0) + BAR_NS)
    found = values(Footprint(TICK), hand_made(*rows, close))
    assert all(np.isnan(found[name][:-1]).all() for name in NAMES), "the open bar has no say"
    return [float(found[name][-1]) for name in NAMES]


# fmt: off
BARS = [  # trades as (ticks, quantity, side); delta, point of control, value area, stacks
    ("one trade",           [(1000, 2, 1)],                        [2, 10.0, 9.995, 10.005, 0]),
    ("an unknown side",     [(1000, 2, 0)],                        [0, 10.0, 9.995, 10.005, 0]),
    ("the lowest of equals", [(1000, 2, 1), (1002, 2, -1)],        [0, 10.0, 9.995, 10.025, 0]),
    ("the area grows to the larger side", [(1000, 5, 1), (999, 1, 1), (1001, 2, 1)],
                                                                   [8, 10.0, 9.995, 10.015, 0]),
    ("three imbalances are a stack",      [(1000 + j, q, s) for j in range(4)
                                           for q, s in ((3, 1), (1, -1))],
                                                                   [8, 10.0, 9.995, 10.025, 1]),
    ("nothing sold below: no imbalance",  [(1000 + j, 3, 1) for j in range(9)],
                                                                   [27, 10.0, 9.995, 10.065, 0]),
]
# fmt: on


@pytest.mark.parametrize(("what", "trades", "columns"), BARS, ids=[b[0] for b in BARS])
def test_bar(what: str, trades: list[Trade], columns: list[float]) -> None:
    np.testing.assert_allclose(shown(trades), columns, rtol=1e-12)
    np.testing.assert_allclose(by_definition(trades), columns, rtol=1e-12)


TRADES = st.lists(
    st.tuples(
        st.one_of(st.integers(9_990, 10_030), st.integers(8_000, 12_000), st.integers(1, 60_000)),
        st.integers(1, 9).map(float),
        st.sampled_from([-1, 1]),
    ),
    min_size=1,
    max_size=60,
)


@given(TRADES)
def test_any_bar_against_a_dictionary(trades: list[Trade]) -> None:
    np.testing.assert_allclose(shown(trades), by_definition(trades), rtol=1e-9, atol=1e-9)


@given(TRADES)
def test_every_unit_of_volume_is_kept(trades: list[Trade]) -> None:
    """Whole numbers, so exactly; also after rows were moved and made taller."""
    rows = hand_made(*(trade(t / 100, q, s, ts_event_ns=at(0)) for t, q, s in trades))
    operator = Footprint(TICK)
    state, _ = operator.step(operator.initial(), rows)
    assert state.volume[0, :, BUYS].sum() == sum(q for _, q, s in trades if s > 0)
    assert state.volume[0, :, SELLS].sum() == sum(q for _, q, s in trades if s < 0)
    full = np.flatnonzero(state.volume[0].sum(axis=1))
    assert (full[0], full[-1]) == (state.low[0], state.high[0])


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any))
def test_value_area_holds_its_share_and_not_much_more(volumes: list[int]) -> None:
    volume = np.zeros((len(volumes), 2))
    volume[:, BUYS] = volumes
    poc, first, last = value_area(volume, 0, len(volumes) - 1)
    inside, total = sum(volumes[first : last + 1]), sum(volumes)
    assert volumes[poc] == max(volumes)
    assert first <= poc <= last
    assert inside >= 0.7 * total
    if first < last:
        edges = [volumes[j] for j in (first, last) if j != poc]
        assert inside - max(edges) < 0.7 * total


def test_every_closed_bar_of_a_long_flow() -> None:
    rows = flow_rows(mixed_flow(4000, seed=15))
    found = values(Footprint(TICK), rows)
    for k in range(3):
        bar, event, price, qty, sign = (
            of(k, rows, c)
            for c in (rows.ts_ns // BAR_NS, rows.event, rows.price, rows.qty, rows.sign)
        )
        columns = np.stack([of(k, rows, found[name]) for name in NAMES], axis=1)
        last: Any = [math.nan] * 5
        for b in np.unique(bar):
            here = bar == b
            np.testing.assert_allclose(columns[here], [last] * here.sum(), rtol=1e-9, atol=1e-9)
            traded = here & (event & TRADE > 0)
            if traded.any():
                ticks = np.round(price[traded] * 100).astype(int).tolist()
                last = by_definition(
                    list(zip(ticks, qty[traded].tolist(), sign[traded].tolist(), strict=True))
                )


def test_a_price_beyond_counting_is_left_out() -> None:
    rows = [trade(p, 1.0, 1, ts_event_ns=at(0)) for p in (10.0, 1e300, 1e15, 10.01)]
    found = values(Footprint(TICK), hand_made(*rows, quote(1.0, 1.1, ts_event_ns=at(0) + BAR_NS)))
    assert found["footprint_delta"][-1] == 2.0


def test_tick_must_be_positive() -> None:
    with pytest.raises(ValueError, match="tick must be positive"):
        Footprint(np.array([0.0]))


def test_every_promise_of_an_operator() -> None:
    check_operator(Footprint(TICK), flow_rows(mixed_flow(2500, seed=16)))
