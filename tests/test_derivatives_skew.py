"""Options: Black's formula, the volatility that a price implies, and the skew of an expiry."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.features.derivatives.black import delta, implied, value
from operators.features.derivatives.chains import chains_of
from operators.features.derivatives.skew import EIGHTH, Skew
from schemas.instruments import Instrument, InstrumentKind, InstrumentTable
from schemas.rows import MarketRows, concat, take
from tests.check_operator import check_operator
from tests.derivative_cases import (
    DAY_NS,
    SECOND_NS,
    START_NS,
    Whole,
    market_of,
    quote,
    rows,
    run,
    table,
)

OPTION = InstrumentKind.OPTION


def hull(rate: float, years: float, volatility: float, is_call: bool) -> float:
    """Hull's example: S = 42, K = 40; discounted."""
    forward = 42.0 * math.exp(rate * years)
    return math.exp(-rate * years) * value(forward, 40.0, volatility * math.sqrt(years), is_call)


def test_value_is_that_of_hulls_example() -> None:
    assert round(hull(0.1, 0.5, 0.2, True), 4) == 4.7594
    assert round(hull(0.1, 0.5, 0.2, False), 4) == 0.8086


MONEYNESS = st.floats(-1.5, 1.5)
DEVIATIONS = st.floats(0.02, 3.0)


@given(MONEYNESS, DEVIATIONS)
def test_calls_less_puts_are_the_forward_less_the_strike(m: float, deviation: float) -> None:
    strike = 100.0 * math.exp(m)
    apart = value(100.0, strike, deviation, True) - value(100.0, strike, deviation, False)
    assert apart == pytest.approx(100.0 - strike, abs=1e-9)
    both = delta(100.0, strike, deviation, True) - delta(100.0, strike, deviation, False)
    assert both == pytest.approx(1.0, abs=1e-12)


@given(MONEYNESS, DEVIATIONS)
def test_delta_is_the_slope_of_the_value(m: float, deviation: float) -> None:
    strike, h = 100.0 * math.exp(m), 1e-3
    for call in (True, False):
        up = value(100.0 + h, strike, deviation, call)
        slope = (up - value(100.0 - h, strike, deviation, call)) / (2 * h)
        assert delta(100.0, strike, deviation, call) == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("call", [True, False])
def test_implied_gives_back_the_deviation_on_a_grid(call: bool) -> None:
    for strike in np.linspace(50.0, 200.0, 31):
        for deviation in (0.01, 0.05, 0.1, 0.3, 0.7, 1.5, 3.0):
            price = value(100.0, strike, deviation, call)
            inner = max((100.0 - strike) * (1 if call else -1), 0.0)
            if price - inner < 2e-7:  # what is left of it is rounding
                continue
            assert implied(100.0, strike, price, call) == pytest.approx(deviation, rel=1e-6)


# fmt: off
SENSELESS = [
    ("below what it pays now",  120.0, 100.0, 19.0,  True),
    ("just what it pays now",   120.0, 100.0, 20.0,  True),
    ("more by rounding only",   120.0, 100.0, 20.0 + 1e-8, True),
    ("more than the forward",   120.0, 100.0, 120.0, True),
    ("more than the strike",    120.0, 100.0, 100.0, False),
    ("less than nothing",       120.0, 100.0, -1.0,  False),
    ("no price",                120.0, 100.0, math.nan, True),
]
# fmt: on


@pytest.mark.parametrize(("what", "forward", "strike", "price", "call"), SENSELESS,
                         ids=[s[0] for s in SENSELESS])  # fmt: skip
def test_no_volatility_gives_a_senseless_price(
    what: str, forward: float, strike: float, price: float, call: bool
) -> None:
    assert math.isnan(implied(forward, strike, price, call))


def chain(
    strikes: Any, *, days: float = 30.0, lane: int = 0, symbol: int = 1, **more: Any
) -> list[Instrument]:
    """Call and put of each strike."""
    found: list[Instrument] = []
    for strike in strikes:
        for right in "CP":
            found.append(market_of(
                symbol + len(found), OPTION, lane=lane, name=f"{days}-{strike}-{right}",
                expiry_ns=START_NS + round(days * DAY_NS), strike=str(strike), right=right, **more,
            ))  # fmt: skip
    return found


def quoted(
    options: list[Instrument], smile: Any, forward: float, *, at: float = 0.0, in_coin: bool = False
) -> list[dict[str, Any]]:
    """Quotes of these options at the volatilities `smile(strike, right)`, a microsecond apart."""
    found = []
    for n, one in enumerate(options):
        moment = at + n * 1e-6
        left = one.expiry_ns / 1e9 - START_NS / 1e9 - moment
        deviation = smile(float(one.strike), one.right) * math.sqrt(left / (365 * 86_400))
        price = value(forward, float(one.strike), deviation, one.right == "C")
        price /= forward if in_coin else 1.0
        found.append(quote(price, spread=price * 1e-3, at=moment, symbol=one.symbol))
    return found


STRIKES = list(range(60, 161, 5))
CHAIN = chain(STRIKES)
WITH_SPOT = table(market_of(0), *CHAIN)


def last(of: InstrumentTable, given_rows: list[dict[str, Any]], **more: Any) -> dict[str, float]:
    found = run(of, Skew(of, **more), rows(*given_rows))
    return {name: float(column[-1]) for name, column in found.items()}


def read(given_rows: list[dict[str, Any]], *, at: float = 2.0) -> list[dict[str, Any]]:
    """One quote more, later: the chain is read by then."""
    return [*given_rows, {**given_rows[-1], "at": at}]


def test_flat_smile_has_no_skew() -> None:
    flat = quoted(CHAIN, lambda strike, right: 0.6, 100.0)
    found = last(WITH_SPOT, [*read(flat), quote(100.0, at=4.0)])
    assert found["vol_atm"] == pytest.approx(0.6, rel=1e-4)
    assert found["skew_reversal"] == pytest.approx(0.0, abs=1e-4)
    assert found["skew_butterfly"] == pytest.approx(0.0, abs=1e-4)
    assert math.isnan(found["implied_vol"])  # the underlying is no option


def linear_in_delta(slope: float, curve: float) -> Any:
    """A smile whose volatility at a call delta d (1 + d for puts) is known, found by iteration."""

    def smile(strike: float, right: str) -> float:
        volatility = 0.5
        for _ in range(200):
            deviation = volatility * math.sqrt(30.0 / 365.0)
            d = delta(100.0, strike, deviation, True)
            volatility = 0.5 + slope * (0.5 - d) + curve * abs(d - 0.5)
        return volatility

    return smile


def test_skew_is_that_of_a_smile_linear_in_delta() -> None:
    smile = linear_in_delta(0.2, 0.1)
    fine = chain(range(60, 161))
    of = table(market_of(0), *fine)
    found = last(of, [*read(quoted(fine, smile, 100.0)), quote(100.0, at=4.0)])
    # 25-delta call: 0.5 + 0.2 * 0.25 + 0.1 * 0.25; 25-delta put, call delta 0.75: less the slope
    assert found["skew_reversal"] == pytest.approx(2 * 0.2 * 0.25, abs=2e-4)
    assert found["skew_butterfly"] == pytest.approx(0.1 * 0.25, abs=1e-3)  # the kink is cut off
    assert found["vol_atm"] == pytest.approx(0.5, abs=1e-3)


def test_each_option_shows_its_own_volatility_and_delta() -> None:
    smile = linear_in_delta(0.2, 0.0)
    given_rows = read(quoted(CHAIN, smile, 100.0))
    again = [{**row, "at": 4.0 + row["at"]} for row in given_rows[:-1]]
    found = run(WITH_SPOT, Skew(WITH_SPOT), rows(*given_rows, *again))
    n = len(CHAIN)
    for one, vol, own in zip(CHAIN, found["implied_vol"][-n:], found["option_delta"][-n:],
                             strict=True):  # fmt: skip
        expected = smile(float(one.strike), one.right)
        assert vol == pytest.approx(expected, rel=2e-3)
        deviation = expected * math.sqrt(30.0 / 365.0)
        assert own == pytest.approx(delta(100.0, float(one.strike), deviation, one.right == "C"),
                                    abs=2e-3)  # fmt: skip


def test_forward_is_that_of_parity_not_the_spot() -> None:
    """With the spot 3 % off the forward, volatilities of calls and puts still agree."""
    flat = quoted(CHAIN, lambda strike, right: 0.6, 103.0)
    found = last(WITH_SPOT, [quote(100.0, at=0.0), *read(flat), quote(100.0, at=4.0)])
    assert found["vol_atm"] == pytest.approx(0.6, rel=1e-4)
    assert found["skew_reversal"] == pytest.approx(0.0, abs=1e-4)


def test_forward_of_calls_alone_is_the_spot_at_the_rate() -> None:
    calls = [one for one in CHAIN if one.right == "C"]
    growth = math.exp(0.1 * 30.0 / 365.0)
    given_rows = [
        {**row, "bid_px": row["bid_px"] / growth, "ask_px": row["ask_px"] / growth}
        for row in quoted(calls, lambda strike, right: 0.6, 100.0 * growth)
    ]
    found = last(WITH_SPOT, [quote(100.0, at=0.0), *read(given_rows)], rate=0.1)
    assert found["vol_atm"] == pytest.approx(0.6, rel=1e-3)
    assert math.isnan(found["skew_reversal"])  # without puts there is none


def test_prices_in_coin_are_shares_of_the_forward() -> None:
    coins = chain(STRIKES, quote="BTC", settle="BTC")
    of = table(market_of(0), *coins)
    smile = linear_in_delta(0.2, 0.1)
    in_coin = last(of, [*read(quoted(coins, smile, 103.0, in_coin=True)), quote(100.0, at=4.0)])
    in_money = last(WITH_SPOT, [*read(quoted(CHAIN, smile, 103.0)), quote(100.0, at=4.0)])
    for name in ("vol_atm", "skew_reversal", "skew_butterfly"):
        assert in_coin[name] == pytest.approx(in_money[name], abs=1e-5)


def spoilt(option: int, bid: float, ask: float) -> list[dict[str, Any]]:
    made = read(quoted(CHAIN, lambda strike, right: 0.6, 100.0))
    made[option] = {**made[option], "bid_px": bid, "ask_px": ask}
    return [*made, {**made[option], "at": 4.0}]


# fmt: off
WINGS = [
    ("no bid",                 math.nan, 2.0),
    ("a bid of nothing",       0.0,      2.0),
    ("an ask far above it",    0.5,      1.01),
    ("crossed",                2.0,      1.0),
]
# fmt: on


@pytest.mark.parametrize(("what", "bid", "ask"), WINGS, ids=[w[0] for w in WINGS])
def test_illiquid_quotes_do_not_count(what: str, bid: float, ask: float) -> None:
    found = last(WITH_SPOT, spoilt(0, bid, ask))
    assert math.isnan(found["implied_vol"])
    assert math.isnan(found["option_delta"])
    assert found["skew_reversal"] == pytest.approx(0.0, abs=1e-4)


def test_quotes_of_the_last_hour_alone_count() -> None:
    flat = quoted(CHAIN, lambda strike, right: 0.6, 100.0)
    late = 3602.0
    one = quoted(CHAIN[20:22], lambda strike, right: 0.6, 100.0, at=late)
    found = last(WITH_SPOT, [*read(flat), *one, {**one[-1], "at": late + 2.0}])
    assert found["implied_vol"] == pytest.approx(0.6, rel=1e-3)
    assert math.isnan(found["skew_reversal"])


def test_underlying_shows_the_first_expiry_with_a_day_to_go() -> None:
    near, far = chain(STRIKES, days=2.0), chain(STRIKES, days=30.0, symbol=1 + 2 * len(STRIKES))
    of = table(market_of(0), *near, *far)
    given_rows = [*quoted(near, lambda s, r: 0.9, 100.0), *quoted(far, lambda s, r: 0.6, 100.0)]
    later = {**given_rows[len(near) - 1], "at": 2.0}, {**given_rows[-1], "at": 3.0}
    day = 86_400.0
    again = read(quoted(far, lambda s, r: 0.6, 100.0, at=day + 2), at=day + 8)
    tail = [quote(100.0, at=day + 10), quote(100.0, at=29.5 * day)]
    found = run(of, Skew(of), rows(*given_rows, *later, quote(100.0, at=4.0), *again, *tail))
    shown = found["vol_atm"][[-3 - len(again), -2, -1]]
    np.testing.assert_allclose(shown, [0.9, 0.6, math.nan], rtol=1e-3)


def test_chain_is_read_at_most_once_a_second() -> None:
    flat = quoted(CHAIN, lambda strike, right: 0.6, 100.0)
    atm = 2 * STRIKES.index(100)
    higher = {**quoted([CHAIN[atm]], lambda s, r: 0.9, 100.0)[0], "at": 2.5}
    shown = [{**higher, "at": 2.9}, {**higher, "at": 3.1}]
    found = run(WITH_SPOT, Skew(WITH_SPOT), rows(*read(flat), higher, *shown))
    atm_vol = found["vol_atm"][-3:]
    assert atm_vol[0] == pytest.approx(0.6, rel=1e-3)
    assert atm_vol[1] == atm_vol[0]
    assert atm_vol[2] > 0.62
    assert (found["implied_vol"][-3:] > 0.7).all()  # its own is known at once


def test_chain_is_read_once_an_eighth_of_it_was_quoted() -> None:
    """A snapshot of a chain has one time for all: nothing comes a second later."""
    flat = quoted(CHAIN, lambda strike, right: 0.6, 100.0)
    found = run(WITH_SPOT, Skew(WITH_SPOT), rows(*flat))
    assert found["vol_atm"][-1] == pytest.approx(0.6, rel=1e-3)
    read_at = 1 + np.flatnonzero(np.abs(np.diff(found["skew_butterfly"])) > 0.0)
    assert np.diff(read_at).min() >= len(CHAIN) // EIGHTH
    assert np.isfinite(found["implied_vol"]).mean() > 0.8


def test_last_hour_has_no_volatility() -> None:
    brief = chain(STRIKES, days=1.5 / 24.0)
    of = table(market_of(0), *brief)
    atm = brief[2 * STRIKES.index(100) :][:2]
    flat = read(quoted(atm, lambda strike, right: 0.6, 100.0))
    assert last(of, flat)["implied_vol"] == pytest.approx(0.6, rel=1e-3)
    assert math.isnan(last(of, [*flat, {**flat[-1], "at": 0.6 * 3600}])["implied_vol"])


# fmt: off
LAME = [
    ("no expiry", {"expiry_ns": 0, "strike": "1", "right": "C"}),
    ("no strike", {"expiry_ns": 1, "strike": "",  "right": "C"}),
    ("no right",  {"expiry_ns": 1, "strike": "1", "right": ""}),
]
# fmt: on


@pytest.mark.parametrize(("what", "fields"), LAME, ids=[each[0] for each in LAME])
def test_an_option_must_say_what_it_is(what: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"v:S00: an option needs expiry_ns > 0, strike > 0"):
        chains_of(table(market_of(0, OPTION, **fields)))


def test_chains_are_of_one_lane_asset_and_expiry() -> None:
    of = table(
        market_of(0), *chain([90, 110]), *chain([100], days=2.0, symbol=5),
        *chain([5, 6], symbol=7, base="ETH"), *chain([100], lane=1, symbol=0),
    )  # fmt: skip
    found = chains_of(of)
    assert found.of.tolist() == [-1, 1, 1, 1, 1, 0, 0, 2, 2, 2, 2, 3, 3]
    assert found.underlying.tolist() == [0, 0, -1, -1]
    assert found.front[0].tolist() == [0, 2]
    assert found.member[found.first[1] : found.first[2]].tolist() == [1, 2, 3, 4]


def busy(n: int, seed: int) -> tuple[InstrumentTable, MarketRows]:
    """Quotes of two chains and their underlying in random order, some of them bad."""
    near = chain([80, 90, 100, 110, 120], days=3.0)
    far = chain([70, 85, 100, 115, 130], days=40.0, symbol=11, quote="BTC")
    of = table(market_of(0), *near, *far)
    random = np.random.default_rng(seed)
    at, made = 0.0, []
    for _ in range(n):
        at += random.exponential(60.0)
        symbol = int(random.integers(0, 21))
        forward = 100.0 + random.normal(0.0, 0.3)
        if symbol == 0:
            made.append(quote(forward, at=at))
            continue
        one = of.instruments[symbol]
        if one.expiry_ns - START_NS <= at * SECOND_NS:
            continue
        volatility = 0.6 + random.normal(0.0, 0.01)
        row = quoted([one], lambda s, r, v=volatility: v, forward, at=at, in_coin=symbol > 10)[0]
        row["bid_px"] = row["bid_px"] if random.random() < 0.98 else math.nan
        made.append(row)
    return of, rows(*made)


def test_every_promise_of_an_operator() -> None:
    of, market = busy(2500, seed=1)
    found = run(of, Skew(of), market)
    for name, column in found.items():
        assert np.isfinite(column).sum() > 200, name
    check_operator(Whole(of, Skew(of)), market, without_numba=True)


def test_only_rows_of_its_lane_matter() -> None:
    of, market = busy(1500, seed=2)
    far = table(*of.instruments, market_of(0, lane=1), *chain([100, 110], lane=1))
    stranger = rows(*(quote(5.0 + i, lane=1, symbol=i % 5, at=i * 7.0) for i in range(300)))
    both = concat([market, stranger])
    order = np.argsort(both.ts_recv_ns, kind="stable")
    both = take(both, order)
    together, alone = run(far, Skew(far), both), run(far, Skew(far), take(both, both.lane == 0))
    for name, column in alone.items():
        np.testing.assert_array_equal(column, together[name][both.lane == 0])


def recorded(path: Any, lane_of_expiry: int) -> tuple[InstrumentTable, list[dict[str, Any]]]:
    """One expiry of a recorded chain, with what its file says of each option."""
    import pyarrow.parquet as pq

    chosen = [r for r in pq.read_table(path).to_pylist() if r["expiry_ns"] == lane_of_expiry]
    names = sorted({r["symbol"] for r in chosen})
    of_name = {r["symbol"]: r for r in chosen}
    options = [
        market_of(1 + n, OPTION, name=name, expiry_ns=lane_of_expiry,
                  strike=str(of_name[name]["strike"]), right=of_name[name]["right"],
                  quote="BTC" if of_name[name]["px_unit"] == "BTC" else "USD")
        for n, name in enumerate(names)
    ]  # fmt: skip
    return table(market_of(0), *options), [
        {"kind": 2, "bid_px": r["bid_px"] or math.nan, "ask_px": r["ask_px"] or math.nan,
         "symbol": 1 + names.index(r["symbol"]), "at": (r["ts_ns"] - START_NS) / 1e9}
        for r in chosen
    ]  # fmt: skip


def test_recorded_coin_options_have_a_plausible_smile(data_path: Any) -> None:
    """Bitcoin options of one expiry: the volatility is 20 to 120 %, skewed by less than 20."""
    path = data_path("options/deribit_BTC_20260801T1758.parquet")
    of, made = recorded(path, 1_806_048_000_000_000_000)
    found = last(of, [*made, {**made[-1], "at": made[-1]["at"] + 2.0},
                      quote(62_687.75, at=made[-1]["at"] + 4.0)])  # fmt: skip
    assert 0.2 < found["vol_atm"] < 1.2
    assert abs(found["skew_reversal"]) < 0.2
    assert -0.02 < found["skew_butterfly"] < 0.1


def test_recorded_stock_options_are_skewed_to_puts(data_path: Any) -> None:
    path = data_path("options/us_options_GOOG_20151224_1m.parquet")
    of, made = recorded(path, 1_453_496_400_000_000_000)
    found = last(of, made[:20_000])
    assert 0.1 < found["vol_atm"] < 0.5
    assert found["skew_reversal"] < 0.0  # stock options pay more for falls


def test_nothing_stands_once_every_quote_is_an_hour_old() -> None:
    flat = read(quoted(CHAIN, lambda strike, right: 0.6, 100.0))
    at = (3000.0, 7300.0)
    found = run(WITH_SPOT, Skew(WITH_SPOT), rows(*flat, *(quote(100.0, at=s) for s in at)))
    for name in ("vol_atm", "skew_reversal", "skew_butterfly"):
        assert np.isnan(found[name][-2:]).tolist() == [False, True], name
