"""Replay: decides a recorded log again and compares every row with what was recorded.

market.v1 -> features -> lanes -> portfolio -> journal -> compare with the recorded topics
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import bytewax.operators as op
import numpy as np
from bytewax.dataflow import Dataflow
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from flows import account, decide, execute, features
from flows.desk_run import RECORD, TABLE, RunRecord
from flows.log.api import Log, Partition
from flows.log.codec import rows_from
from flows.log.errors import LogError, PoisonMessageError
from flows.log.lane_source import ALL, LaneSource
from flows.log.reader import LaneReader, Position, Window, merge_windows
from flows.log.stop import hushed
from flows.numeric import fingerprint
from flows.parcel import Parcel
from flows.runtime import run_flow
from flows.settings import RunSettings
from models.registry import load_or_fallback
from models.session import StreamModel
from schemas.digest import Difference, first_difference, first_difference_json
from schemas.instruments import InstrumentTable
from schemas.kinds import Kind
from schemas.rows import concat, take
from schemas.topics import (
    DECISIONS,
    FEATURES,
    LEDGER,
    MARKET,
    ORDERS,
    PROPOSALS,
    QUARANTINE,
    REPORTS,
    Topic,
)

BATCH_ROWS = 8192
NO_RECOVERY = timedelta(days=1)  # nothing is stored, so one epoch is enough
COMPARED = (FEATURES, PROPOSALS, DECISIONS, REPORTS, LEDGER)
READ_ONLY = (ORDERS, QUARANTINE)  # not a function of the log alone: read, so that damage is found


@dataclass
class Verification:
    """What a replay found.

    Attributes
    ----------
    decisions, journal_rows : int
        Compared and equal so far.
    difference : dict or None
        The first row that differs: topic, row, columns, recorded, redecided.
    numeric_matches : bool
        False: this machine's exp, log or model differ in the last bit from the recording one's.
    notes : list of str
    """

    decisions: int = 0
    journal_rows: int = 0
    difference: dict[str, Any] | None = None
    numeric_matches: bool = True
    notes: list[str] = field(default_factory=list)


def verify(log: Log, *, progress: Callable[[int], None]) -> Verification:
    """Decide a recorded run again, up to where its topics end now; stops at the first difference.

    LogError if the log holds no run, or one of another model than this installation's.
    """
    record, table = _recorded_run(log)
    model = _model_of(record)
    found = Verification(numeric_matches=fingerprint(model) == record.numeric)
    ends = log.ends(
        [
            (topic.name, lane)
            for topic in (MARKET, *COMPARED, *READ_ONLY)
            for lane in _lanes(topic, table)
        ]
    )
    compare = _Compare(log, table, ends, found, progress)
    try:
        flow = _build(log, table, record, model, ends, compare)
        run_flow(flow, recovery=None, epoch_interval=NO_RECOVERY)
        compare.finish()
    except _DifferentError as different:
        found.difference = different.told
    except PoisonMessageError as poison:
        found.difference = _unreadable(poison)
    return found


def _build(
    log: Log,
    table: InstrumentTable,
    record: RunRecord,
    model: StreamModel | None,
    ends: dict[Partition, int],
    compare: "_Compare",
) -> Dataflow:
    settings = RunSettings(**record.settings)
    lanes = [(MARKET.name, lane) for lane in table.active_lanes()]
    flow = Dataflow("replay")
    source = LaneSource(log, lanes, merge=True, batch_rows=BATCH_ROWS, ends=ends)
    stream = op.map_value("merge", op.input("market", flow, source), _parcel)
    stream = features.steps(stream, table, model)
    rules = settings.rules(table, model.digest if model else 0)
    stream = decide.replay_steps(stream, table, rules)
    stream = execute.steps(stream, table)
    stream = account.steps(stream, table, settings.balance)
    op.output("compare", stream, compare)
    return flow


def _parcel(window: Window) -> Parcel:
    return Parcel(merge_windows(window), position=0, last=False, born_s=0.0)


class _DifferentError(Exception):
    """Ends the flow at the first difference."""

    def __init__(self, topic: Topic, start: int, difference: Difference) -> None:
        super().__init__(topic.name)
        self.told = {
            "topic": topic.name,
            "row": start + difference.row,
            "columns": list(difference.columns),
            "recorded": difference.recorded,
            "redecided": difference.redecided,
        }


class _Compare(FixedPartitionedSink[Parcel, None]):
    """The sink: reads as many recorded rows as were made again, and compares them."""

    def __init__(
        self,
        log: Log,
        table: InstrumentTable,
        ends: dict[Partition, int],
        found: Verification,
        progress: Callable[[int], None],
    ) -> None:
        self._found, self._progress = found, progress
        self._cursors = {
            (topic.name, lane): _Cursor(log, topic, lane, ends)
            for topic in (*COMPARED, *READ_ONLY)
            for lane in _lanes(topic, table)
        }
        self._rows = 0

    def list_parts(self) -> list[str]:
        return [ALL]

    def part_fn(self, item_key: str) -> int:
        return 0

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_ComparePart":
        return _ComparePart(self)

    def take_in(self, parcel: Parcel) -> None:
        """Compare one batch."""
        tables: list[tuple[Topic, Any]] = [
            (FEATURES, parcel.features),
            (PROPOSALS, parcel.proposals),
        ]
        for topic, rows in tables:
            for lane in np.unique(rows.lane).tolist():
                self._same(topic, lane, take(rows, rows.lane == lane))
        self._same(DECISIONS, 0, parcel.decisions)
        for lane in sorted({row["lane"] for row in parcel.reports}):
            self._same(REPORTS, lane, [row for row in parcel.reports if row["lane"] == lane])
        self._same(LEDGER, 0, parcel.journal)
        decided: Any = parcel.decisions
        self._found.decisions += int(np.count_nonzero(decided.kind == Kind.DECISION))
        self._found.journal_rows += len(parcel.journal)
        self._rows += int(np.count_nonzero(parcel.market.source >= 0))
        self._progress(self._rows)

    def finish(self) -> None:
        """Nothing is recorded beyond what was decided again; the other topics can be read."""
        for cursor in self._cursors.values():
            if cursor.topic in READ_ONLY:
                while cursor.next(BATCH_ROWS) is not None:
                    pass
                if cursor.poison is not None:
                    raise cursor.poison
                continue
            rest = cursor.next(1)
            if rest is not None:
                raise _DifferentError(cursor.topic, cursor.n_read - 1, _extra(rest))

    def _same(self, topic: Topic, lane: int, rows: Any) -> None:
        n = len(rows) if isinstance(rows, list) else rows.seq.size
        if n == 0:
            return
        cursor = self._cursors[(topic.name, lane)]
        start = cursor.n_read
        recorded = cursor.next(n)
        n_read = cursor.n_read - start
        if cursor.poison is not None and n_read < n:  # equal up to what cannot be read?
            self._equal(topic, start, recorded, rows_from(rows, 0, n_read))
            due = _extra(rows_from(rows, n_read))
            why = {"unreadable": str(cursor.poison)}
            found = Difference(n_read, ("unreadable",), why, due.recorded)
            raise _DifferentError(topic, start, found)
        self._equal(topic, start, recorded, rows)

    def _equal(self, topic: Topic, start: int, recorded: Any, rows: Any) -> None:
        if isinstance(rows, list):
            difference = first_difference_json(recorded or [], rows)
        else:
            none = take(rows, slice(0, 0))
            difference = first_difference(none if recorded is None else recorded, rows)
        if difference is not None:
            raise _DifferentError(topic, start, difference)


class _ComparePart(StatefulSinkPartition[Parcel, None]):
    def __init__(self, sink: _Compare) -> None:
        self._sink = sink

    @hushed
    def write_batch(self, values: list[Parcel]) -> None:
        for parcel in values:
            self._sink.take_in(parcel)

    def snapshot(self) -> None:
        return None


class _Cursor:
    """Reads one recorded partition row by row, up to its end or to a message that is damaged."""

    def __init__(self, log: Log, topic: Topic, lane: int, ends: dict[Partition, int]) -> None:
        self.topic = topic
        self.n_read = 0
        self.poison: PoisonMessageError | None = None
        self._log, self._partition = log, (topic.name, lane)
        self._reader = self._open(None, ends[self._partition])

    def next(self, n: int) -> Any:
        """The next rows, at most `n`; None at the end."""
        parts: list[Any] = []
        while n > 0 and not self._reader.done():
            try:
                window = self._reader.window(n)
            except PoisonMessageError as poison:  # readers look ahead: what is sound comes first
                if self.poison is not None or poison.offset is None:
                    raise
                self.poison = poison
                self._reader = self._open(self._reader.state(), poison.offset)
                continue
            for rows in window.values():
                size = len(rows) if isinstance(rows, list) else rows.seq.size
                parts.append(rows)
                n -= size
                self.n_read += size
        if not parts:
            return None
        return [row for part in parts for row in part] if _is_json(parts) else concat(parts)

    def _open(self, state: dict[Partition, Position] | None, end: int) -> LaneReader:
        ends = {self._partition: end}
        return LaneReader(self._log, [self._partition], state=state, merge=False, ends=ends)


def _is_json(parts: list[Any]) -> bool:
    return isinstance(parts[0], list)


def _recorded_run(log: Log) -> tuple[RunRecord, InstrumentTable]:
    texts = log.texts()
    if RECORD not in texts or TABLE not in texts:
        raise LogError("the log holds no run: its first record is missing")
    return RunRecord.from_json(texts[RECORD]), InstrumentTable.from_json(texts[TABLE])


def _model_of(record: RunRecord) -> StreamModel | None:
    """The model that decided; a run on the fallback is decided again on the fallback."""
    due = record.model["sha256"]
    if not due:
        return None
    model, notice = load_or_fallback()
    if model is None or model.card.sha256 != due:
        raise LogError(
            f"the run was decided by model {record.model['name']} {record.model['version']} "
            f"(SHA-256 {due[:16]}), which is not installed here{': ' + notice if notice else ''}; "
            "install that version of the registry"
        )
    return model


def _lanes(topic: Topic, table: InstrumentTable) -> Sequence[int]:
    if topic.partitions == "single":
        return [0]
    return range(table.lanes) if topic is QUARANTINE else table.active_lanes()


def _extra(recorded: Any) -> Difference:
    """The log goes on where the decisions end."""
    if isinstance(recorded, list):
        return Difference(0, tuple(recorded[0]), recorded[0], None)
    found = first_difference(recorded, take(recorded, slice(0, 0)))
    assert found is not None
    return found


def _unreadable(poison: PoisonMessageError) -> dict[str, Any]:
    return {
        "topic": poison.topic,
        "row": poison.seq,
        "columns": ["unreadable"],
        "recorded": {"lane": poison.lane, "seq": poison.seq, "unreadable": str(poison)},
        "redecided": None,
    }
