"""The set of order-flow features: one registry, chosen by name, paid by name, the same bytes."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators.arrays import pack
from operators.features.feature import BOOK, QUOTES, TRADES, Terms
from operators.features.flow.aggressors import DAY_NS
from operators.features.flow.events import FlowInput
from operators.features.flow.registry import FEATURES
from operators.features.flow.rows import LEVELS, TOP, TRADE
from schemas.kinds import Kind
from schemas.rows import F8, take
from tests import feature_cases
from tests.check_operator import check_operator
from tests.flow_cases import NAMES, START_NS, Flow, flow_rows, mixed_flow, recorded

DAILY_QTY = np.array([500.0, 800.0, np.nan])
TABLE = feature_cases.table()
TERMS = Terms.of(TABLE, daily_qty=DAILY_QTY)


def whole() -> Flow:
    return Flow(TABLE, daily_qty=DAILY_QTY)


def run(flow: Flow, rows: FlowInput) -> dict[str, F8]:
    return flow.columns(flow.step(flow.initial(), rows)[1])


def test_registry_has_each_column_of_each_operator_once() -> None:
    made = {feature.operator: feature.operator(TERMS).NAMES for feature in FEATURES}
    assert sorted(NAMES) == sorted(name for names in made.values() for name in names)
    assert len(set(NAMES)) == len(NAMES)
    for feature in FEATURES:
        assert feature.name in made[feature.operator]


def test_registry_says_everything() -> None:
    for feature in FEATURES:
        assert feature.inputs
        assert set(feature.inputs) <= {QUOTES, BOOK, TRADES}
        assert feature.unit
        assert feature.warm_up
        assert feature.null
        assert feature.source
        assert feature.warm_up_ns >= 0


# fmt: off
REFUSED = [
    ("a wrong name",  ["cvd", "microprise"], "no feature or set 'microprise'; near: microprice"),
    ("no such thing", ["qqq"],               "no feature or set 'qqq'; sets: flow, depth, "),
    ("twice",         ["cvd", "cvd"],        "feature 'cvd' is named twice"),
    ("set and one of it", ["flow", "cvd"],   "feature 'cvd' is named twice, by 'flow' and 'cvd'"),
    ("none",          [],                    "name at least one feature"),
]
# fmt: on


@pytest.mark.parametrize(("what", "names", "said"), REFUSED, ids=[r[0] for r in REFUSED])
def test_names_that_are_refused(what: str, names: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Flow(TABLE, names)


def test_daily_volume_is_one_number_per_instrument() -> None:
    with pytest.raises(ValueError, match=r"daily_qty must be \(3,\), was \(2,\)"):
        Flow(TABLE, daily_qty=np.ones(2))


@pytest.mark.parametrize("name", NAMES)
def test_a_feature_alone_is_what_it_is_among_all(name: str) -> None:
    rows = mixed_flow(2500, seed=30)
    np.testing.assert_array_equal(run(Flow(TABLE, [name], daily_qty=DAILY_QTY), rows)[name],
                                  run(whole(), rows)[name])  # fmt: skip


def test_columns_come_in_the_order_asked_for_and_are_views_of_one_block() -> None:
    flow = Flow(TABLE, ["roll_spread", "cvd", "impact_bps"])
    _, block = flow.step(flow.initial(), mixed_flow(50, seed=31))
    assert flow.names == ("roll_spread", "cvd", "impact_bps")
    assert block.values.shape == (50, 3)
    assert block.values.dtype == np.float64
    assert block.values.flags.c_contiguous
    for j, column in enumerate(flow.columns(block).values()):
        assert np.shares_memory(column, block.values[:, j])


def test_only_chosen_operators_are_made_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    flow = Flow(TABLE, ["cvd", "trade_imbalance", "roll_spread"])
    for operator, _ in flow._features:
        fill = operator.fill

        def counted(*args: Any, name: str = operator.NAMES[0], fill: Any = fill) -> None:
            calls.append(name)
            fill(*args)

        monkeypatch.setattr(operator, "fill", counted)
    flow.step(flow.initial(), mixed_flow(50, seed=32))
    assert sorted(calls) == ["cvd", "spread_effective_bps"]
    few, all_of_them = flow.initial().features, whole().initial().features
    assert len(pack(few)) < len(pack(all_of_them)) / 2


def test_books_are_only_made_where_a_feature_needs_them() -> None:
    assert whole().has_books
    for name in ("ofi_best", "cvd"):  # one of the three has no quotes: its book has
        assert Flow(TABLE, [name]).has_books
    quoted = replace(TABLE, instruments=TABLE.instruments[:1])
    assert not Flow(quoted, ["cvd", "ofi_best"]).has_books
    assert Flow(quoted, ["depth"]).has_books
    rows = mixed_flow(300, seed=33)
    without = rows._replace(levels=np.empty((300, 4, 0)))
    run(Flow(TABLE, ["cvd", "ofi_best"]), without)
    with pytest.raises(ValueError, match="need 5 levels a side"):
        run(whole(), without)


def test_inputs_are_what_the_registry_says() -> None:
    """A feature does not change when rows are taken away that it does not read.

    Of the instrument with quotes; signs are given, since quotes sign the trades that have none.
    """
    rows = mixed_flow(4000, seed=34)
    rows = take(rows, (rows.lane == 3) & (rows.symbol == 0))
    rows.side[rows.side == 0] = 1
    rows.ts_event_ns[:] = np.maximum.accumulate(rows.ts_event_ns)
    flow = Flow(TABLE, daily_qty=np.full(3, 500.0))
    all_of = run(flow, rows)
    event = flow_rows(rows).event
    bit = {QUOTES: TOP, BOOK: LEVELS, TRADES: TRADE}
    for feature in FEATURES:
        reads = sum(bit[name] for name in feature.inputs)
        kept = event & reads > 0
        alone = run(Flow(TABLE, [feature.name], daily_qty=np.full(3, 500.0)), take(rows, kept))
        found, expected = alone[feature.name], all_of[feature.name][kept]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, err_msg=feature.name)


def test_warm_up_in_market_time_is_not_shorter_than_said() -> None:
    rows = mixed_flow(9000, seed=35)
    found, flow = run(whole(), rows), flow_rows(rows)
    for feature in FEATURES:
        for k in range(3):
            mine = flow.k == k
            shown = np.flatnonzero(np.isfinite(found[feature.name][mine]))
            if shown.size:
                since = flow.ts_ns[mine][shown[0]] - flow.ts_ns[mine][0]
                assert since >= feature.warm_up_ns, feature.name
        assert np.isfinite(found[feature.name]).any(), feature.name


def test_rows_that_are_no_flow_show_nothing() -> None:
    rows = mixed_flow(3000, seed=36)
    flow = flow_rows(rows)
    block = np.stack(list(run(whole(), rows).values()), axis=1)
    assert np.isnan(block[flow.k < 0]).all()
    assert ((flow.k < 0) == ((rows.kind == Kind.MARK) | (rows.symbol == 7) | (rows.lane == -1)
            | ((rows.kind == Kind.BOOK) & (rows.flags == 0)))).all()  # fmt: skip


def test_one_instrument_knows_nothing_of_the_others() -> None:
    rows = mixed_flow(3000, seed=37)
    k = flow_rows(rows).k
    together = run(whole(), rows)
    for one in range(3):
        alone = run(whole(), take(rows, k == one))
        for name in NAMES:
            np.testing.assert_array_equal(alone[name], together[name][k == one], err_msg=name)


def test_every_promise_of_an_operator_for_all_of_them() -> None:
    rows = mixed_flow(4000, seed=38)
    assert rows.ts_event_ns[0] >= START_NS
    check_operator(whole(), rows, without_numba=True)


# fmt: off
PLAUSIBLE = {  # recorded perpetual: lowest and highest that is believable
    "imbalance_best": (-1.0, 1.0), "microprice": (60_000.0, 63_000.0),
    "spread_quoted_bps": (0.01, 5.0), "ofi_best": (-3_000.0, 3_000.0),
    "cvd": (-2_000.0, 2_000.0), "trade_imbalance": (-1.0, 1.0),
    "toxicity": (0.0, 1.0), "toxicity_bvc": (0.0, 1.0),
    "toxicity_short": (0.0, 1.0), "toxicity_short_bvc": (0.0, 1.0),
    "footprint_delta": (-500.0, 500.0), "footprint_poc": (60_000.0, 63_000.0),
    "value_area_low": (60_000.0, 63_000.0), "value_area_high": (60_000.0, 63_000.0),
    "footprint_stacks": (-10.0, 10.0), "absorption": (-1.0, 1.0), "exhaustion": (-1.0, 1.0),
    "impact_residual": (-20.0, 20.0), "kyle_lambda": (0.0, 10.0), "kyle_lambda_error": (0.0, 3.0),
    "amihud_bps": (0.0, 20.0), "spread_effective_bps": (-1.0, 2.0),
    "spread_realised_bps": (-2.0, 1.0), "impact_bps": (-0.5, 2.0), "roll_spread": (0.0, 5.0),
    "fill_rate": (0.1, 100.0), "fill_decay": (0.0, 10.0), "fill_touch": (0.0, 1.0),
}
# fmt: on


def test_recorded_perpetual_is_plausible(data_path: Callable[[str], Path]) -> None:
    name = "binance_usdm_BTCUSDT_20240808T2354"
    table, rows = recorded(data_path, name, tick="0.1", lot="0.001")
    flow = Flow(table, PLAUSIBLE, daily_qty=np.array([250_000.0 / 864.0]))  # 100 s of a day
    found = run(flow, rows)
    assert set(PLAUSIBLE) == {f.name for f in FEATURES if BOOK not in f.inputs}
    for feature, (low, high) in PLAUSIBLE.items():
        shown = found[feature][np.isfinite(found[feature])]
        assert shown.size > 0.05 * rows.kind.size, feature
        assert low <= shown.min() <= shown.max() <= high, feature
    evening = np.flatnonzero(rows.ts_event_ns // DAY_NS == rows.ts_event_ns[0] // DAY_NS)
    traded = rows.kind[evening] == Kind.TRADE
    signed = rows.side[evening][traded] * rows.qty[evening][traded]
    assert found["cvd"][evening[-1]] == pytest.approx(signed.sum(), rel=1e-9)
    # Who buys moves the price: lambda is positive beyond doubt, and a trade's impact too.
    assert found["kyle_lambda"][-1] > 3.0 * found["kyle_lambda_error"][-1]
    effective, realised = found["spread_effective_bps"][-1], found["spread_realised_bps"][-1]
    assert effective == pytest.approx(realised + found["impact_bps"][-1], rel=1e-9)
    assert realised < effective
    assert not math.isnan(found["absorption"][-1])
