"""What a venue's symbol stands for, and the table that tapes are made into."""

import numpy as np
import pytest

from schemas.instruments import Instrument, InstrumentKind, InstrumentTable
from tests.tape_files import quotes, trades, write
from venues.tape import TapeFeed, open_tapes
from venues.tape.steps import Steps, step_text
from venues.venue_classes import VENUES, UnlistedVenueError, instrument, terms

OPTION = InstrumentKind.OPTION
SPOT, LINEAR, INVERSE, EVENT = (
    InstrumentKind.SPOT, InstrumentKind.LINEAR, InstrumentKind.INVERSE, InstrumentKind.EVENT,
)  # fmt: skip

SYMBOLS = [
    # venue           symbol         kind     base    quote   settle  contract size
    ("binance_spot",  "BTCUSDT",     SPOT,    "BTC",  "USDT", "USDT", "1"),
    ("binance_spot",  "XRPETH",      SPOT,    "XRP",  "ETH",  "ETH",  "1"),
    ("binance",       "BTCBUSD",     SPOT,    "BTC",  "BUSD", "BUSD", "1"),
    ("binance",       "ADAUSD_PERP", INVERSE, "ADA",  "USD",  "ADA",  "10"),
    ("binance",       "BNBUSD_PERP", INVERSE, "BNB",  "USD",  "BNB",  "10"),
    ("binance",       "OPUSDT",      SPOT,    "OP",   "USDT", "USDT", "1"),
    ("binance",       "SUIUSDT_PERP", LINEAR, "SUI",  "USDT", "USDT", "1"),
    ("binance_usdm",  "BTCUSDT",     LINEAR,  "BTC",  "USDT", "USDT", "1"),
    ("binance_coinm", "BTCUSD_PERP", INVERSE, "BTC",  "USD",  "BTC",  "100"),
    ("binance_coinm", "ETHUSD_PERP", INVERSE, "ETH",  "USD",  "ETH",  "10"),
    ("binance_coinm", "BTCUSD_240927", INVERSE, "BTC", "USD", "BTC",  "100"),
    ("binance_perp",  "BTCUSD",      INVERSE, "BTC",  "USD",  "BTC",  "100"),
    ("binance_perp",  "ADAUSDT",     LINEAR,  "ADA",  "USDT", "USDT", "1"),
    ("bybit_perp",    "BTCUSD",      INVERSE, "BTC",  "USD",  "BTC",  "1"),
    ("bybit_perp",    "BTCUSDT",     LINEAR,  "BTC",  "USDT", "USDT", "1"),
    ("bybit_inverse", "BTCUSD",      INVERSE, "BTC",  "USD",  "BTC",  "1"),
    ("bybit_linear",  "BTCUSDT",     LINEAR,  "BTC",  "USDT", "USDT", "1"),
    ("bybit_linear",  "BTCPERP",     LINEAR,  "BTC",  "USDC", "USDC", "1"),
    ("bybit_linear",  "BTCUSDT-26JUN26", LINEAR, "BTC", "USDT", "USDT", "1"),
    ("bybit_linear",  "BTC-26JUN26", LINEAR,  "BTC",  "USDC", "USDC", "1"),
    ("bitfinex",      "tBTCF0:USTF0", LINEAR, "BTC",  "USDT", "USDT", "1"),
    ("coinbase",      "BTC-USD",     SPOT,    "BTC",  "USD",  "USD",  "1"),
    ("deribit",       "BTC-26MAR27-56000-C", OPTION, "BTC", "BTC", "BTC", "1"),
    ("deribit",       "XRP_USDC-27DEC24-0d55-P", OPTION, "XRP", "USDC", "USDC", "1"),
    ("gemini",        "BTCGUSDPERP", LINEAR,  "BTC",  "GUSD", "GUSD", "1"),
    ("coinbase",      "EOSBTC",      SPOT,    "EOS",  "BTC",  "BTC",  "1"),
    ("hitbtc",        "ETHUSDC",     SPOT,    "ETH",  "USDC", "USDC", "1"),
    ("kraken",        "XBTUSDT",     SPOT,    "BTC",  "USDT", "USDT", "1"),
    ("kraken",        "BCHEUR",      SPOT,    "BCH",  "EUR",  "EUR",  "1"),
    ("bitflyer",      "BTCJPY",      SPOT,    "BTC",  "JPY",  "JPY",  "1"),
    ("ftx",           "BTC-PERP",    LINEAR,  "BTC",  "USD",  "USD",  "1"),
    ("oanda",         "EURUSD",      SPOT,    "EUR",  "USD",  "USD",  "1"),
    ("fxcm",          "USD/JPY",     SPOT,    "USD",  "JPY",  "JPY",  "1"),
    ("oanda",         "XAUUSD",      SPOT,    "XAU",  "USD",  "USD",  "1"),
    ("US_NBBO",       "AIG",         SPOT,    "AIG",  "USD",  "USD",  "1"),
    ("FINRA_ADF",     "BRK.B",       SPOT,    "BRK.B", "USD", "USD",  "1"),
    ("cme",           "ESH4",        LINEAR,  "ES",   "USD",  "USD",  "50"),
    ("comex",         "GC201312",    LINEAR,  "XAU",  "USD",  "USD",  "100"),
    ("polymarket",    "will-it-rain", EVENT,  "will-it-rain", "USDC", "USDC", "1"),
    ("sim_c",         "BTCUSD_INV",  INVERSE, "BTC",  "USD",  "BTC",  "10"),
]  # fmt: skip


@pytest.mark.parametrize("case", SYMBOLS, ids=[f"{c[0]}:{c[1]}" for c in SYMBOLS])
def test_symbol(case):
    assert terms(case[0], case[1]) == case[2:]


UNREADABLE = [
    ("binance_spot", "USDT"), ("binance_spot", "BTC"), ("binance_spot", "BTC??USDT"),
    ("binance_spot", ""), ("binance_usdm", "XRPUSDT_MARK"), ("binance_coinm", "BTCUSDT_PERP"),
    ("kraken", "BTCXYZ"), ("coinbase", "BTC-BTC"), ("oanda", "EUREUR"), ("oanda", "BTCUSD"),
    ("bitfinex", "tBTCF0:EUTF0"), ("deribit", "BTC-26MAR27-56000-X"), ("gemini", "GUSDPERP"),
    ("cme", "ZZH4"), ("comex", "GC2013"), ("US_NBBO", "aig"), ("polymarket", ""),
]  # fmt: skip


@pytest.mark.parametrize(("venue", "name"), UNREADABLE)
def test_unreadable_symbol(venue, name):
    assert terms(venue, name) is None


def made(venue: str, name: str) -> Instrument:
    """An instrument as its class of venues says."""
    found = terms(venue, name)
    assert found is not None
    return instrument(
        venue, name, found, lane=0, symbol=0, tick=None, lot=None, has_quotes=True,
        clock_offset_ns=0,
    )  # fmt: skip


SHORT = [
    # what                                   venue           market          can be sold short
    ("coins are there or not",               "binance_spot",  "BTCUSDT",      False),
    ("nor through ccxt",                     "ccxt-upbit",    "BTC/EUR",      False),
    ("a perpetual is a contract",            "binance_usdm",  "BTCUSDT",      True),
    ("also where a vendor files it as spot", "binance",       "SUIUSDT_PERP", True),
    ("and inverse",                          "binance",       "ADAUSD_PERP",  True),
    ("beside spot at one venue",             "okx",           "BTC-USDT-SWAP", True),
    ("whose coins are coins",                "okx",           "BTC-USDT",     False),
    ("through ccxt",                         "ccxt-upbit",    "BTC/USDT:USDT", True),
    ("FX is on margin",                      "oanda",         "EURUSD",       True),
    ("shares can be borrowed",               "US_NBBO",       "AIG",          True),
    ("who holds no event cannot sell it",    "polymarket",    "will-it-rain", False),
]  # fmt: skip


@pytest.mark.parametrize(("what", "venue", "name", "can"), SHORT, ids=[c[0] for c in SHORT])
def test_who_can_be_sold_short(what, venue, name, can):
    assert made(venue, name).can_short is can


COUNTED = [
    # venue          market         a quantity of 1 is one
    ("binance_spot", "BTCUSDT",     "BTC"),
    ("oanda",        "EURUSD",      "EUR"),
    ("binance_usdm", "BTCUSDT",     "BTC"),
    ("cme",          "ESH4",        "contracts"),
    ("bybit_perp",   "BTCUSD",      "contracts"),  # of 1 USD
    ("polymarket",   "will-it-rain", "contracts"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("venue", "name", "unit"), COUNTED, ids=[f"{c[0]}:{c[1]}" for c in COUNTED]
)
def test_what_a_quantity_counts(venue, name, unit):
    assert made(venue, name).qty_unit == unit


def test_unlisted_venue():
    with pytest.raises(UnlistedVenueError):
        terms("moon", "BTCUSDT")


def test_assumptions_are_usable_numbers():
    for name, one in VENUES.items():
        assert -0.001 < float(one.maker) <= float(one.taker) < 0.01, name
        assert float(one.tick) > 0.0, name
        assert float(one.lot) > 0.0, name


STEPS = [
    # numbers                              decimals
    ([1.0, 25.0, 3.0], 0),
    ([100.0, 5000.0], 0),  # a step above one is not looked for
    ([0.5, 1.25, 3.0], 2),
    ([61837.63, 61837.6], 2),
    ([0.00001234], 8),
    ([1.39876, 1.0], 5),
    ([0.1 + 0.2], 1),  # the last bit of a float is not a step
    ([1 / 3], 10),  # computed, not quoted
    ([-5.0, 0.0, float("nan"), float("inf")], None),
    ([0.1, float("nan"), -0.01], 1),
]


@pytest.mark.parametrize(("numbers", "decimals"), STEPS, ids=[str(c[0]) for c in STEPS])
def test_the_smallest_step_that_holds_all(numbers, decimals):
    steps = Steps(10)
    for number in numbers:  # one by one, and between numbers of another market
        steps.add(np.array([2, 0], np.int32), np.array([number, 7.0]))
    assert steps.decimals(2) == decimals
    assert steps.decimals(0) == 0
    assert steps.decimals(1) is None
    assert steps.decimals(99) is None


def test_step_as_text():
    assert [step_text(d) for d in (0, 1, 8)] == ["1", "0.1", "0.00000001"]


@pytest.fixture
def feed(tmp_path) -> TapeFeed:
    """BTC on three venues, ETH on one, EURUSD without sizes, and a symbol that cannot be read."""
    write(tmp_path / "a.parquet", trades(
        5, venue=["kraken", "binance_usdm", "binance_coinm", "binance_spot", "binance_spot"],
        symbol=["XBTEUR", "BTCUSDT", "BTCUSD_PERP", "ETHUSDT", "??"],
        price=[100.25, 10.5, 7.0, 3.0, 0.001],
    ))  # fmt: skip
    write(tmp_path / "b.parquet", quotes(2, symbol=["ETHUSDT"] * 2, bid_px=[3.0, 3.125]))
    write(tmp_path / "c.parquet", quotes(
        2, venue=["oanda"] * 2, symbol=["EURUSD"] * 2, bid_px=[1.10001, 1.1], ask_px=[1.2, 1.2],
        bid_sz=[float("nan")] * 2, ask_sz=[float("nan")] * 2,
    ))  # fmt: skip
    return open_tapes(sorted(tmp_path.glob("*.parquet")), lanes=2)


def found(feed: TapeFeed, id_: str) -> Instrument:
    return next(i for i in feed.table.instruments if i.id == id_)


def test_assets_go_round_the_lanes_and_stay_together(feed):
    assert [(i.id, i.lane, i.symbol) for i in feed.table.instruments] == [
        ("binance_coinm:BTCUSD_PERP", 0, 0),  # BTC is the first asset, ETH the second
        ("binance_usdm:BTCUSDT", 0, 1),
        ("kraken:XBTEUR", 0, 2),
        ("oanda:EURUSD", 0, 3),  # EUR is the third of two lanes
        ("binance_spot:ETHUSDT", 1, 0),
    ]


def test_ticks_and_lots_are_what_the_rows_show(feed):
    ids = [i.id for i in feed.table.instruments]
    assert [found(feed, i).tick for i in ids] == ["1", "0.1", "0.01", "0.00001", "0.001"]
    assert [found(feed, i).lot for i in ids] == ["0.1", "0.1", "0.1", "1", "0.1"]
    assert "lot assumed" in found(feed, "oanda:EURUSD").assumed
    assert "tick the smallest step seen" in found(feed, "oanda:EURUSD").assumed


def test_quotes_decide_who_may_have_binary_contracts(feed):
    eth, btc = found(feed, "binance_spot:ETHUSDT"), found(feed, "binance_usdm:BTCUSDT")
    assert (eth.has_quotes, eth.binary_payout) == (True, "0.85")
    assert (btc.has_quotes, btc.binary_payout) == (False, "0")


def test_desk_currency_is_what_most_markets_are_quoted_in(feed, tmp_path):
    assert feed.table.desk_currency == "USD"
    path = write(tmp_path / "jpy.parquet", trades(
        2, venue=["bitflyer", "btcbox"], symbol=["BTCJPY"] * 2))  # fmt: skip
    assert open_tapes([path]).table.desk_currency == "JPY"
    tie = write(tmp_path / "tie.parquet", trades(2, symbol=["BTCUSDT", "BTCEUR"]))
    assert open_tapes([tie]).table.desk_currency == "EUR"
    options = write(tmp_path / "options.parquet", trades(
        2, venue=["deribit"] * 2,
        symbol=["BTC-26MAR27-56000-C", "BTC-26MAR27-56000-P"]))  # fmt: skip
    assert open_tapes([options]).table.desk_currency == "USD"  # not BTC: nobody can trade them


def test_the_table_survives_its_record(feed):
    assert InstrumentTable.from_json(feed.table.to_json()) == feed.table


def test_us_equities_have_no_binary_contracts(tmp_path):
    path = write(tmp_path / "t.parquet", quotes(2, venue=["US_NBBO"] * 2, symbol=["AIG"] * 2))
    assert open_tapes([path]).table.instruments[0].binary_payout == "0"
