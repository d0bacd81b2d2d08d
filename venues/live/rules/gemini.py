"""Gemini, websocket version 2."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct, field

from venues.live.holes import Missed, Numbers
from venues.live.library import Endpoint
from venues.live.rules.lists import decoded, message, number
from venues.live.venue import LiveVenue, Poll, Steps

AUDIT_S = 60.0  # how long a lost change can stay in a book whose feed proves nothing
INTEREST_S = 60.0  # between answers about open interest; 120 requests a minute are allowed
FIGURES = ("mark_price", "funding_amount")  # of perpetuals; the mark first: amounts need it
RECENT = 500  # last trades of a market, the most that is offered at once


class _Details(Struct):
    symbol: str
    lot: Raw = field(name="tick_size")  # of quantities, in spite of its name
    tick: Raw = field(name="quote_increment")
    base: str = field(name="base_currency", default="")
    quote: str = field(name="quote_currency", default="")


_DETAILS = msgspec.json.Decoder(_Details)


def gemini() -> LiveVenue:
    """The snapshot comes with the subscription, a heartbeat every five seconds."""

    def say(method: str, names: Sequence[str], feeds: Sequence[str]) -> str:
        subscriptions = [{"name": feed, "symbols": list(names)} for feed in feeds]
        return message({"type": method, "subscriptions": subscriptions})

    def subscribe(names: Sequence[str]) -> list[str]:
        perpetuals = [_dashed(name) for name in names if _is_perpetual(name)]
        figures = [say("subscribe", perpetuals, FIGURES)] if perpetuals else []
        return [say("subscribe", names, ["l2"]), *figures]

    return LiveVenue(
        name="gemini",
        ws="wss://api.gemini.com/v2/marketdata",
        rest="https://api.gemini.com",
        names=r"[A-Z0-9]{5,20}",
        example="BTCUSD",
        subscribe=subscribe,
        again=lambda name, parser: [
            say(method, [name], ["l2"]) for method in ("unsubscribe", "subscribe")
        ],
        lists=lambda name: f"/v1/symbols/details/{name.lower()}",
        steps=gemini_steps,
        silent_s=15.0,
        audit=lambda name: f"/v1/book/{name.lower()}?limit_bids=0&limit_asks=0",
        audit_s=AUDIT_S,
        polls=(Poll(_risk_stats, INTEREST_S),),
        missed=Missed(
            lambda name, hole: f"/v1/trades/{name.lower()}?limit_trades={RECENT}",
            Numbers.NAMES,
            newest_first=True,
            by=Endpoint("gemini", "publicGetV1TradesSymbol", "/v1/trades/{symbol}"),
        ),
    )


def _is_perpetual(name: str) -> bool:
    return name.endswith("GUSDPERP")


def _dashed(name: str) -> str:
    """As feeds of figures want it: BTC-GUSD-PERP."""
    return f"{name.removesuffix('GUSDPERP')}-GUSD-PERP"


def _risk_stats(names: Sequence[str]) -> list[str]:
    return [f"/v1/riskstats/{name.lower()}" for name in names if _is_perpetual(name)]


def gemini_steps(body: bytes, name: str) -> Steps | None:
    found = decoded(_DETAILS, body)
    if found.symbol.upper() != name:
        return None
    return Steps(number(found.tick), number(found.lot), base=found.base, quote=found.quote)
