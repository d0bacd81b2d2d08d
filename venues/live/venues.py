"""The venues that run live, by name, and why the others do not."""

from dataclasses import replace

from venues.live.errors import LiveError
from venues.live.rules.binance import binance_coinm, binance_spot, binance_usdm
from venues.live.rules.bitfinex import bitfinex
from venues.live.rules.bitstamp import bitstamp
from venues.live.rules.bybit import bybit
from venues.live.rules.coinbase import coinbase
from venues.live.rules.deribit import deribit
from venues.live.rules.gemini import gemini
from venues.live.rules.hyperliquid import hyperliquid
from venues.live.rules.kraken import kraken
from venues.live.rules.kraken_futures import kraken_futures
from venues.live.rules.okx import okx
from venues.live.venue import LiveVenue

LIVE: dict[str, LiveVenue] = {
    venue.name: venue
    for venue in (
        kraken(), kraken_futures(), binance_spot(), binance_usdm(), binance_coinm(), coinbase(),
        bitstamp(), bybit(), okx(), deribit(), bitfinex(), gemini(), hyperliquid(),
    )
}  # fmt: skip
HISTORICAL = {  # parsers of protocols that nobody speaks any more, and what took their place
    "kraken_v1": "kraken",
    "bitstamp_2015": "bitstamp",
}


def live_venue(name: str) -> LiveVenue:
    """The venue's rules. LiveError, by name, if it has none."""
    if name in HISTORICAL:
        raise LiveError(
            "a protocol of the past, of which only recordings can be read",
            f"venue {name!r}",
            f"Use {HISTORICAL[name]!r}; live venues are {', '.join(LIVE)}",
        )
    if name not in LIVE:
        raise LiveError("not a live venue", f"venue {name!r}", f"There are: {', '.join(LIVE)}")
    return LIVE[name]


def at(venue: LiveVenue, *, ws: str, rest: str) -> LiveVenue:
    """The same venue at other addresses."""
    beside = venue.beside and venue.beside._replace(ws=f"{ws}/beside")
    return replace(venue, ws=ws, rest=rest, beside=beside)
