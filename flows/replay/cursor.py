"""One partition of a recorded run, row by row."""

from collections.abc import Collection, Mapping
from typing import Any

from flows.log.api import Fetched, Log, Partition, Reader
from flows.log.errors import PoisonMessageError
from flows.log.reader import LaneReader, Position
from flows.replay.joined_log import JoinedLog
from schemas.rows import concat
from schemas.topics import Topic


class Cursor:
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
                before = self._reader
                self._reader = self._open(before.state(), poison.offset)
                before.close()
                continue
            for rows in window.values():
                size = len(rows) if isinstance(rows, list) else rows.seq.size
                parts.append(rows)
                n -= size
                self.n_read += size
        if not parts:
            return None
        if isinstance(parts[0], list):
            return [row for part in parts for row in part]
        return concat(parts)

    def close(self) -> None:
        """Let go of the log."""
        self._reader.close()

    def _open(self, state: dict[Partition, Position] | None, end: int) -> LaneReader:
        ends = {self._partition: end}
        log = self._log if self.poison is None else _UpTo(self._log, end)
        return LaneReader(log, [self._partition], state=state, merge=False, ends=ends)


class _UpTo(JoinedLog):
    """The log, of which nothing is fetched from an offset on: a damaged message stands there."""

    def __init__(self, log: Log, end: int) -> None:
        super().__init__(log, {})
        self._end = end

    def reader(self, positions: Mapping[Partition, int]) -> Reader:
        (partition,) = positions
        return _ReaderUpTo(super().reader(positions), partition, self._end)


class _ReaderUpTo:
    def __init__(self, reader: Reader, partition: Partition, end: int) -> None:
        self._reader, self._partition, self._end = reader, partition, end
        self.position, self.behind = reader.position, reader.behind
        self.wait, self.close = reader.wait, reader.close

    def poll(self, max_messages: int, paused: Collection[Partition] = ()) -> list[Fetched]:
        left = self._end - self._reader.position(self._partition)
        return self._reader.poll(min(max_messages, left), paused)
