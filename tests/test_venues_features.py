"""The consolidated quote: by hand, against a plain loop over all venues, and on recordings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators.features.feature import Terms
from operators.features.registry import SETS
from operators.features.signal_log import SignalLog
from operators.features.signals import Signals
from operators.features.venues.consolidated import FRESH_NS, Venues
from operators.features.venues.registry import FEATURES
from operators.market.books.words import BookState
from schemas.instruments import InstrumentKind, InstrumentTable
from schemas.kinds import Kind
from schemas.rows import F8, MarketRows, concat, take
from tests.check_operator import check_operator
from tests.derivative_cases import (
    check_inputs,
    check_registry,
    check_warm_up,
    market_of,
    mixed,
    rows,
    run,
    table,
    terms,
)
from venues.tape import open_tapes

NAN = float("nan")
INVERSE, LINEAR, OPTION = InstrumentKind.INVERSE, InstrumentKind.LINEAR, InstrumentKind.OPTION
FIVE = table(
    market_of(0, venue="a"), market_of(1, LINEAR, venue="b"),
    market_of(2, INVERSE, venue="c", contract_size="100"), market_of(3, quote="EUR", venue="d"),
    market_of(0, lane=2, base="ETH", venue="a"),
)  # fmt: skip
Event = dict[str, Any]


def quote(symbol: int, bid: float, ask: float, at: float, qty: tuple[float, float] = (2.0, 1.0),
          **more: Any) -> Event:  # fmt: skip
    return {"kind": Kind.QUOTE, "symbol": symbol, "bid_px": bid, "ask_px": ask, "bid_qty": qty[0],
            "ask_qty": qty[1], "at": at, **more}  # fmt: skip


def status(symbol: int, state: BookState, at: float) -> Event:
    return {"kind": Kind.BOOK_STATUS, "symbol": symbol, "code": state, "at": at}


def shown(of: InstrumentTable, market: MarketRows) -> dict[str, F8]:
    return run(of, Venues(of), market)


A, B = quote(0, 100.0, 101.0, 0), quote(1, 100.5, 102.0, 1, (3.0, 3.0))
AGAIN = quote(0, 100.0, 101.0, 2)
SHOWN = ("bid_px", "ask_px", "healthy", "crossed_bps", "deviation_bps", "bid_share", "ask_share")
MID = 100.75  # of A and B
OF_A, OF_B = (100.5 / MID - 1) * 1e4, (101.25 / MID - 1) * 1e4  # their mids from it, bps
BOTH = (100.5, 101.0, 2, 0, OF_B, 1, 0)  # as the second sees it
NOT_HERE = (100.0, 101.0, 1, 0, NAN, NAN, NAN)  # the first alone, as the second sees it
ONE = (100.0, 101.0, 1, 0, 0, 1, 1)
S, GAP, HALT = BookState.SYNCED, BookState.GAP, BookState.HALTED
BACK = [status(1, S, 1), status(1, HALT, 2), status(1, S, 300), quote(1, 100.5, 102.0, 329),
        quote(0, 100.0, 101.0, 330)]  # fmt: skip
GAPPED, HALTED = [status(1, S, 2), status(1, GAP, 3)], [status(1, S, 2), status(1, HALT, 3)]
TRADE = {"kind": Kind.TRADE, "symbol": 0, "price": 1.0, "qty": 1.0, "at": 2}
BY_A, EVEN = (100.5, 101.0, 2, 0, OF_A, 0, 1), (100.0, 101.0, 2, 0, 0, 0.75, 0.5)
CROSSED = (102.0, 101.0, 2, 1 / 101.5 * 1e4, (102.5 / 101.5 - 1) * 1e4, 1, 0)
# fmt: off
CASES: list[tuple[str, list[Event], tuple[float, ...]]] = [  # after A; what the last row shows
    ("one venue so far",         [],                                      ONE),
    ("another bids more",        [B],                                     BOTH),
    ("as the first one sees it", [B, AGAIN],                              BY_A),
    ("at a row of another kind", [B, TRADE],                              BY_A),
    ("both at one price", [quote(1, 100.0, 101.0, 1, (6.0, 1.0))],        EVEN),
    ("contracts of 100 dollars", [quote(2, 100.0, 101.0, 1, (6.0, 1.01))],
                                                                          EVEN),
    ("a bid above another's ask", [quote(1, 102.0, 103.0, 1)],
                                 CROSSED),
    ("another currency",         [quote(3, 105.0, 106.0, 1), AGAIN],      ONE),
    ("without sizes", [quote(1, 100.5, 102.0, 1, (NAN, NAN))], (100.5, 101.0, 2, 0, OF_B, NAN, 0)),
    ("it takes its quote back",  [B, quote(1, NAN, NAN, 2)],              NOT_HERE),
    ("its quote is crossed",     [quote(1, 103.0, 102.0, 1)],             NOT_HERE),
    ("its book is good",         [B, status(1, S, 2)],                    BOTH),
    ("its book is gapped",       [B, *GAPPED],                            NOT_HERE),
    ("its book was never good",  [B, status(1, GAP, 2)],                  NOT_HERE),
    ("its book is halted",       [B, *HALTED],                            NOT_HERE),
    ("back for 30 s",            BACK,                                    BY_A),
    ("the first was silent",     [quote(1, 100.5, 102.0, 61)],      (100.5, 102.0, 1, 0, 0, 1, 1)),
    ("not for long enough",      [quote(1, 100.5, 102.0, 60)],            BOTH),
]
# fmt: on


@pytest.mark.parametrize(("events", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_case(events: list[Event], expected: tuple[float, ...]) -> None:
    found = shown(FIVE, rows(A, *events))
    values = tuple(float(found[f"venues_{name}"][-1]) for name in SHOWN)
    assert values == pytest.approx(expected, nan_ok=True)


def test_microprice_and_spread_are_of_all_venues() -> None:
    found = shown(FIVE, rows(A, B))
    assert found["venues_mid"][-1] == MID
    assert found["venues_spread_bps"][-1] == pytest.approx(0.5 / MID * 1e4)
    assert found["venues_microprice"][-1] == pytest.approx((101.0 * 3.0 + 100.5 * 1.0) / 4.0)


def test_nothing_is_shown_of_an_instrument_that_is_alone() -> None:
    alone = rows(quote(3, 105.0, 106.0, 0), quote(0, 50.0, 51.0, 1, lane=2))
    assert all(np.isnan(values).all() for values in shown(FIVE, alone).values())
    options = table(market_of(0, OPTION), market_of(1, OPTION, venue="b"),
                    market_of(2, LINEAR, expiry_ns=1), market_of(3))  # fmt: skip
    some = rows(*(quote(symbol, 105.0, 106.0, symbol) for symbol in range(4)))
    assert all(np.isnan(values).all() for values in shown(options, some).values())


def by_loop(market: MarketRows) -> dict[str, F8]:
    """Best of all venues of lane 0 in USD, a dictionary and `max`."""
    names = ("bid_px", "ask_px", "healthy", "bid_share")
    last: dict[int, tuple[int, float, float, float, float]] = {}
    out = {name: np.full(market.seq.size, NAN) for name in names}
    for i in range(market.seq.size):
        symbol = int(market.symbol[i])
        if market.lane[i] != 0 or symbol not in (0, 1, 2):
            continue
        if market.kind[i] == Kind.QUOTE:
            bid, ask = float(market.bid_px[i]), float(market.ask_px[i])
            sizes = float(market.bid_qty[i]), float(market.ask_qty[i])
            if symbol == 2:
                sizes = sizes[0] * 100.0 / bid, sizes[1] * 100.0 / ask
            last.pop(symbol, None)
            if 0.0 < bid <= ask:
                last[symbol] = (int(market.ts_recv_ns[i]), bid, sizes[0], ask, sizes[1])
        now = int(market.ts_recv_ns[i])
        good = {s: t for s, t in last.items() if t[0] >= now - FRESH_NS}
        out["healthy"][i] = len(good)
        if not good:
            continue
        best = max(t[1] for t in good.values() if t[2] != 0.0)
        out["bid_px"][i], out["ask_px"][i] = best, min(t[3] for t in good.values())
        size = sum(t[2] for t in good.values() if t[1] == best)
        if symbol in good:
            out["bid_share"][i] = (good[symbol][2] if good[symbol][1] == best else 0.0) / size
    return out


def test_equal_to_a_loop_over_all_venues() -> None:
    market = mixed(FIVE, 3000, seed=2, seconds=20.0)
    market.bid_px[:], market.ask_px[:] = np.round(market.bid_px, 1), np.round(market.ask_px, 1)
    found, expected = shown(FIVE, market), by_loop(market)
    for name, values in expected.items():
        np.testing.assert_allclose(found[f"venues_{name}"], values, err_msg=name)
    assert np.nanmax(found["venues_healthy"]) == 3.0


def test_only_rows_of_its_lane_matter() -> None:
    """So a worker of one lane shows what a fused run shows."""
    market = mixed(FIVE, 2000, seed=3, seconds=10.0)
    whole, mine = shown(FIVE, market), market.lane == 0
    alone = shown(FIVE.of_lanes([0]), take(market, mine))
    for name, values in alone.items():
        np.testing.assert_array_equal(values, whole[name][mine])


def test_every_promise_of_an_operator() -> None:
    market = mixed(FIVE, 3000, seed=4, seconds=15.0)
    random = np.random.default_rng(4)
    told = random.random(market.seq.size) < 0.05
    market.kind[told] = Kind.BOOK_STATUS
    market.code[told] = random.choice([int(state) for state in BookState], int(told.sum()))
    for lane in (0, 2):
        here = market.lane == lane
        market.seq[here] = np.arange(np.count_nonzero(here))
    operator = SignalLog(FIVE.arrays(), Signals(Terms.of(FIVE), ("venues",)))
    check_operator(operator, market, without_numba=True)


def test_registry_inputs_and_warm_up() -> None:
    assert SETS["venues"] == FEATURES
    given, market = terms(FIVE), mixed(FIVE, 2000, seed=5, seconds=10.0)
    check_registry(FEATURES, given)
    check_inputs(FEATURES, given, market, {"best quote": {Kind.QUOTE}})
    check_warm_up(FEATURES, given, market, shown=("venues_mid",))


Find = Callable[[str], Path]


def test_recorded_spot_and_perpetual_of_one_minute(data_path: Find) -> None:
    """Binance, August 2024: the best of both is never worse than each, whoever moves."""
    names = [f"quotes/{venue}_BTCUSDT_20240808T2354.parquet" for venue in
             ("binance_spot", "binance_usdm")]  # fmt: skip
    start_ns = 1_723_161_300_000_000_000  # 23:55
    feed = open_tapes([data_path(name) for name in names], lanes=1, from_ns=start_ns,
                      to_ns=start_ns + 30_000_000_000)  # fmt: skip
    market = concat(list(feed.read(0, 50_000)))
    found = shown(feed.table, market)
    known = np.isfinite(found["venues_mid"])
    assert known.mean() > 0.99
    assert (found["venues_bid_px"][known] >= market.bid_px[known]).all()
    assert (found["venues_ask_px"][known] <= market.ask_px[known]).all()
    both = found["venues_healthy"] == 2.0
    assert both.mean() > 0.95
    assert 0.0 < np.nanmedian(np.abs(found["venues_deviation_bps"][both])) < 20.0
