"""A recorded log as a feed: source rows and states of books, for a backtest of a recorded span.

Left out are reports, operators' commands and heartbeats: the backtest makes its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from flows.books import RECORDED
from flows.log.api import Log
from flows.log.errors import LogError
from flows.log.lane_source import WAIT_S
from flows.log.reader import ALWAYS_NS, LaneReader, merge_windows
from flows.replay.extent import Recorded, market_now
from schemas.instruments import InstrumentTable
from schemas.kinds import Kind
from schemas.rows import MarketRows, take
from schemas.topics import MARKET
from venues.feed import SourceInfo, rebatch

WINDOW_ROWS = 32_768


@dataclass(frozen=True)
class TopicFeed:
    """The source rows of `market.v1` and what stands there of their books, by (`ts_recv_ns`, lane,
    `seq`). See `venues.feed.Feed`.

    `source` and `source_row` are those of the recorded run. Memory: one window of rows.
    """

    table: InstrumentTable
    n_rows: int
    simulated: bool
    description: list[SourceInfo]
    log: Log
    run: Recorded
    from_ns: int
    to_ns: int
    has_recv: bool = field(default=True, init=False)  # whatever stood on the log is taken as it is

    @property
    def names(self) -> list[str]:
        """The recorded run's sources."""
        return [source.name for source in self.description]

    def read(self, start: int, batch_rows: int) -> Iterator[MarketRows]:
        """Rows from merged position `start` on; what stands before is read and passed over."""
        windows = _windows(self.log, self.run, self.from_ns, self.to_ns)
        return rebatch(windows, skip_rows=start, batch_rows=batch_rows)


def open_topic(
    log: Log,
    *,
    from_ns: int | None = None,
    to_ns: int | None = None,
    at_par: Sequence[str] | None = None,
) -> TopicFeed:
    """The source rows and states of books of a recorded run, up to where its log ends now.

    Parameters
    ----------
    log : Log
        Stays open as long as the feed is read; who opened it closes it.
    from_ns, to_ns : int or None
        `ts_recv_ns`: the first row that is read, and the first that no longer is.
    at_par : sequence of str, optional
        Assets that count as one USD each; those of the recorded run if not given.

    Raises
    ------
    LogError
        The log holds no run, or no source row inside the cut.
    """
    run = market_now(log)
    first, last = from_ns or 0, ALWAYS_NS if to_ns is None else to_ns
    counts = np.zeros(len(run.record.sources), np.int64)
    n_rows = 0
    for rows in _windows(log, run, first, last):
        counts += np.bincount(rows.source[rows.source >= 0], minlength=counts.size)
        n_rows += rows.seq.size
    if not counts.any():
        raise LogError(
            f"{MARKET.name} of run {run.record.run_id}: no source row stands in the span that was "
            "asked for; widen --from and --to"
        )
    sources = [SourceInfo(**source) for source in run.record.sources]
    table = run.table
    if at_par is not None and tuple(at_par) != table.at_par:
        table = InstrumentTable.of(table.lanes, table.instruments, at_par=at_par)
    return TopicFeed(
        table=table,
        n_rows=n_rows,
        simulated=run.record.simulated,
        description=[
            replace(each, kind=RECORDED, rows=int(n))
            for each, n in zip(sources, counts, strict=True)
        ],
        log=log,
        run=run,
        from_ns=first,
        to_ns=last,
    )


def _windows(log: Log, run: Recorded, from_ns: int, to_ns: int) -> Iterator[MarketRows]:
    """Source rows and states of books inside the cut, in order."""
    inputs = [(MARKET.name, lane) for lane in run.table.active_lanes()]
    before_ns = min(to_ns, run.certain_before_ns(MARKET))
    reader = LaneReader(log, inputs, state=None, merge=True, ends=run.ends)
    try:
        while not reader.done():
            window = reader.window(WINDOW_ROWS)
            if not window:
                reader.wait(WAIT_S)
                continue
            rows = merge_windows(window)
            if rows.ts_recv_ns[0] >= before_ns:
                return
            wanted = (rows.source >= 0) | (rows.kind == Kind.BOOK_STATUS)
            wanted &= rows.ts_recv_ns >= from_ns
            mine = take(rows, wanted & (rows.ts_recv_ns < before_ns))
            mine.seq[:] = 0
            if mine.seq.size:
                yield mine
    finally:
        reader.close()
