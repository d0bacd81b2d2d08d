"""A venue on this machine: websocket and REST on one port, its own true books, and faults.

A test plays frames one by one. The venue's own books take every frame; what a client gets of it may
be lost, doubled, late, out of order or damaged. Snapshots are always of the true book.
"""

import asyncio
import json
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from schemas.kinds import Kind
from tests.more_tongues import MORE
from tests.venue_tongues import TONGUES as FIRST
from tests.venue_tongues import Change, Tongue, Truth
from venues.frames import Book, Event, FrameClass, Parsed, Synchroniser, parser_for
from venues.frames.files import recorded

TONGUES: dict[str, type[Tongue]] = {**FIRST, **MORE}

HEARTBEAT_S = 0.1
START_NS = 1_767_225_600_000_000_000  # 2026-01-01
LEVELS = 10  # a side, of made-up books


class Script:
    """Frames of a venue in order, and the books that they start from."""

    def __init__(self, venue: str, names: list[str], books: dict[str, Truth]) -> None:
        self.venue, self.names, self.books = venue, names, books
        self.frames: list[bytes] = []


def made_up(venue: str, names: list[str], n_frames: int, *, seed: int = 1) -> Script:
    """A random market: changes of a few levels, and every fourth frame a trade."""
    rng, tongue = random.Random(seed), TONGUES[venue]()
    script = Script(venue, names, {})
    for k, name in enumerate(names):
        truth = Truth(number=START_NS // 1000 if venue == "bitstamp" else 1_000)
        middle = 100 * (k + 1)
        truth.change("bids", [(f"{middle - j / 10:.1f}", f"{j}.5000") for j in range(1, LEVELS)])
        truth.change("asks", [(f"{middle + j / 10:.1f}", f"{j}.2500") for j in range(1, LEVELS)])
        script.books[name] = truth
    truths = {name: Truth(t.number, dict(t.bids), dict(t.asks)) for name, t in script.books.items()}
    n_trades = dict.fromkeys(names, 0)
    for n in range(n_frames):
        name, at_ns = rng.choice(names), START_NS + (n + 1) * 10_000_000
        truth = truths[name]
        if n % 4 == 3:
            price, qty = truth.levels()[1][0]
            n_trades[name] += 1
            script.frames.append(tongue.trade(name, at_ns, n_trades[name], price, qty))
            continue
        bids, asks = _changes(rng, truth.bids, -0.05), _changes(rng, truth.asks, 0.05)
        if tongue.single:
            is_bid = rng.random() < 0.5
            bids = _one(bids, truth.bids) if is_bid else []
            asks = [] if is_bid else _one(asks, truth.asks)
        step = Change(name, at_ns, bids, asks)
        truth.change("bids", step.bids)
        truth.change("asks", step.asks)
        script.frames.append(tongue.change(step, truth))
    return script


def _changes(
    rng: random.Random, side: dict[float, tuple[str, str]], away: float
) -> list[tuple[str, str]]:
    """A level gets another quantity, or goes and comes back a little further away."""
    price, qty = rng.choice(sorted(side)), f"{rng.randint(1, 99999) / 10000:.4f}"
    moved = f"{price + away:.2f}"
    if rng.random() < 0.3 and float(moved) not in side:
        return [(side[price][0], "0.0000"), (moved, qty)]
    return [(side[price][0], qty)]


def _one(levels: list[tuple[str, str]], side: dict[float, tuple[str, str]]) -> list[Any]:
    """One of the changes, such that the side neither grows nor shrinks for long."""
    return levels[:1] if len(side) >= LEVELS - 1 else levels[-1:]


def from_recording(path: Path, venue: str, names: list[str], n_frames: int) -> Script:
    """The frames behind the first snapshot of each market."""
    parser, tongue = parser_for(venue), TONGUES[venue]()
    script = Script(venue, names, {})
    for line in recorded(path):
        if line.ours:
            continue
        parsed = parser.parse(line.frame, label=line.label)
        about = {parser.instruments[part.symbol] for part in parsed.parts}
        if parsed.kind != FrameClass.DATA or not about <= set(names):
            continue
        books = parsed.books
        if books and books[0].snapshot and about.isdisjoint(script.books):
            script.books[about.pop()] = _truth(books[0])
        elif about <= set(script.books) and not _contained(parser, script, parsed):
            script.frames.append(tongue.adopt(line.frame, names))
        if len(script.frames) == n_frames:
            break
    return script


def _contained(parser: Any, script: Script, parsed: Parsed) -> bool:
    """Whether a change was in the snapshot already."""
    return any(
        book.link is not None
        and book.link.last <= script.books[parser.instruments[book.symbol]].number
        for book in parsed.books
    )


def _truth(book: Book) -> Truth:
    truth = Truth(number=0)
    truth.take(book)
    return truth


class VenueServer:
    """Use as a context manager; every method may be called from the test's thread.

    Attributes
    ----------
    sent : list of (label, frame)
        What clients were sent, in order.
    truths : dict of name to Truth
        The venue's own books.
    """

    def __init__(self, script: Script) -> None:
        self.tongue: Tongue = TONGUES[script.venue]()
        self.script, self.truths = script, script.books
        self.sent: list[tuple[str, bytes]] = []
        self.n_played = 0
        self.n_opened = 0
        self.hides: set[str] = set()  # books whose changes are not sent
        self.spoil: Callable[[bytes], bytes] = lambda frame: frame  # of snapshots
        self.rest_fails = False
        self.figures: dict[str, bytes] = {}  # answers to other paths
        self.asked: list[str] = []  # paths
        self.heard: list[str] = []  # what clients said
        self.traded: dict[str, list[Event]] = {name: [] for name in script.names}
        self._parser = parser_for(script.venue, script.names)
        self._known: dict[bytes, Parsed] = {}
        for frame in self.tongue.known(script.names):
            self._parser.parse(frame)
        for name, truth in script.books.items():
            for begun in self._parser.parse(self.tongue.snapshot(name, truth, START_NS)).books:
                if begun.orders:
                    truth.take(begun)
        for frame in script.frames:  # in order: a parser may remember orders
            self._known[frame] = self._parser.parse(frame)
        self._sockets: dict[ServerConnection, set[str]] = {}
        self._lines: dict[ServerConnection, int] = {}
        self._counts: dict[ServerConnection, int] = {}
        self._stalled: set[ServerConnection] = set()
        self._at_ns = START_NS
        self._is_told = True  # what happened last; its number must not come behind a heartbeat's
        self._loop = asyncio.new_event_loop()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._port = 0

    def __enter__(self) -> "VenueServer":
        self._thread.start()
        assert self._begun.wait(10.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10.0)

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self._port}/ws"

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def n_subscribed(self) -> int:
        """Books that are being sent."""
        return sum(len(books) for books in list(self._sockets.values()))

    def play(self, n: int = 1) -> None:
        """The next frames happen, and clients get them."""
        for _ in range(n):
            self.deliver(self.happen())

    def rest_of(self) -> int:
        return len(self.script.frames) - self.n_played

    def happen(self) -> bytes:
        """The next frame happens at the venue; nobody is told."""
        frame = self.script.frames[self.n_played]
        self.n_played += 1
        self._is_told = False
        numbered: bytes = self._call(self._take(frame))
        return numbered

    def deliver(self, frame: bytes) -> None:
        """Clients get a frame."""
        self._call(self._deliver(frame))
        self._is_told = True

    def deliver_text(self, frame: bytes) -> None:
        """Clients get something that is no frame of the script."""
        self._call(self._deliver_text(frame))
        self._is_told = True

    def with_other_quantity(self, frame: bytes) -> bytes:
        """A change whose first quantity has another digit."""
        book = self._known[frame].books[0]
        qty = (book.bid_texts or book.ask_texts)[0][1]
        other = qty[:-1] + str((int(qty[-1]) + 1) % 10)
        spoilt = frame.replace(qty.encode(), other.encode(), 1)
        self._known[spoilt] = self._known[frame]
        return spoilt

    def snapshot_now(self) -> bytes:
        """The first market's true snapshot."""
        name = self.script.names[0]
        return self.tongue.snapshot(name, self.truths[name], self._at_ns)

    def crossing(self) -> bytes:
        """A bid at the best ask that the venue never had, or whose end was lost."""
        name = self.script.names[0]
        truth = self.truths[name]
        at_ns = max(self._at_ns, truth.number * 1000) + 1000
        step = Change(name, at_ns, [(truth.levels()[1][0][0], "9.0")], [])
        return self.tongue.change(step, Truth(truth.number))

    def n_messages(self, n_sent: int) -> int:
        """Book messages with rows among the first frames sent, contained ones left out."""
        sync = Synchroniser(self._parser.venue)
        parser = parser_for(self.script.venue, self.script.names)
        decided = [
            one.parsed
            for label, frame in self.sent[:n_sent]
            for one in sync.accept(parser.parse(frame, label=label))
        ]
        return sum(len(parsed.books) for parsed in decided)

    def disconnect(self) -> None:
        self._call(self._disconnect())

    def stall(self, *, line: int | None = None) -> None:
        """Present connections stay open and say nothing more, not even an answer.

        `line`: of a venue with two websockets, those to one of them.
        """
        self._call(self._stall(line))

    def next_change(self) -> None:
        """Play up to the next frame that changes a book, without it."""
        while not self._known[self.script.frames[self.n_played]].books:
            self.play()

    def next_trade(self) -> None:
        """Play up to the next frame with a trade, without it."""
        while self._known[self.script.frames[self.n_played]].books:
            self.play()

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10.0)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        async with serve(self._client, "127.0.0.1", 0, process_request=self._request) as server:
            self._port = _port(server)
            beats = asyncio.create_task(self._beat())
            self._begun.set()
            await self._stop.wait()
            beats.cancel()

    async def _take(self, frame: bytes) -> bytes:
        """It happens; the frame as it would be sent."""
        parsed = self._known[frame]
        for part in parsed.parts:
            self._at_ns = max(self._at_ns, part.ts_event_ns)
            name = self.script.names[part.symbol]
            if isinstance(part, Book):
                self.truths[name].take(part)
                if self.tongue.depth:
                    self.truths[name].cut(self.tongue.depth)
            elif part.kind is Kind.TRADE:
                self.traded[name].append(part)
        for socket in list(self._sockets)[::-1]:
            if self.tongue.numbers and self._is_for(socket, frame, parsed):
                frame = self._numbered(socket, frame)
                break
        self._known[frame] = parsed
        return frame

    def _is_for(self, socket: ServerConnection, frame: bytes, parsed: Parsed) -> bool:
        books = {self.script.names[book.symbol] for book in parsed.books}
        return (
            books <= self._sockets[socket]
            and not books & self.hides
            and self._lines[socket] == self.tongue.line(frame)
        )

    def _numbered(self, socket: ServerConnection, frame: bytes) -> bytes:
        if not self.tongue.numbers or frame[:1] != b"[":
            return frame
        self._counts[socket] += 1
        return frame[:-1] + b",%d]" % self._counts[socket]

    async def _deliver(self, frame: bytes) -> None:
        for socket in list(self._sockets):
            if self._is_for(socket, frame, self._known[frame]):
                await self._send(socket, frame)

    async def _deliver_text(self, frame: bytes) -> None:
        for socket in list(self._sockets):
            if self._lines[socket] == self.tongue.line(frame):
                await self._send(socket, frame)

    async def _send(self, socket: ServerConnection, frame: bytes) -> None:
        if socket in self._stalled:
            return
        try:
            await socket.send(frame, text=True)
        except ConnectionClosed:
            return
        self.sent.append(("", frame))

    async def _disconnect(self) -> None:
        for socket in list(self._sockets):
            socket.transport.abort()

    async def _stall(self, line: int | None) -> None:
        self._stalled |= {s for s, of in self._lines.items() if line is None or of == line}

    async def _client(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self._lines[socket] = int(socket.request.path.endswith("/beside"))
        self._sockets[socket], self._counts[socket] = set(), 0
        self.n_opened += self._lines[socket] == 0
        try:
            async for message in socket:
                if socket in self._stalled:
                    continue
                self.heard.append(str(message))
                asked = self.tongue.asked(_read(message))
                had = set(self._sockets[socket])
                self._sockets[socket] |= set(asked.opens)
                self._sockets[socket] -= set(asked.closes)
                for answer in asked.answers:
                    await self._send(socket, answer)
                for name in set(asked.snapshots) - had:  # one subscribed to twice brings none
                    await self._send(socket, self._numbered(socket, self._snapshot(name)))
        except ConnectionClosed:
            pass
        finally:
            del self._sockets[socket], self._lines[socket], self._counts[socket]

    def _snapshot(self, name: str) -> bytes:
        return self.spoil(self.tongue.snapshot(name, self.truths[name], self._at_ns))

    def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path.startswith("/ws"):
            return None
        self.asked.append(request.path)
        body = self.tongue.instruments(request.path, self.script.names)
        name = self.tongue.book_of(request.path)
        if name in self.truths:
            body = self._snapshot(name)
            self.sent.append((request.path, body))
        elif audited := self.tongue.audit_of(request.path):
            body = self.tongue.audit(audited, self.truths[audited])
        body = body or self.tongue.trades(request.path, self.traded)
        body = body or self.figures.get(request.path)
        if body is None or self.rest_fails:
            head = Headers({"Content-Length": "0", "Connection": "close"})
            return Response(404, "Not Found", head, b"")
        head = Headers({"Content-Length": str(len(body)), "Connection": "close"})
        return Response(200, "OK", head, body)

    async def _beat(self) -> None:
        while self.tongue.heartbeat:
            await asyncio.sleep(HEARTBEAT_S)
            for socket in set(self._sockets) - self._stalled:
                if self._lines[socket] == 0 and (self._is_told or not self.tongue.numbers):
                    await self._send(socket, self._numbered(socket, self.tongue.heartbeat))


def _read(message: str | bytes) -> Any:
    """A client's JSON, or the text that it sent instead."""
    text = message if isinstance(message, str) else message.decode()
    return json.loads(text) if text[:1] in "{[" else text


def _port(server: Server) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])
