"""OKX, version 5: spot, perpetuals and dated futures."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct, field

from venues.live.errors import RestError
from venues.live.holes import Missed
from venues.live.library import Endpoint
from venues.live.rules.lists import decoded, message, plain
from venues.live.venue import Line, LiveVenue, Steps

DEPTH = 400  # levels a side of the channel `books`
PAGE = 100  # trades of an answer, the most that is offered
_FIGURES = {  # channels that a type of market has besides
    "SPOT": (),
    "SWAP": ("mark-price", "open-interest", "funding-rate"),
    "FUTURES": ("mark-price", "open-interest"),
}


class _Instrument(Struct):
    name: str = field(name="instId")
    tick: str = field(name="tickSz")
    lot: str = field(name="lotSz")
    contract: str = field(name="ctVal", default="")  # "" for spot
    base: str = field(name="baseCcy", default="")  # "" for contracts
    quote: str = field(name="quoteCcy", default="")


class _List(Struct):
    data: list[_Instrument]


_LIST = msgspec.json.Decoder(_List)


def okx() -> LiveVenue:
    """The snapshot comes with the subscription; messages name the one before them.

    Trades come over a second websocket: `trades` of the first joins those of one order, and the
    answers that missed ones are taken from do not.
    """

    def books(op: str, name: str) -> str:
        return message({"op": op, "args": [{"channel": "books", "instId": name}]})

    def subscribe(names: Sequence[str]) -> list[str]:
        args = [
            {"channel": channel, "instId": name}
            for name in names
            for channel in ("books", "tickers", *_FIGURES[_type(name)])
        ]
        indices = sorted({_index(name) for name in names if _type(name) != "SPOT"})
        args[:0] = [{"channel": "index-tickers", "instId": index} for index in indices]
        return [message({"op": "subscribe", "args": args})]

    def trades(names: Sequence[str]) -> list[str]:
        args = [{"channel": "trades-all", "instId": name} for name in names]
        return [message({"op": "subscribe", "args": args})]

    return LiveVenue(
        name="okx",
        ws="wss://ws.okx.com:8443/ws/v5/public",
        rest="https://www.okx.com",
        names=r"[A-Z0-9]{2,12}-(USDT|USDC|USD|EUR|BTC|ETH)(-SWAP|-[0-9]{6})?",
        example="BTC-USDT",
        subscribe=subscribe,
        beside=Line("wss://ws.okx.com:8443/ws/v5/business", trades),
        again=lambda name, parser: [books("unsubscribe", name), books("subscribe", name)],
        lists=lambda name: f"/api/v5/public/instruments?instType={_type(name)}&instId={name}",
        steps=okx_steps,
        silent_s=10.0,
        probe="ping",
        leave=frozenset({"notice"}),
        depth=DEPTH,
        missed=Missed(
            lambda name, hole: (
                f"/api/v5/market/history-trades?instId={name}&type=1&after={hole.last + 1}"
                f"&limit={PAGE}"
            ),
            newest_first=True,
            by=Endpoint("okx", "publicGetMarketHistoryTrades"),
        ),
    )


def okx_steps(body: bytes, name: str) -> Steps | None:
    for one in decoded(_LIST, body).data:
        if one.name == name:
            if not one.contract and _type(name) != "SPOT":
                raise RestError(f"{name} has no ctVal")
            contract = plain(one.contract) if one.contract else ""
            return Steps(plain(one.tick), plain(one.lot), contract, one.base, one.quote)
    return None


def _index(name: str) -> str:
    """What a contract is on: BTC-USDT of BTC-USDT-SWAP."""
    return "-".join(name.split("-")[:2])


def _type(name: str) -> str:
    if name.count("-") == 1:
        return "SPOT"
    return "SWAP" if name.endswith("-SWAP") else "FUTURES"
