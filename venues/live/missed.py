"""Trades that did not come: seen by their numbers, fetched by REST, and given out in order.

A trade whose number is not the one after the last waits, and all behind it, while the missing ones
are fetched page by page. Then the missing ones come first and those that waited follow, so that
each trade is there once and venue time does not go back. Where numbers do not follow one another,
a hole is taken for granted after each lost connection.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from schemas.kinds import Kind
from venues.frames.parsed import NO_SEQ, Book, Event, FrameClass, Parsed
from venues.live.holes import Hole, Missed, Numbers, between, counted

PAGES_MAX = 20  # of one hole; what is beyond is lost
HELD_MAX = 20_000  # frames that wait; past that they go on without what is missing
KNOWN_MAX = 1_024  # numbers of a market that are remembered where they do not follow one another
AGAIN_NS = 500_000_000  # an answer may be behind the websocket; it is asked for anew after so long
RENUMBERED_NS = 1_000_000_000  # so much later than a higher number is only one of a new count
STREAM = "missed trades"

_log = logging.getLogger(__name__)


@dataclass
class TradeCounts:
    """What became of trades that did not come."""

    trades_missed: int = 0  # by their numbers
    trades_fetched: int = 0
    trades_lost: int = 0  # by their numbers, and not to be had
    trades_repeated: int = 0  # came again, or too late for their place
    trade_gaps: int = 0  # times that trades may be missing, and nobody can say how many


@dataclass
class _Want:
    """One hole while it is fetched."""

    symbol: int
    before: Event  # the trade in front of the hole
    behind: Event
    hole: Hole  # as it was
    rest: Hole  # what is to be fetched
    path: str = ""
    pages: int = 0
    bounded: bool = False  # the answer goes from before the hole to behind it
    is_early: bool = False  # the answer had not reached the trade behind the hole
    again_ns: int | None = None  # it is asked for anew then
    found: dict[int, Event] = field(default_factory=dict)  # by number


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
        self._known: dict[int, dict[int, None]] = {}  # by market the last numbers, where NAMES
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
        if self._missed is None or not _trades(parsed):
            return parsed
        named = self._missed.numbers is Numbers.NAMES
        kept = self._not_known(parsed) if named else self._not_older(parsed)
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
        """What has waited for too long; call it often: it also asks anew."""
        if self._wants and now_ns > self._until_ns:
            return self.given_up()
        for want in [want for want in self._wants if want.is_early]:
            if want.again_ns is None:
                want.again_ns = now_ns + AGAIN_NS
            elif now_ns >= want.again_ns:
                self._ask_for(want)
        return []

    def given_up(self) -> list[Parsed]:
        """What waits, without what it waits for."""
        for want in list(self._wants):
            self._end(want)
        return self._release()

    def _not_older(self, parsed: Parsed) -> list[Book | Event]:
        """Numbers rise: what is not above the last one came before, or is missing.

        Where a venue begins to count anew, its trades would all be older for ever: one that is
        later in venue time begins the new count, and how many are missing nobody can say.
        """
        kept: list[Book | Event] = []
        newest = {symbol: trade.venue_seq for symbol, trade in self._last.items()}
        for part in parsed.parts:
            if not isinstance(part, Event) or part.kind is not Kind.TRADE:
                kept.append(part)
            elif part.venue_seq > newest.get(part.symbol, -1):
                newest[part.symbol] = part.venue_seq
                kept.append(part)
            elif self._begins_anew(part):
                self._gap(part.symbol)
                newest[part.symbol] = part.venue_seq
                kept.append(part)
            elif not self._put(part):
                self.counts.trades_repeated += 1
        return kept

    def _begins_anew(self, trade: Event) -> bool:
        last = self._last.get(trade.symbol)
        return last is not None and trade.ts_event_ns - last.ts_event_ns > RENUMBERED_NS

    def _not_known(self, parsed: Parsed) -> list[Book | Event]:
        """Some venues begin a subscription with the trades before it, all in the first frame.

        If one of them is known, what follows it there is all that was missed; what stands before
        it and is older than the last trade comes too late for its place.
        """
        kept: list[Book | Event] = []
        said: set[tuple[int, int]] = set()
        places = {p.symbol: at for at, p in enumerate(parsed.parts) if self._is_known(p)}
        for at, part in enumerate(parsed.parts):
            if isinstance(part, Event) and part.kind is Kind.TRADE and part.venue_seq != NO_SEQ:
                name = (part.symbol, part.venue_seq)
                known_at = places.get(part.symbol, -1)
                late = at < known_at and part.ts_event_ns < self._last[part.symbol].ts_event_ns
                if late or self._is_known(part) or name in said:
                    self.counts.trades_repeated += 1
                    self._reopened.discard(part.symbol)
                    continue
                said.add(name)
            kept.append(part)
        return kept

    def _is_known(self, part: Book | Event) -> bool:
        if isinstance(part, Book) or part.kind is not Kind.TRADE or part.venue_seq == NO_SEQ:
            return False
        return part.venue_seq in self._known.get(part.symbol, ())

    def _remember(self, trade: Event) -> None:
        known = self._known.setdefault(trade.symbol, {})
        known[trade.venue_seq] = None
        if len(known) > KNOWN_MAX:
            del known[next(iter(known))]

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
        named = self._missed is not None and self._missed.numbers is Numbers.NAMES
        if named and trade.venue_seq != NO_SEQ:
            self._remember(trade)
        if last is None:
            return
        reopened = trade.symbol in self._reopened
        self._reopened.discard(trade.symbol)
        if self._missed is None or trade.venue_seq == NO_SEQ:
            if reopened:
                self._gap(trade.symbol)
            return
        hole = Hole(last.venue_seq + 1, trade.venue_seq - 1, last.ts_event_ns, trade.ts_event_ns)
        if named:
            if reopened:
                self._open(hole, last, trade, now_ns)
        elif hole.first <= hole.last:
            n_missed = hole.last - hole.first + 1
            self.counts.trades_missed += n_missed
            if now_ns < self._again_ns:  # or numbers that skip by themselves would cost a ban
                self._lose(trade.symbol, n_missed)
            else:
                self._open(hole, last, trade, now_ns)

    def _open(self, hole: Hole, before: Event, behind: Event, now_ns: int) -> None:
        want = _Want(behind.symbol, before, behind, hole, hole)
        if not self._wants:
            self._until_ns = now_ns + self._patience_ns
        self._wants.append(want)
        self._blocked.add(behind.symbol)
        self._ask_for(want)

    def _ask_for(self, want: _Want) -> None:
        assert self._missed is not None
        want.pages += 1
        want.is_early, want.again_ns = False, None
        want.path = self._missed.path(self._names[want.symbol], want.rest)
        self._ask(want.path)

    def _fill(self, want: _Want, trades: Sequence[Event]) -> None:
        """Take what a page brings; ask for the next while each brings something."""
        assert self._missed is not None
        page = [t for t in trades if t.symbol == want.symbol]
        if self._missed.numbers is Numbers.FOLLOW:
            self._fill_by_number(want, page)
            return
        if self._missed.newest_first:
            page.reverse()
        around = want.before, want.behind
        if self._missed.numbers is Numbers.NAMES:
            part = between(page, *around, known=self._known[want.symbol])
        else:
            part = counted(page, *around)
        want.found = {trade.venue_seq: trade for trade in part.trades}
        want.bounded, want.is_early = part.bounded, part.is_early
        if not want.is_early or want.pages >= PAGES_MAX:
            self._end(want)

    def _fill_by_number(self, want: _Want, page: Sequence[Event]) -> None:
        assert self._missed is not None
        hole, before = want.hole, len(want.found)
        for trade in page:
            if hole.first <= trade.venue_seq <= hole.last:
                want.found.setdefault(trade.venue_seq, trade)
        brought = len(want.found) > before
        if self._is_full(want) or not brought or want.pages >= PAGES_MAX:
            self._end(want)
            return
        if self._missed.newest_first:
            want.rest = want.rest._replace(last=min(trade.venue_seq for trade in page) - 1)
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
        return len(want.found) == want.hole.last - want.hole.first + 1

    def _end(self, want: _Want) -> None:
        """No more will come; what came stands before what waits."""
        assert self._missed is not None
        self._wants.remove(want)
        if self._missed.numbers is not Numbers.NAMES:
            self._lose(want.symbol, want.hole.last - want.hole.first + 1 - len(want.found))
            self._again_ns = self._again_ns if want.found else self._until_ns
        else:
            for trade in want.found.values():
                self._remember(trade)
            if not want.bounded:
                self._gap(want.symbol)
        self.counts.trades_fetched += len(want.found)
        if want.found:
            trades = list(want.found.values())
            if self._missed.numbers is not Numbers.NAMES:  # pages come in any order
                trades.sort(key=lambda trade: trade.venue_seq)
            self._late[want.symbol, want.behind.venue_seq] = _late_frame(want.hole, trades)

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


def _late_frame(hole: Hole, trades: Sequence[Event]) -> Parsed:
    """What was found, in order; times held between those of the trades around the hole."""
    made, at_ns = [], hole.since_ns
    for trade in trades:
        at_ns = min(max(at_ns, trade.ts_event_ns), max(hole.until_ns, at_ns))
        made.append(trade._replace(ts_event_ns=at_ns))
    return Parsed(FrameClass.DATA, STREAM, "", 0, len(made), tuple(made))
