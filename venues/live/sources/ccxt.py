"""Exchanges that only ccxt knows, polled over REST: whole books, trades once each, tickers.

What happened between two answers is not known: the rows are conflated.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from time import monotonic
from typing import Any, Protocol

import msgspec

from venues.frames.ccxt import DEPTH
from venues.live.errors import LiveError, RestError
from venues.live.library import MISREAD, library, new_exchange
from venues.live.session import SilenceError
from venues.live.venue import LiveVenue, Outlet, Steps
from venues.venue_classes import CCXT

SILENT_S = 20.0  # a market without an answer for so long: the connection counts as dead
POLL_S = 1.0  # from one round over all markets to the next, if the exchange's limits allow
PAUSE_S_MIN = 0.5  # after a round with a failure; doubles with each
SEEN_MAX = 5_000  # trades of a market that are remembered
OWN = {  # exchanges that have a session of their own, by ccxt's names
    "kraken": "kraken", "krakenfutures": "kraken_futures", "binance": "binance_spot",
    "binanceusdm": "binance_usdm", "binancecoinm": "binance_coinm", "coinbase": "coinbase",
    "coinbaseexchange": "coinbase", "bitstamp": "bitstamp", "bybit": "bybit", "okx": "okx",
    "deribit": "deribit", "bitfinex": "bitfinex", "gemini": "gemini", "hyperliquid": "hyperliquid",
}  # fmt: skip
_TICK_SIZE, _DECIMAL_PLACES = 4, 2  # how an exchange of the library writes its steps

Answer = dict[str, Any]


class Exchange(Protocol):
    """As much of an exchange of ccxt as is used."""

    has: Mapping[str, Any]
    precisionMode: int  # noqa: N815 - the library's name

    def load_markets(self) -> Mapping[str, Answer]: ...
    def fetch_order_book(self, symbol: str, limit: int) -> Answer: ...
    def fetch_trades(self, symbol: str, since: int | None) -> list[Answer]: ...
    def fetch_ticker(self, symbol: str) -> Answer: ...


def ccxt_venue(
    exchange: str,
    *,
    adapter: Exchange | None = None,
    poll_s: float = POLL_S,
    silent_s: float = SILENT_S,
) -> LiveVenue:
    """An exchange by the library's name of it; LiveError if it has none, or has the wrong one.

    Parameters
    ----------
    adapter : Exchange, optional
        An exchange of the library that was made already.
    """
    name = f"{CCXT}{exchange}"
    if exchange in OWN:
        raise LiveError(
            "has a session of its own, which sees every change",
            f"venue {name!r}",
            f"Use {OWN[exchange]!r}",
        )
    source = CcxtSource(name, adapter or made(exchange), poll_s=poll_s, silent_s=silent_s)
    return LiveVenue(
        name=name,
        ws=source.address,
        rest="",
        names=r"[A-Z0-9]{1,20}/[A-Z0-9]{1,20}(:[A-Z0-9]{1,20})?",
        example="BTC/EUR",
        subscribe=list,
        lists=lambda name: "",
        steps=lambda body, name: None,
        silent_s=silent_s,
        depth=DEPTH,
        whole=True,
        source=source,
    )


def made(name: str) -> Exchange:
    """An exchange of the library. LiveError without the library, or such an exchange in it."""
    known = library(f"{CCXT}{name}").exchanges
    if name not in known:
        raise LiveError(
            "ccxt has no such exchange",
            f"venue '{CCXT}{name}'",
            f"It has {', '.join(each for each in known if each not in OWN)}",
        )
    found: Exchange = new_exchange(name)
    return found


class CcxtSource:
    """Asks one exchange for each market in turn; see `venues.live.venue.Source`.

    Parameters
    ----------
    venue : str
    exchange : Exchange
    poll_s : float
    silent_s : float
    """

    resumes = True

    def __init__(self, venue: str, exchange: Exchange, *, poll_s: float, silent_s: float) -> None:
        self.address = venue
        self._exchange, self._error = exchange, library(venue).BaseError
        self._poll_s, self._silent_s = poll_s, silent_s
        self._tails: dict[str, _Tail] = {}

    def steps(self, name: str) -> Steps | None:
        market = self._call(self._exchange.load_markets).get(name)
        if market is None:
            return None
        precision, contract = market.get("precision") or {}, market.get("contractSize")
        return Steps(
            self._step(precision.get("price")),
            self._step(precision.get("amount")),
            "" if contract is None else _decimal(contract),
        )

    async def bring(self, names: Sequence[str], outlet: Outlet) -> None:
        polls = {name: _Poll() for name in names}
        is_open, pause_s = False, 0.0
        while True:
            began_s, failed = monotonic(), False
            for name, poll in polls.items():
                for what, ask in self._questions():
                    try:
                        frames = await asyncio.to_thread(ask, name, poll, outlet)
                    except RestError as error:
                        if not is_open:
                            raise
                        failed = True
                        outlet.failed(str(error))
                        if monotonic() - poll.heard_s[what] > self._silent_s:
                            raise SilenceError(
                                f"{name}: no {what} for {self._silent_s:g} s"
                            ) from error
                        continue
                    if not is_open:
                        is_open = True
                        outlet.opened()
                    poll.heard_s[what] = monotonic()
                    for frame in frames:
                        outlet.frame(frame)
            pause_s = min(max(2.0 * pause_s, PAUSE_S_MIN), self._silent_s / 4) if failed else 0.0
            await asyncio.sleep(max(began_s + self._poll_s - monotonic(), 0.0) + pause_s)

    def _questions(self) -> list[tuple[str, "Callable[[str, _Poll, Outlet], list[bytes]]"]]:
        """What an exchange is asked of each market; its book first: that opens a connection."""
        asked = (
            ("book", "fetchOrderBook", self._book),
            ("trades", "fetchTrades", self._trades),
            ("ticker", "fetchTicker", self._ticker),
        )
        return [(what, ask) for what, method, ask in asked if self._exchange.has.get(method)]

    def _book(self, name: str, poll: "_Poll", outlet: Outlet) -> list[bytes]:
        found = self._call(self._exchange.fetch_order_book, name, DEPTH)
        bids, asks = ([level[:2] for level in found[side][:DEPTH]] for side in ("bids", "asks"))
        if not bids and not asks:  # what the library makes of an answer that is no book
            raise RestError(f"{self.address}: {name}: a book without a level")
        nonce = found.get("nonce")
        if nonce is not None and nonce < poll.nonce:
            raise RestError(f"{self.address}: {name}: book {nonce} after book {poll.nonce}")
        poll.nonce = poll.nonce if nonce is None else nonce
        if poll.repeats("book", (bids, asks)):
            return [_SAME]
        return [
            _encoded("book", name, time=found.get("timestamp"), nonce=nonce, bids=bids, asks=asks)
        ]

    def _trades(self, name: str, poll: "_Poll", outlet: Outlet) -> list[bytes]:
        """Trades that were not there the last time, also over a lost connection; oldest first."""
        tail = self._tails.setdefault(name, _Tail())
        answer = self._call(self._exchange.fetch_trades, name, tail.since_ms)
        fresh, reaches = tail.fresh(answer)
        if not reaches:
            outlet.hole(name)
        if not fresh:
            return []
        trades = [
            {"time": t["timestamp"], "side": t["side"], "price": t["price"], "qty": t["amount"]}
            for t in fresh
        ]
        return [_encoded("trades", name, trades=trades)]

    def _ticker(self, name: str, poll: "_Poll", outlet: Outlet) -> list[bytes]:
        found = self._call(self._exchange.fetch_ticker, name)
        bid, ask = found.get("bid"), found.get("ask")
        sizes = found.get("bidVolume"), found.get("askVolume")
        if bid is None or ask is None or poll.repeats("ticker", (bid, ask, sizes)):
            return []
        return [
            _encoded(
                "ticker", name, time=found.get("timestamp"), bid=bid, ask=ask,
                bid_qty=sizes[0], ask_qty=sizes[1],
            )
        ]  # fmt: skip

    def _call(self, method: Callable[..., Any], *arguments: object) -> Any:
        try:
            return method(*arguments)
        except self._error as error:
            raise RestError(f"{self.address}: {type(error).__name__}: {str(error)[:200]}") from None
        except MISREAD as error:
            raise RestError(
                f"{self.address}: ccxt cannot read the answer: {error!r:.200}"
            ) from None

    def _step(self, written: float | None) -> str:
        """A step as a decimal; "" where the exchange does not say."""
        if written is None:
            return ""
        if self._exchange.precisionMode == _TICK_SIZE:
            return _decimal(written)
        if self._exchange.precisionMode == _DECIMAL_PLACES:
            return f"{Decimal(1).scaleb(-int(written)):f}"
        return ""


_SAME = b'{"type":"same"}'


class _Poll:
    """What one connection has of a market."""

    def __init__(self) -> None:
        now_s = monotonic()
        self.heard_s = dict.fromkeys(("book", "trades", "ticker"), now_s)
        self.nonce = -1
        self._before: dict[str, object] = {}

    def repeats(self, what: str, answer: object) -> bool:
        """Whether an answer is the one before."""
        same = self._before.get(what) == answer
        self._before[what] = answer
        return same


class _Tail:
    """Which trades of a market are known. The first answer is of the past: nothing of it is new."""

    def __init__(self) -> None:
        self._seen: set[object] = set()
        self._order: deque[object] = deque()
        self._newest_ms: int | None = None

    @property
    def since_ms(self) -> int | None:
        """From when on to ask, so that the last known trade comes again."""
        return None if self._newest_ms is None else self._newest_ms - 1

    def fresh(self, answer: Sequence[Answer]) -> tuple[list[Answer], bool]:
        """New trades by time, and whether none can be missing between them and the known ones."""
        begins = self._newest_ms is None
        keys = _keys(answer)
        known = [key in self._seen for key in keys]
        for key, is_known in zip(keys, known, strict=True):
            if not is_known:
                self._seen.add(key)
                self._order.append(key)
        while len(self._order) > SEEN_MAX:
            self._seen.discard(self._order.popleft())
        times = [trade["timestamp"] for trade in answer if trade["timestamp"] is not None]
        self._newest_ms = max([*times, self._newest_ms or 0])
        if begins:
            return [], True
        made = [trade for trade, is_known in zip(answer, known, strict=True) if not is_known]
        return sorted(made, key=lambda t: t["timestamp"] or 0), not made or any(known)


def _keys(answer: Sequence[Answer]) -> list[object]:
    """What tells trades apart: their ids, or all that is said and how often it was said before."""
    keys: list[object] = []
    counts: dict[object, int] = {}
    for trade in answer:
        key: object = trade["id"]
        if key is None:
            said = (trade["timestamp"], trade["side"], trade["price"], trade["amount"])
            counts[said] = counts.get(said, 0) + 1
            key = (*said, counts[said])
        keys.append(key)
    return list(keys)


def _encoded(what: str, symbol: str, **fields: object) -> bytes:
    return msgspec.json.encode({"type": what, "symbol": symbol, **fields})


def _decimal(number: float) -> str:
    return f"{Decimal(str(number)).normalize():f}"
