"""Bybit, version 5: spot, linear and inverse contracts, each at an address of its own."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct, field

from venues.live.errors import RestError
from venues.live.holes import Missed, Numbers
from venues.live.library import Endpoint
from venues.live.rules.lists import decoded, message, plain
from venues.live.venue import LiveVenue, Steps

DEPTH = 200  # levels a side; 1, 50, 200 and 1000 are offered
RECENT = 60  # last trades of a spot market, the most that is offered; older ones are not
RECENT_CONTRACTS = 1000  # of a contract
PING_S = 20.0  # as the venue asks, however busy the connection is


class _Price(Struct):
    tick: str = field(name="tickSize")


class _Lot(Struct):
    spot: str = field(name="basePrecision", default="")
    contracts: str = field(name="qtyStep", default="")


class _Instrument(Struct):
    symbol: str
    price: _Price = field(name="priceFilter")
    lot: _Lot = field(name="lotSizeFilter")
    base: str = field(name="baseCoin", default="")
    quote: str = field(name="quoteCoin", default="")


class _Result(Struct):
    list: list[_Instrument]


class _List(Struct):
    result: _Result


_LIST = msgspec.json.Decoder(_List)


def bybit(*, depth: int = DEPTH) -> LiveVenue:
    """The snapshot comes with the subscription; a message's u is the number after the last."""
    return _bybit("bybit", "spot", depth, names=r"[A-Z0-9]{4,20}", example="BTCUSDT")


def bybit_linear(*, depth: int = DEPTH) -> LiveVenue:
    """As spot. BTCUSDT and BTCUSDT-26JUN26 are in USDT, BTCPERP and BTC-26JUN26 in USDC."""
    dated = "[0-9]{1,2}[A-Z]{3}[0-9]{2}"
    return _bybit(
        "bybit_linear", "linear", depth, "tickers",
        names=rf"[A-Z0-9]{{1,20}}(USDT|PERP)|[A-Z0-9]{{2,20}}-{dated}", example="BTCUSDT",
    )  # fmt: skip


def bybit_inverse(*, depth: int = DEPTH) -> LiveVenue:
    """As spot; perpetuals of 1 USD, settled in the coin."""
    return _bybit(
        "bybit_inverse", "inverse", depth, "tickers", names=r"[A-Z0-9]{2,16}USD", example="BTCUSD"
    )


def _bybit(
    name: str, category: str, depth: int, *topics: str, names: str, example: str
) -> LiveVenue:
    recent = RECENT if category == "spot" else RECENT_CONTRACTS

    def book(symbol: str) -> str:
        return f"orderbook.{depth}.{symbol}"

    def subscribe(symbols: Sequence[str]) -> list[str]:
        # at most 10 topics in a message
        return [
            message(
                {"op": "subscribe",
                 "args": [book(s), *(f"{topic}.{s}" for topic in ("publicTrade", *topics))]}
            )
            for s in symbols
        ]  # fmt: skip

    def again(symbol: str) -> list[str]:
        return [message({"op": op, "args": [book(symbol)]}) for op in ("unsubscribe", "subscribe")]

    return LiveVenue(
        name=name,
        ws=f"wss://stream.bybit.com/v5/public/{category}",
        rest="https://api.bybit.com",
        names=names,
        example=example,
        subscribe=subscribe,
        again=lambda symbol, parser: again(symbol),
        lists=lambda symbol: f"/v5/market/instruments-info?category={category}&symbol={symbol}",
        steps=bybit_steps,
        silent_s=10.0,
        probe=message({"op": "ping"}),
        ping_s=PING_S,
        depth=depth,
        missed=Missed(
            lambda name, hole: (
                f"/v5/market/recent-trade?category={category}&symbol={name}&limit={recent}"
            ),
            Numbers.NAMES,
            newest_first=True,
            by=Endpoint("bybit", "publicGetV5MarketRecentTrade"),
        ),
    )


def bybit_steps(body: bytes, name: str) -> Steps | None:
    """Spot has a precision of the base, contracts a step of their number."""
    for one in decoded(_LIST, body).result.list:
        if one.symbol == name:
            lot = one.lot.spot or one.lot.contracts
            if not lot:
                raise RestError(f"{name} has neither basePrecision nor qtyStep")
            return Steps(plain(one.price.tick), plain(lot), base=one.base, quote=one.quote)
    return None
