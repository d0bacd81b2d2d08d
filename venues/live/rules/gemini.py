"""Gemini, websocket version 2."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct, field

from venues.live.rules.lists import decoded, message, number
from venues.live.venue import LiveVenue, Steps

AUDIT_S = 60.0  # how long a lost change can stay in a book whose feed proves nothing


class _Details(Struct):
    symbol: str
    lot: Raw = field(name="tick_size")  # of quantities, in spite of its name
    tick: Raw = field(name="quote_increment")


_DETAILS = msgspec.json.Decoder(_Details)


def gemini() -> LiveVenue:
    """The snapshot comes with the subscription, a heartbeat every five seconds."""

    def l2(method: str, names: Sequence[str]) -> str:
        subscriptions = [{"name": "l2", "symbols": list(names)}]
        return message({"type": method, "subscriptions": subscriptions})

    return LiveVenue(
        name="gemini",
        ws="wss://api.gemini.com/v2/marketdata",
        rest="https://api.gemini.com",
        names=r"[A-Z0-9]{5,16}",
        example="BTCUSD",
        subscribe=lambda names: [l2("subscribe", names)],
        again=lambda name, parser: [l2("unsubscribe", [name]), l2("subscribe", [name])],
        lists=lambda name: f"/v1/symbols/details/{name.lower()}",
        steps=gemini_steps,
        silent_s=15.0,
        audit=lambda name: f"/v1/book/{name.lower()}?limit_bids=0&limit_asks=0",
        audit_s=AUDIT_S,
    )


def gemini_steps(body: bytes, name: str) -> Steps | None:
    found = decoded(_DETAILS, body)
    if found.symbol.upper() != name:
        return None
    return Steps(number(found.tick), number(found.lot))
