"""Trades that did not come: seen by their numbers, fetched by REST, and given out in order.

A trade whose number is not the one after the last waits, and all behind it, while the missing ones
are fetched page by page. Then the missing ones come first and those that waited follow, so that
each trade is there once and venue time does not go back.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from schemas.kinds import Kind
from venues.frames.parsed import Book, Event, FrameClass, Parsed

PAGES_MAX = 20  # of one hole: 20,000 trades; what is beyond is lost
HELD_MAX = 20_000  # frames that wait; past that they go on without what is missing
STREAM = "missed trades"

_log = logging.getLogger(__name__)


class Hole(NamedTuple):
    """Trades of one market that did not come, or what is still to be fetched of them."""

    first: int  # numbers, both inside; of some venues only the bounds are known
    last: int
    since_ns: int  # venue time of the trade before
    until_ns: int  # and of the one behind


@dataclass(frozen=True)
class Missed:
    """How a venue's missed trades are fetched.

    Parameters
    ----------
    path : callable
        From the venue's symbol and the hole to the path of a page of it. The next page is asked
        for with what remains of the hole.
    numbered : bool
        Each trade's number is the one after the last: any hole is seen. If not, numbers only rise,
        and a hole is taken for granted where a connection was lost.
    newest_first : bool
        A page has the last trades of the hole; if not, the first.

    Notes
    -----
    Without `numbered` one page has to be enough: it must reach from before the hole to behind it.
    """

    path: Callable[[str, Hole], str]
    numbered: bool = True
    newest_first: bool = False


@dataclass
class TradeCounts:
    """What became of trades that did not come."""

    trades_missed: int = 0  # by their numbers
    trades_fetched: int = 0
    trades_lost: int = 0  # by their numbers, and not to be had
    trades_repeated: int = 0  # came again
    trade_gaps: int = 0  # times that trades may be missing, and nobody can say how many


@dataclass
class _Want:
    """One hole while it is fetched."""

    symbol: int
    hole: Hole  # as it was
    rest: Hole  # what is to be fetched
    path: str = ""
    pages: int = 0
    bounded: bool = False  # the answer goes from before the hole to behind it
    found: dict[int, Event] = field(default_factory=dict)


class TradeTail:
    """The last trade of each market of one connection, and the trades that wait.

    Parameters
    ----------
    names : sequence of str
        The venue's symbols, in the order of the parser's instruments.
    missed : Missed or None
        None: nothing can be fetched; that trades are missing is counted.
    ask : callable
        Fetches a path; what comes of it is told by `answered` or `failed`.
    patience_ns : int
        For all of a hole. After one of which nothing could be had, nothing is asked for so long:
        trades that are missing meanwhile are lost.

    Notes
    -----
    All times are int64 ns of the session's clock. What is given out has to be stamped anew where
    it waited: `ts_recv_ns` of late trades is the caller's now, `ts_event_ns` the venue's, held
    between those of the trades around the hole (some answers only have seconds).
    """

    def __init__(
        self,
        names: Sequence[str],
        missed: Missed | None,
        *,
        ask: Callable[[str], None],
        patience_ns: int,
        counts: TradeCounts,
    ) -> None:
        self.counts = counts
        self._names, self._missed, self._ask = names, missed, ask
        self._patience_ns = patience_ns
        self._last: dict[int, Event] = {}
        self._reopened: set[int] = set()  # markets without a trade since the connection is new
        self._wants: list[_Want] = []
        self._held: list[Parsed] = []
        self._late: dict[tuple[int, int], Parsed] = {}  # by market and number of the trade behind
        self._blocked: set[int] = set()  # markets whose trades must wait
        self._until_ns = 0
        self._again_ns = 0  # nothing is asked for before: the last hole had nothing to fetch

    def opened(self) -> None:
        """A new connection: what happened since the last trades is not known."""
        self._reopened = set(self._last)

    def without_repeated(self, parsed: Parsed) -> Parsed:
        """The frame without trades that are known; one that belongs into a hole is put there."""
        if self._missed is None or not self._missed.numbered or not _trades(parsed):
            return parsed
        kept: list[Book | Event] = []
        newest = {symbol: trade.venue_seq for symbol, trade in self._last.items()}
        for part in parsed.parts:
            if not isinstance(part, Event) or part.kind is not Kind.TRADE:
                kept.append(part)
            elif part.venue_seq > newest.get(part.symbol, -1):
                newest[part.symbol] = part.venue_seq
                kept.append(part)
            elif not self._put(part):
                self.counts.trades_repeated += 1
        gone = len(parsed.parts) - len(kept)
        if not gone:
            return parsed
        return replace(parsed, elements=parsed.elements - gone, parts=tuple(kept))

    def accept(self, parsed: Parsed, now_ns: int) -> list[Parsed]:
        """What may be given out of a data frame, and with it: the frame, nothing, or more."""
        trades = _trades(parsed)
        for trade in trades:
            self._follow(trade, now_ns)
        if not self._wants:
            return [*self._release(), parsed]
        markets = {trade.symbol for trade in trades}
        if not self._blocked & markets:
            return [parsed]
        self._blocked |= markets
        self._held.append(parsed)
        return self.given_up() if len(self._held) > HELD_MAX else []

    def answered(self, path: str, trades: Sequence[Event]) -> list[Parsed]:
        """A page came."""
        for want in [want for want in self._wants if want.path == path]:
            self._fill(want, trades)
        return [] if self._wants else self._release()

    def failed(self, path: str) -> list[Parsed]:
        """A page did not come."""
        for want in [want for want in self._wants if want.path == path]:
            self._end(want)
        return [] if self._wants else self._release()

    def late(self, now_ns: int) -> list[Parsed]:
        """What has waited for too long."""
        return self.given_up() if self._wants and now_ns > self._until_ns else []

    def given_up(self) -> list[Parsed]:
        """What waits, without what it waits for."""
        for want in list(self._wants):
            self._end(want)
        return self._release()

    def _put(self, trade: Event) -> bool:
        """Whether a late trade was one of those that are missing."""
        for want in self._wants:
            number = trade.venue_seq
            inside = want.hole.first <= number <= want.hole.last and number not in want.found
            if want.symbol == trade.symbol and inside:
                want.found[number] = trade
                if self._is_full(want):
                    self._end(want)
                return True
        return False

    def _follow(self, trade: Event, now_ns: int) -> None:
        last = self._last.get(trade.symbol)
        self._last[trade.symbol] = trade
        if last is None:
            return
        reopened = trade.symbol in self._reopened
        self._reopened.discard(trade.symbol)
        if self._missed is None:
            if reopened:
                self._gap(trade.symbol)
            return
        hole = Hole(last.venue_seq + 1, trade.venue_seq - 1, last.ts_event_ns, trade.ts_event_ns)
        if hole.first > hole.last or not (self._missed.numbered or reopened):
            return
        if self._missed.numbered:
            self.counts.trades_missed += hole.last - hole.first + 1
        if now_ns < self._again_ns:  # or numbers that skip by themselves would cost a ban
            self._lose(trade.symbol, hole.last - hole.first + 1)
            return
        want = _Want(trade.symbol, hole, hole)
        if not self._wants:
            self._until_ns = now_ns + self._patience_ns
        self._wants.append(want)
        self._blocked.add(trade.symbol)
        self._ask_for(want)

    def _ask_for(self, want: _Want) -> None:
        assert self._missed is not None
        want.pages += 1
        want.path = self._missed.path(self._names[want.symbol], want.rest)
        self._ask(want.path)

    def _fill(self, want: _Want, trades: Sequence[Event]) -> None:
        """Take what a page brings; ask for the next while each brings something."""
        assert self._missed is not None
        hole, before = want.hole, len(want.found)
        page = [t for t in trades if t.symbol == want.symbol]
        for trade in page:
            if hole.first <= trade.venue_seq <= hole.last:
                want.found.setdefault(trade.venue_seq, trade)
        numbers = [trade.venue_seq for trade in page]
        if not self._missed.numbered:
            want.bounded = bool(numbers) and min(numbers) < hole.first and max(numbers) > hole.last
            self._end(want)
            return
        brought = len(want.found) > before
        if self._is_full(want) or not brought or want.pages >= PAGES_MAX:
            self._end(want)
            return
        if self._missed.newest_first:
            want.rest = want.rest._replace(last=min(numbers) - 1)
        else:
            last = max(page, key=lambda t: t.venue_seq)
            want.rest = want.rest._replace(
                first=last.venue_seq + 1, since_ns=max(last.ts_event_ns, hole.since_ns)
            )
        if want.rest.first > want.rest.last:
            self._end(want)
        else:
            self._ask_for(want)

    def _is_full(self, want: _Want) -> bool:
        assert self._missed is not None
        return self._missed.numbered and (len(want.found) == want.hole.last - want.hole.first + 1)

    def _end(self, want: _Want) -> None:
        """No more will come; what came stands before what waits."""
        assert self._missed is not None
        self._wants.remove(want)
        if self._missed.numbered:
            self._lose(want.symbol, want.hole.last - want.hole.first + 1 - len(want.found))
            self._again_ns = self._again_ns if want.found else self._until_ns
        elif not want.bounded:
            self._gap(want.symbol)
        self.counts.trades_fetched += len(want.found)
        if want.found:
            self._late[want.symbol, want.hole.last + 1] = _late_frame(want)

    def _lose(self, symbol: int, lost: int) -> None:
        self.counts.trades_lost += lost
        if lost:
            _log.warning("trades lost", extra={"market": self._names[symbol], "trades": lost})

    def _gap(self, symbol: int) -> None:
        self.counts.trade_gaps += 1
        _log.warning("trades may be missing", extra={"market": self._names[symbol]})

    def _release(self) -> list[Parsed]:
        """All that waited, and what came late in front of the trade that it was missed at."""
        held, late = self._held, self._late
        self._held, self._late, self._blocked = [], {}, set()
        return [part for parsed in held for part in _with_late(parsed, late)]


def _trades(parsed: Parsed) -> list[Event]:
    return [p for p in parsed.parts if isinstance(p, Event) and p.kind is Kind.TRADE]


def _with_late(parsed: Parsed, late: dict[tuple[int, int], Parsed]) -> list[Parsed]:
    """A frame that waited, cut where trades were missing between two of its own."""
    made, start = [], 0
    for at, part in enumerate(parsed.parts):
        if not isinstance(part, Event) or part.kind is not Kind.TRADE:
            continue
        found = late.get((part.symbol, part.venue_seq))
        if found is None:
            continue
        if at > start:
            made.append(replace(parsed, parts=parsed.parts[start:at]))
        made.append(found)
        start = at
    made.append(replace(parsed, parts=parsed.parts[start:]) if start else parsed)
    return made


def _late_frame(want: _Want) -> Parsed:
    """What was found, in order; times held between those of the trades around the hole."""
    made, at_ns = [], want.hole.since_ns
    for number in sorted(want.found):
        trade = want.found[number]
        at_ns = min(max(at_ns, trade.ts_event_ns), max(want.hole.until_ns, at_ns))
        made.append(trade._replace(ts_event_ns=at_ns))
    return Parsed(FrameClass.DATA, STREAM, "", 0, len(made), tuple(made))
