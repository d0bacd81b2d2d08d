"""Kraken Futures, websocket version 1."""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from venues.frames.fields import MS_NS
from venues.live.holes import Hole, Missed, Numbers
from venues.live.library import Endpoint
from venues.live.rules.lists import decoded, message, number, step
from venues.live.venue import LiveVenue, Steps

PAGE = 1_000  # trades of an answer, the most that is offered


class _Instrument(Struct):
    symbol: str
    tick: Raw | UnsetType = field(name="tickSize", default=UNSET)  # indices have none
    decimals: int = field(name="contractValueTradePrecision", default=0)
    contract: Raw | UnsetType = field(name="contractSize", default=UNSET)
    base: str = ""
    quote: str = ""


class _List(Struct):
    instruments: list[_Instrument]


_LIST = msgspec.json.Decoder(_List)


def kraken_futures() -> LiveVenue:
    """The snapshot comes with the subscription; a feed of its own tells the venue's time."""

    def feed(event: str, name: str, products: Sequence[str]) -> str:
        return message({"event": event, "feed": name, "product_ids": list(products)})

    def subscribe(names: Sequence[str]) -> list[str]:
        feeds = [feed("subscribe", name, names) for name in ("book", "trade", "ticker")]
        return [*feeds, message({"event": "subscribe", "feed": "heartbeat"})]

    return LiveVenue(
        name="kraken_futures",
        ws="wss://futures.kraken.com/ws/v1",
        rest="https://futures.kraken.com",
        names=r"(PI|PF|FI|FF)_[A-Z0-9]{5,16}(_[0-9]{6})?",
        example="PF_XBTUSD",
        subscribe=subscribe,
        again=lambda name, parser: [
            feed("unsubscribe", "book", [name]), feed("subscribe", "book", [name]),
        ],
        lists=lambda name: "/derivatives/api/v3/instruments",
        steps=kraken_futures_steps,
        silent_s=10.0,
        missed=Missed(
            _executions,
            Numbers.UNSAID,
            by=Endpoint(
                "krakenfutures", "historyGetMarketSymbolExecutions",
                "/api/history/v3/market/{symbol}/executions",
            ),
        ),
    )  # fmt: skip


def kraken_futures_steps(body: bytes, name: str) -> Steps | None:
    for one in decoded(_LIST, body).instruments:
        if one.symbol.upper() == name and one.tick is not UNSET:
            contract = "" if one.contract is UNSET else number(one.contract)
            return Steps(number(one.tick), step(one.decimals), contract, one.base, one.quote)
    return None


def _executions(name: str, hole: Hole) -> str:
    """By time, a millisecond more at both ends: the trades around the hole have to be there."""
    since_ms, before_ms = hole.since_ns // MS_NS - 1, hole.until_ns // MS_NS + 1
    return (
        f"/api/history/v3/market/{name}/executions?since={since_ms}&before={before_ms}"
        f"&sort=asc&count={PAGE}"
    )
