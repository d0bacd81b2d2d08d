"""Bitfinex, websocket version 2, with books order by order (R0)."""

from collections.abc import Sequence

import msgspec

from venues.frames import FrameParser
from venues.frames.bitfinex import BitfinexParser
from venues.frames.fields import MS_NS
from venues.live.holes import Missed, Numbers
from venues.live.library import Endpoint
from venues.live.rules.lists import decoded, message
from venues.live.venue import LiveVenue, Steps

ORDERS = 250  # best orders a side; 1, 25, 100 and 250 are offered
NUMBERED = 65536  # flag: each frame ends in a number
PAGE = 10_000  # trades of an answer, the most that is offered
STEP = "0.00000001"  # of prices and quantities in R0; orders have five digits, their book more

_LIST = msgspec.json.Decoder(list[list[str]])


def bitfinex() -> LiveVenue:
    """The snapshot comes with the subscription; frames are numbered over all channels."""

    def book(name: str) -> str:
        return message(
            {"event": "subscribe", "channel": "book", "symbol": name, "prec": "R0",
             "len": str(ORDERS)}
        )  # fmt: skip

    def subscribe(names: Sequence[str]) -> list[str]:
        others = [
            message({"event": "subscribe", "channel": channel, "symbol": name})
            for name in names
            for channel in ("trades", "ticker")
        ]
        figures = [
            message({"event": "subscribe", "channel": "status", "key": f"deriv:{name}"})
            for name in names
            if _is_derivative(name)
        ]
        begin = message({"event": "conf", "flags": NUMBERED})
        return [begin, *map(book, names), *others, *figures]

    def again(name: str, parser: FrameParser) -> list[str]:
        """A channel ends by its number, which the answer to its subscription told."""
        assert isinstance(parser, BitfinexParser)
        ends = [
            message({"event": "unsubscribe", "chanId": number})
            for number, channel in parser.channels.items()
            if (channel.name, channel.symbol) == ("book", name)
        ]
        return [*ends, book(name)]

    return LiveVenue(
        name="bitfinex",
        ws="wss://api-pub.bitfinex.com/ws/2",
        rest="https://api-pub.bitfinex.com",
        names=r"t[A-Z0-9]{6,12}|t[A-Z0-9]{3,10}:[A-Z0-9]{3,10}",
        example="tBTCUSD",
        subscribe=subscribe,
        again=again,
        lists=lambda name: (
            f"/v2/conf/pub:list:pair:{'futures' if _is_derivative(name) else 'exchange'}"
        ),
        steps=bitfinex_steps,
        silent_s=10.0,
        probe=message({"event": "ping"}),
        missed=Missed(
            lambda name, hole: (
                f"/v2/trades/{name}/hist?start={hole.since_ns // MS_NS}&limit={PAGE}&sort=1"
            ),
            Numbers.NAMES,
            by=Endpoint("bitfinex", "publicGetTradesSymbolHist", "/v2/trades/{symbol}/hist"),
        ),
    )


def _is_derivative(name: str) -> bool:
    return name.endswith(":USTF0")


def bitfinex_steps(body: bytes, name: str) -> Steps | None:
    """The list has no steps."""
    listed = {pair for part in decoded(_LIST, body) for pair in part}
    return Steps(STEP, STEP) if name[1:] in listed else None
