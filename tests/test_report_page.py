"""report.json, the terminal and report.html: complete, honest, self-contained."""

import io
import json
import re
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plotly.offline import get_plotlyjs
from rich.console import Console

from console.report.charts import equity_figure
from console.report.data import Curve, LedgerView, ModelInfo, PriceSample, RunData
from console.report.page import render_page, write_page
from console.report.summary import build_report, json_safe, write_json
from console.report.terminal import print_summary
from console.report.trips import build_trips
from schemas.instruments import InstrumentKind, InstrumentTable
from schemas.kinds import Engine
from tests.test_report_synthetic import START_NS, instrument, run_data, walking_run

KEYS = {
    "run_id": None, "mode": None, "profile": None, "topology": None, "tapes": None, "rows": None,
    "rows_quarantined": None, "ticks": None, "wall_s": None, "ticks_per_s": None,
    "decisions": None, "trades": None, "non_trades": None, "decision_digest": None,
    "ledger_digest": None, "engines": {"binary", "spot", "arbitrage"},
    "equity": {"start", "end", "buy_and_hold", "max_drawdown", "sharpe"}, "fees": None,
    "ledger": {"transactions", "balanced", "drift"}, "latency_us": {"p50", "p99", "max"},
    "model": {"name", "version", "sha256"},
}  # fmt: skip
BYTES_MOST = 6_000_000


@pytest.fixture(scope="module")
def losing() -> RunData:
    return walking_run()


def page(data: RunData) -> str:
    trips = build_trips(data)
    return render_page(data, build_report(data, trips), trips)


def own_part(text: str) -> str:
    """The page without the plotting library that it carries."""
    assert text.count(get_plotlyjs()) == 1
    return text.replace(get_plotlyjs(), "")


def terminal(data: RunData, width: int = 100) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None)
    print_summary(build_report(data), console, ["runs/x/report.html"])
    return " ".join(out.getvalue().replace("│", " ").split())


def test_report_has_every_promised_key(losing: RunData, tmp_path: Path) -> None:
    for data in (losing, run_data()):
        write_json(build_report(data), tmp_path / "report.json")
        found = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
        for key, inner in KEYS.items():
            assert key in found
            assert inner is None or inner <= found[key].keys()
        for engine in found["engines"].values():
            assert {"trades", "win_rate", "pnl", "avg_reward_risk"} <= engine.keys()
        assert found["decisions"] == found["trades"] + sum(found["non_trades"].values())


def test_json_has_no_nan() -> None:
    assert json_safe({"a": float("nan"), "b": (1, float("inf")), "c": Decimal("1.5")}) == {
        "a": None, "b": [1, None], "c": "1.5",
    }  # fmt: skip


def test_a_losing_desk_is_told_so(losing: RunData) -> None:
    said = terminal(losing)
    assert re.search(r"The desk lost [\d,]+\.\d\d USD \(\d\.\d\d", said)
    assert "Buying and holding sim:EURUSD would have" in said
    assert "the price is not near the 61.8 % retracement" in said
    assert "3 other reasons" in said
    assert "46 of 321,559 rows: 41 the bid is above the ask" in said
    assert "runs/x/report.html" in said
    assert "abababababababab" in said
    assert "The desk lost" in own_part(page(losing))


def test_money_is_never_without_its_currency(losing: RunData) -> None:
    said, shown = terminal(losing), re.sub(r"<[^>]+>", " ", own_part(page(losing)))
    for text in (said, shown):
        assert re.search(r"[\d,]+\.\d\d USD (better|worse) than the desk", text)
    assert "result USD fees USD" in said
    for head in ("result, USD", "fees, USD", "equity, USD"):
        assert head in shown
    assert ">result<" not in page(losing)
    gap = replace(losing, ledger=LedgerView(Decimal(99_000), -12.5))
    assert "own account differ by \N{MINUS SIGN}12.50 USD." in terminal(gap)
    assert "\N{MINUS SIGN}12.50 USD beside the desk" in own_part(page(gap))


def test_quantities_are_never_without_their_unit(losing: RunData) -> None:
    legs = [(trip.engine, leg) for trip in build_trips(losing) for leg in trip.legs]
    units = {(engine, leg.instrument): leg.unit for engine, leg in legs}
    assert units == {
        (Engine.BINARY, "sim:EURUSD"): "USD",  # a stake
        (Engine.SPOT, "sim:EURUSD"): "EUR",
        (Engine.SPOT, "sim:BTCUSDT"): "BTC",
        (Engine.ARBITRAGE, "sim:BTCUSDT"): "BTC",
        (Engine.ARBITRAGE, "simfut:BTCUSD"): "contracts",
    }
    shown = re.sub(r"<[^>]+>", " ", own_part(page(losing)))
    assert re.search(r"(call|put), stake [\d,.]+ USD\\u003c", shown)  # on the chart
    assert re.search(r"(buy|sell) [\d,.]+ BTC, sim:BTCUSDT", shown)  # among what is open


def test_an_earning_desk_and_one_that_did_nothing_are_told_so() -> None:
    row = {"ts_recv_ns": START_NS, "equity": 100_000.0, "approved": 1, "side": 1, "engine": 1}
    assert "The desk earned 250.00 USD" in terminal(run_data([row], equity_end=100_250.0))
    assert "The desk broke even" in terminal(run_data([row]))
    assert "The desk did not trade" in terminal(run_data())


WARNINGS = [
    ("simulated", {"simulated": True}, "The market is simulated"),
    ("overlap", {"model": ModelInfo("gru", "1", "ef", "", True)}, "overlaps the span"),
    ("notice", {"model": ModelInfo("gru", "1", "ef", "fell back", False)}, "fell back"),
    ("rows lost", {"rows": 1001}, "1 tape rows are neither on the log nor in quarantine"),
]


@pytest.mark.parametrize(("over", "words"), [w[1:] for w in WARNINGS], ids=[w[0] for w in WARNINGS])
def test_warnings_reach_every_reader(over: dict[str, Any], words: str) -> None:
    data = replace(run_data(), **over)
    assert words in " ".join(build_report(data)["warnings"])
    assert words in terminal(data)
    assert words in own_part(page(data))
    assert build_report(run_data())["warnings"] == []


def test_a_ledger_that_does_not_hold_is_loud(losing: RunData) -> None:
    wrong = [dict(row) for row in losing.journal]
    account, asset, amount = wrong[3]["postings"][0]
    wrong[3]["postings"] = [[account, asset, amount + "1"], *wrong[3]["postings"][1:]]
    data = replace(losing, journal=wrong)
    report = build_report(data)
    assert report["ledger"]["balanced"] is False
    assert report["ledger"]["drift"] != "0"
    assert "DOES NOT HOLD" in terminal(data)
    assert "DOES NOT HOLD" in own_part(page(data))


def test_the_page_needs_no_network(losing: RunData) -> None:
    own = own_part(page(losing))
    assert not re.findall(r"(?i)(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", own)
    links = r"""(?i)\b(?:src|href|action|data)\s*=\s*["']?([^"'\s>]+)"""
    assert re.findall(links, own) == ["data:,"]  # the icon: none
    assert "@import" not in own
    assert "url(" not in own


class _Tags(HTMLParser):
    """Fails where an element is not closed in order."""

    VOID = frozenset({"meta", "link", "br", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_simulated_data_is_labelled_and_text_is_escaped() -> None:
    name = "<script>alert(1)</script>"
    table = InstrumentTable(1, "USD", (instrument(0, "EURUSD", InstrumentKind.SPOT, name=name),))
    data = run_data(table=table, prices={0: ([START_NS, START_NS + 9], [1.0, 2.0])})
    own = own_part(page(replace(data, simulated=True, tapes=[name], sources=[name])))
    assert "SIMULATED MARKET" in own
    assert "SIMULATED MARKET" not in own_part(page(data))
    assert name not in own
    tags = _Tags()
    tags.feed(own)
    assert tags.open == []


def test_figures_are_json_with_every_section(losing: RunData) -> None:
    own = own_part(page(losing))
    tags = _Tags()
    tags.feed(own)
    assert tags.open == []
    figures = json.loads(re.findall(r'id="figures">(.*?)</script>', own, re.S)[0])
    names = {trace.get("name") for figure in figures["price"] for trace in figure["data"]}
    assert names >= {
        "mid", "binary entry", "spot entry", "arbitrage entry", "exit with a gain",
        "exit with a loss", "Fibonacci level", "to take-profit", "to stop",
    }  # fmt: skip
    assert figures["equity"]["data"][0]["name"] == "desk"
    assert len(figures["latency"]["layout"]["shapes"]) == 3
    for title in ("Price and trades", "Equity and drawdown", "Engines", "Why it did not trade",
                  "Latency", "Data quality", "Open positions", "Run facts"):  # fmt: skip
        assert f"<h2>{title}</h2>" in own


def test_a_page_of_18000_instruments_and_many_trades_stays_small(tmp_path: Path) -> None:
    base = walking_run(days=12)
    many = tuple(
        instrument(k, f"A{k:05d}USD", InstrumentKind.SPOT, base=f"A{k:05d}", quote="USD")
        for k in range(18_000)
    )
    spread = base.reports.ref_id % 40
    symbol = base.decisions.seq % 40
    table = InstrumentTable(1, "USD", many)
    data = replace(
        base,
        instruments=table,
        decisions=base.decisions._replace(
            symbol=symbol.astype("int32"), engine=0 * base.decisions.engine + 1
        ),
        reports=base.reports._replace(symbol=spread.astype("int32")),
        prices={k: PriceSample(base.prices[0].ts_recv_ns, base.prices[0].mid) for k in range(60)},
    )
    trips = build_trips(data) * 80  # more than are drawn
    write_page(data, build_report(data), trips, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(text.encode()) < BYTES_MOST
    assert "the 12 most traded of 18,000 instruments" in text
    assert "with the largest results of" in text


def test_a_market_of_one_moment_is_drawn_as_a_point() -> None:
    moment = Curve(np.array([START_NS]), np.array([100.0]))
    longer = Curve(np.array([START_NS, START_NS + 10**9]), np.array([100.0, 101.0]))
    for curve, mode in ((moment, "lines+markers"), (longer, "lines")):
        figure = equity_figure(curve, None, held_name="", currency="USD")
        assert {trace["mode"] for trace in figure["data"]} == {mode}
