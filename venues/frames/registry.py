"""Which venues have a parser."""

from collections.abc import Sequence

from venues.frames.binance import BinanceCoinmParser, BinanceSpotParser, BinanceUsdmParser
from venues.frames.bitfinex import BitfinexParser
from venues.frames.bitstamp import BitstampParser
from venues.frames.bitstamp_2015 import Bitstamp2015Parser
from venues.frames.bybit import BybitInverseParser, BybitLinearParser, BybitParser
from venues.frames.ccxt import CcxtParser
from venues.frames.coinbase import CoinbaseParser
from venues.frames.deribit import DeribitParser
from venues.frames.gemini import GeminiParser
from venues.frames.hyperliquid import HyperliquidParser
from venues.frames.kraken import KrakenParser
from venues.frames.kraken_futures import KrakenFuturesParser
from venues.frames.kraken_v1 import KrakenV1Parser
from venues.frames.mt5 import Mt5Parser
from venues.frames.okx import OkxParser
from venues.frames.parser import FrameParser
from venues.frames.uniswap_v2 import UniswapV2Parser
from venues.venue_classes import CCXT

_PARSERS: tuple[type[FrameParser], ...] = (
    BinanceSpotParser,
    BinanceUsdmParser,
    BinanceCoinmParser,
    KrakenParser,
    KrakenV1Parser,
    KrakenFuturesParser,
    CoinbaseParser,
    BitstampParser,
    Bitstamp2015Parser,
    BitfinexParser,
    BybitParser,
    BybitLinearParser,
    BybitInverseParser,
    OkxParser,
    DeribitParser,
    GeminiParser,
    HyperliquidParser,
)
PARSERS: dict[str, type[FrameParser]] = {parser.venue.name: parser for parser in _PARSERS}

# Frames that are not the venue's own words, but those of what stands between it and us.
RELAYED: dict[str, type[FrameParser]] = {
    parser.venue.name: parser for parser in (Mt5Parser, UniswapV2Parser, CcxtParser)
}


class NoParserError(LookupError):
    """No parser reads this venue's frames; `str()` is the whole message for a person."""

    def __init__(self, venue: str) -> None:
        known = ", ".join((*PARSERS, *(name for name in RELAYED if name != "ccxt")))
        super().__init__(
            f"no parser for venue {venue!r}; there are: {known}, and {CCXT}EXCHANGE for others"
        )
        self.venue = venue


def parser_for(venue: str, instruments: Sequence[str] | None = None) -> FrameParser:
    """A new parser for one connection to a venue. NoParserError if the venue is not listed.

    Parameters
    ----------
    venue : str
        A key of PARSERS or RELAYED, or ccxt-EXCHANGE.
    instruments : sequence of str, optional
        The venue's names of the only instruments wanted; without, they are discovered.
    """
    made = parser_of(venue)
    return made() if instruments is None else made(instruments)


def parser_of(venue: str) -> type[FrameParser]:
    """What reads a venue's frames. NoParserError if the venue is not listed."""
    name = "ccxt" if venue.startswith(CCXT) else venue
    found = PARSERS.get(name) or RELAYED.get(name)
    if found is None or venue == "ccxt":
        raise NoParserError(venue)
    return found
