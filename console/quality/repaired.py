"""A recorded log with its quarantine mended, as a feed for a new run."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from console.quality.quarantined import quarantined_rows
from flows.log.api import Log
from flows.topic_feed import TopicFeed, open_topic
from operators.market.intake import Intake
from operators.market.repair import REPAIRS, VARIES, repaired
from schemas.instruments import InstrumentTable
from schemas.reasons import Reason
from schemas.rows import I8, MarketRows, take
from venues.feed import SourceInfo, rebatch
from venues.tape.merge import merge

KIND = "repaired"  # of a source: as the topic it was read from, with the rows it had refused
BATCH_ROWS = 65_536


@dataclass(frozen=True)
class RepairedFeed:
    """The source rows of a log and those in its quarantine, mended, in the order of receipt.

    See `venues.feed.Feed`; the gate of a run that reads it judges every row again. Memory: the
    quarantine, and a window of rows.
    """

    topic: TopicFeed
    mended: MarketRows  # by ts_recv_ns
    description: list[SourceInfo]

    @property
    def table(self) -> InstrumentTable:
        return self.topic.table

    @property
    def names(self) -> list[str]:
        return self.topic.names

    @property
    def n_rows(self) -> int:
        return self.topic.n_rows + int(self.mended.seq.size)

    @property
    def simulated(self) -> bool:
        return self.topic.simulated

    @property
    def has_recv(self) -> bool:
        return self.topic.has_recv

    def read(self, start: int, batch_rows: int) -> Iterator[MarketRows]:
        """Rows from merged position `start` on; what stands before is read and passed over."""
        both = merge([self.topic.read(0, BATCH_ROWS), [self.mended]])
        return rebatch(both, skip_rows=start, batch_rows=batch_rows)


def open_repaired(log: Log) -> tuple[RepairedFeed, dict[str, Any]]:
    """The feed, and what its repairs come to: the words of a new run's first record.

    Those say `of`, the run that was recorded, and per reason of its quarantine how many rows were
    refused, how many of them today's gate accepts (`repaired`), and what was done (`how`).
    LogError if the log holds no run.
    """
    topic = open_topic(log)
    refused = quarantined_rows(log, topic.table)
    refused.seq[:] = 0
    mended = repaired(refused, _delays(topic))
    mended = take(mended, np.argsort(mended.ts_recv_ns, kind="stable"))
    counts = np.bincount(mended.source, minlength=len(topic.names))
    feed = RepairedFeed(
        topic,
        mended,
        [
            replace(each, kind=KIND, rows=each.rows + int(n))
            for each, n in zip(topic.description, counts, strict=True)
        ],
    )
    return feed, {"of": topic.run.record.run_id, "reasons": _outcome(feed, refused)}


def _delays(topic: TopicFeed) -> I8:
    """What every row of a source took, VARIES where not all took the same."""
    n = len(topic.names)
    least, most = np.full(n, np.iinfo(np.int64).max), np.full(n, np.iinfo(np.int64).min)
    for rows in topic.read(0, BATCH_ROWS):
        rows = take(rows, rows.source >= 0)  # what was said of books is no source's row
        delay_ns = rows.ts_recv_ns - rows.ts_event_ns
        np.minimum.at(least, rows.source, delay_ns)
        np.maximum.at(most, rows.source, delay_ns)
    return np.where((least == most) & (least >= 0), least, VARIES)


def _outcome(feed: RepairedFeed, refused: MarketRows) -> dict[str, dict[str, Any]]:
    """Per reason of the quarantine: how many rows, and how many of them the gate takes now."""
    key = _key(refused)
    order = np.argsort(key)
    key, reason = key[order], refused.reason[order]
    intake = Intake(feed.table.arrays(), len(feed.names), None)
    state, mended = intake.initial(), Counter[int]()
    for rows in feed.read(0, BATCH_ROWS) if key.size else ():
        state, out = intake.step(state, rows)
        ours = _key(out.market)
        at = np.minimum(np.searchsorted(key, ours), key.size - 1)
        mended.update(reason[at[key[at] == ours]].tolist())
    codes, counts = np.unique(reason, return_counts=True)
    return {
        Reason(code).name: {
            "refused": n,
            "repaired": mended[code],
            "how": REPAIRS.get(Reason(code), "left as it was"),
        }
        for code, n in zip(codes.tolist(), counts.tolist(), strict=True)
    }


def _key(rows: MarketRows) -> I8:
    """One number per row of a source: sources have fewer rows than 2^48."""
    return (rows.source.astype(np.int64) << 48) | rows.source_row
