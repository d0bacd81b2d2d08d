"""Reads feeds of relayed venues against local stands: an exchange, a bridge, and a chain.

A stand makes a market move step by step, knows the truth, and can be made to fail.
"""

import json
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from operators.market.books.words import BookReason, BookState
from schemas.kinds import Kind, Side
from schemas.rows import MarketRows, concat, empty
from tests.live_cases import FAST, HANG_S, RowBook
from venues.frames.uniswap_v2 import SWAP, SYNC, amount_out
from venues.live import LiveFeed, LiveVenue, SessionClock
from venues.live.sources.ccxt import ccxt_venue, made
from venues.live.sources.mt5 import mt5
from venues.live.sources.uniswap_v2 import uniswap_v2

SILENT_S = 10.0  # longer than a busy machine takes for anything; where silence is tested:
SHORT_S = 1.0
Trade = tuple[int, float, float]  # side, price, quantity
Quote = tuple[float, float]  # bid, ask


class FeedReader:
    """A live feed of one stand's market, and all rows that it gave."""

    def __init__(self, stand: "Stand", *, clock: SessionClock | None = None) -> None:
        venue = stand.venue()
        self.stand, self.name = stand, venue.name
        self.feed = LiveFeed(
            [f"{venue.name}:{stand.market}"], venues={venue.name: venue}, pace=FAST, clock=clock
        )
        self.parts: list[MarketRows] = []
        self.book = RowBook(0)

    def __enter__(self) -> "FeedReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.close()

    def until(self, what: Callable[[], bool]) -> None:
        give_up_s = time.monotonic() + HANG_S
        while not what():
            assert time.monotonic() < give_up_s, f"hangs; {self.feed.counts} {self.states}"
            self.feed.wait(0.02)
            rows = self.feed.take(512)
            if rows.seq.size:
                self.parts.append(rows)
            for k in range(rows.seq.size):
                self.book.row(rows, k)

    def begin(self) -> None:
        """Until the feed shows the stand as it is."""
        self.until(lambda: self.is_true() and self.states[-1] == BookState.UNPROVABLE)

    def finish(self) -> None:
        """The market moves on, until the last quote and all trades are the stand's."""
        self.stand.step()
        self.begin()

    def is_true(self) -> bool:
        return (
            self.quote == self.stand.quote()
            and self.trades == self.stand.trades
            and (not self.stand.has_book or (self.book.bids, self.book.asks) == self.stand.book())
        )

    @property
    def rows(self) -> MarketRows:
        return concat(self.parts) if self.parts else empty(MarketRows)

    @property
    def quote(self) -> Quote | None:
        rows = self.rows
        at = (rows.kind == Kind.QUOTE).nonzero()[0]
        return (float(rows.bid_px[at[-1]]), float(rows.ask_px[at[-1]])) if at.size else None

    @property
    def trades(self) -> list[Trade]:
        rows = self.rows
        at = (rows.kind == Kind.TRADE).nonzero()[0]
        columns = rows.side[at].tolist(), rows.price[at].tolist(), rows.qty[at].tolist()
        return list(zip(*columns, strict=True))

    @property
    def states(self) -> list[BookState]:
        rows = self.rows
        return [BookState(code) for code in rows.code[rows.kind == Kind.BOOK_STATUS]]

    @property
    def reasons(self) -> set[BookReason]:
        rows = self.rows
        return {BookReason(r) for r in rows.reason[rows.kind == Kind.BOOK_STATUS] if r}

    @property
    def counts(self) -> Any:
        return self.feed.counts[self.name][0]

    @property
    def session(self) -> Any:
        return self.feed.counts[self.name][1]


class Stand(ABC):
    """A market behind a local server."""

    market: str
    has_book = False
    conflated = True
    silent_s = SILENT_S

    def __init__(self) -> None:
        self.trades: list[Trade] = []  # those that a feed must have given out

    @abstractmethod
    def venue(self) -> LiveVenue: ...

    @abstractmethod
    def step(self) -> None:
        """One trade, and a quote that nobody saw before."""

    @abstractmethod
    def quote(self) -> Quote: ...

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def stall(self, *, on: bool) -> None:
        """Accept connections and say nothing, or go on."""

    def book(self) -> tuple[dict[float, float], dict[float, float]]:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class HttpServer:
    """Answers requests in threads; `fault` may answer instead, or take its time.

    `answer` and `fault` take path, query and posted body, and give status and text.
    """

    def __init__(self, answer: Callable[[str, Mapping[str, str], str], tuple[int, str]]) -> None:
        self.fault: Callable[[str], tuple[int, str] | None] = lambda path: None
        self.n_faults = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer("")

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

            def _answer(self, body: str) -> None:
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                said = outer.fault(parts.path + body)
                outer.n_faults += said is not None
                status, text = said or answer(parts.path, query, body)
                raw = text.encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(raw)))
                    self.end_headers()
                    self.wfile.write(raw)
                except OSError:  # the client did not wait
                    return

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class BitvavoStand(Stand):
    """An exchange that only ccxt knows, in the dialect of Bitvavo; the real adapter asks it."""

    market, has_book = "BTC/EUR", True

    def __init__(self) -> None:
        super().__init__()
        self.n, self.all_trades = 100, list[dict[str, Any]]()
        self.now_ms = int(time.time() * 1e3) - 60_000
        self.behind = 0  # how many changes old the books are that it answers
        self.page = 500  # trades in an answer
        self.asked_since: list[str] = []
        self.server = HttpServer(self._answer)
        self._trade()  # before the feed began: of no concern

    def venue(self) -> LiveVenue:
        adapter: Any = made("bitvavo")
        adapter.urls = {**adapter.urls, "api": {"public": self.server.url}}
        adapter.timeout, adapter.enableRateLimit = 400, False
        return ccxt_venue("bitvavo", adapter=adapter, poll_s=0.02, silent_s=self.silent_s)

    def step(self) -> None:
        self.n += 1
        made = self._trade()
        side = Side.BUY if made["side"] == "buy" else Side.SELL
        self.trades.append((int(side), float(made["price"]), float(made["amount"])))

    def quote(self) -> Quote:
        return self._bid(self.n), self._bid(self.n) + 2.5

    def book(self) -> tuple[dict[float, float], dict[float, float]]:
        bids, asks = self._levels(self.n)
        return (
            {float(price): float(qty) for price, qty in bids},
            {float(price): float(qty) for price, qty in asks},
        )

    def close(self) -> None:
        self.server.close()

    def stall(self, *, on: bool) -> None:
        def slow(path: str) -> None:
            time.sleep(0.6)  # the adapter waits for 0.4 s

        self.server.fault = slow if on else lambda path: None

    def _bid(self, n: int) -> float:
        return 60_000.0 + 0.5 * n

    def _levels(self, n: int) -> tuple[list[list[str]], list[list[str]]]:
        bid = self._bid(n)
        bids = [[str(bid - k), str(0.25 * (1 + (n + k) % 7))] for k in range(5)]
        asks = [[str(bid + 2.5 + k), str(0.5 * (1 + (n + k) % 3))] for k in range(5)]
        return bids, asks

    def _trade(self) -> dict[str, Any]:
        self.now_ms += 7
        made = {
            "id": f"a-{self.n}", "timestamp": self.now_ms, "amount": str(0.125 * (1 + self.n % 4)),
            "price": str(self._bid(self.n)), "side": "buy" if self.n % 3 else "sell",
        }  # fmt: skip
        self.all_trades.append(made)
        return made

    def _answer(self, path: str, query: Mapping[str, str], body: str) -> tuple[int, str]:
        if path == "/v2/markets":
            return 200, json.dumps([_BITVAVO_MARKET])
        if path == "/v2/assets":
            return 200, json.dumps([])
        if path == "/v2/BTC-EUR/book":
            bids, asks = self._levels(self.n - self.behind)
            nonce = self.n - self.behind
            return 200, json.dumps(
                {"market": "BTC-EUR", "nonce": nonce, "bids": bids, "asks": asks}
            )
        if path == "/v2/BTC-EUR/trades":
            self.asked_since.append(query.get("start", ""))
            return 200, json.dumps(self.all_trades[-self.page :][::-1])  # whatever was asked for
        if path == "/v2/ticker/24h":
            bid, ask = self.quote()
            return 200, json.dumps(
                {"market": "BTC-EUR", "bid": str(bid), "bidSize": "1", "ask": str(ask),
                 "askSize": "2", "timestamp": self.now_ms, "last": str(bid)}
            )  # fmt: skip
        return 404, json.dumps({"errorCode": 110, "error": f"no {path}"})


_BITVAVO_MARKET = {
    "market": "BTC-EUR", "status": "trading", "base": "BTC", "quote": "EUR", "tickSize": "0.50",
    "pricePrecision": "5", "minOrderInBaseAsset": "0.0001", "minOrderInQuoteAsset": "5",
    "maxOrderInBaseAsset": "1000", "maxOrderInQuoteAsset": "1000000", "quantityDecimals": "8",
    "notionalDecimals": "2", "orderTypes": ["market", "limit"],
}  # fmt: skip


class BridgeStand(Stand):
    """What an Expert Advisor serves, of a broker two hours east of us."""

    market, conflated = "EURUSD", False

    def __init__(self) -> None:
        super().__init__()
        self.n = 0
        self.offset_s, self.clock_s = 7_200, 7_200  # what it says of its clock, and what it is
        self.silent = False
        self.protocol = "trifecta-mt5"
        self.n_lines = 0
        self.tick: dict[str, Any] = {}
        self._lock = threading.RLock()
        self._clients: dict[socket.socket, int] = {}  # to the number of their last line
        self._subscribed: set[socket.socket] = set()
        self._closed = threading.Event()
        self._quote()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        for run in (self._accept, self._beat):
            threading.Thread(target=run, daemon=True).start()

    def venue(self) -> LiveVenue:
        return mt5(self.address, silent_s=self.silent_s)

    def step(self) -> None:
        """A trade on the broker's exchange, 0.02 lots, and a quote."""
        with self._lock:
            self.n += 1
            self._quote()
            self.tick |= {"last": self.tick["bid"], "volume": 0.02, "flags": 2 | 4 | 8 | 16 | 64}
            self.trades.append((-1, self.tick["bid"], 0.02 * 100_000.0))
            self.send(self.tick)

    def quote(self) -> Quote:
        return self.tick["bid"], self.tick["ask"]

    def close(self) -> None:
        self._closed.set()
        self._listener.close()
        self.disconnect()

    def stall(self, *, on: bool) -> None:
        self.silent = on

    def disconnect(self) -> None:
        with self._lock:
            for client in list(self._clients):
                self._drop(client)

    def send(self, line: Mapping[str, Any]) -> None:
        """To all who subscribed."""
        with self._lock:
            for client in list(self._subscribed):
                self._send(client, line)

    def send_raw(self, raw: bytes) -> None:
        with self._lock:
            for client in list(self._subscribed):
                self._clients[client] += 1
                client.sendall(raw)

    def skip(self) -> None:
        """Lines that were numbered and never came."""
        with self._lock:
            for client in self._clients:
                self._clients[client] += 3

    def heartbeat(self) -> None:
        self.send(self._time("heartbeat"))

    def _quote(self) -> None:
        bid = round(1.1 + 0.00001 * (self.n % 97), 5)
        now_ms = int((time.time() + self.clock_s) * 1e3)
        self.tick = {
            "type": "tick", "symbol": "EURUSD", "time_msc": now_ms, "bid": bid,
            "ask": round(bid + 0.00012, 5), "last": 0.0, "volume": 0.0, "flags": 6,
        }  # fmt: skip

    def _time(self, what: str) -> dict[str, Any]:
        now_ms = int((time.time() + self.clock_s) * 1e3)
        return {"type": what, "utc_offset_s": self.offset_s, "time_msc": now_ms}

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._clients[client] = 0
                hello = {"protocol": self.protocol, "version": 1, "server": "Broker-Demo"}
                self._send(client, self._time("hello") | hello)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            for line in client.makefile("rb"):
                for symbol in json.loads(line)["symbols"]:
                    with self._lock:
                        self._subscribe(client, symbol)
        except (OSError, ValueError):
            pass
        with self._lock:
            self._drop(client)

    def _subscribe(self, client: socket.socket, symbol: str) -> None:
        if symbol != "EURUSD":
            self._send(client, {"type": "error", "symbol": symbol, "reason": "not in the list"})
            return
        what = {"type": "instrument", "symbol": symbol, "digits": 5, "point": "0.00001"}
        self._send(client, what | {"contract_size": "100000", "volume_step": "0.01"})
        quote = self.tick | {"last": 0.0, "volume": 0.0, "flags": 6}
        self._send(client, quote)
        self._subscribed.add(client)

    def _beat(self) -> None:
        while not self._closed.wait(0.1):
            with self._lock:
                self.heartbeat()

    def _send(self, client: socket.socket, line: Mapping[str, Any]) -> None:
        if self.silent or client not in self._clients:
            return
        self._clients[client] += 1
        try:
            client.sendall(json.dumps({"n": self._clients[client], **line}).encode() + b"\n")
        except OSError:
            self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        self._clients.pop(client, None)
        self._subscribed.discard(client)
        with suppress(OSError):  # it may be gone
            client.shutdown(socket.SHUT_RDWR)
        client.close()


POOL, USDC, WETH = (f"0x{name:0>40}" for name in ("f001", "a0b8", "c02a"))
NOTIONAL = 10_000  # USDC


class ChainStand(Stand):
    """A node of a small chain with one pool of USDC (6 decimals) and WETH (18)."""

    market = f"WETH/USDC@{POOL}"

    def __init__(self) -> None:
        super().__init__()
        self.server = HttpServer(self._answer)
        self.blocks: list[dict[str, Any]] = []
        self.withheld: set[int] = set()  # numbers of blocks that the node says it does not have
        self.n_salts = 0
        self._mine((30_000_000 * 10**6, 10_000 * 10**18), [])
        self._mine(self._head["reserves"], [])

    def venue(self) -> LiveVenue:
        return uniswap_v2(
            self.server.url + "/v3/secret-key", poll_s=0.02, silent_s=self.silent_s, confirmations=1
        )

    def step(self) -> None:
        """A block with a swap, and one on top of it."""
        self.swap()
        self._mine(self._head["reserves"], [])

    def swap(self, *, hash_: str = "", told: bool = True) -> None:
        """A block with one swap: somebody buys ether, every third time sells some."""
        number = len(self.blocks)
        reserves = list(self._head["reserves"])
        paid_token = 1 if number % 3 == 0 else 0
        paid = (1 + number) * 10**18 // 7 if paid_token else (1 + number) * 123_456_789
        got = amount_out(paid, reserves[paid_token], reserves[1 - paid_token])
        reserves[paid_token] += paid
        reserves[1 - paid_token] -= got
        amounts = [0, 0, 0, 0]
        amounts[paid_token], amounts[2 + 1 - paid_token] = paid, got
        usdc, ether = (got, paid) if paid_token else (paid, got)
        if told:
            side = Side.SELL if paid_token else Side.BUY
            self.trades.append((int(side), usdc / 10**6 / (ether / 10**18), ether / 10**18))
        sender = "0x" + "00" * 32
        logs = [
            {"topics": [SYNC], "data": _abi(*reserves)},
            {"topics": [SWAP, sender, sender], "data": _abi(*amounts)},
        ]
        self._mine((reserves[0], reserves[1]), logs, hash_ or f"0x{number:064x}")

    def reorganise(self, depth: int) -> None:
        """Other blocks instead of the last ones; their swaps come again, in others."""
        gone = self.blocks[-depth:]
        del self.blocks[-depth:]
        again = [block["transaction"] for block in gone if block["logs"]]
        for k in range(depth):
            if k < len(again):
                self.swap(hash_=again[k], told=False)
            else:
                self._mine(self._head["reserves"], [])
        self._mine(self._head["reserves"], [])

    def quote(self) -> Quote:
        """By the invariant itself, in fractions rounded as the contract does."""
        usdc, ether = self.blocks[-2]["reserves"]  # one block is on top
        notional = NOTIONAL * 10**6
        bought = ether - -(-usdc * ether * 1000 // (usdc * 1000 + notional * 997))
        sold = notional * ether // usdc
        brought = usdc - -(-usdc * ether * 1000 // (ether * 1000 + sold * 997))
        bid = (brought / 10**6) / (sold / 10**18)
        return bid, NOTIONAL / (bought / 10**18)

    def close(self) -> None:
        self.server.close()

    def stall(self, *, on: bool) -> None:
        def error(path: str) -> tuple[int, str]:
            return 200, json.dumps({"id": 1, "error": {"code": -32000, "message": "busy"}})

        self.server.fault = error if on else lambda path: None

    @property
    def _head(self) -> dict[str, Any]:
        return self.blocks[-1]

    def _mine(
        self, reserves: tuple[int, int], logs: list[dict[str, Any]], transaction: str = ""
    ) -> None:
        number = len(self.blocks)
        self.n_salts += 1
        made = f"0x{self.n_salts:032x}{number:032x}"
        told = [
            {**log, "address": POOL, "transactionHash": transaction, "logIndex": hex(k)}
            for k, log in enumerate(logs)
        ]
        self.blocks.append({
            "hash": made, "parent": self.blocks[-1]["hash"] if self.blocks else "0x0",
            "time": 1_700_000_000 + 12 * number, "reserves": reserves, "logs": told,
            "transaction": transaction,
        })  # fmt: skip

    def _answer(self, path: str, query: Mapping[str, str], body: str) -> tuple[int, str]:
        asked = json.loads(body)
        try:
            result = self._result(asked["method"], asked["params"])
        except LookupError as error:
            said = {"code": -32602, "message": repr(error)}
            return 200, json.dumps({"id": asked["id"], "error": said})
        return 200, json.dumps({"id": asked["id"], "jsonrpc": "2.0", "result": result})

    def _result(self, method: str, parameters: list[Any]) -> Any:
        blocks = list(self.blocks)
        if method == "eth_blockNumber":
            return hex(len(blocks) - 1)
        if method == "eth_getBlockByNumber":
            number = int(parameters[0], 16)
            if number >= len(blocks) or number in self.withheld:
                return None
            one = blocks[number]
            return {
                "number": hex(number), "hash": one["hash"], "parentHash": one["parent"],
                "timestamp": hex(one["time"]),
            }  # fmt: skip
        if method == "eth_getLogs":
            wanted = next(b for b in blocks if b["hash"] == parameters[0]["blockHash"])
            return wanted["logs"][::-1]
        to, selector = parameters[0]["to"], parameters[0]["data"]
        if (to, selector) == (POOL, "0x0902f1ac"):
            return _abi(*blocks[int(parameters[1], 16)]["reserves"], 1_700_000_000)
        known = {
            (POOL, "0x0dfe1681"): _abi(int(USDC, 16)), (POOL, "0xd21220a7"): _abi(int(WETH, 16)),
            (USDC, "0x313ce567"): _abi(6), (WETH, "0x313ce567"): _abi(18),
            (USDC, "0x95d89b41"): _abi_text("USDC"), (WETH, "0x95d89b41"): _abi_text("WETH"),
        }  # fmt: skip
        return known.get((to, selector), "0x")


def _abi(*words: int) -> str:
    return "0x" + "".join(f"{word:064x}" for word in words)


def _abi_text(text: str) -> str:
    return _abi(32, len(text)) + text.encode().ljust(32, b"\0").hex()
