"""Markets of a lane against each other: fading correlations, and the rotation between assets."""

import math
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from operators.features.cross.correlation import BARS_MIN, Correlation, CorrelationState
from operators.features.cross.members import MEMBERS_MAX, asset_members, instrument_members
from operators.features.cross.registry import FEATURES
from operators.features.cross.rotation import Rotation
from operators.features.feature import Happenings, Terms
from operators.features.signal import Signal
from schemas.instruments import InstrumentKind, InstrumentTable
from schemas.kinds import Kind
from schemas.rows import F8, MarketRows, concat, take
from tests.check_operator import check_operator
from tests.derivative_cases import (
    MINUTE_NS,
    START_NS,
    Whole,
    check_inputs,
    check_registry,
    check_warm_up,
    market_of,
    mixed,
    quote,
    rows,
    run,
    table,
    terms,
)
from venues.sessions import exchange_sessions
from venues.tape import open_tapes

LINEAR, EVENT = InstrumentKind.LINEAR, InstrumentKind.EVENT
FOUR = table(*(market_of(n, base=base) for n, base in enumerate(("BTC", "ETH", "SOL", "XRP"))))
FADE = 0.97


def walks(n: int, seed: int, members: int = 4) -> F8:
    """Log prices of a few markets that share a part of their moves, (n, members)."""
    random = np.random.default_rng(seed)
    common = random.normal(0.0, 1e-3, (n, 1))
    return math.log(100.0) + np.cumsum(common + random.normal(0.0, 1e-3, (n, members)), axis=0)


def bars(levels: F8, *, order: Any = None) -> MarketRows:
    """One quote of each market in each minute, then one quote that ends the last bar."""
    n, members = levels.shape
    order = range(members) if order is None else order
    made = [quote(math.exp(levels[i, m]), symbol=m, at=60 * i + 1 + place)
            for i in range(n) for place, m in enumerate(order)]  # fmt: skip
    return rows(*made, quote(1.0, at=60 * n))


def state_after(of: InstrumentTable, market: MarketRows) -> CorrelationState:
    whole = Whole(of, Correlation(of.arrays(), bar_ns=MINUTE_NS, fade=FADE))
    own: CorrelationState = whole.step(whole.initial(), market)[0].own
    return own


def matrix(of: InstrumentTable, market: MarketRows) -> F8:
    """Correlations of lane 0 from the operator's own sums."""
    state, n = state_after(of, market), len(of.instruments)
    own, both = state.own[0, :n, :n], state.both[0, :n, :n]
    found: F8 = both / np.sqrt(own * own.T)
    return found


def by_pandas(x: F8, y: F8) -> float:
    def fading(z: F8) -> float:
        return float(pd.Series(z).ewm(alpha=1.0 - FADE, adjust=False).mean().iloc[-1])

    return fading(x * y) / math.sqrt(fading(x * x) * fading(y * y))


def test_correlation_is_that_of_pandas() -> None:
    levels = walks(200, seed=1)
    changes = np.diff(levels, axis=0)
    found = matrix(FOUR, bars(levels))
    for a in range(4):
        for b in range(4):
            assert found[a, b] == pytest.approx(by_pandas(changes[:, a], changes[:, b]), rel=1e-9)
    shown = run(FOUR, Correlation(FOUR.arrays(), bar_ns=MINUTE_NS, fade=FADE), bars(levels))
    assert shown["correlation_leader"][-1] == pytest.approx(found[0, 1])  # the leader's: the second
    assert shown["correlation_mean"][-1] == pytest.approx(found[0, 1:].mean())


@pytest.mark.parametrize("seed", range(5))
def test_matrix_is_positive_semidefinite(seed: int) -> None:
    found = matrix(FOUR, bars(walks(60, seed=seed)))
    np.testing.assert_allclose(np.diag(found), 1.0, rtol=1e-12)
    np.testing.assert_allclose(found, found.T, rtol=1e-12)
    assert np.linalg.eigvalsh(found).min() > 0.0


def test_order_of_the_markets_does_not_matter() -> None:
    levels, order = walks(80, seed=2), [2, 0, 3, 1]
    found = matrix(FOUR, bars(levels))
    np.testing.assert_array_equal(matrix(FOUR, bars(levels, order=order)), found)  # in time
    turned = matrix(FOUR, bars(levels[:, order]))  # in the table
    np.testing.assert_array_equal(turned, found[np.ix_(order, order)])


def test_leader_and_mean_of_every_market() -> None:
    levels = walks(80, seed=3)
    market = bars(levels)
    tail = rows(*(quote(100.0, symbol=m, at=60 * 80 + 1 + m) for m in range(4)))
    operator = Correlation(FOUR.arrays(), bar_ns=MINUTE_NS, fade=FADE, suffix="_x")
    both = MarketRows(*(np.concatenate(pair) for pair in zip(market, tail, strict=True)))  # type: ignore[arg-type]
    found, all_of = run(FOUR, operator, both), matrix(FOUR, market)
    for m in range(4):
        assert found["correlation_leader_x"][-4 + m] == pytest.approx(all_of[m, 0 if m else 1])
        others = np.delete(all_of[m], m)
        assert found["correlation_mean_x"][-4 + m] == pytest.approx(others.mean())


def test_nothing_before_thirty_bars_in_common() -> None:
    market = bars(walks(BARS_MIN + 2, seed=4))
    found = run(FOUR, Correlation(FOUR.arrays(), bar_ns=MINUTE_NS, fade=FADE), market)
    shown = np.isfinite(found["correlation_mean"])
    minute = (market.ts_recv_ns - START_NS) // MINUTE_NS
    assert not shown[minute <= BARS_MIN].any()
    assert shown[minute > BARS_MIN].all()


def test_bars_without_a_price_do_not_pull_the_correlation_to_zero() -> None:
    """Two equal markets, one of which is told a price in two of three minutes only."""
    levels = walks(300, seed=5, members=1)
    made = []
    for i, level in enumerate(levels[:, 0]):
        made.append(quote(math.exp(level), symbol=0, at=60 * i + 1))
        if i % 3:
            made.append(quote(math.exp(level), symbol=1, at=60 * i + 2))
    of = table(*FOUR.instruments[:2])
    market = rows(*made, quote(1.0, at=60 * 300))
    found = run(of, Correlation(of.arrays(), bar_ns=MINUTE_NS, fade=FADE), market)
    assert found["correlation_leader"][-1] == pytest.approx(1.0)
    assert state_after(of, market).bars[0, 0, 1] == 100


def test_market_that_stands_still_has_no_correlation() -> None:
    levels = walks(60, seed=6)
    levels[:, 1] = 0.0
    found = run(FOUR, Correlation(FOUR.arrays(), bar_ns=MINUTE_NS, fade=FADE), bars(levels))
    assert math.isnan(found["correlation_leader"][-1])
    assert math.isfinite(found["correlation_mean"][-1])


def test_who_is_compared() -> None:
    event = market_of(2, EVENT, base="RAIN")
    many = [market_of(3 + n, base=f"A{n % 17:02d}") for n in range(20)]
    of = table(market_of(0), market_of(1, LINEAR, quote="USDT"), event, *many,
               market_of(0, lane=2, base="BTC"))  # fmt: skip
    found = instrument_members(of.arrays())
    assert found.place[:4].tolist() == [0, 1, -1, 2]
    assert found.place.max() == MEMBERS_MAX - 1
    assert (found.place == -1).sum() == 1 + 22 - MEMBERS_MAX
    assert found.row[2].tolist() == [23] + [-1] * 15
    assert instrument_members(FOUR.arrays()).row.shape == (4, 4)
    assets = asset_members(of)
    assert assets.place[:4].tolist() == [0, 0, -1, 1]
    assert assets.row[0, :2].tolist() == [0, 3]


def test_assets_are_compared_in_the_desks_currency() -> None:
    """ETH in BTC stands before ETH in dollars, and says nothing beside BTC in dollars."""
    of = table(
        market_of(0, base="ETH", quote="BTC"), market_of(1), market_of(2, base="ETH", quote="USDT"),
        market_of(3, base="XRP", quote="BTC"),
    )  # fmt: skip
    found = asset_members(of)
    assert found.place.tolist() == [1, 0, 1, -1]
    assert found.row[0].tolist() == [1, 2]


# fmt: off
REFUSED: list[tuple[str, Any, dict[str, Any], str]] = [
    ("no bar",    Correlation, {"bar_ns": 0, "fade": 0.9}, "bar_ns must be positive, was 0"),
    ("no fading", Correlation, {"bar_ns": 1, "fade": 1.0}, "fade must be between 0 and 1"),
    ("no window", Rotation,    {"bar_ns": 1, "bars": 0},   "bars must be 1 to 60, was 0"),
    ("a window too long", Rotation, {"bar_ns": 1, "bars": 61}, "bars must be 1 to 60, was 61"),
    ("no bar of rotation", Rotation, {"bar_ns": -1, "bars": 1}, "bar_ns must be positive"),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "operator", "given", "said"), REFUSED, ids=[r[0] for r in REFUSED]
)
def test_what_is_refused(what: str, operator: Any, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        operator(FOUR if operator is Rotation else FOUR.arrays(), **given)


def rotation(of: InstrumentTable, market: MarketRows, n: int = 3) -> dict[str, F8]:
    return run(of, Rotation(of, bar_ns=MINUTE_NS, bars=n), market)


# fmt: off
RANKS = [  # change of BTC (the leader), ETH, SOL and XRP in percent; ranks; breadth
    ("all differ",      (1.0, 2.0, 3.0, -1.0), (1 / 3, 2 / 3, 1.0, 0.0), 2 / 3),
    ("two are equal",   (1.0, 2.0, 2.0, -1.0), (1 / 3, 5 / 6, 5 / 6, 0.0), 2 / 3),
    ("the leader leads", (5.0, 2.0, 3.0, -1.0), (1.0, 1 / 3, 2 / 3, 0.0), 0.0),
    ("all are equal",   (0.0, 0.0, 0.0, 0.0), (0.5, 0.5, 0.5, 0.5), 0.0),
]
# fmt: on


@pytest.mark.parametrize(("what", "percent", "ranks", "breadth"), RANKS, ids=[r[0] for r in RANKS])
def test_rank_of_relative_strength(
    what: str, percent: tuple[float, ...], ranks: tuple[float, ...], breadth: float
) -> None:
    levels = np.zeros((5, 4))
    levels[3:] = np.log1p(np.array(percent) / 100.0)
    last = [quote(1.0, symbol=m, at=60 * 5 + m) for m in range(4)]
    made = [quote(math.exp(levels[i, m]), symbol=m, at=60 * i + m) for i in range(5)
            for m in range(4)]  # fmt: skip
    found = rotation(FOUR, rows(*made, *last))
    np.testing.assert_allclose(found["rotation_rank"][-4:], ranks, atol=1e-12)
    np.testing.assert_allclose(found["rotation_breadth"][-4:], [breadth] * 4, atol=1e-12)
    strength = (levels[-1] - levels[-1, 0]) * 1e4
    np.testing.assert_allclose(found["rotation_strength_bps"][-4:], strength, atol=1e-9)


def test_window_moves_bar_by_bar_also_over_silence() -> None:
    """Against prices as of the ends of minutes, looked up anew."""
    random = np.random.default_rng(7)
    n = 400
    times = np.cumsum(random.exponential(25.0, n))
    times[200:] += 1000.0
    symbols = random.integers(0, 4, n)
    levels = np.cumsum(random.normal(0.0, 1e-2, n))
    market = rows(*(quote(math.exp(levels[i]), symbol=symbols[i], at=times[i]) for i in range(n)))
    found = rotation(FOUR, market, n=5)
    checked = 0
    for i in range(n):
        now = times[i] // 60
        ends = []
        for asset in range(4):
            mine = (symbols == asset) & (np.arange(n) < i)
            at = [levels[mine & (times // 60 < end)] for end in (now, now - 5)]
            ends.append(at[0][-1] - at[1][-1] if at[1].size else math.nan)
        if np.isnan(ends).any():
            continue
        others = np.delete(ends, symbols[i])
        own = ends[symbols[i]]
        rank = ((others < own).sum() + 0.5 * (others == own).sum()) / 3
        assert found["rotation_rank"][i] == pytest.approx(rank)
        assert found["rotation_strength_bps"][i] == pytest.approx((own - ends[0]) * 1e4, abs=1e-6)
        assert found["rotation_breadth"][i] == pytest.approx(np.mean(np.array(ends[1:]) > ends[0]))
        checked += 1
    assert checked > 300


def test_instruments_of_an_asset_show_the_same() -> None:
    of = table(market_of(0), market_of(1, LINEAR, quote="USDT"), market_of(2, base="ETH"))
    made = [quote(100.0 + i + (50.0 if m == 1 else 0.0), symbol=m, at=60 * i + m)
            for i in range(6) for m in (0, 1, 2)]  # fmt: skip
    found = rotation(of, rows(*made))
    for name, column in found.items():
        assert column[-3] == column[-2], name


def test_alone_there_is_no_rotation() -> None:
    of = table(market_of(0), market_of(1, LINEAR))
    found = rotation(of, rows(*(quote(100.0 + i, at=60 * i) for i in range(9))))
    assert np.isnan(list(found.values())).all()


SIX = table(*FOUR.instruments, market_of(0, lane=2), market_of(1, lane=2, base="ETH"))
OPERATORS: dict[str, Signal[Any]] = {
    "correlation": Correlation(SIX.arrays(), bar_ns=MINUTE_NS, fade=FADE),
    "rotation": Rotation(SIX, bar_ns=MINUTE_NS, bars=20),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_every_promise_of_an_operator(name: str) -> None:
    market = mixed(SIX, 4000, seed=8, seconds=12.0)
    for column, found in run(SIX, OPERATORS[name], market).items():
        assert np.isfinite(found).sum() > 500, column
    check_operator(Whole(SIX, OPERATORS[name]), market, without_numba=True)


@pytest.mark.parametrize("name", OPERATORS)
def test_only_rows_of_its_lane_matter(name: str) -> None:
    market = mixed(SIX, 3000, seed=9, seconds=12.0)
    together = run(SIX, OPERATORS[name], market)
    for lane in (0, 2):
        mine = market.lane == lane
        alone = run(SIX, OPERATORS[name], take(market, mine))
        for column, found in alone.items():
            np.testing.assert_array_equal(found, together[column][mine])


def test_a_process_of_one_lane_shows_the_same() -> None:
    """The table of some lanes only, as a worker of these has it."""
    market = mixed(SIX, 3000, seed=10, seconds=12.0)
    mine, part = market.lane == 2, SIX.of_lanes([2])
    whole = run(SIX, OPERATORS["correlation"], market)
    alone = run(part, Correlation(part.arrays(), bar_ns=MINUTE_NS, fade=FADE), take(market, mine))
    for column, found in alone.items():
        np.testing.assert_array_equal(found, whole[column][mine])


def test_registry_has_each_column_of_each_operator_once() -> None:
    check_registry(FEATURES, terms(SIX))


# fmt: off
READS = {
    "any price": {Kind.QUOTE, Kind.TRADE, Kind.MARK, Kind.BAR}, "best quote": {Kind.QUOTE},
    "mids": {Kind.QUOTE, Kind.TRADE}, "other markets of its lane": set(),
    "other assets of its lane": set(),
    "trades": {Kind.TRADE}, "calendar": set(Kind), "opening hours": set(),
}
# fmt: on


def everything() -> Terms:
    """Sessions of that summer, and a happening every five hours."""
    at = START_NS + 300 * MINUTE_NS * np.arange(1, 200)
    return terms(SIX, sessions=exchange_sessions(date(2024, 5, 1), date(2024, 9, 1)),
                 happenings=Happenings(at, np.full(at.size, 3, np.int8)))  # fmt: skip


def test_inputs_are_what_the_registry_says() -> None:
    check_inputs(FEATURES, everything(), mixed(SIX, 4000, seed=11, seconds=20.0), READS)


@pytest.mark.parametrize("seconds", [10.0, 300.0])
def test_warm_up_in_market_time_is_not_shorter_than_said(seconds: float) -> None:
    shown = ("correlation_mean_1m", "rotation_rank_1h", "liquidity_shock", "macro_next_min",
             "session_high_london") if seconds == 10.0 else ("rotation_rank_1d",)  # fmt: skip
    market = mixed(SIX, 4000, seed=12, seconds=seconds)
    check_warm_up(FEATURES, everything(), market, shown=shown)


def test_recorded_currencies_move_together(data_path: Any) -> None:
    """EURUSD and NZDUSD, a week minute by minute, against bars cut with pandas."""
    names = ("EURUSD_20140501", "NZDUSD_20140505")
    feed = open_tapes([data_path(f"quotes/oanda_{n}_20140509.parquet") for n in names], lanes=1)
    market = concat(list(feed.read(0, feed.n_rows)))
    operator = Correlation(feed.table.arrays(), bar_ns=MINUTE_NS, fade=0.97)
    found = run(feed.table, operator, market)["correlation_leader"]
    minute = market.ts_recv_ns // MINUTE_NS
    closes = []
    for symbol in (0, 1):
        mine = market.symbol == symbol
        mids = pd.Series(((market.bid_px + market.ask_px) / 2.0)[mine], index=minute[mine])
        closes.append(mids.groupby(level=0).last())
    logs = [np.log(c.reindex(range(minute.min(), minute.max()))).diff() for c in closes]
    both = pd.DataFrame({"x": logs[0], "y": logs[1]}).dropna()
    fading = {of: (both[of[0]] * both[of[1]]).ewm(alpha=0.03, adjust=False).mean()
              for of in ("xy", "xx", "yy")}  # fmt: skip
    expected = (fading["xy"] / np.sqrt(fading["xx"] * fading["yy"])).iloc[BARS_MIN:]
    ended = np.searchsorted(minute, expected.index.to_numpy() + 1)  # the first row after a bar
    known = ended < minute.size
    np.testing.assert_allclose(found[ended[known]], expected[known], rtol=1e-6)
    assert np.nanmedian(found) > 0.2
