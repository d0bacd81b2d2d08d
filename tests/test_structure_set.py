"""The structure features as a set: registry, promises of operators, symmetry, marks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators.features.feature import Happenings, Terms
from operators.features.flow.events import flow_input
from operators.features.signal import Signal, SignalInput
from operators.features.structure.accumulation import Accumulation
from operators.features.structure.marks import MarkKind, MarkRows, Marks
from operators.features.structure.registry import FEATURES
from operators.features.structure.structure import Structure
from schemas.instruments import InstrumentTable
from schemas.rows import F8, take
from tests.check_operator import check_operator
from tests.feature_cases import recorded_quotes
from tests.flow_cases import instruments
from tests.structure_cases import (
    OfColumns,
    columns,
    marks_of,
    mirrored,
    mixed_rows,
    per_bar,
    rows_of,
    scaled,
    signal_input,
    take_input,
    walk,
)

ABOUT = 300.0  # twice a round number within the same digits, so that round numbers mirror too
SIGNALS = (Structure, Accumulation)
NO_HAPPENINGS = Happenings(np.zeros(0, np.int64), np.zeros(0, np.int8))
TERMS = Terms(InstrumentTable(1, "USD", ()), instruments(), np.full(3, np.nan), NO_HAPPENINGS)


def run(operator: Signal[Any], rows: SignalInput) -> F8:
    return operator.step(operator.initial(), rows)[1].values


def test_registry_has_each_column_of_each_operator_once() -> None:
    made = {feature.operator: feature.operator(TERMS).NAMES for feature in FEATURES}
    names = [feature.name for feature in FEATURES]
    assert sorted(names) == sorted(name for columns in made.values() for name in columns)
    assert len(set(names)) == len(names)
    for feature in FEATURES:
        assert feature.name in made[feature.operator]


def test_registry_says_everything() -> None:
    for feature in FEATURES:
        for said in (feature.inputs, feature.unit, feature.warm_up, feature.null, feature.source):
            assert said, feature.name


@pytest.mark.parametrize("operator", [o(3) for o in SIGNALS], ids=[o.__name__ for o in SIGNALS])
def test_warm_up_in_market_time_is_not_shorter_than_said(operator: Signal[Any]) -> None:
    warm_up_ns = {feature.name: feature.warm_up_ns for feature in FEATURES}
    shown = dict.fromkeys(operator.NAMES, 0)
    for seed in range(6):
        low, high = (9_600, 9_640) if seed % 2 else (9_000, 10_000)
        rows = rows_of(walk(400, seed, low=low, high=high))
        values = run(operator, rows)
        since = rows.flow.ts_ns - rows.flow.ts_ns[0]
        for j, name in enumerate(operator.NAMES):
            at = np.flatnonzero(np.isfinite(values[:, j]))
            shown[name] += at.size
            assert at.size == 0 or since[at[0]] >= warm_up_ns[name], name
    assert min(shown.values()) > 0, shown


@pytest.mark.parametrize("operator", SIGNALS)
def test_never_means_never(operator: Any) -> None:
    """A feature that is null `never`, once warm, stays."""
    never = [f.name for f in FEATURES if f.null == "never"]
    signal = operator(3)
    values = run(signal, rows_of(walk(300, seed=3)))
    for j, name in enumerate(signal.NAMES):
        if name in never:
            known = np.isfinite(values[:, j])
            assert known.any(), name
            assert known[np.argmax(known) :].all(), name


SIDES = (  # pairs of columns that change places when the world is turned upside down
    ("swing_high_{}", "swing_low_{}", ("px", "age_ns")),
    ("fvg_bull_{}", "fvg_bear_{}", ("low", "high")),
    ("order_block_bull_{}", "order_block_bear_{}", ("low", "high")),
    ("stop_cluster_above_{}", "stop_cluster_below_{}", ("px", "strength", "chance")),
)
SIGNED = ("zigzag_side", "structure_trend", "bos", "choch", "liquidity_grab")
SAME = (
    "bar_atr", "zigzag_age_ns", "zigzag_known_ns", "bos_age_bars", "choch_age_bars",
    "liquidity_grab_age_bars",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_bear_is_mirrored_bull(seed: int) -> None:
    bars = walk(400, seed, low=9_600, high=9_640 if seed % 2 else 9_900)
    up, down = per_bar(Structure(3), bars), per_bar(Structure(3), mirrored(bars, ABOUT))
    expected = {name: up[name] for name in SAME} | {name: -up[name] for name in SIGNED}
    expected["zigzag_px"] = ABOUT - up["zigzag_px"]
    other_end = {"low": "high", "high": "low"}
    for bull, bear, ends in SIDES:
        for one, two in ((bull, bear), (bear, bull)):
            for end in ends:
                value = up[two.format(other_end.get(end, end))]
                in_price = end in ("px", "low", "high")
                expected[one.format(end)] = ABOUT - value if in_price else value
    assert set(expected) == set(up)
    for name, values in expected.items():
        np.testing.assert_allclose(down[name], values, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("by", [10.0, 1e-3])
def test_prices_scale(by: float) -> None:
    """Prices in prices out; by powers of ten, so that round numbers stay what they are."""
    for seed in range(3):
        bars = walk(300, seed, low=9_600, high=9_640 if seed % 2 else 9_900)
        one, other = per_bar(Structure(3), bars), per_bar(Structure(3), scaled(bars, by))
        for name, values in one.items():
            unit = next(f.unit for f in FEATURES if f.name == name)
            scale = by if unit == "quote units" else 1.0
            np.testing.assert_allclose(other[name], scale * values, rtol=1e-9, err_msg=name)


def test_marks_upside_down() -> None:
    bars = walk(300, seed=6)
    up, down = marks_of(bars), marks_of(mirrored(bars, ABOUT))
    swapped = {
        int(MarkKind.SWING_HIGH): MarkKind.SWING_LOW,
        MarkKind.SWING_LOW: MarkKind.SWING_HIGH,
    }

    def rows(marks: MarkRows, mirror: bool) -> list[tuple[float, ...]]:
        kind = [int(swapped.get(int(k), k)) if mirror else int(k) for k in marks.kind]
        low, high = marks.price_low, marks.price_high
        if mirror:
            low, high = ABOUT - high, ABOUT - low
        side = -marks.side if mirror else marks.side
        columns = (marks.seq, np.array(kind), side, low, high, marks.from_ns)
        return sorted(zip(*(c.tolist() for c in columns), strict=True))

    assert rows(up, mirror=True) == rows(down, mirror=False)
    assert set(up.kind.tolist()) == set(MarkKind)


def test_marks_say_what_the_features_show() -> None:
    """Same kernels: at each mark the feature of its kind has just become that."""
    rows = rows_of(walk(300, seed=7, low=9_600, high=9_800))
    structure = Structure(3)
    values = run(structure, rows)
    marks = Marks(3).step(Marks(3).initial(), rows)[1]

    def shown(name: str, at: Any) -> F8:
        found: F8 = values[at, structure.NAMES.index(name)]
        return found

    of = {kind: take(marks, marks.kind == kind) for kind in MarkKind}
    for kind, name in ((MarkKind.SWING_HIGH, "swing_high"), (MarkKind.SWING_LOW, "swing_low")):
        np.testing.assert_array_equal(shown(f"{name}_px", of[kind].seq), of[kind].price_low)
        np.testing.assert_array_equal(
            shown(f"{name}_age_ns", of[kind].seq), of[kind].ts_event_ns - of[kind].from_ns
        )
    zigzag = of[MarkKind.ZIGZAG]
    np.testing.assert_array_equal(shown("zigzag_px", zigzag.seq), zigzag.price_high)
    np.testing.assert_array_equal(shown("zigzag_side", zigzag.seq), zigzag.side)
    assert (shown("zigzag_known_ns", zigzag.seq) == 0).all()
    for kind, name in ((MarkKind.BOS, "bos"), (MarkKind.CHOCH, "choch")):
        np.testing.assert_array_equal(shown(name, of[kind].seq), of[kind].side)
        np.testing.assert_array_equal(shown("structure_trend", of[kind].seq), of[kind].side)
        assert (shown(f"{name}_age_bars", of[kind].seq) == 0).all()
    for kind, name in ((MarkKind.FVG, "fvg"), (MarkKind.ORDER_BLOCK, "order_block")):
        for side, bull in ((1, "bull"), (-1, "bear")):
            mine = take(of[kind], of[kind].side == side)
            np.testing.assert_array_equal(shown(f"{name}_{bull}_low", mine.seq), mine.price_low)
            np.testing.assert_array_equal(shown(f"{name}_{bull}_high", mine.seq), mine.price_high)
    assert (shown("liquidity_grab_age_bars", of[MarkKind.GRAB].seq) == 0).all()
    assert all(rows.seq.size > 3 for rows in of.values())
    assert (np.diff(marks.seq) >= 0).all()
    assert (marks.from_ns < marks.ts_event_ns).all()
    assert (marks.price_low <= marks.price_high).all()


def test_rows_show_their_instrument_and_change_only_with_its_flow() -> None:
    rows = mixed_rows(4000, seed=20, faster=10)
    for operator in (Structure(3), Accumulation(3)):
        values = run(operator, rows)
        assert np.isnan(values[rows.k < 0]).all()
        for k in range(3):
            mine = rows.k == k
            alone = run(operator, take_input(rows, mine))
            np.testing.assert_array_equal(values[mine], alone)
            shown = values[mine]
            other = np.flatnonzero(rows.flow.k[mine] < 0)
            np.testing.assert_array_equal(shown[other[1:]], shown[other[1:] - 1])
            assert other.size > 10
            assert np.isfinite(shown).any(axis=0).sum() > 2


def test_state_is_bounded() -> None:
    def size(operator: Any, instruments: int) -> int:
        one = operator(instruments)
        return len(one.dump(one.initial()))

    each = [(size(o, 1001) - size(o, 1)) / 1000 for o in (Structure, Accumulation, Marks)]
    assert each[0] <= 3_700
    assert each[1] <= 320
    assert each[2] <= 3_500


@pytest.mark.parametrize("operator", [*SIGNALS, Marks])
def test_every_promise_of_an_operator(operator: Any) -> None:
    """Five-second bars, so that there are some hundred; all three instruments."""
    check_operator(
        OfColumns(operator(3, bar_ns=5_000_000_000)), columns(mixed_rows(2500, seed=21)),
        without_numba=True,
    )  # fmt: skip


@pytest.mark.parametrize("operator", [*SIGNALS, Marks])
def test_every_promise_over_a_day_of_bars(operator: Any) -> None:
    rows = rows_of(walk(400, seed=22, low=9_600, high=9_640))
    check_operator(OfColumns(operator(3)), columns(rows))


def test_recorded_currency_is_plausible(data_path: Callable[[str], Path]) -> None:
    market = recorded_quotes(data_path("quotes/fxcm_EURUSD_20140501_20140509.parquet"), 40_000)
    market.symbol[:] = 0
    rows = signal_input(flow_input(market), market)
    structure = Structure(3)
    values = run(structure, rows)
    low, high = np.nanmin(rows.flow.mid), np.nanmax(rows.flow.mid)
    for feature in FEATURES:
        if feature.name not in structure.NAMES:
            continue
        shown = values[:, structure.NAMES.index(feature.name)]
        shown = shown[np.isfinite(shown)]
        assert shown.size > 0.05 * market.seq.size, feature.name
        if feature.name == "bar_atr":
            assert 1e-6 < shown.min() <= shown.max() < 1e-2
        elif feature.unit == "quote units":
            assert low - 1e-4 <= shown.min() <= shown.max() <= high + 1e-4, feature.name
    marks = Marks(3).step(Marks(3).initial(), rows)[1]
    n = {kind: int((marks.kind == kind).sum()) for kind in MarkKind}
    assert min(n.values()) >= 5, n
    assert n[MarkKind.BOS] + n[MarkKind.CHOCH] <= n[MarkKind.SWING_HIGH] + n[MarkKind.SWING_LOW]
