"""The flow that decides a log again, in pieces that one process or several can run.

market -> features, signals -> lanes -> compare
                         |
                      proposals -> portfolio -> execute -> compare
market -> account -> compare
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import bytewax.operators as op
import numpy as np
from bytewax.operators import KeyedStream

from flows import account, decide, execute, features
from flows.chain import Chain
from flows.log.codec import rows_from
from flows.log.stop import hushed
from flows.parcel import Parcel
from flows.replay.compare import Comparison, ParcelSink
from flows.replay.extent import Recorded
from flows.replay.found import Span, Verification
from flows.replay.placed import ReportsPlaced, SourceRowsPlaced
from schemas.topics import DECISIONS, FEATURES, LEDGER, ORDERS, PROPOSALS, REPORTS, SIGNALS

TABLES = ("market", "features", "proposals")
LANE_TOPICS = (FEATURES, SIGNALS, PROPOSALS)
DESK_TOPICS = {False: (DECISIONS, REPORTS), True: (DECISIONS, ORDERS, REPORTS)}  # by Recorded.split
MONEY_TOPICS = (LEDGER,)


def lane_steps(
    stream: KeyedStream[Parcel], chain: Chain, compare: Comparison
) -> KeyedStream[Parcel]:
    """Features, signals and proposals of any lanes, compared as far as each lane is written."""
    stream = features.steps(stream, chain.table, chain.predictor)
    stream = features.signal_steps(stream, chain.signals)
    stream = decide.lane_steps(stream, chain.table, chain.rules)
    op.output("compare_lanes", stream, ParcelSink(compare.take_in))
    return stream


def desk_steps(
    stream: KeyedStream[Parcel], chain: Chain, run: Recorded, compare: Comparison, before_ns: int
) -> None:
    """Decisions, orders and reports, from proposals of all lanes before that time.

    A fused log has its reports in `market.v1` alone, and its orders are read only.
    """
    stream = op.map_value("certain", stream, hushed(before(before_ns)))
    stream = decide.portfolio_steps(stream, chain.table, chain.rules)
    if run.split:
        stream = execute.worker_steps(stream, chain.table, chain.rules.venue)
    else:
        stream = execute.steps(stream, chain.table)
    op.output("compare_desk", stream, ParcelSink(compare.take_in))


def money_steps(stream: KeyedStream[Parcel], chain: Chain, money: "Money", before_ns: int) -> None:
    """The journal, and whether what came from outside stands on the log once."""
    stream = op.map_value("final", stream, hushed(before(before_ns)))
    stream = account.steps(stream, chain.table, chain.balance)
    op.output("compare_money", stream, ParcelSink(money.take_in))


@dataclass
class Money:
    """What is asked of `market.v1` itself, row by row."""

    compare: Comparison
    reports: ReportsPlaced
    sources: SourceRowsPlaced
    progress: Callable[[int], None]
    span: Span
    found: Verification
    rows: int = 0

    def take_in(self, parcel: Parcel) -> None:
        """Compare one batch; DifferentError at the first row that differs."""
        self.compare.take_in(parcel)
        self.reports.take_in(parcel.market)
        self.sources.take_in(parcel.market)
        inside = parcel.market.ts_recv_ns[parcel.market.ts_recv_ns >= self.span.from_ns]
        if inside.size:
            self.found.passed(int(inside[0]), int(inside[-1]))
        self.rows += int(np.count_nonzero(parcel.market.source >= 0))
        self.progress(self.rows)

    def finish(self) -> None:
        """Nothing has got lost on its way to the log."""
        self.compare.finish()
        self.reports.finish()
        self.sources.finish()

    def close(self) -> None:
        """Let go of the log."""
        self.compare.close()
        self.reports.close()


def before(ts_ns: int) -> Callable[[Parcel], Parcel]:
    """Leaves out rows of that time or later; the tables are in the order of time."""

    def cut(parcel: Parcel) -> Parcel:
        left: dict[str, Any] = {}
        for name in TABLES:
            rows = getattr(parcel, name)
            if rows is not None and rows.seq.size and rows.ts_recv_ns[-1] >= ts_ns:
                n = int(rows.ts_recv_ns.searchsorted(ts_ns))
                left[name] = rows_from(rows, 0, n)
        return replace(parcel, **left) if left else parcel

    return cut
