"""Holes in a venue's trades: how they are asked for, and what of an answer fills them."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from schemas.kinds import Side
from venues.frames.parsed import Event
from venues.live.library import Endpoint


class Hole(NamedTuple):
    """Trades of one market that did not come, or what is still to be fetched of them."""

    first: int  # numbers, both inside; without meaning where numbers only tell trades apart
    last: int
    since_ns: int  # venue time of the trade before
    until_ns: int  # and of the one behind


class Numbers(Enum):
    """What the numbers of a venue's trades say, by market."""

    FOLLOW = "each is the one after the last"  # any hole is seen
    UNSAID = "the same, but the answers have none"  # counted from the trades around the hole
    NAMES = "they tell trades apart"  # a hole is taken for granted after a lost connection


@dataclass(frozen=True)
class Missed:
    """How a venue's missed trades are fetched.

    Parameters
    ----------
    path : callable
        From the venue's symbol and the hole to path and query of a page of it. The next page is
        asked for with what remains of the hole.
    numbers : Numbers
    newest_first : bool
        A page has the last trades of the hole, the newest first; if not, the first.
    by : Endpoint, optional
        ccxt asks for it; if not, the session itself.
    posts : bool
        The query is posted as a JSON object.

    Notes
    -----
    Unless numbers FOLLOW one page has to be enough: it must have the trade before the hole (of
    NAMES: any that is remembered) and the one behind. Of what it lacks nothing is made up: NAMES
    give out what is there and count a gap, UNSAID give out nothing unless all is there.
    """

    path: Callable[[str, Hole], str]
    numbers: Numbers = Numbers.FOLLOW
    newest_first: bool = False
    by: Endpoint | None = None
    posts: bool = False


class Part(NamedTuple):
    """What of an answer lies in a hole, oldest first."""

    trades: Sequence[Event]
    bounded: bool  # the answer has the trades around the hole
    is_early: bool  # it ends before the trade behind


def between(page: Sequence[Event], before: Event, behind: Event, *, known: Container[int]) -> Part:
    """Trades behind the last known one and in front of the first that came again.

    Parameters
    ----------
    page : sequence of Event
        Oldest first.
    known : container of int
        Numbers of trades that came.

    Notes
    -----
    On a side where the answer does not show where the hole ends, only what is later than `before`
    or earlier than `behind` is taken: nothing that came is given out again.
    """
    names = [trade.venue_seq for trade in page]
    has_behind = behind.venue_seq in names
    head = page[: names.index(behind.venue_seq)] if has_behind else page
    starts = [k for k, trade in enumerate(head) if trade.venue_seq in known]
    found = head[starts[-1] + 1 :] if starts else head
    return Part(
        [
            trade
            for trade in found
            if (starts or trade.ts_event_ns > before.ts_event_ns)
            and (has_behind or trade.ts_event_ns < behind.ts_event_ns)
        ],
        bounded=bool(starts) and has_behind,
        is_early=not has_behind and _ends_before(page, behind),
    )


def counted(page: Sequence[Event], before: Event, behind: Event) -> Part:
    """Trades without numbers: all of them, numbered, if just so many lie between those around.

    Of several places that fit each has the same trades at both ends, and as many between.
    """
    first, n_missed = before.venue_seq + 1, behind.venue_seq - before.venue_seq - 1
    said = [_said(trade) for trade in page]
    one, other = _said(before), _said(behind)
    for k in range(len(page) - n_missed - 1):
        if said[k] == one and said[k + n_missed + 1] == other:
            found = page[k + 1 : k + 1 + n_missed]
            numbered = [trade._replace(venue_seq=first + j) for j, trade in enumerate(found)]
            return Part(numbered, bounded=True, is_early=False)
    return Part([], bounded=False, is_early=other not in said and _ends_before(page, behind))


def _ends_before(page: Sequence[Event], trade: Event) -> bool:
    return not page or page[-1].ts_event_ns <= trade.ts_event_ns


def _said(trade: Event) -> tuple[int, Side, float, float]:
    return trade.ts_event_ns, trade.side, trade.price, trade.qty
