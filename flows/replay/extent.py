"""A recorded run as it is now: how far each topic is written, and from where on nothing is sure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flows.desk_run import RunRecord
from flows.log.api import Log, Partition
from flows.log.codec import decode
from flows.log.lane_source import WAIT_S
from flows.log.message import Message
from flows.log.reader import ALWAYS_NS, NEVER_NS
from flows.recorded import recorded_run
from schemas.instruments import InstrumentTable
from schemas.kinds import Flag
from schemas.topics import (
    DECISIONS,
    FEATURES,
    LEDGER,
    MARKET,
    ORDERS,
    PROPOSALS,
    QUARANTINE,
    REPORTS,
    SIGNALS,
    Topic,
)

SPLIT = "split"  # a run record's topology: workers, whose topics end at different places
TAIL_MESSAGES = 16  # per lane: behind the last rows there may be copies of earlier ones
# What is derived is asked before what it is derived from, so that a worker that writes on makes no
# row that could not be derived again.
DERIVED = (LEDGER, ORDERS, REPORTS, DECISIONS, PROPOSALS, FEATURES, SIGNALS)


@dataclass(frozen=True)
class Recorded:
    """A run on its log, as it was when asked.

    Attributes
    ----------
    ends : mapping of (topic, lane) to offset
        Where each topic is read to.
    reports_ends : mapping of (topic, lane) to offset
        Of `reports.v1`, as of a moment after the end of `market.v1` was asked: every report that
        stands there stands before these.
    ended : bool
        All lanes of `market.v1` have their END row.
    """

    record: RunRecord
    table: InstrumentTable
    ends: dict[Partition, int]
    reports_ends: dict[Partition, int]
    ended: bool
    last_ns: dict[str, int]  # topic: see `certain_before_ns`

    def certain_before_ns(self, topic: Topic) -> int:
        """Rows of `market.v1` or `features.v1` before this time are in their final order.

        In a fused log all of them are. Workers write their lanes at their own pace: what a silent
        lane may still bring stands before later rows of the others.
        """
        return ALWAYS_NS if self.record.topology != SPLIT else self.last_ns[topic.name]

    @property
    def settled_ns(self) -> int:
        """Rows before this time are made again from both topics, whichever is read.

        A desk of one lane has nothing to wait for: it has recorded more than that.
        """
        topics = (MARKET, FEATURES)
        return min(self.certain_before_ns(topic) for topic in topics)

    @property
    def split(self) -> bool:
        """Workers recorded it."""
        return self.record.topology == SPLIT


def recorded_now(log: Log) -> Recorded:
    """How far every topic is written now. LogError if the log holds no run."""
    _, table = recorded_run(log)
    active = table.active_lanes()
    ends: dict[Partition, int] = {}
    for topic in DERIVED:
        ends |= log.ends([(topic.name, lane) for lane in lanes_of(topic, table)])
    features_ns, _ = _tail(log, FEATURES, active, ends)
    market = market_now(log)
    ends |= market.ends
    ends |= log.ends([(QUARANTINE.name, lane) for lane in lanes_of(QUARANTINE, table)])
    reports = log.ends([(REPORTS.name, lane) for lane in active])
    last_ns = market.last_ns | {FEATURES.name: features_ns}
    return replace(market, ends=ends, reports_ends=reports, last_ns=last_ns)


def decided_before_ns(log: Log, run: Recorded) -> int:
    """Rows of `market.v1` before this time are decided on, as far as `run` reads."""
    last_ns, _ = _tail(log, DECISIONS, [0], run.ends)
    return last_ns


def market_now(log: Log) -> Recorded:
    """The same of `market.v1` alone."""
    record, table = recorded_run(log)
    ends = log.ends([(MARKET.name, lane) for lane in table.active_lanes()])
    last_ns, ended = _tail(log, MARKET, table.active_lanes(), ends)
    return Recorded(record, table, ends, {}, ended, {MARKET.name: last_ns})


def lanes_of(topic: Topic, table: InstrumentTable) -> Sequence[int]:
    """Partitions of a topic that a run writes."""
    if topic.partitions == "single":
        return [0]
    return range(table.lanes) if topic is QUARANTINE else table.active_lanes()


def _tail(
    log: Log, topic: Topic, lanes: Sequence[int], ends: dict[Partition, int]
) -> tuple[int, bool]:
    """The least last time of the lanes that go on; whether none does."""
    inputs = [(topic.name, lane) for lane in lanes]
    starts = log.starts(inputs)
    reader = log.reader({p: max(starts[p], ends[p] - TAIL_MESSAGES) for p in inputs})
    last: dict[int, tuple[int, Message]] = {}
    try:
        while any(reader.position(p) < ends[p] for p in inputs):
            fetched = reader.poll(TAIL_MESSAGES)
            if not fetched:
                reader.wait(WAIT_S)
            for offset, message in fetched:
                partition = (message.topic, message.lane)
                found = last.get(message.lane)
                later = found is None or message.last_seq > found[1].last_seq
                if offset < ends[partition] and later:
                    last[message.lane] = offset, message
    finally:
        reader.close()
    open_ns = []
    for lane in lanes:
        if lane not in last:
            open_ns.append(NEVER_NS)
            continue
        offset, message = last[lane]
        if not decode(message, offset=offset).flags[-1] & Flag.END:
            open_ns.append(message.ts_max_ns)
    return min(open_ns, default=ALWAYS_NS), not open_ns
