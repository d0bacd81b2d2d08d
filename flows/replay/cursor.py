"""One partition of a recorded run, row by row."""

from typing import Any

from flows.log.api import Log, Partition
from flows.log.errors import PoisonMessageError
from flows.log.reader import LaneReader, Position
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
        return LaneReader(self._log, [self._partition], state=state, merge=False, ends=ends)
