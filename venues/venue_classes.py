"""What is assumed of each venue where its recordings do not say: kinds, names, sizes, costs.

A tape says venue, symbol, prices and times; everything else here is the usual value of that class
of venue at the time of writing, and `Instrument.assumed` says so. Fees are fractions of notional
at the entry level, positive is paid.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from schemas.instruments import Instrument, InstrumentKind, asset_of
from venues.contracts import contract_of

CCXT = "ccxt-"  # before the name of an exchange that is asked through ccxt
CONTRACTS = (InstrumentKind.LINEAR, InstrumentKind.INVERSE)  # sold without owning, at any venue
BINARY_PAYOUT = "0.85"  # a usual offer of binary brokers on FX, metals and crypto


class Terms(NamedTuple):
    """What a venue's symbol stands for."""

    kind: InstrumentKind
    base: str
    quote: str
    settle: str
    contract_size: str


Rule = Callable[[str], Terms | None]  # None: the venue has no such symbol


class UnlistedVenueError(LookupError):
    """No class of venues names this one."""


@dataclass(frozen=True)
class VenueClass:
    """Assumptions that the venues of one class share."""

    what: str
    rule: Rule
    maker: str
    taker: str
    can_short: bool  # what it lists as spot; futures and perpetuals always can
    binary: bool  # binary contracts are offered on its quoted markets
    tick: str  # where a tape shows no price
    lot: str  # where a tape shows no size
    conflated: bool = False  # one row joins several changes of the market


# Longest first, so that USDT is not read as USD with a T.
_QUOTES = ("USDT", "USDC", "BUSD", "USD", "EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "BTC", "ETH")
_METALS = ("XAG", "XAU", "XPD", "XPT")
_CURRENCIES = frozenset(
    (*_METALS, "AUD", "CAD", "CHF", "CNH", "EUR", "GBP", "HKD", "JPY", "NZD", "SEK", "SGD", "USD")
)
_MONTHS = "FGHJKMNQUVXZ"
_TOKEN = r"[A-Za-z0-9.]{1,12}"  # what an ERC-20 token calls itself
_PRODUCTS = {  # root: base, base units of one contract
    "ES": ("ES", "50"),
    "NQ": ("NQ", "20"),
    "GC": ("XAU", "100"),
    "SI": ("XAG", "5000"),
    "6A": ("AUD", "100000"),
    "6B": ("GBP", "62500"),
    "6C": ("CAD", "100000"),
    "6E": ("EUR", "125000"),
    "6J": ("JPY", "12500000"),
    "6N": ("NZD", "100000"),
    "6S": ("CHF", "125000"),
}


def _pair(name: str) -> tuple[str, str] | None:
    """Base and quote of a crypto symbol: BTCUSDT, BTC-USD, XBT/USDT."""
    parts = re.split(r"[-/_]", name.upper())
    if len(parts) == 1:
        ends = [q for q in _QUOTES if name.upper().endswith(q)]
        # BNBUSD is BNB in USD, not BN in BUSD; OPUSDT has a base of two letters all the same.
        quote = next((q for q in ends if len(name) - len(q) > 2), ends[0] if ends else "")
        parts = [name.upper().removesuffix(quote), quote]
    if len(parts) != 2 or not all(re.fullmatch(r"[A-Z0-9]{2,12}", part) for part in parts):
        return None
    base, quote = (asset_of(part) for part in parts)
    return (base, quote) if quote in _QUOTES and base != quote else None


def _spot(name: str) -> Terms | None:
    pair = _pair(name)
    return pair and Terms(InstrumentKind.SPOT, *pair, pair[1], "1")


def _linear(name: str) -> Terms | None:
    pair = _pair(name.removesuffix("_PERP"))
    return pair and Terms(InstrumentKind.LINEAR, *pair, pair[1], "1")


def _coin_margined(name: str) -> Terms | None:
    """Contracts of 100 USD of BTC, 10 USD of anything else, settled in the coin."""
    pair = _pair(re.sub(r"_(PERP|\d{6})$", "", name))
    if not pair or pair[1] != "USD":
        return None
    return Terms(InstrumentKind.INVERSE, *pair, pair[0], "100" if pair[0] == "BTC" else "10")


def _binance(name: str) -> Terms | None:
    """Spot, and the derivatives that some vendors file under the same venue with _PERP."""
    if not name.endswith("_PERP"):
        return _spot(name)
    return _coin_margined(name) or _linear(name)


def _binance_perp(name: str) -> Terms | None:
    return _coin_margined(name) or _linear(name)


def _bybit_perp(name: str) -> Terms | None:
    """Coin-margined contracts are of 1 USD here."""
    inverse = _coin_margined(name)
    return inverse._replace(contract_size="1") if inverse else _linear(name)


def _kraken_futures(name: str) -> Terms | None:
    """PI and FI are inverse contracts of 1 USD, PF and FF linear ones of one coin."""
    found = re.fullmatch(r"(PI|FI|PF|FF)_([A-Z0-9]+?)(_\d{6})?", name)
    pair = found and _pair(found[2])
    if not found or not pair or pair[1] != "USD":
        return None
    if found[1] in ("PF", "FF"):
        return Terms(InstrumentKind.LINEAR, *pair, pair[1], "1")
    return Terms(InstrumentKind.INVERSE, *pair, pair[0], "1")


def _okx(name: str) -> Terms | None:
    """BTC-USDT is spot; BTC-USDT-SWAP and BTC-USD-220527 are contracts."""
    found = re.fullmatch(r"([A-Z0-9]+-[A-Z0-9]+)-(SWAP|\d{6})", name)
    if not found:
        return _spot(name)
    if found[1].endswith("-USD"):
        return _coin_margined(found[1])
    return _linear(found[1])


def _deribit(name: str) -> Terms | None:
    """BTC-PERPETUAL and BTC-27DEC24 are inverse with USD quantities, SOL_USDC-PERPETUAL linear.

    BTC-27DEC24-50000-C is an option in BTC, SOL_USDC-27DEC24-190-P one in USDC.
    """
    found = re.fullmatch(
        r"([A-Z0-9]+)(_USD[CT])?-(PERPETUAL|\d{1,2}[A-Z]{3}\d{2})(-\d+(d\d+)?-[CP])?", name
    )
    pair = found and _pair(found[1] + (found[2] or "_USD"))
    if not found or not pair:
        return None
    linear = found[2] is not None
    if found[4]:
        if not contract_of("deribit", name).right:  # its day or strike is none
            return None
        paid_in = pair[1] if linear else pair[0]
        return Terms(InstrumentKind.OPTION, pair[0], paid_in, paid_in, "1")
    if linear:
        return Terms(InstrumentKind.LINEAR, *pair, pair[1], "1")
    return Terms(InstrumentKind.INVERSE, *pair, pair[0], "1")


def _bitfinex(name: str) -> Terms | None:
    """tBTCUSD, tDUSK:USD and tBTCUST (Tether); tapes leave the t out. tBTCF0:USTF0 is linear."""
    body = name.removeprefix("t").replace(":", "-")
    perpetual = re.fullmatch(r"([A-Z0-9]+)F0-USTF0", body)
    if perpetual:
        return _linear(f"{perpetual[1]}-USDT")
    if body.endswith("UST"):
        body = body.removesuffix("UST") + "USDT"
    return _spot(body)


def _hyperliquid(name: str) -> Terms | None:
    if not re.fullmatch(r"k?[A-Z0-9]{1,12}", name):
        return None
    return Terms(InstrumentKind.LINEAR, name, "USDC", "USDC", "1")


def _bybit_linear(name: str) -> Terms | None:
    """BTCUSDT and BTCUSDT-26JUN26 are in USDT; BTCPERP and BTC-26JUN26 in USDC."""
    found = re.fullmatch(r"([A-Z0-9]+?)(PERP|-\d{1,2}[A-Z]{3}\d{2})?", name)
    if not found:
        return None
    in_usdt = found[2] != "PERP" and found[1].endswith("USDT")
    return _linear(found[1] if in_usdt or not found[2] else f"{found[1]}-USDC")


def _gemini(name: str) -> Terms | None:
    """BTCUSD is spot, BTCGUSDPERP a perpetual in Gemini dollars."""
    found = re.fullmatch(r"([A-Z0-9]{2,12})GUSDPERP", name)
    if not found:
        return _spot(name)
    return Terms(InstrumentKind.LINEAR, asset_of(found[1]), "GUSD", "GUSD", "1")


def _ftx(name: str) -> Terms | None:
    """BTC-PERP is quoted and settled in USD; BTC/USD is spot."""
    if not name.endswith("-PERP"):
        return _spot(name)
    pair = _pair(name.removesuffix("-PERP") + "/USD")
    return pair and Terms(InstrumentKind.LINEAR, *pair, pair[1], "1")


def _fx(name: str) -> Terms | None:
    found = re.fullmatch(r"([A-Z]{3})[/_]?([A-Z]{3})", name)
    if not found or found[1] == found[2] or not {found[1], found[2]} <= _CURRENCIES:
        return None
    return Terms(InstrumentKind.SPOT, found[1], found[2], found[2], "1")


def _equity(name: str) -> Terms | None:
    if not re.fullmatch(r"[A-Z]{1,5}(\.[A-Z])?", name):
        return None
    return Terms(InstrumentKind.SPOT, name, "USD", "USD", "1")


def _futures(name: str) -> Terms | None:
    """ESH4 (month letter and year) or GC201312 (year and month)."""
    found = re.fullmatch(rf"([A-Z0-9]{{2}})([{_MONTHS}]\d{{1,2}}|\d{{6}})", name)
    if not found or found[1] not in _PRODUCTS:
        return None
    base, size = _PRODUCTS[found[1]]
    return Terms(InstrumentKind.LINEAR, base, "USD", "USD", size)


def _stock_option(name: str) -> Terms | None:
    """GOOG-20151224-600-C: its price is per share, of which a contract has 100."""
    of = _equity(name.partition("-")[0])
    if of is None or not contract_of("us_options", name).right:
        return None
    return Terms(InstrumentKind.OPTION, of.base, of.quote, of.settle, "100")


def _event(name: str) -> Terms | None:
    if not re.fullmatch(r"\S{1,200}", name):
        return None
    return Terms(InstrumentKind.EVENT, name, "USDC", "USDC", "1")


def _unified(name: str) -> Terms | None:
    """ccxt's own names: BTC/EUR is spot, BTC/USDT:USDT linear, BTC/USD:BTC inverse."""
    found = re.fullmatch(r"([A-Z0-9]{1,20})/([A-Z0-9]{1,20})(?::([A-Z0-9]{1,20}))?", name)
    if not found or found[1] == found[2] or found[3] not in (None, found[1], found[2]):
        return None
    base, quote = found[1], found[2]
    if found[3] is None:
        return Terms(InstrumentKind.SPOT, base, quote, quote, "1")
    kind = InstrumentKind.LINEAR if found[3] == quote else InstrumentKind.INVERSE
    return Terms(kind, base, quote, found[3], "1")


def _broker(name: str) -> Terms | None:
    """EURUSD, and what brokers append to tell their account types apart: EURUSD.r, XAUUSDm."""
    return _fx(re.sub(r"([._#-][A-Za-z0-9]{1,8}|[a-z]{1,4})$", "", name))


def _pool(name: str) -> Terms | None:
    """WETH/USDC@0x...: base, quote, and the pool's address. Wrapped ether is ether, one to one."""
    found = re.fullmatch(rf"({_TOKEN})/({_TOKEN})@0x[0-9a-fA-F]{{40}}", name)
    if not found or found[1] == found[2]:
        return None
    base, quote = ("ETH" if token == "WETH" else token for token in found.groups())
    return Terms(InstrumentKind.SPOT, base, quote, quote, "1")


def _simulated(name: str) -> Terms | None:
    """BTCUSD spot, BTCUSD_LIN linear, BTCUSD_INV inverse of 10 USD."""
    pair = _pair(re.sub(r"_(LIN|INV)$", "", name))
    if not pair:
        return None
    if name.endswith("_INV"):
        return Terms(InstrumentKind.INVERSE, *pair, pair[0], "10")
    kind = InstrumentKind.LINEAR if name.endswith("_LIN") else InstrumentKind.SPOT
    return Terms(kind, *pair, pair[1], "1")


def _crypto_spot(maker: str, taker: str, rule: Rule = _spot) -> VenueClass:
    return VenueClass(
        "crypto spot", rule, maker, taker, can_short=False, binary=True, tick="0.01", lot="0.0001"
    )


def _crypto_perpetual(maker: str, taker: str, rule: Rule) -> VenueClass:
    return VenueClass(
        "crypto perpetual",
        rule,
        maker,
        taker,
        can_short=True,
        binary=True,
        tick="0.01",
        lot="0.001",
    )


_FX = VenueClass(
    "FX and metals on margin, cost in the spread", _fx, "0", "0",
    can_short=True, binary=True, tick="0.00001", lot="1",
)  # fmt: skip
_EQUITY = VenueClass(
    "US equities, borrowable", _equity, "0.00003", "0.00003",
    can_short=True, binary=False, tick="0.01", lot="1",
)  # fmt: skip
_FUTURES = VenueClass(
    "exchange futures", _futures, "0.00001", "0.00001",
    can_short=True, binary=False, tick="0.01", lot="1",
)  # fmt: skip
_STOCK_OPTIONS = VenueClass(
    "US options on stocks, in a consolidated feed", _stock_option, "0.00003", "0.00003",
    can_short=True, binary=False, tick="0.01", lot="1",
)  # fmt: skip
_BROKER = VenueClass(
    "FX and metals of an MT5 broker, cost in the spread", _broker, "0", "0",
    can_short=True, binary=True, tick="0.00001", lot="1000",
)  # fmt: skip
_POOL = VenueClass(
    "constant-product pools, the fee in the quotes", _pool, "0", "0",
    can_short=False, binary=False, tick="0.000001", lot="0.000001", conflated=True,
)  # fmt: skip
_CCXT = VenueClass(
    "crypto that only ccxt knows, polled", _unified, "0.002", "0.0025",
    can_short=False, binary=False, tick="0.01", lot="0.0001", conflated=True,
)  # fmt: skip
_EVENTS = VenueClass(
    "event contracts", _event, "0", "0", can_short=False, binary=False, tick="0.001", lot="0.01"
)
_SIMULATED = VenueClass(
    "simulated", _simulated, "0.00005", "0.0001",
    can_short=True, binary=True, tick="0.01", lot="0.0001",
)  # fmt: skip

VENUES: dict[str, VenueClass] = {
    "binance": _crypto_spot("0.001", "0.001", _binance),
    "binance_spot": _crypto_spot("0.001", "0.001"),
    "binance_us": _crypto_spot("0.001", "0.001"),
    "bitfinex": _crypto_spot("0.001", "0.002", _bitfinex),
    "bitflyer": _crypto_spot("0.0015", "0.0015"),
    "bitstamp": _crypto_spot("0.0025", "0.0025"),
    "btcbox": _crypto_spot("0.0005", "0.0005"),
    "bybit": _crypto_spot("0.001", "0.001"),
    "coinbase": _crypto_spot("0.004", "0.006"),
    "gemini": _crypto_spot("0.002", "0.004", _gemini),
    "hitbtc": _crypto_spot("0.001", "0.0025"),
    "kraken": _crypto_spot("0.0016", "0.0026"),
    "okx": _crypto_spot("0.0008", "0.001", _okx),
    "binance_coinm": _crypto_perpetual("0.0001", "0.0005", _coin_margined),
    "binance_perp": _crypto_perpetual("0.0002", "0.0005", _binance_perp),
    "binance_usdm": _crypto_perpetual("0.0002", "0.0005", _linear),
    "bybit_inverse": _crypto_perpetual("0.0002", "0.00055", _bybit_perp),
    "bybit_linear": _crypto_perpetual("0.0002", "0.00055", _bybit_linear),
    "bybit_perp": _crypto_perpetual("0.0002", "0.00055", _bybit_perp),
    "deribit": _crypto_perpetual("0", "0.0005", _deribit),
    "ftx": _crypto_perpetual("0.0002", "0.0007", _ftx),
    "hyperliquid": _crypto_perpetual("0.00015", "0.00045", _hyperliquid),
    "kraken_futures": _crypto_perpetual("0.0002", "0.0005", _kraken_futures),
    "fxcm": _FX,
    "oanda": _FX,
    "mt5": _BROKER,
    "uniswap_v2": _POOL,
    "nasdaq": _EQUITY,
    "cme": _FUTURES,
    "comex": _FUTURES,
    "polymarket": _EVENTS,
    "us_options": _STOCK_OPTIONS,
    **dict.fromkeys(
        ("US_NBBO", "AMEX", "ARCA", "BATS", "BATS_Y", "CBOE", "CHX", "EDGA", "EDGX", "FINRA_ADF",
         "NASDAQ", "NASDAQ_BX", "NASDAQ_PSX", "NSX", "NYSE"),
        _EQUITY,
    ),
    **dict.fromkeys(("sim_a", "sim_b", "sim_c"), _SIMULATED),
}  # fmt: skip


def common_name(asset: str) -> str:
    """An asset as other venues call it: XBT as BTC."""
    return asset_of(asset.upper())


def venue_class(venue: str) -> VenueClass:
    """The assumptions for a venue. UnlistedVenueError if it has none."""
    if venue.startswith(CCXT) and len(venue) > len(CCXT):
        return _CCXT
    try:
        return VENUES[venue]
    except KeyError:
        raise UnlistedVenueError(venue) from None


def terms(venue: str, name: str) -> Terms | None:
    """What a symbol stands for at its venue; None if the venue's rule cannot read it."""
    return venue_class(venue).rule(name)


def instrument(
    venue: str,
    name: str,
    found: Terms,
    *,
    lane: int,
    symbol: int,
    tick: str | None,
    lot: str | None,
    has_quotes: bool,
    clock_offset_ns: int,
) -> Instrument:
    """An instrument of a venue: its terms, the steps that its rows show, the class's assumptions.

    `tick` and `lot` are None where no row shows one.
    """
    of, option = venue_class(venue), found.kind is InstrumentKind.OPTION
    steps = [
        f"{word} {'the smallest step seen' if seen else 'assumed'}"
        for word, seen in (("tick", tick), ("lot", lot))
    ]
    return Instrument(
        lane=lane,
        symbol=symbol,
        venue=venue,
        name=name,
        kind=found.kind,
        base=found.base,
        quote=found.quote,
        settle=found.settle,
        contract_size=found.contract_size,
        tick=tick or of.tick,
        lot=lot or of.lot,
        fee_maker=of.maker,
        fee_taker=of.taker,
        can_short=of.can_short or found.kind in CONTRACTS,
        has_quotes=has_quotes,
        binary_payout=BINARY_PAYOUT if of.binary and has_quotes and not option else "0",
        clock_offset_ns=clock_offset_ns,
        conflated=of.conflated,
        **contract_of(venue, name)._asdict(),
        assumed=f"kind, contract size, fees, short sales and binary payout as usual for {of.what};"
        f" {', '.join(steps)}",
    )
