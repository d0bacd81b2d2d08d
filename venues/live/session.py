"""One websocket connection to one venue, kept up: subscribed, watched, and opened anew.

All sessions share one asyncio loop. A session knows nothing of what frames say: it stamps them and
hands them over; who reads them asks it for snapshots.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from venues.live.clock import SessionClock
from venues.live.errors import RestError
from venues.live.handover import Handover, Received, What
from venues.live.library import LibraryRest
from venues.live.rest import get, posted
from venues.live.venue import LiveVenue, Poll

FRAME_BYTES_MAX = 32 << 20  # a snapshot of 28,000 levels has 1 MB
OPEN_S = 10.0  # for the handshake
CLOSE_S = 1.0  # for a farewell; a dead connection has none
LOOKS = 8  # of the watch within the venue's silence budget

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How fast a session tries again."""

    backoff_s_min: float = 0.5
    backoff_s_max: float = 30.0
    calm_s: float = 60.0  # a connection that lasted so long starts the back-off anew
    patience_s: float = 5.0  # for a snapshot, before it is asked for again; doubles with each try
    tries_max: int = 5  # snapshots in a row that did not help; then the book is halted
    too_old_s: float = 0.5  # after one that does not reach the first change held; doubles too
    crossed_s: float = 2.0  # a book whose bid is not below its ask for so long is wrong
    frozen_s: float = 10.0  # a trade changes its book; one that stays silent so long is frozen
    before_s: float = 1.0  # a change may precede its trade by so much
    audit_slack_s: float = 2.0  # between the same change over REST and over the websocket
    missed_s: float = 10.0  # trades wait so long for those before them


@dataclass
class SessionCounts:
    """What happened to one connection; written by the session alone."""

    opened: int = 0
    refused: int = 0  # attempts that did not connect
    stalls: int = 0  # silences beyond the venue's budget
    overflows: int = 0  # the reader was too far behind
    rest_failures: int = 0
    holes: int = 0  # answers of a polled venue that did not reach back to the one before


class ConnectionOverError(Exception):
    """Why a session leaves its connection."""


class SilenceError(ConnectionOverError):
    """It said nothing for too long."""


class _Request(NamedTuple):
    """What a reader asks a session for."""

    messages: Sequence[str] = ()  # to be sent
    path: str = ""  # to be fetched
    what: What = What.FRAME  # of the answer


class Session:
    """One connection; `run` keeps it up until it is cancelled.

    Parameters
    ----------
    connection : int
        Its number in what is handed over.
    venue : LiveVenue
    names : sequence of str
        The venue's symbols to subscribe to.
    """

    def __init__(
        self,
        connection: int,
        venue: LiveVenue,
        names: Sequence[str],
        *,
        clock: SessionClock,
        handover: Handover,
        pace: Pace,
    ) -> None:
        self.venue, self.names = venue, tuple(names)
        self.counts = SessionCounts()
        self._connection, self._clock = connection, clock
        self._handover, self._pace = handover, pace
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: asyncio.Queue[_Request] = asyncio.Queue()
        self._heard_s: list[float] = []  # for each line
        self._opened_s: float | None = None  # since when the connection stands
        by = venue.missed and venue.missed.by
        self._library = LibraryRest(by, venue.rest) if by else None  # asks for missed trades

    def say(self, messages: Sequence[str]) -> None:
        """From any thread: send messages over the first websocket."""
        self._ask(_Request(messages=messages))

    def fetch(self, path: str, what: What = What.FRAME) -> None:
        """From any thread: hand over the answer to a REST request as `what`, or FAILED."""
        self._ask(_Request(path=path, what=what))

    def leave(self) -> None:
        """From any thread: end this connection, and open another."""
        self._ask(_Request())

    def _ask(self, request: _Request) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(lambda: self._asked.put_nowait(request))

    async def run(self) -> None:
        """Connect, and connect again; every end of a connection is told with its reason."""
        self._loop = asyncio.get_running_loop()
        n_failed = 0
        while True:
            self._opened_s = None
            reason = ""
            try:
                await self._hold()
            except* (OSError, WebSocketException, ConnectionOverError, RestError) as group:
                errors = _leaves(group)
                reason = "; ".join(sorted({str(error) or repr(error) for error in errors}))
                self.counts.stalls += any(isinstance(error, SilenceError) for error in errors)
            opened_s = self._opened_s
            if opened_s is None:
                self.counts.refused += 1
            else:
                self._tell(What.CLOSED, reason)
            lasted = opened_s is not None and monotonic() - opened_s > self._pace.calm_s
            n_failed = 0 if lasted else n_failed + 1
            fields = {"venue": self.venue.name, "reason": reason, "failed": n_failed}
            _log.warning("live connection over", extra=fields)
            await asyncio.sleep(self._backoff_s(n_failed))

    def _backoff_s(self, n_failed: int) -> float:
        """Doubles up to a bound; the jitter keeps venues from being called by all at once."""
        most_s = self._pace.backoff_s_min * 2.0 ** min(n_failed, 16)
        return min(most_s, self._pace.backoff_s_max) * random.uniform(0.5, 1.0)

    async def _hold(self) -> None:
        """One connection from its beginning to its end, which is raised."""
        async with AsyncExitStack() as stack:
            sockets = [
                await stack.enter_async_context(_connect(line.ws)) for line in self.venue.lines
            ]
            self._begin()
            await self._live(sockets)

    def _begin(self) -> None:
        """The connection stands."""
        self._opened_s = monotonic()
        self._asked = asyncio.Queue()  # what was asked of the connection before is void
        self.counts.opened += 1
        self._tell(What.OPENED)

    async def _live(self, sockets: Sequence[ClientConnection]) -> None:
        """Until something ends the connection: it is raised."""
        self._heard_s = [monotonic() for _ in sockets]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._serve(sockets[0], group))
            for k, (socket, line) in enumerate(zip(sockets, self.venue.lines, strict=True)):
                group.create_task(self._watch(k, socket))
                group.create_task(self._listen(k, socket, line.subscribe))
            for poll in self.venue.polls:
                group.create_task(self._poll(poll))

    async def _listen(
        self, k: int, socket: ClientConnection, subscribe: Callable[[Sequence[str]], list[str]]
    ) -> None:
        for message in subscribe(self.names):
            await socket.send(message)
        while True:
            frame = await socket.recv(decode=False)
            self._heard_s[k] = monotonic()
            self._hand_over(What.FRAME, frame, "")

    async def _watch(self, k: int, socket: ClientConnection) -> None:
        """Ask a quiet venue for a sign of life, and leave a silent one."""
        silent_s, ping_s = self.venue.silent_s, self.venue.ping_s
        probed_s, pinged_s = 0.0, monotonic()
        while True:
            await asyncio.sleep(silent_s / LOOKS)
            now_s, heard_s = monotonic(), self._heard_s[k]
            if now_s - heard_s > silent_s:
                raise SilenceError(f"no frame for {silent_s:g} s")
            is_quiet = now_s - heard_s > silent_s / 2 and probed_s < heard_s
            is_due = ping_s > 0.0 and now_s - pinged_s > ping_s
            if self.venue.probe and (is_quiet or is_due):
                probed_s = pinged_s = monotonic()
                await socket.send(self.venue.probe)

    async def _serve(self, socket: ClientConnection, group: asyncio.TaskGroup) -> None:
        """Bring what is asked for."""
        while True:
            request = await self._asked.get()
            if request.path:
                group.create_task(self._fetch(request.path, request.what))
            elif not request.messages:
                raise ConnectionOverError("the venue asks for a new connection")
            for message in request.messages:
                await socket.send(message)

    async def _poll(self, poll: Poll) -> None:
        """The first round at once, the others spread over their time.

        A path that was not answered is asked for again a little later: its figures may be waited
        for.
        """
        paths = poll.paths(self.names)
        retry_s = min(self._pace.backoff_s_max, poll.every_s)
        due = [(monotonic() + k * poll.every_s / len(paths), path) for k, path in enumerate(paths)]
        for k, (_, path) in enumerate(due):
            answered = await self._fetch(path, What.FRAME)
            due[k] = (due[k][0] + poll.every_s if answered else monotonic() + retry_s), path
        while due:
            due.sort()
            due_s, path = due[0]
            await asyncio.sleep(due_s - monotonic())
            answered = await self._fetch(path, What.FRAME)
            due[0] = monotonic() + (poll.every_s if answered else retry_s), path

    async def _fetch(self, path: str, what: What) -> bool:
        """Whether there was an answer; who misses it asks again, and its lack is counted."""
        own = self._library.thread if self._library and what is What.TRADES else None
        try:
            body = await asyncio.get_running_loop().run_in_executor(own, self._get, path, what)
        except RestError as error:
            self.counts.rest_failures += 1
            fields = {"venue": self.venue.name, "reason": str(error)}
            _log.warning("live request failed", extra=fields)
            self._tell(What.FAILED, path)
            return False
        self._hand_over(what, body, path)
        return True

    def _get(self, path: str, what: What) -> bytes:
        missed = self.venue.missed
        if what is not What.TRADES or missed is None:
            return get(self.venue.rest + path)
        if self._library is not None:
            return self._library.get(path)
        return get(*posted(self.venue.rest + path)) if missed.posts else get(self.venue.rest + path)

    def _hand_over(self, what: What, frame: bytes, label: str) -> None:
        item = Received(what, self._connection, self._clock.now_ns(), label, frame)
        if not self._handover.offer(item):
            self.counts.overflows += 1
            raise ConnectionOverError("frames come faster than they are read")

    def _tell(self, what: What, reason: str = "") -> None:
        self._handover.tell(Received(what, self._connection, self._clock.now_ns(), reason))


def _connect(url: str) -> connect:
    return connect(url, max_size=FRAME_BYTES_MAX, open_timeout=OPEN_S, close_timeout=CLOSE_S)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The single errors of a group of groups."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
