"""Alarms of all detectors together, the shape of the book, and what the registry says."""

import math

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from operators.features.detection.alarms import AlarmKind, Alarms
from operators.features.detection.book_shape import HALF_LIFE_NS, WARM_NS, BookShape
from operators.features.detection.registry import FEATURES
from operators.features.detection.thresholds import Thresholds
from operators.features.feature import Happenings, Terms
from schemas.instruments import InstrumentTable
from schemas.kinds import Kind
from schemas.rows import MarketRows, dtypes, empty
from tests import feature_cases
from tests.check_operator import check_operator
from tests.detection_cases import (
    BUY,
    DEPTH,
    MS,
    SELL,
    START_NS,
    TICK,
    Behind,
    Event,
    alarms,
    best_levels,
    book,
    busy_market,
    instruments,
    marked,
    market,
    opening,
    shown,
    signal_input,
    told,
    trade,
)

WINDOW_MS, STEP_MS = 3000, 500


def terms() -> Terms:
    rows = tuple(
        feature_cases.instrument(lane, symbol, has_quotes=quotes)
        for lane, symbol, quotes in ((1, 0, True), (1, 1, False), (3, 0, True))
    )
    table = InstrumentTable(4, "USD", rows)
    none = Happenings(np.zeros(0, np.int64), np.zeros(0, np.int8))
    return Terms(table, table.arrays(), np.full(3, np.nan), none)


def test_registry_has_each_column_of_each_operator_once() -> None:
    made = {feature.operator: feature.operator(terms()).NAMES for feature in FEATURES}
    names = [feature.name for feature in FEATURES]
    assert sorted(names) == sorted(name for names_ in made.values() for name in names_)
    for feature in FEATURES:
        assert feature.name in made[feature.operator]
        assert feature.inputs
        assert feature.unit
        assert feature.warm_up
        assert feature.null
        assert feature.source


def pushes(
    seconds: int, seed: int, absorbed: list[int], *, signs: bool = True, moved: int = 0
) -> MarketRows:
    """A trade and a quote a second: the mid moves 2 ticks per unit of volume, and 3 by chance.

    From each second of `absorbed` on, three seconds of selling of 10 leave the mid where it was,
    or move it down by `moved` ticks each. Without `signs` those of all trades are drawn anew.
    """
    random = np.random.default_rng(seed)
    events, mid = list[Event](opening()), 10_000
    quiet = {second + j for second in absorbed for j in range(3)}
    for second in range(seconds):
        qty = -10.0 if second in quiet else float(np.round(random.normal(0.0, 3.0), 2)) or 1.0
        if second in quiet:
            mid -= moved
        else:
            mid += round(2 * qty + random.normal(0.0, 3.0))
        side = (BUY if qty > 0 else SELL) if signs else int(random.choice([BUY, SELL]))
        at = 1000.0 * second + 3000
        events += trade(at + 100, side, mid * TICK, abs(qty))
        events.append({"kind": Kind.QUOTE, "bid_px": (mid - 1) * TICK, "bid_qty": 1.0,
                       "ask_px": (mid + 1) * TICK, "ask_qty": 1.0, "ms": at + 200})  # fmt: skip
    return market(events)


ABSORBED = [400, 600, 800, 1000]


def test_planted_absorption_is_told_once_each() -> None:
    rows = pushes(1200, 5, ABSORBED)
    found = alarms(rows)
    mine = found.kind == AlarmKind.ABSORPTION
    seconds = (found.ts_event_ns[mine] - START_NS) / (1000 * MS) - 3
    assert len(ABSORBED) == mine.sum()
    for second, planted in zip(seconds, ABSORBED, strict=True):
        assert planted + 2 <= second <= planted + 5
    assert (found.side[mine] == 1).all()
    at = [int(i) for i in found.seq[mine]]
    bids = [rows.bid_px[:i][rows.kind[:i] == Kind.QUOTE][-1] for i in at]
    np.testing.assert_allclose(found.price[mine], bids)
    assert (found.size[mine] >= 20.0).all()
    assert (found.strength[mine] >= 2.0).all()
    onset = (found.onset_ns[mine] - START_NS) / (1000 * MS) - 3
    assert (onset >= np.array(ABSORBED) - 2.0).all()
    assert (onset < seconds).all()


@pytest.mark.parametrize(
    ("what", "rows"),
    [("nothing planted", pushes(1200, 5, [])),
     ("signs mean nothing", pushes(1200, 5, ABSORBED, signs=False)),
     ("the price gives way", pushes(1200, 5, ABSORBED, moved=20))],
    ids=["nothing planted", "no signs", "the price gives way"],
)  # fmt: skip
def test_nothing_is_absorbed(what: str, rows: MarketRows) -> None:
    assert told(alarms(rows), AlarmKind.ABSORPTION) == []


def test_strictness_of_absorption() -> None:
    rows = pushes(1200, 5, ABSORBED)
    limits = Thresholds().absorption
    for harder in (
        limits._replace(volume_ratio_min=9.0), limits._replace(residual_max=-99.0),
        limits._replace(windows_min=9999),
    ):  # fmt: skip
        assert told(alarms(rows, Thresholds(absorption=harder)), AlarmKind.ABSORPTION) == []


def test_rows_carry_what_an_evaluator_needs() -> None:
    rows = busy_market(2500, seed=5)
    limits = Thresholds()
    loose = Thresholds(iceberg=limits.iceberg._replace(refills_min=2, chance_max=1.0))
    found = alarms(rows, loose)
    assert {AlarmKind.ICEBERG, AlarmKind.SPOOF} <= set(found.kind.tolist())
    assert {name: column.dtype for name, column in found._asdict().items()} == dtypes(type(found))
    for name in ("lane", "symbol", "ts_event_ns", "ts_recv_ns"):
        np.testing.assert_array_equal(getattr(found, name), getattr(rows, name)[found.seq])
    assert (np.diff(found.seq) >= 0).all()
    assert (found.onset_ns <= found.ts_recv_ns + 40 * MS).all()
    assert set(found.side.tolist()) <= {BUY, SELL}
    assert (found.price > 0.0).all()
    assert (found.size > 0.0).all()
    spoofs = found.kind == AlarmKind.SPOOF
    assert ((found.strength[spoofs] >= 0.5) & (found.strength[spoofs] <= 1.0)).all()


def test_rows_without_levels_are_refused() -> None:
    made = signal_input(empty(MarketRows, 2), instruments(), np.empty((2, 4, 0)))
    operator = Alarms(instruments())
    with pytest.raises(ValueError, match="detectors need 1 level a side, the rows have 0"):
        operator.step(operator.initial(), made)


def test_every_promise_of_an_operator() -> None:
    rows = marked(busy_market(2000, seed=6))
    loose = Thresholds(iceberg=Thresholds().iceberg._replace(refills_min=2, chance_max=1.0))
    operator = Behind(Alarms(instruments(), thresholds=loose))
    assert operator.step(operator.initial(), rows)[1].seq.size > 5
    check_operator(operator, rows, without_numba=True)


def test_state_is_small() -> None:
    operator = Alarms(instruments())
    empty_bytes = len(operator.dump(operator.initial()))
    assert empty_bytes < 3 * 46_000
    for each in {feature.operator for feature in FEATURES}:
        signal = each(terms())
        assert len(signal.dump(signal.initial())) < 3 * 16_384 + 4096


def test_shape_of_the_book_is_the_distance_of_its_sides() -> None:
    random = np.random.default_rng(9)
    events = opening()
    for i in range(40):
        changes = [(side, round(100.0 - side * TICK * int(random.integers(1, 9)), 2),
                    float(random.integers(1, 9))) for side in (BUY, SELL)]  # fmt: skip
        events += book(20_000.0 * (i + 1), *changes)
    rows = market(events)
    found, best = shown(BookShape(instruments()), rows), best_levels(rows)
    ends = np.flatnonzero(np.isfinite(best[:, 0, 0]))
    expected = []
    for i in ends.tolist():
        bid_px, bid_qty, ask_px, ask_qty = best[i]
        expected.append(
            wasserstein_distance((bid_px[0] - bid_px) / TICK, (ask_px - ask_px[0]) / TICK,
                                 bid_qty, ask_qty)
        )  # fmt: skip
    np.testing.assert_allclose(found["book_wasserstein"][ends], expected, atol=1e-6)
    assert found["book_wasserstein"][ends[0]] == pytest.approx(0.0, abs=1e-9)  # symmetrical
    for n, i in enumerate(ends.tolist()):
        ms = 20_000.0 * n
        if ms * MS < WARM_NS:
            assert np.isnan(found["book_wasserstein_z"][i])
            continue
        begin = 20_000.0 * np.arange(n + 1) * MS / HALF_LIFE_NS
        weights = np.exp2(begin[1:] - begin[-1]) - np.exp2(begin[:-1] - begin[-1])
        mean = np.average(expected[:n], weights=weights)
        deviation = math.sqrt(np.average((np.array(expected[:n]) - mean) ** 2, weights=weights))
        z = (expected[n] - mean) / deviation
        assert found["book_wasserstein_z"][i] == pytest.approx(z, rel=1e-6)


def test_shape_needs_every_level() -> None:
    rows = market(opening(levels_=DEPTH - 1))
    assert np.isnan(shown(BookShape(instruments()), rows)["book_wasserstein"]).all()
    operator = BookShape(instruments())
    made = signal_input(rows, instruments(), best_levels(rows)[:, :, :1])
    with pytest.raises(ValueError, match="detectors need 5 levels a side, the rows have 1"):
        operator.step(operator.initial(), made)


def test_shape_keeps_every_promise_of_an_operator() -> None:
    rows = marked(busy_market(1500, seed=7))
    operator = Behind(BookShape(instruments()))
    assert np.isfinite(operator.step(operator.initial(), rows)[1].values).any()
    check_operator(operator, rows, without_numba=True)
