"""Where a round's source rows come from: a tape at some speed, or venues that send as they like."""

from typing import NamedTuple, Protocol

import numpy as np

from flows.log.codec import rows_from
from flows.market_clock import MarketClock
from operators.market.books.status import BookStatusRows, to_market
from operators.market.books.words import BookReason, BookState
from schemas.instruments import InstrumentTable
from schemas.kinds import Flag
from schemas.rows import MarketRows, empty, take
from venues.feed import Feed, LiveFeed

SECOND_NS = 1_000_000_000


class Due(NamedTuple):
    """The source rows of one round.

    Attributes
    ----------
    market : MarketRows
        `seq` is the row's position among all source rows.
    now_ns, beat_ns : int
        Market time of what arrives beside them, and of the heartbeats behind them.
    whole : bool
        The last message is complete: rows of our own may follow.
    """

    market: MarketRows
    now_ns: int
    beat_ns: int
    whole: bool = True


class RoundRows(Protocol):
    """Source rows, round by round."""

    clock: MarketClock
    position: int  # source rows released

    def behind(self, max_rows: int) -> MarketRows | None:
        """Rows of times that are on the log: all lanes hold them, or some that were ahead."""

    def due(self, max_rows: int) -> Due: ...

    def end_ns(self) -> int | None:
        """The end of the last second with rows, once they have ended."""

    def wait_s(self) -> float:
        """How long nothing will be due, as far as is known."""

    def close(self) -> None: ...


class TapeRows:
    """A feed, from its first row on.

    Parameters
    ----------
    feed : Feed
    speed : float or None
        Multiple of real time by `ts_recv_ns`; None is as fast as it goes.
    log_ns : int or None
        The latest time on the log, None for an empty one: market time goes on from there.
    frozen : bool
        Lanes have ended at that very time, so the others do as well.
    """

    def __init__(
        self, feed: Feed, *, speed: float | None, log_ns: int | None, frozen: bool, max_rows: int
    ) -> None:
        self.position = 0
        self._log_ns, self._frozen = log_ns, frozen
        self._batches = feed.read(0, max_rows)
        self._held = next(self._batches, None)
        self._end_ns: int | None = None
        start_ns = log_ns
        if start_ns is None:
            start_ns = int(self._held.ts_recv_ns[0]) if self._held is not None else 0
        self.clock = MarketClock(None if frozen else speed, start_ns)

    def behind(self, max_rows: int) -> MarketRows | None:
        if self._held is None or self._log_ns is None:
            return None
        n = int(np.searchsorted(self._held.ts_recv_ns, self._log_ns, side="right"))
        return self._release(min(n, max_rows)) if n else None

    def due(self, max_rows: int) -> Due:
        now_ns, held = self.clock.now_ns(), self._held
        if held is None:
            if self._end_ns is None:
                self._end_ns = (self.clock.reached_ns // SECOND_NS + 1) * SECOND_NS
                if not self._frozen:
                    self.clock.run_on()
            return Due(empty(MarketRows), now_ns, now_ns + (not self._frozen))
        n = held.seq.size
        due = n
        if self.clock.paced:
            due = int(np.searchsorted(held.ts_recv_ns, now_ns, side="right"))
        market = self._release(min(due, max_rows)) if due else empty(MarketRows)
        if market.seq.size == n or market.seq.size < due:  # nothing may stand before what follows
            last_ns = int(market.ts_recv_ns[-1])
            return Due(market, last_ns, last_ns, _is_whole(market))
        return Due(market, now_ns, now_ns + 1)

    def end_ns(self) -> int | None:
        return self._end_ns

    def wait_s(self) -> float:
        if self._held is None:
            return float("inf")
        return self.clock.seconds_until(int(self._held.ts_recv_ns[0]))

    def close(self) -> None:
        """A tape holds nothing open."""

    def _release(self, n: int) -> MarketRows:
        held = self._held
        assert held is not None
        market = take(held, slice(0, n))
        market.seq[:] = np.arange(self.position, self.position + n)
        self.position += n
        self._held = rows_from(held, n) if n < held.seq.size else next(self._batches, None)
        return market


class LiveRows:
    """Venues that are connected now; what they sent while nobody listened is gone.

    Parameters
    ----------
    feed : LiveFeed
    log_ns : int or None
        The latest time on the log; rows are stamped behind it, whatever the wall clock says. Where
        there is one, each book is gapped (RESTARTED) before anything else.
    now_ns : int
        The wall clock, read once: from here on real time counts.
    position : int
        Source rows on the log.
    """

    POLL_S = 0.004  # a frame does not wake who waits for reports

    def __init__(self, feed: LiveFeed, *, log_ns: int | None, now_ns: int, position: int) -> None:
        self.position = position
        self._feed = feed
        self.clock = MarketClock(1.0, max(now_ns, log_ns or 0))
        self._first = None if log_ns is None else _restarted(feed.table)
        self._inside = False  # the last row has others of its message behind it

    def behind(self, max_rows: int) -> MarketRows | None:
        return None

    def due(self, max_rows: int) -> Due:
        market = self._take(max_rows)
        n = market.seq.size
        if n == 0:
            now_ns = self.clock.now_ns()
            return Due(market, now_ns, now_ns + 1)
        market.seq[:] = np.arange(self.position, self.position + n)
        self.position += n
        # A wall clock that is behind the log must not take time back. The rest of a message has the
        # time of its beginning: else rows of other lanes would stand between them in a merge.
        least_ns = self.clock.reached_ns + (not self._inside)
        market.ts_recv_ns[:] = np.maximum.accumulate(np.maximum(market.ts_recv_ns, least_ns))
        self._inside = not _is_whole(market)
        last_ns = int(market.ts_recv_ns[-1])
        now_ns = max(self.clock.now_ns(), last_ns)
        if self._inside:
            return Due(market, last_ns, last_ns, whole=False)
        return Due(market, now_ns, now_ns + 1)

    def end_ns(self) -> int | None:
        return None

    def wait_s(self) -> float:
        return self.POLL_S

    def close(self) -> None:
        self._feed.close()

    def _take(self, max_rows: int) -> MarketRows:
        first, self._first = self._first, None
        if first is None:
            return self._feed.take(max_rows)
        first.ts_event_ns[:] = first.ts_recv_ns[:] = self.clock.now_ns()
        return first


def _is_whole(rows: MarketRows) -> bool:
    """Whether the last row ends its message."""
    return bool(rows.flags[-1] & Flag.MSG_LAST)


def _restarted(table: InstrumentTable) -> MarketRows:
    """A row of each book: what was sent meanwhile is gone, and the log may end inside a message."""
    rows = empty(BookStatusRows, len(table.instruments))
    rows.lane[:] = [one.lane for one in table.instruments]
    rows.symbol[:] = [one.symbol for one in table.instruments]
    rows.state[:], rows.reason[:] = BookState.GAP, BookReason.RESTARTED
    return to_market(rows)
