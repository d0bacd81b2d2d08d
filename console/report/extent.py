"""How far a report reads a log whose topics end at different places: to where all of them are."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flows.log.api import Log, Partition
from flows.log.errors import LogError
from flows.log.reader import ALWAYS_NS, LaneReader, Window, merge_windows
from flows.replay.extent import Recorded, decided_before_ns, lanes_of, recorded_now
from operators.ledger.journal import Journal
from schemas.rows import take
from schemas.topics import DECISIONS, LEDGER, MARKET, REPORTS, SIGNALS, Topic

WINDOW_ROWS = 32_768  # about 5 MB of market rows
CUT = (MARKET, DECISIONS, LEDGER, SIGNALS)  # reports stand at their due time, refused rows at any


@dataclass(frozen=True)
class Extent:
    """A log from its first row to one moment, the same on every topic.

    Attributes
    ----------
    log : Log
    run : Recorded
        Where its topics ended when asked; what is written later is not read.
    to_ns : int
        First moment that is no longer read.
    """

    log: Log
    run: Recorded
    to_ns: int = ALWAYS_NS

    @property
    def is_cut(self) -> bool:
        """The desk goes on, or some of its workers have more to do."""
        return self.to_ns < ALWAYS_NS

    def windows(self, topic: Topic, *, merge: bool) -> Iterator[Window]:
        """Rows of all lanes of a topic; of MARKET, DECISIONS, LEDGER and SIGNALS up to `to_ns`."""
        inputs: list[Partition] = [(topic.name, lane) for lane in lanes_of(topic, self.run.table)]
        ends = self.run.reports_ends if topic is REPORTS else self.run.ends
        reader = LaneReader(self.log, inputs, state=None, merge=merge, ends=ends)
        try:
            while not reader.done():
                window = reader.window(WINDOW_ROWS)
                if topic in CUT and self.is_cut and window:
                    window = _before(window, self.to_ns)
                    if merge and not window:
                        return
                if window:
                    yield window
        finally:
            reader.close()


def extent_of(log: Log) -> Extent:
    """What a report may read of a log now, also while its desk goes on.

    A fused run writes all topics at once. Workers do not: the report ends where every row of the
    market is in its place, decided on and booked.

    Raises
    ------
    LogError
        The log holds no run, or nothing that is decided on yet.
    """
    run = recorded_now(log)
    if not run.split:
        return Extent(log, run)
    read = Extent(log, run, min(run.certain_before_ns(MARKET), decided_before_ns(log, run)))
    read = replace(read, to_ns=min(read.to_ns, _booked_before_ns(read)))
    if read.is_cut and next(read.windows(MARKET, merge=True), None) is None:
        raise LogError(
            "no row of the market is decided on and booked yet, so there is nothing to report; ask "
            "again when all workers have begun"
        )
    return read


def _booked_before_ns(read: Extent) -> int:
    """Where the first transaction belongs that the account worker has not written yet."""
    n_booked = sum(
        len(rows) for each in read.windows(LEDGER, merge=False) for rows in each.values()
    )
    journal = Journal(read.run.table, str(read.run.record.settings["balance"]))
    book, n = journal.initial(), 0
    for window in read.windows(MARKET, merge=True):
        book, made = journal.step(book, merge_windows(window))
        n += len(made)
        if n > n_booked:
            return int(made[n_booked - n]["ts_recv_ns"])
    return ALWAYS_NS


def _before(window: Window, to_ns: int) -> Window:
    """Its rows before a moment; without the partitions that have none."""
    found: dict[Partition, Any] = {}
    for partition, rows in window.items():
        if isinstance(rows, list):
            kept: Any = [row for row in rows if row["ts_recv_ns"] < to_ns]
            n = len(kept)
        else:
            kept = take(rows, np.flatnonzero(rows.ts_recv_ns < to_ns))
            n = kept.seq.size
        if n:
            found[partition] = kept
    return found
