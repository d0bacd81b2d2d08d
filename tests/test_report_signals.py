"""What a run says of its features: how warm each was, on the terminal, the page and in JSON."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from console.report.page import render_page
from console.report.signals import WarmShares, signals_line
from console.report.signals_table import signals_section
from console.report.summary import build_report
from console.report.terminal import print_summary
from operators.features.registry import NAMES as ALL_NAMES
from operators.features.registry import SETS
from schemas.instruments import InstrumentKind
from schemas.kinds import NO_SYMBOL, Kind
from schemas.signal_rows import SignalRows
from tests import feature_cases
from tests.derivative_cases import START_NS, market_of, table
from tests.test_report_synthetic import run_data

NAN = float("nan")
OPTION = {"kind": InstrumentKind.OPTION, "expiry_ns": START_NS, "strike": "100", "right": "C"}
SPOT, LINEAR = {"kind": InstrumentKind.SPOT}, {"kind": InstrumentKind.LINEAR}
ETHER = SPOT | {"base": "ETH"}
NAMES = ("cvd", "microprice", "imbalance_levels")
# fmt: off
ROWS = [  # lane, symbol, kind, values of NAMES
    (1, 0, Kind.QUOTE,     (NAN, 1.0, NAN)),
    (1, 0, Kind.TRADE,     (1.0, 1.0, NAN)),
    (1, 0, Kind.TRADE,     (2.0, NAN, NAN)),
    (1, 0, Kind.TRADE,     (2.0, NAN, NAN)),
    (1, 0, Kind.FUNDING,   (NAN, NAN, NAN)),  # it has quotes and trades: others are not counted
    (1, 1, Kind.BOOK,      (NAN, 5.0, 0.5)),  # no trade: cvd does not apply
    (1, 1, Kind.BOOK,      (NAN, NAN, NAN)),
    (3, 0, Kind.FUNDING,   (NAN, NAN, NAN)),  # neither does anything
    (1, NO_SYMBOL, Kind.HEARTBEAT, (NAN, NAN, NAN)),
]
SHARES = {"cvd": 3 / 4, "microprice": 3 / 6, "imbalance_levels": 1 / 2}
# fmt: on


def rows_of(cases: Sequence[tuple[int, int, Kind, tuple[float, ...]]]) -> SignalRows:
    lane, symbol, kind, values = zip(*cases, strict=True)
    n = len(cases)
    return SignalRows(
        seq=np.arange(n), lane=np.array(lane, np.int16), market_seq=np.arange(n),
        kind=np.array(kind, np.uint8), flags=np.ones(n, np.uint8),
        symbol=np.array(symbol, np.int32), ts_event_ns=np.arange(n), ts_recv_ns=np.arange(n),
        values=np.array(values),
    )  # fmt: skip


@pytest.mark.parametrize("cut", [0, 1, 5, len(ROWS)])
def test_the_share_is_of_the_rows_of_instruments_that_can_have_it(cut: int) -> None:
    counted = WarmShares(feature_cases.table(), NAMES)
    for part in (ROWS[:cut], ROWS[cut:]):
        if part:
            counted.add(rows_of(part))
    assert counted.shares() == SHARES


def test_a_feature_without_an_instrument_has_no_share() -> None:
    counted = WarmShares(feature_cases.table(), NAMES)
    counted.add(rows_of(ROWS[:5]))
    assert counted.shares() == {"cvd": 3 / 4, "microprice": 1 / 2, "imbalance_levels": None}
    assert WarmShares(feature_cases.table(), ()).shares() == {}


# fmt: off
ABOUT = [  # feature, the instruments of lane 0, in which of them it can have a value
    ("implied_vol",      [OPTION, SPOT],                [True, False]),
    ("basis_bps",        [LINEAR, SPOT],                [True, False]),
    ("basis_bps",        [LINEAR, OPTION],              [False, False]),
    ("correlation_mean_1m", [SPOT, LINEAR],             [True, True]),
    ("correlation_mean_1m", [SPOT, OPTION],             [False, False]),
    ("rotation_rank_1h", [SPOT, LINEAR],                [False, False]),  # one asset
    ("rotation_rank_1h", [SPOT, ETHER],                 [True, True]),
]
# fmt: on


@pytest.mark.parametrize(("name", "instruments", "can"), ABOUT)
def test_a_feature_is_about_some_instruments_only(
    name: str, instruments: list[dict[str, Any]], can: list[bool]
) -> None:
    each = [market_of(k, **given) for k, given in enumerate(instruments)]
    for k, expected in enumerate(can):
        counted = WarmShares(table(*each), [name])
        counted.add(rows_of([(0, k, Kind.QUOTE, (1.0,))]))
        assert counted.shares() == {name: 1.0 if expected else None}


def test_in_words() -> None:
    shares = {"a": 0.0, "b": 0.25, "c": None, "d": 1.0, "e": 0.5}
    said = "3 of 5 features had values, 1 without the rows that they read; warm least: a 0.0 %, "
    line = signals_line(shares).replace("\N{NO-BREAK SPACE}", " ")
    assert line == said + "b 25.0 %, e 50.0 % of rows"
    assert signals_line({"c": None}).endswith("1 without the rows that they read")


class Cells(HTMLParser):
    """Texts of table cells."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._inside = tag == "td"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts.append(data)


def test_the_page_and_the_terminal_have_them_and_json_too() -> None:
    data = replace(run_data(), signals={**SHARES, "<new>": None})
    report = build_report(data, [])
    assert json.loads(json.dumps(report))["signals"] == {**SHARES, "<new>": None}
    page = render_page(data, report, [])
    assert "<h2>Market features</h2>" in page
    cells = Cells()
    cells.feed(signals_section(report["signals"]))
    assert cells.texts[:2] == ["cvd", "75.0\N{NO-BREAK SPACE}%"]
    assert "instrument's units" in cells.texts
    assert "applies to no instrument" in cells.texts
    assert page.count("<details open>") == 3
    assert "flow: 2 of 2 had values" in page
    assert "others: 0 of 1 had values" in page
    out = io.StringIO()
    print_summary(report, Console(file=out, width=200, color_system=None))
    assert "3 of 4 features had values" in out.getvalue()


def test_many_features_are_closed_by_set_and_cold_ones_say_when_they_are_null() -> None:
    found = signals_section({**dict.fromkeys(ALL_NAMES, 0.5), "basis_annual": 0.0})
    assert found.count("<details>") == len(SETS)
    assert "derivatives: 20 of 21 had values" in found
    assert found.count("; null: ") == 1
    assert "no expiry, or its last day" in found


def test_a_run_without_features_says_nothing_of_them() -> None:
    data = run_data()
    report = build_report(data, [])
    assert report["signals"] == {}
    assert "Market features" not in render_page(data, report, [])
    out = io.StringIO()
    print_summary(report, Console(file=out, width=200, color_system=None))
    assert "features had values" not in out.getvalue()
