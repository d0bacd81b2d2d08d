"""Copies a log into a store: as far as it goes now, or for as long as it goes on."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from flows.log.api import Fetched, Log, Partition
from flows.log.lane_source import WAIT_S, Polled
from flows.log.reader import LaneReader, Position, Window
from flows.recorded import recorded_run, signal_names
from flows.replay.extent import lanes_of
from flows.store.blocks import Blocks, row_count
from flows.store.folder import StoreFolder
from flows.store.layout import STORED
from schemas.instruments import InstrumentTable
from schemas.topics import DECISIONS, FEATURES, MARKET, SIGNALS, Topic

WINDOW_ROWS = 32_768
FLUSH_S = 60.0  # how old a row gets before a query finds it; what files hold in the end is the same
# Nothing on the log says that an account or execute worker is through. This says when the process
# ends, never what is stored: `export` and `query` bring the store up to date at any time.
SETTLED_S = 30.0
ENDING = (MARKET, FEATURES, DECISIONS)  # these say where they end

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exported:
    """What an export has read and stored."""

    run_id: str
    rows: Mapping[str, int]  # topic: rows of the log that are in the store now


def export(
    log: Log,
    folder: Path,
    *,
    topics: Sequence[Topic] = STORED,
    progress: Callable[[int], None],
) -> Exported:
    """Bring a store up to where the log ends now; it is made if it is not there.

    Parameters
    ----------
    log : Log
        May be written meanwhile.
    progress : callable
        Told the number of rows read so far.

    Raises
    ------
    LogError, StoreError
    """
    record, table = recorded_run(log)
    inputs = _inputs(topics, table)
    ends, n_read = log.ends(inputs), 0
    names = signal_names(log)
    with StoreFolder(folder, run_id=record.run_id, instruments=table, signals=names) as store:
        blocks = Blocks(store)
        positions = _positions(log, store, inputs)
        with closing(LaneReader(log, inputs, state=positions, merge=False, ends=ends)) as reader:
            while not reader.done():
                n_read += sum(map(row_count, _step(reader, blocks).values()))
                progress(n_read)
            blocks.flush()
            last = reader.state()
    rows = {topic.name: 0 for topic in topics}
    for (topic, _), position in last.items():
        rows[topic] += position.last_seq + 1
    return Exported(record.run_id, rows)


def follow(log: Log, folder: Path, *, polled: Polled) -> None:
    """Store a log while it is written, until it has ended; begins where an earlier call stopped.

    May be killed at any point.
    """
    record, table = recorded_run(log)
    inputs = _inputs(STORED, table)
    ends = (*ENDING, SIGNALS) if signal_names(log) else ENDING
    ending = {(topic.name, lane) for topic, lane in _of(ends, table)}
    names = signal_names(log)
    with StoreFolder(folder, run_id=record.run_id, instruments=table, signals=names) as store:
        blocks = Blocks(store)
        positions = _positions(log, store, inputs)
        flush_s = settled_s = monotonic()
        with closing(LaneReader(log, inputs, state=positions, merge=False)) as reader:
            while True:
                window = _step(reader, blocks, polled)
                now_s, state = monotonic(), reader.state()
                if window or not all(state[partition].ended for partition in ending):
                    settled_s = now_s
                elif now_s - settled_s > SETTLED_S:
                    break
                if now_s - flush_s > FLUSH_S:
                    blocks.flush()
                    flush_s = monotonic()
            blocks.flush()


def _step(
    reader: LaneReader, blocks: Blocks, polled: Polled = lambda reader, window: None
) -> Window:
    before = reader.state()
    window = reader.window(WINDOW_ROWS)
    polled(reader, window)
    if window:
        blocks.take(window, before=before, after=reader.state())
    else:
        reader.wait(WAIT_S)
    return window


def _of(topics: Sequence[Topic], table: InstrumentTable) -> list[tuple[Topic, int]]:
    return [(topic, lane) for topic in topics for lane in lanes_of(topic, table)]


def _inputs(topics: Sequence[Topic], table: InstrumentTable) -> list[Partition]:
    return [(topic.name, lane) for topic, lane in _of(topics, table)]


def _positions(
    log: Log, store: StoreFolder, inputs: Sequence[Partition]
) -> dict[Partition, Position]:
    """Where each input goes on; at the first row still there if retention has deleted that one."""
    starts, ends, found = log.starts(inputs), log.ends(inputs), {}
    for partition in inputs:
        position, start = store.position(partition), starts[partition]
        if position.offset < start:
            position = position._replace(offset=start)
            if not position.ended and start < ends[partition]:
                position = _behind_retention(log, partition, position)
        found[partition] = position
    return found


def _behind_retention(log: Log, partition: Partition, position: Position) -> Position:
    """The same position, moved on over rows that the log no longer has."""
    found: list[Fetched] = []
    with closing(log.reader({partition: position.offset})) as reader:
        while not found:
            reader.wait(WAIT_S)
            found = reader.poll(1)
    offset, message = found[0]
    if message.first_seq <= position.last_seq + 1:
        return position._replace(offset=offset)
    _log.warning(
        "rows were deleted from the log; those that no store has are lost",
        extra={"topic": message.topic, "lane": message.lane, "first_seq": message.first_seq},
    )
    return Position(offset=offset, last_seq=message.first_seq - 1)
