"""Recorded chains of options run through the desk: their instruments, their skew, no trade."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm
from typer.testing import CliRunner

from cli.main import app
from operators.features.feature import Terms
from operators.features.signals import Signals
from operators.market.gate import Gate
from schemas.instruments import InstrumentKind
from schemas.rows import F8, MarketRows
from venues.feed import Feed
from venues.tape import open_tapes
from venues.venue_classes import terms

COINS = ("options/deribit_BTC_20260801T1758.parquet",
         "futures_chain/deribit_BTC_20260801T1758.parquet")  # fmt: skip
STOCK = ("options/us_options_GOOG_20151224_1m.parquet",)
HOUR_NS, YEAR_NS = 3_600_000_000_000, 365 * 86_400_000_000_000

# fmt: off
NAMES = [  # venue, name; base, quote, contract size; None: no option
    ("deribit",    "BTC-26MAR27-56000-C",      ("BTC", "BTC", "1")),
    ("deribit",    "SOL_USDC-26MAR27-0d5-P",   ("SOL", "USDC", "1")),
    ("us_options", "GOOG-20160122-707.5-P",    ("GOOG", "USD", "100")),
    ("us_options", "GOOG",                     None),
    ("deribit",    "BTC-31FEB27-56000-C",      None),
    ("deribit",    "BTC-26MAR27-0-P",          None),
    ("us_options", "GOOG-20160122-0.0-P",      None),
    ("us_options", "TOOLONG-20160122-1-P",     None),
]
# fmt: on


@pytest.mark.parametrize(("venue", "name", "said"), NAMES, ids=[n[1] for n in NAMES])
def test_what_a_name_stands_for(venue: str, name: str, said: tuple[str, ...] | None) -> None:
    found = terms(venue, name)
    if said is None:
        assert found is None
    else:
        assert found is not None
        assert (found.kind, found.base, found.quote, found.contract_size) == (
            InstrumentKind.OPTION, *said
        )  # fmt: skip


def chain_of(data_path: Callable[[str], Path], tapes: tuple[str, ...]) -> Feed:
    return open_tapes([data_path(tape) for tape in tapes], lanes=1)


# fmt: off
RECORDED = [  # tapes, options, others, the desk's currency, seconds that a row stands for
    ("coins", COINS, 868, 14, 0), ("stock", STOCK, 2192, 0, 60),
]
# fmt: on


@pytest.mark.parametrize(("what", "tapes", "options", "others", "seconds"), RECORDED,
                         ids=[r[0] for r in RECORDED])  # fmt: skip
def test_every_row_of_a_chain_is_taken_at_its_time(
    data_path: Any, what: str, tapes: tuple[str, ...], options: int, others: int, seconds: int
) -> None:
    import pyarrow.parquet as pq

    feed = chain_of(data_path, tapes)
    table = feed.table
    kinds = [one.kind for one in table.instruments]
    assert kinds.count(InstrumentKind.OPTION) == options
    assert len(kinds) == options + others
    assert table.desk_currency == "USD"
    assert not any(float(one.binary_payout) for one in table.instruments
                   if one.kind == InstrumentKind.OPTION)  # fmt: skip
    rates = table.arrays().rate_row
    assert not any(kinds[row] == InstrumentKind.OPTION for row in rates[rates >= 0])
    gate = Gate(table.arrays(), len(feed.names))
    state, first = gate.initial(), None
    for rows in feed.read(0, 100_000):
        state, (_, refused) = gate.step(state, rows)
        assert refused.seq.size == 0
        first = int(rows.ts_event_ns[0]) if first is None else first
    told = pq.read_table(data_path(tapes[0]), columns=["ts_ns"])["ts_ns"][0].as_py()
    assert first == told + seconds * 1_000_000_000  # a minute's last quote is known at its end


class Quoted(NamedTuple):
    """One option of a chain, as known at some row."""

    strike: float
    is_call: bool
    mid: float  # own units, NaN where it does not count


def _price(forward: float, strike: float, deviation: float, is_call: bool) -> float:
    d1 = np.log(forward / strike) / deviation + deviation / 2.0
    call = forward * norm.cdf(d1) - strike * norm.cdf(d1 - deviation)
    return float(call if is_call else call - forward + strike)


def closed_form(chain: list[Quoted], in_coin: bool, years: float) -> list[float]:
    """Volatility at the money, risk reversal and butterfly, by SciPy's root and distribution."""
    by_strike: dict[float, dict[bool, float]] = {}
    for one in chain:
        by_strike.setdefault(one.strike, {})[one.is_call] = one.mid
    forwards = []
    for strike, pair in by_strike.items():
        apart = pair.get(True, np.nan) - pair.get(False, np.nan)
        forward = strike / (1.0 - apart) if in_coin else strike + apart
        if np.isfinite(apart) and forward > 0.0:
            forwards.append((abs(apart * forward if in_coin else apart), forward))
    if not forwards:
        return [np.nan] * 3
    forward = min(forwards)[1]
    wings = {}
    for is_call in (True, False):
        deltas, vols = [], []
        for one in sorted(each for each in chain if each.is_call == is_call):
            price = one.mid * (forward if in_coin else 1.0)
            inner = max((forward - one.strike) * (1 if is_call else -1), 0.0)
            if not inner + 1e-9 * forward < price < inner + min(forward, one.strike):
                continue

            def off(deviation: float, one: Quoted = one, price: float = price) -> float:
                return _price(forward, one.strike, deviation, one.is_call) - price

            if off(1e-6) > 0.0 or off(20.0) < 0.0:
                continue
            deviation = brentq(off, 1e-6, 20.0, xtol=1e-14, rtol=1e-13)
            d1 = np.log(forward / one.strike) / deviation + deviation / 2.0
            deltas.append(norm.cdf(d1) - (0.0 if is_call else 1.0))
            vols.append(deviation / np.sqrt(years))
        for wanted in (0.25, 0.5):
            x = wanted if is_call else -wanted
            met = [
                v0 + (v1 - v0) * (x - x0) / (x1 - x0)
                for x0, x1, v0, v1 in zip(deltas, deltas[1:], vols, vols[1:], strict=False)
                if min(x0, x1) < x < max(x0, x1)
            ]
            wings[is_call, wanted] = (met[0] if is_call else met[-1]) if met else np.nan
    both = [wings[True, 0.5], wings[False, 0.5]]
    atm = float(np.nanmean(both)) if np.isfinite(both).any() else np.nan
    call, put = wings[True, 0.25], wings[False, 0.25]
    return [atm, call - put, (call + put) / 2.0 - atm]


def skew_of(feed: Feed, rows: MarketRows) -> tuple[F8, F8]:
    """Implied volatilities, and the skew beside them."""
    signals = Signals(Terms.of(feed.table), ["derivatives"])
    found = signals.columns(signals.step(signals.initial(), rows)[1])
    skew = [found[name] for name in ("vol_atm", "skew_reversal", "skew_butterfly")]
    return found["implied_vol"], np.stack(skew, axis=1)


@pytest.mark.parametrize(("what", "tapes"), [("coins", COINS[:1]), ("stock", STOCK)],
                         ids=["coins", "stock"])  # fmt: skip
def test_skew_of_recorded_chains_is_the_closed_form(
    data_path: Any, what: str, tapes: tuple[str, ...]
) -> None:
    feed = chain_of(data_path, tapes)
    rows = next(feed.read(0, 15_000))
    implied, skew = skew_of(feed, rows)
    table = feed.table
    chains: dict[int, list[int]] = {}
    for k, one in enumerate(table.instruments):
        chains.setdefault(one.expiry_ns, []).append(k)
    compared = 0
    for expiry_ns, members in chains.items():
        mine = np.flatnonzero(np.isin(rows.symbol, members))
        # Where the skew has just changed the chain was read, with all quotes up to that row.
        read_at = mine[1:][np.any(np.diff(skew[mine], axis=0) != 0.0, axis=1)]
        read_at = read_at[np.isfinite(skew[read_at]).all(axis=1)]
        for i in read_at[:: max(read_at.size // 4, 1)]:
            chain = []
            for k in members:
                told = np.flatnonzero(rows.symbol[: i + 1] == k)
                if not told.size or rows.ts_recv_ns[i] - rows.ts_recv_ns[told[-1]] > HOUR_NS:
                    continue
                bid, ask = rows.bid_px[told[-1]], rows.ask_px[told[-1]]
                mid = (bid + ask) / 2.0 if ask <= 2.0 * bid else np.nan
                of = table.instruments[k]
                chain.append(Quoted(float(of.strike), of.right == "C", mid))
            years = (expiry_ns - int(rows.ts_event_ns[i])) / YEAR_NS
            due = closed_form(chain, table.instruments[members[0]].quote == "BTC", years)
            np.testing.assert_allclose(skew[i], due, rtol=1e-6, atol=1e-8)
            compared += 1
    assert compared >= 20
    assert np.isfinite(implied).mean() > 0.5
    assert np.isfinite(skew).all(axis=1).mean() > 0.3


def test_a_run_over_a_chain_shows_its_skew_and_trades_nothing(
    data_path: Any, tmp_path: Path
) -> None:
    given = [part for tape in COINS for part in ("--tape", str(data_path(tape)))]
    out = tmp_path / "run"
    done = CliRunner().invoke(
        app, ["run", *given, "--features", "derivatives", "--out", str(out), "--json"]
    )
    assert done.exit_code == 0, done.output
    report = json.loads((out / "report.json").read_text())
    assert report["trades"] == 0
    assert report["rows_quarantined"] == 0
    assert set(report["non_trades"]) == {"NO_ENGINE", "WARMING_UP"}
    warm = report["signals"]
    for name in ("implied_vol", "option_delta", "vol_atm", "skew_reversal", "skew_butterfly"):
        assert warm[name] > 0.4, name
    assert warm["basis_bps"] is None  # no spot market among the tapes
    asked = CliRunner().invoke(
        app,
        ["query", "--run", str(out), "--format", "csv",
         "SELECT count(*) AS n, min(skew_reversal) AS low, max(skew_reversal) AS high "
         "FROM signals WHERE kind = 'QUOTE' AND skew_reversal IS NOT NULL"],
    )  # fmt: skip
    assert asked.exit_code == 0, asked.output
    n, low, high = asked.output.splitlines()[1].split(",")
    assert int(n) > 300
    assert -0.5 < float(low) <= float(high) < 0.5
