"""What verifying a file found, as plain records: for people, scripts and tests."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    UNVERIFIED = "unverified"  # nothing could be checked: it says why


@dataclass(frozen=True)
class Check:
    """One check of a book or of a whole file."""

    name: str  # accounts, sequence, checksums, quotes, snapshots, orders or crossings
    outcome: Outcome
    says: str  # what was found, in words
    checked: int = 0
    good: int = 0

    @property
    def proves(self) -> bool:
        """Whether passing says that the book is the venue's: a book that is wrong seldom crosses,
        and accounts are about frames."""
        return self.name not in ("accounts", "crossings")


@dataclass(frozen=True)
class Place:
    """Where in a recording something happened."""

    line: int  # from 1
    ts_recv_ns: int  # 0 where the recording has no time


@dataclass(frozen=True)
class Count:
    """Frames, or elements of data frames, that became no rows, and why."""

    what: str  # superseded, quarantined, or refused (elements)
    reason: str
    n: int
    first: tuple[Place, ...]  # the first of them


@dataclass(frozen=True)
class StreamReport:
    """The frames of one message type: each has one class; elements become rows or are refused."""

    venue: str
    stream: str
    frames: int
    data: int
    superseded: int
    control: int
    unused: int
    quarantined: int
    elements: int  # of data frames
    rows: int
    refused: int  # elements


@dataclass(frozen=True)
class BookReport:
    """One rebuilt book."""

    venue: str
    symbol: str
    by_order: bool
    state: str  # at the end: a BookState in lower case
    snapshots: int
    messages: int  # whole messages, snapshots too
    synced: int  # of these, with the book usable after them
    gaps: int
    unreadable: int
    without_base: int  # changes that no snapshot precedes
    crossed: int
    covered_share: float | None  # of synced messages: best prices in the range that is known
    held: int  # levels, or orders, at the end
    evicted: int
    ghosts: int
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class FileReport:
    """What is known of one file."""

    file: str
    venues: tuple[str, ...]
    frames: int  # 0 for a tape, which has rows
    streams: tuple[StreamReport, ...]
    books: tuple[BookReport, ...]
    checks: tuple[Check, ...]  # of all its books together, orders only of a tape of orders
    counts: tuple[Count, ...] = ()
    against: tuple[str, ...] = ()  # other files that it was compared with
    outcome: Outcome = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "outcome", outcome_of(self.checks))

    def check(self, name: str) -> Check:
        """The check of that name."""
        return next(one for one in self.checks if one.name == name)


def outcome_of(checks: Iterable[Check]) -> Outcome:
    """Failed if one failed, passed if one that proves something passed, else unverified."""
    found = list(checks)
    if any(one.outcome is Outcome.FAILED for one in found):
        return Outcome.FAILED
    if any(one.outcome is Outcome.PASSED and one.proves for one in found):
        return Outcome.PASSED
    return Outcome.UNVERIFIED


def utc_ms(ts_ns: int) -> str:
    """A time to the millisecond, UTC."""
    seconds, ms = divmod(ts_ns // 1_000_000, 1_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{ms:03}"
