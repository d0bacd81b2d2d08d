"""What a session must know of a venue: where it is, how to subscribe, what brings a snapshot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from venues.frames import FrameParser
from venues.live.missed import Missed

Subscribe = Callable[[Sequence[str]], list[str]]


class Steps(NamedTuple):
    """What a venue's instrument list says of one market, as decimal texts."""

    tick: str  # price step
    lot: str  # quantity step
    contract: str = ""  # what one contract is of, "" where that is the same for all


class Line(NamedTuple):
    """One websocket of a venue, and the messages that subscribe there."""

    ws: str
    subscribe: Subscribe


@dataclass(frozen=True)
class LiveVenue:
    """One venue's public market data, live. `parser_for(name)` reads what it sends.

    Exactly one of `again` and `snapshot` is there: a book's snapshot comes either with each
    subscription, or by REST.
    """

    name: str  # of the parser, and of the venue's class
    ws: str  # URL of the websocket
    rest: str  # URL that REST paths are appended to
    names: str  # what the venue's own symbols look like, as a regular expression
    example: str
    subscribe: Subscribe  # messages for books, trades and quotes
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

    def __post_init__(self) -> None:
        if (self.again is None) == (self.snapshot is None):
            raise ValueError(f"{self.name}: one of again and snapshot must be given, and one only")
        if self.audit_s and self.audit is None:
            raise ValueError(f"{self.name}: audit_s is given, and no path to audit a book with")

    @property
    def lines(self) -> list[Line]:
        """Its websockets; books come over the first."""
        return [Line(self.ws, self.subscribe), *([self.beside] if self.beside else [])]
