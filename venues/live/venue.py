"""What a session must know of a venue: where it is, how to subscribe, what brings a snapshot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Steps(NamedTuple):
    """What a venue's instrument list says of one market, as decimal texts."""

    tick: str  # price step
    lot: str  # quantity step


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
    subscribe: Callable[[Sequence[str]], list[str]]  # messages for books, trades and quotes
    lists: Callable[[str], str]  # path of the instrument list that has this symbol
    steps: Callable[[bytes, str], Steps | None]  # of a symbol in such a list; None: not there
    silent_s: float  # without any frame for so long a connection counts as dead
    again: Callable[[str], list[str]] | None = None  # messages that bring one book's snapshot
    snapshot: Callable[[str], str] | None = None  # path of one book's snapshot
    probe: str = ""  # what the venue must answer; "" where it sends heartbeats of its own
    leave: frozenset[str] = frozenset()  # message types by which it asks for a new connection
    depth: int = 0  # levels a side that the subscription is cut to; 0: all
    snapshot_depth: int = 0  # levels a side at which snapshots are cut; 0: all
    audit_s: float = 0.0  # between snapshots of a book whose feed proves nothing; 0: none

    def __post_init__(self) -> None:
        if (self.again is None) == (self.snapshot is None):
            raise ValueError(f"{self.name}: one of again and snapshot must be given, and one only")
