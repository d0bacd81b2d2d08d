"""The venues that run live, by name, and why the others do not."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from venues.live.errors import LiveError
from venues.live.rules.binance import binance_coinm, binance_spot, binance_usdm
from venues.live.rules.bitfinex import bitfinex
from venues.live.rules.bitstamp import bitstamp
from venues.live.rules.bybit import bybit, bybit_inverse, bybit_linear
from venues.live.rules.coinbase import coinbase
from venues.live.rules.deribit import deribit
from venues.live.rules.gemini import gemini
from venues.live.rules.hyperliquid import hyperliquid
from venues.live.rules.kraken import kraken
from venues.live.rules.kraken_futures import kraken_futures
from venues.live.rules.okx import okx
from venues.live.sources.ccxt import ccxt_venue
from venues.live.sources.mt5 import BRIDGE, mt5
from venues.live.sources.uniswap_v2 import NODE, uniswap_v2
from venues.live.venue import LiveVenue
from venues.venue_classes import CCXT

LIVE: dict[str, LiveVenue] = {
    venue.name: venue
    for venue in (
        kraken(), kraken_futures(), binance_spot(), binance_usdm(), binance_coinm(), coinbase(),
        bitstamp(), bybit(), bybit_linear(), bybit_inverse(), okx(), deribit(), bitfinex(),
        gemini(), hyperliquid(),
    )
}  # fmt: skip
RELAYED_LIVE: dict[str, Callable[[Mapping[str, str]], LiveVenue]] = {  # of the environment
    "mt5": lambda env: mt5(env.get(BRIDGE, "")),
    "uniswap_v2": lambda env: uniswap_v2(env.get(NODE, "")),
}
HISTORICAL = {  # parsers of protocols that nobody speaks any more, and what took their place
    "kraken_v1": "kraken",
    "bitstamp_2015": "bitstamp",
}


def live_venue(name: str) -> LiveVenue:
    """The venue's rules. LiveError, by name, if it has none."""
    if name.startswith(CCXT):
        return ccxt_venue(name.removeprefix(CCXT))
    if name in RELAYED_LIVE:
        return RELAYED_LIVE[name]({})
    if name in HISTORICAL:
        raise LiveError(
            "a protocol of the past, of which only recordings can be read",
            f"venue {name!r}",
            f"Use {HISTORICAL[name]!r}; live venues are {', '.join(LIVE)}",
        )
    if name not in LIVE:
        known = ", ".join((*LIVE, *RELAYED_LIVE, f"{CCXT}EXCHANGE"))
        raise LiveError("not a live venue", f"venue {name!r}", f"There are: {known}")
    return LIVE[name]


def addressed(env: Mapping[str, str]) -> dict[str, LiveVenue]:
    """The venues that are somewhere else for everybody, at the addresses of the environment."""
    return {name: made(env) for name, made in RELAYED_LIVE.items()}


def at(venue: LiveVenue, *, ws: str, rest: str) -> LiveVenue:
    """The same venue at other addresses."""
    beside = venue.beside and venue.beside._replace(ws=f"{ws}/beside")
    return replace(venue, ws=ws, rest=rest, beside=beside)
