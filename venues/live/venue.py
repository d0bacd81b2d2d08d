"""What a session must know of a venue: where it is, how to subscribe, what brings a snapshot."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from schemas.kinds import Kind
from venues.frames import FrameParser
from venues.live.holes import Missed
from venues.live.library import is_installed

_log = logging.getLogger(__name__)

Subscribe = Callable[[Sequence[str]], list[str]]


class Steps(NamedTuple):
    """What a venue's instrument list says of one market; numbers as decimal texts."""

    tick: str  # price step
    lot: str  # quantity step
    contract: str = ""  # what one contract is of, "" where the list does not say
    base: str = ""  # currencies, "" where the list does not say
    quote: str = ""


class Outlet(Protocol):
    """Where a source puts what it brings."""

    def opened(self) -> None:
        """The connection stands; frames come from now on."""

    def frame(self, frame: bytes) -> None: ...

    def failed(self, reason: str) -> None:
        """A request was not answered as it should be; the source goes on."""

    def hole(self, market: str) -> None:
        """Something of a market was missed, and nobody can say how much."""


class Source(Protocol):
    """Brings the frames of a venue that has no websocket of its own kind.

    Attributes
    ----------
    address : str
        Where it asks, for people: without passwords and keys.
    resumes : bool
        After a lost connection it brings what happened meanwhile.
    """

    @property
    def address(self) -> str: ...

    @property
    def resumes(self) -> bool: ...

    def steps(self, name: str) -> Steps | None:
        """Steps of a market, asked for before any connection; None: there is no such market.

        RestError if there is no answer, LiveError if it can be none.
        """

    async def bring(self, names: Sequence[str], outlet: Outlet) -> None:
        """Connect and go on until the connection is over, which is raised.

        ConnectionOverError, OSError and RestError end a connection, and the next one follows.
        """


class Line(NamedTuple):
    """One websocket of a venue, and the messages that subscribe there."""

    ws: str
    subscribe: Subscribe


class Poll(NamedTuple):
    """What a venue tells by REST alone, so that it is asked for again and again.

    The answers are frames like those of the websockets. `reads` names the kind of figures that can
    not be read before the first answer came: until then they are left out, and counted.
    """

    paths: Callable[[Sequence[str]], list[str]]  # from the venue's symbols to those of a round
    every_s: float  # from one round to the next; each path is asked for once a round
    reads: Kind | None = None


@dataclass(frozen=True)
class LiveVenue:
    """One venue's public market data, live. `parser_for(name)` reads what it sends.

    Exactly one of `again`, `snapshot` and `source` is there: a book's snapshot comes with each
    subscription, by REST, or by itself.
    """

    name: str  # of the parser, and of the venue's class
    ws: str  # URL of the websocket
    rest: str  # URL that REST paths are appended to
    names: str  # what the venue's own symbols look like, as a regular expression
    example: str
    subscribe: Subscribe  # messages for books, trades, quotes and figures of derivatives
    lists: Callable[[str], str]  # path of the instrument list that has this symbol
    steps: Callable[[bytes, str], Steps | None]  # of a symbol in such a list; None: not there
    silent_s: float  # without any frame for so long a connection counts as dead
    again: Callable[[str, FrameParser], list[str]] | None = None  # messages for one book's snapshot
    snapshot: Callable[[str], str] | None = None  # path of one book's snapshot
    beside: Line | None = None  # a second websocket, for what the first does not send
    list_body: str = ""  # what is posted to have the list; "" where it is fetched
    probe: str = ""  # what the venue must answer; "" where it sends heartbeats of its own
    ping_s: float = 0.0  # the venue wants the probe so often, however busy it is; 0: only if quiet
    leave: frozenset[str] = frozenset()  # message types by which it asks for a new connection
    depth: int = 0  # levels a side that the subscription is cut to; 0: all
    snapshot_depth: int = 0  # levels a side at which snapshots are cut; 0: all
    whole: bool = False  # every book message is the whole book
    audit: Callable[[str], str] | None = None  # path of a snapshot that a book is compared with
    audit_s: float = 0.0  # between audits of a book whose feed proves nothing; 0: none
    missed: Missed | None = None  # how trades that did not come are fetched; None: not at all
    polls: tuple[Poll, ...] = ()  # what no websocket says
    source: Source | None = None  # brings the frames where no websocket does
    quotes_only: bool = False  # it has no books: their states are those of its quotes
    voids: frozenset[str] = frozenset()  # message types that say that blocks are gone

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.again, self.snapshot, self.source)) != 1:
            raise ValueError(f"{self.name}: one of again, snapshot and source must be given")
        if self.source is not None and self.polls:
            raise ValueError(f"{self.name}: a source asks for everything itself, not by polls")
        if self.audit_s and self.audit is None:
            raise ValueError(f"{self.name}: audit_s is given, and no path to audit a book with")

    @property
    def lines(self) -> list[Line]:
        """Its websockets; books come over the first."""
        return [Line(self.ws, self.subscribe), *([self.beside] if self.beside else [])]


def fetchable(venue: LiveVenue) -> LiveVenue:
    """The venue, without fetching missed trades where ccxt would and is not installed; logged."""
    if venue.missed is None or venue.missed.by is None or is_installed():
        return venue
    _log.warning(
        "missed trades will be counted, not fetched: ccxt is not installed",
        extra={"venue": venue.name, "todo": "pip install 'trifecta[live]'"},
    )
    return replace(venue, missed=None)
