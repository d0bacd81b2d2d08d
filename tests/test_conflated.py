"""Promise: instruments whose feed joins changes have no order-flow imbalance and no detectors."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from operators.features.detection.registry import FEATURES as DETECTORS
from operators.features.feature import Terms
from operators.features.flow.registry import FEATURES as FLOW
from operators.features.signal import Signal
from schemas.instruments import InstrumentKind, InstrumentTable
from tests import feature_cases
from tests.detection_cases import busy_market, shown
from tests.flow_cases import Flow, mixed_flow
from venues.venue_classes import UnlistedVenueError, instrument, terms, venue_class

TABLE = feature_cases.table()
CONFLATED = InstrumentTable(
    TABLE.lanes, TABLE.desk_currency,
    tuple(replace(one, conflated=k == 0) for k, one in enumerate(TABLE.instruments)),
)  # fmt: skip
OFI = [feature.name for feature in FLOW if feature.name.startswith("ofi_")]


def test_order_flow_imbalance_is_null_for_ever_and_the_rest_is_as_it_was() -> None:
    rows = mixed_flow(6_000, 5)
    found = []
    for table in (TABLE, CONFLATED):
        flow = Flow(table, [*OFI, "imbalance_best", "imbalance_levels"])
        found.append(flow.columns(flow.step(flow.initial(), rows)[1]))
    exact, joined = found
    arrays = TABLE.arrays()
    first = arrays.base[rows.lane] + rows.symbol == 0
    for name in exact:
        here = exact[name].copy()
        if name in OFI:
            assert np.isfinite(here[first]).any(), name
            here[first] = np.nan
        np.testing.assert_array_equal(joined[name], here, name)


@pytest.mark.parametrize("prefix", ["iceberg", "spoof", "layering"])
def test_detectors_say_nothing(prefix: str) -> None:
    rows = busy_market(4_000, 3)
    features = [feature for feature in DETECTORS if feature.name.startswith(prefix)]
    makers = {feature.operator for feature in features}
    assert len(makers) == 1
    told = []
    for table in (TABLE, CONFLATED):
        operator: Signal[Any] = next(iter(makers))(Terms.of(table))
        told.append(shown(operator, rows))
    arrays = TABLE.arrays()
    first = arrays.base[rows.lane] + rows.symbol == 0
    for feature in features:
        exact, joined = (found[feature.name] for found in told)
        assert np.isnan(joined[first]).all()
        np.testing.assert_array_equal(joined[~first], exact[~first])
    assert any(np.isfinite(told[0][feature.name][first]).any() for feature in features)


def test_tables_of_older_logs_load_and_keep_their_digests() -> None:
    """A table without conflated instruments is written as it was before there were any."""
    text = TABLE.to_json()
    assert "conflated" not in text
    assert InstrumentTable.from_json(text) == TABLE
    assert not TABLE.arrays().conflated.any()
    assert CONFLATED.digest() != TABLE.digest()
    again = InstrumentTable.from_json(CONFLATED.to_json())
    assert again == CONFLATED
    assert again.arrays().conflated.tolist() == [1, *[0] * (len(TABLE.instruments) - 1)]
    records = json.loads(CONFLATED.to_json())["instruments"]
    assert [record.get("conflated") for record in records] == [True, *[None] * (len(records) - 1)]


K = InstrumentKind
# fmt: off
NAMES = [  # venue, its name of a market: kind, base, quote, settle; is conflated
    ("ccxt-bitvavo", "BTC/EUR",           (K.SPOT, "BTC", "EUR", "EUR"),         True),
    ("ccxt-phemex",  "BTC/USDT:USDT",     (K.LINEAR, "BTC", "USDT", "USDT"),     True),
    ("ccxt-phemex",  "BTC/USD:BTC",       (K.INVERSE, "BTC", "USD", "BTC"),      True),
    ("ccxt-phemex",  "BTC/USD:ETH",       None,                                  True),
    ("ccxt-phemex",  "BTC/USD:BTC-261225", None,                                 True),
    ("mt5",          "EURUSD",            (K.SPOT, "EUR", "USD", "USD"),         False),
    ("mt5",          "EURUSD.r",          (K.SPOT, "EUR", "USD", "USD"),         False),
    ("mt5",          "XAUUSDm",           (K.SPOT, "XAU", "USD", "USD"),         False),
    ("mt5",          "DE40",              None,                                  False),
    ("uniswap_v2",   "WETH/USDC@0x" + "ab" * 20, (K.SPOT, "ETH", "USDC", "USDC"), True),
    ("uniswap_v2",   "UNI/WETH@0x" + "Ab" * 20,  (K.SPOT, "UNI", "ETH", "ETH"),  True),
    ("uniswap_v2",   "WETH/USDC",         None,                                  True),
]
# fmt: on


@pytest.mark.parametrize(("venue", "name", "known", "is_conflated"), NAMES)
def test_what_relayed_venues_names_stand_for(
    venue: str, name: str, known: tuple[object, ...] | None, is_conflated: bool
) -> None:
    found = terms(venue, name)
    assert (found and tuple(found[:4])) == known
    assert venue_class(venue).conflated == is_conflated
    if found is not None:
        one = instrument(
            venue, name, found, lane=0, symbol=0, tick=None, lot=None, has_quotes=True,
            clock_offset_ns=0,
        )  # fmt: skip
        assert one.conflated == is_conflated


def test_ccxt_alone_is_no_venue() -> None:
    for name in ("ccxt", "ccxt-"):
        with pytest.raises(UnlistedVenueError):
            venue_class(name)
