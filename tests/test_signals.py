"""The enabled features over market rows: their books, which rows are kept, and every promise."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators.arrays import pack
from operators.features.feature import Terms
from operators.features.flow.depth import DEPTH
from operators.features.flow.rows import ASK_PX, ASK_QTY, BID_PX, BID_QTY
from operators.features.levels import BookLevels, cut_books
from operators.features.registry import (
    ALL,
    FEATURES,
    NAMES,
    SETS,
    STATE_BYTES_MAX,
    chosen,
)
from operators.features.signal_log import SignalLog
from operators.features.signals import Signals
from operators.market.books.words import BookReason, BookState
from schemas.instruments import InstrumentTable
from schemas.kinds import NO_SYMBOL, Flag, Kind
from schemas.rows import F8, MarketRows, concat, empty, take
from schemas.signal_rows import SignalRows
from tests import feature_cases
from tests.book_cases import BUY, SELL, SlowBook, market, message, table
from tests.check_operator import check_operator
from tests.flow_cases import START_NS
from venues.tape import open_tapes

N_MARKETS = len(table().instruments)
START = message([(BUY, 99.0, 1.0), (BUY, 98.0, 2.0), (SELL, 101.0, 3.0)], snapshot=True, number=1)


def mixed(n: int, *, seed: int) -> tuple[InstrumentTable, MarketRows]:
    """Quotes, trades and book messages of three markets, cut up by funding, reports and beats."""
    random = np.random.default_rng(seed)
    rows = empty(MarketRows, n)
    kinds = [Kind.QUOTE, Kind.TRADE, Kind.BOOK, Kind.FUNDING, Kind.REPORT, Kind.HEARTBEAT]
    rows.kind[:] = random.choice(kinds, n, p=[0.25, 0.25, 0.4, 0.03, 0.03, 0.04])
    k = random.integers(0, 3, n)
    rows.lane[:], rows.symbol[:] = np.array([1, 1, 3])[k], np.array([0, 1, 0])[k]
    rows.symbol[rows.kind == Kind.HEARTBEAT] = NO_SYMBOL
    mid = 10_000 + np.cumsum(random.integers(-2, 3, n))
    rows.ts_event_ns[:] = START_NS + np.cumsum(random.integers(0, 400_000_000, n))
    rows.ts_recv_ns[:] = rows.ts_event_ns
    rows.bid_px[:], rows.ask_px[:] = (mid - 1) / 100.0, (mid + 1) / 100.0
    rows.bid_qty[:], rows.ask_qty[:] = np.round(random.exponential(2.0, (2, n)) + 0.01, 2)
    rows.side[:] = random.choice([-1, 1], n)
    away = random.integers(1, 9, n)
    rows.price[:] = (mid - rows.side * away * (rows.kind == Kind.BOOK)) / 100.0
    rows.qty[:] = np.round(random.exponential(1.0, n) + 0.01, 2) * (random.random(n) < 0.8)
    rows.qty[rows.kind == Kind.TRADE] += 0.01
    rows.flags[:] = np.where(random.random(n) < 0.7, Flag.MSG_LAST, 0)
    rows.flags[:] |= np.where(random.random(n) < 0.05, Flag.SNAPSHOT, 0).astype(np.uint8)
    status = random.random(n) < 0.01
    rows.kind[status] = Kind.BOOK_STATUS
    rows.code[status] = random.choice([int(state) for state in BookState], int(status.sum()))
    rows.symbol[random.random(n) < 0.01] = 7
    rows.source_row[:] = -1
    for lane in (1, 3):
        mine = rows.lane == lane
        rows.seq[mine] = np.arange(np.count_nonzero(mine))
    return feature_cases.table(), rows


def log_of(instruments: InstrumentTable, words: tuple[str, ...] = (ALL,)) -> SignalLog:
    terms = Terms.of(instruments, daily_qty=np.full(len(instruments.instruments), 500.0))
    return SignalLog(terms.instruments, Signals(terms, words))


# ---- the registry


def test_every_feature_has_one_name_in_one_set() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert [feature.name for each in SETS.values() for feature in each] == list(NAMES)
    assert not set(SETS) & set(NAMES)
    assert ALL not in {*SETS, *NAMES}
    assert all(SETS.values())


def test_no_feature_is_called_like_a_column_of_its_row() -> None:
    places = {"day", "venue", "symbol_index", "instrument", "ts_event", "ts_recv", "msg_last"}
    assert not set(NAMES) & {*SignalRows._fields, *places, "snapshot"}


def test_every_operator_has_the_columns_that_the_registry_names() -> None:
    terms = Terms.of(feature_cases.table())
    made = {feature.operator: feature.operator(terms).NAMES for feature in FEATURES}
    assert sorted(NAMES) == sorted(name for names in made.values() for name in names)
    for feature in FEATURES:
        assert feature.name in made[feature.operator]
        assert feature.inputs
        assert feature.unit
        assert feature.warm_up
        assert feature.null
        assert feature.source
        assert feature.warm_up_ns >= 0


def test_sets_and_features_come_in_the_order_asked_for() -> None:
    assert [f.name for f in chosen(["depth", "cvd"])] == [*(f.name for f in SETS["depth"]), "cvd"]
    assert chosen([ALL]) == FEATURES


@pytest.mark.parametrize("name", SETS)
def test_a_set_remembers_no_more_than_it_says(name: str) -> None:
    """Per instrument; the first eight share a lane, and know of each other."""
    one = table().instruments[0]

    def size(n: int) -> int:
        each = tuple(replace(one, lane=0, symbol=k, name=f"X{k}", base=f"X{k}") for k in range(n))
        signals = Signals(Terms.of(InstrumentTable(1, "USD", each)), (name,))
        return len(pack(signals.initial()._replace(books=(), orders=())))  # type: ignore[arg-type]

    assert STATE_BYTES_MAX[name] / 2 < size(8) - size(7) <= STATE_BYTES_MAX[name]
    assert name == "detection" or STATE_BYTES_MAX[name] <= 16_384
    assert set(STATE_BYTES_MAX) == set(SETS)


# ---- books


def test_levels_are_those_of_a_slow_book_within_its_cover() -> None:
    random = np.random.default_rng(11)
    slow, rows, expected = SlowBook(snapshot_depth=1), [], []
    for number in range(400):
        snapshot = number == 0 or random.random() < 0.02
        n = 12 if snapshot else int(random.integers(1, 4))
        side = random.choice([BUY, SELL], n)
        away = random.permutation(20)[:n] if snapshot else random.integers(0, 30, n)
        levels = [
            (int(s), 100.0 - s * (1 + int(a)), float(random.integers(0 if not snapshot else 1, 4)))
            for s, a in zip(side, away, strict=True)
        ]
        slow.take(levels, snapshot=snapshot)
        rows.append(message(levels, snapshot=snapshot, number=number))
        expected.append(np.stack([*shown(slow, BUY), *shown(slow, SELL)]))
    given = market(*rows)
    operator = BookLevels(table().arrays(), cut_books([0] * N_MARKETS))
    _, found = operator.step(operator.initial(), given)
    ends = np.flatnonzero(given.flags & Flag.MSG_LAST)
    np.testing.assert_array_equal(found.levels[ends], np.stack(expected))
    inside = np.setdiff1d(np.arange(given.seq.size), ends)
    assert np.isnan(found.levels[inside]).all()
    hidden = sum(len(slow.prices(s)) for s in (BUY, SELL)) - np.isfinite(expected[-1][::2]).sum()
    assert hidden > 0, "the case has nothing beyond its cover"


def shown(slow: SlowBook, side: int) -> tuple[F8, F8]:
    price, qty = np.full((2, DEPTH), np.nan)
    known = [
        (p, q) for p, q in slow.levels(side)[:DEPTH]
        if (p >= slow.cover[BUY] if side == BUY else p <= slow.cover[SELL])
    ]  # fmt: skip
    for i, (p, q) in enumerate(known):
        price[i], qty[i] = p, q
    return price, qty


# fmt: off
STATUS = [
    ("a gap",               BookState.GAP,           True),
    ("a new snapshot asked", BookState.RESYNC,       True),
    ("a wrong checksum",    BookState.CHECKSUM_FAIL, True),
    ("taken out of use",    BookState.HALTED,        True),
    ("synced",              BookState.SYNCED,        False),
    ("cannot be proven",    BookState.UNPROVABLE,    False),
]
# fmt: on


@pytest.mark.parametrize(("what", "state", "lost"), STATUS, ids=[s[0] for s in STATUS])
def test_a_status_row_says_at_once_that_a_book_is_lost(
    what: str, state: BookState, lost: bool
) -> None:
    status = {"kind": Kind.BOOK_STATUS, "lane": 0, "symbol": 0, "code": state,
              "reason": BookReason.SEQUENCE_GAP}  # fmt: skip
    rows = market(START, [status], message([(BUY, 99.5, 1.0)], number=2))
    operator = BookLevels(table().arrays(), cut_books([0] * N_MARKETS))
    _, found = operator.step(operator.initial(), rows)
    best = found.levels[:, BID_PX, 0].tolist()
    assert best[2] == 99.0
    assert best[3:] == ([pytest.approx(math.nan, nan_ok=True)] * 2 if lost else [99.0, 99.5])


def test_features_of_a_lost_book_are_null_at_once() -> None:
    levels = [(side, 100.0 - side * i, 1.0) for i in range(1, 7) for side in (BUY, SELL)]
    gap = {"kind": Kind.BOOK_STATUS, "lane": 0, "symbol": 0, "code": BookState.GAP}
    rows = market(message(levels, snapshot=True, number=1), [gap])
    values = values_of(log_of(table(), ("depth",)), rows)["imbalance_levels"]
    assert values.tolist() == [0.0, pytest.approx(math.nan, nan_ok=True)]


def test_a_cut_subscription_forgets_what_falls_out_of_it() -> None:
    """Kraken's best 2: a bid that a better one pushed out may be gone when that one goes."""
    pushed = [message([(BUY, 99.5, 1.0)], number=2), message([(BUY, 99.5, 0.0)], number=3)]
    for depth, expected in ((0, [99.0, 98.0]), (2, [99.0, math.nan])):
        operator = BookLevels(table().arrays(), cut_books([depth] * N_MARKETS))
        _, found = operator.step(operator.initial(), market(START, *pushed))
        assert found.levels[-1, BID_PX, :2].tolist() == pytest.approx(expected, nan_ok=True)
        assert found.levels[-1, ASK_PX, 0] == 101.0
        assert found.levels[-1, [BID_QTY, ASK_QTY], 0].tolist() == [1.0, 3.0]


# ---- rows


def values_of(operator: SignalLog, rows: MarketRows) -> dict[str, Any]:
    out = operator.step(operator.initial(), rows)[1]
    return {name: out.values[:, j] for j, name in enumerate(operator.names)}


def test_kept_are_market_data_with_whole_messages_and_heartbeats() -> None:
    instruments, rows = mixed(3000, seed=1)
    operator = log_of(instruments, ("flow",))
    out = operator.step(operator.initial(), rows)[1]
    known = (rows.symbol >= 0) & (rows.symbol < np.where(rows.lane == 1, 2, 1))
    data = (rows.kind <= Kind.BOOK_STATUS) & known
    inside = (rows.kind == Kind.BOOK) & (rows.flags & Flag.MSG_LAST == 0)
    kept = np.flatnonzero((data & ~inside) | (rows.kind == Kind.HEARTBEAT))
    assert 0 < kept.size < rows.seq.size
    for name in ("lane", "kind", "flags", "symbol", "ts_event_ns", "ts_recv_ns"):
        np.testing.assert_array_equal(getattr(out, name), getattr(rows, name)[kept])
    np.testing.assert_array_equal(out.market_seq, rows.seq[kept])
    for lane in (1, 3):
        np.testing.assert_array_equal(
            out.seq[out.lane == lane], np.arange(np.count_nonzero(out.lane == lane))
        )
    assert np.isnan(out.values[out.kind == Kind.HEARTBEAT]).all()


def test_the_desks_own_reports_change_no_feature() -> None:
    """Fused they come in behind the features, and on the log they stand among the market."""
    instruments, rows = mixed(3000, seed=2)
    others = take(rows, rows.kind != Kind.REPORT)
    with_reports = values_of(log_of(instruments), rows)
    for name, values in values_of(log_of(instruments), others).items():
        np.testing.assert_array_equal(with_reports[name], values, err_msg=name)


def test_the_row_that_ends_a_lane_is_kept_whatever_it_is() -> None:
    rows = empty(MarketRows, 2)
    rows.lane[:], rows.kind[:], rows.symbol[:] = 1, Kind.CONTROL, NO_SYMBOL
    rows.flags[1] = Flag.END
    operator = log_of(feature_cases.table(), ("cvd",))
    out = operator.step(operator.initial(), rows)[1]
    assert out.flags.tolist() == [Flag.END]


def test_every_promise_of_an_operator() -> None:
    instruments, rows = mixed(3000, seed=3)
    warm = mixed(200, seed=4)[1]  # so that the books have their room
    check_operator(log_of(instruments), concat([warm, rows]), without_numba=True)


# fmt: off
TOLD = [  # whether all markets have quotes, and whether venues say who was the aggressor
    ("all have quotes",            True,  True),
    ("the book's where it has none", False, True),
    ("sides follow from quotes",   False, False),
]
# fmt: on


@pytest.mark.parametrize(("what", "quoted", "sided"), TOLD, ids=[t[0] for t in TOLD])
def test_no_value_depends_on_what_else_is_chosen(what: str, quoted: bool, sided: bool) -> None:
    """At any row: also at those of books, which only some features read."""
    instruments, rows = mixed(3_000, seed=3)
    if quoted:
        each = tuple(replace(one, has_quotes=True) for one in instruments.instruments)
        instruments = replace(instruments, instruments=each)
    if not sided:
        rows.side[rows.kind == Kind.TRADE] = 0
    alone_equals_together(instruments, rows)


def test_no_value_of_a_recording_depends_on_what_else_is_chosen(
    data_path: Callable[[str], Path],
) -> None:
    tapes = [f"{kind}/binance_usdm_BTCUSDT_20240808T2354.parquet"
             for kind in ("book", "quotes", "trades")]  # fmt: skip
    feed = open_tapes([data_path(tape) for tape in tapes], lanes=1)
    rows = next(feed.read(0, 60_000))
    assert np.count_nonzero((rows.kind == Kind.BOOK) & (rows.flags & Flag.MSG_LAST > 0)) > 100
    found = alone_equals_together(feed.table, rows)
    ends = (rows.kind == Kind.BOOK) & (rows.flags & Flag.MSG_LAST > 0)
    assert np.isfinite(found["cvd"][ends]).mean() > 0.9


def alone_equals_together(instruments: InstrumentTable, rows: MarketRows) -> dict[str, F8]:
    def found(words: tuple[str, ...]) -> dict[str, F8]:
        signals = Signals(Terms.of(instruments), words)
        return signals.columns(signals.step(signals.initial(), rows)[1])

    together = found((ALL,))
    for words in ((name,) for name in (*SETS, "cvd", "toxicity_short", "microprice")):
        for name, values in found(words).items():
            np.testing.assert_array_equal(values, together[name], err_msg=f"{words}: {name}")
    return together
