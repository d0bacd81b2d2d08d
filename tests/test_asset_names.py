"""Promise: an asset is one asset whatever a venue calls it, wherever bases are compared.

And an option is never taken for a market of its asset: it gives no rate, and cannot be traded.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators.features.cross.members import asset_members
from operators.features.derivatives.chains import chains_of
from operators.features.derivatives.fund_flows import FundFlow
from operators.features.feature import FundFlows
from operators.market.books.consolidated import asset_groups
from schemas.instruments import ALIASES, InstrumentKind, asset_of
from tests.derivative_cases import DAY_NS, START_NS, market_of, quote, rows, run, table
from venues.fund_flows import read_fund_flows
from venues.venue_classes import terms

SPOT, LINEAR, OPTION = InstrumentKind.SPOT, InstrumentKind.LINEAR, InstrumentKind.OPTION
EXPIRY_NS = START_NS + 30 * DAY_NS
BOTH = table(market_of(0, base="BTC"), market_of(1, LINEAR, base="XBT"), market_of(2, base="ETH"))


@pytest.mark.parametrize(
    ("name", "asset"),
    [("XBT", "BTC"), ("XXBT", "BTC"), ("XDG", "DOGE"), ("BTC", "BTC"), ("kPEPE", "kPEPE")],
)
def test_asset_of_a_name(name: str, asset: str) -> None:
    assert asset_of(name) == asset


def test_an_alias_stands_for_no_other_alias() -> None:
    assert not set(ALIASES) & set(ALIASES.values())


# fmt: off
NAMED = [  # venue, its name, base: as read from the name, so that tables have one already
    ("kraken",         "XBT/USD",   "BTC"),
    ("kraken",         "XDG/USD",   "DOGE"),
    ("kraken_futures", "PI_XBTUSD", "BTC"),
]
# fmt: on


@pytest.mark.parametrize(("venue", "name", "base"), NAMED)
def test_names_are_read_as_assets(venue: str, name: str, base: str) -> None:
    found = terms(venue, name)
    assert found is not None
    assert found.base == base


def test_partners_are_of_one_asset() -> None:
    partners = BOTH.arrays().partners
    assert [partners[k, 0] for k in range(3)] == [1, 0, -1]


def test_books_of_one_asset_are_one_group() -> None:
    assert asset_groups(BOTH).tolist() == [0, 0, 1]


def test_cross_asset_features_see_one_asset() -> None:
    place = asset_members(BOTH).place
    assert place[0] == place[1] != place[2]


def test_options_are_on_the_market_of_their_asset() -> None:
    option: dict[str, Any] = {"expiry_ns": EXPIRY_NS, "strike": "100", "right": "C"}
    found = chains_of(
        table(
            market_of(0, LINEAR, base="XBT"),
            market_of(1, OPTION, base="BTC", quote="BTC", **option),
            market_of(2, OPTION, base="XBT", quote="BTC", **option | {"right": "P"}),
        )
    )
    assert found.expiry_ns.tolist() == [EXPIRY_NS]
    assert found.underlying.tolist() == [0]
    assert found.in_coin.tolist() == [0, 1, 1]


def flows(*assets: str) -> FundFlows:
    known = START_NS + DAY_NS * np.arange(len(assets), dtype=np.int64)
    order = np.arange(len(assets), dtype=np.int32)
    return FundFlows(assets, order, known, 1e6 * (1.0 + order.astype(np.float64)))


@pytest.mark.parametrize(("of_file", "of_table"), [("BTC", "XBT"), ("XBT", "BTC")])
def test_fund_flows_are_those_of_the_asset(of_file: str, of_table: str) -> None:
    market = table(market_of(0, base=of_table))
    found = run(market, FundFlow(market, flows(of_file)), rows(quote(1.0, at=3600)))
    assert found["etf_flow_usd"].tolist() == [1e6]


def test_fund_flows_of_one_asset_under_two_names_are_refused() -> None:
    with pytest.raises(ValueError, match="must name each asset once"):
        FundFlow(BOTH, flows("BTC", "XBT"))


def test_a_file_of_fund_flows_may_use_both_names(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "flows.parquet"
    columns: dict[str, Any] = {
        "ts_ns": [START_NS] * 3, "asset": ["BTC", "XBT", "ETH"], "fund": ["A", "B", "C"],
        "net_flow_usd_m": [1.0, 2.0, 4.0],
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)
    found = read_fund_flows(path)
    assert (found.assets, found.net_usd.tolist()) == (("BTC", "ETH"), [3e6, 4e6])


def test_options_give_no_rate_and_have_none() -> None:
    option: dict[str, Any] = {"expiry_ns": EXPIRY_NS, "strike": "100", "right": "C"}
    of = table(
        market_of(0, OPTION, base="BTC", quote="USDC", **option),
        market_of(1, OPTION, base="BTC", quote="BTC", **option),
        market_of(2, base="ETH", quote="BTC"),
        market_of(3, base="BTC", quote="USD"),
    )
    # ETH/BTC is converted by the spot market, not by the option that stands before it
    assert of.arrays().rate_row.tolist() == [-2, -2, 3, -1]
