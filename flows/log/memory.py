"""The log in memory: for tests and benchmarks; it ends with its process."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from time import sleep

from flows.log.api import Fetched, Partition
from flows.log.errors import LogLockedError, RetentionError
from flows.log.message import Message
from flows.log.writer import Writer, check_schemas


class _Stored:
    """One partition: its messages and the offset of the first one."""

    def __init__(self) -> None:
        self.start = 0
        self.messages: list[Message] = []

    @property
    def end(self) -> int:
        return self.start + len(self.messages)

    def drop(self, n: int) -> None:
        del self.messages[:n]
        self.start += n


class MemoryLog:
    """Messages in lists, readable and writable by this process only.

    Parameters
    ----------
    retain_messages : int, > 0, or None
        Keep about that many messages per partition (never fewer, at most twice as many), so that a
        long benchmark stays flat in memory. None keeps all.
    """

    def __init__(self, retain_messages: int | None = None) -> None:
        if retain_messages is not None and retain_messages < 1:
            raise ValueError(f"retain_messages must be positive, was {retain_messages}")
        self._retain = retain_messages
        self._stored: dict[Partition, _Stored] = {}
        self._texts: dict[str, str] = {}
        self._written = False

    def writer(self) -> Writer:
        if self._written:
            raise LogLockedError("this memory log has a writer already; close it first")
        writer = Writer(_MemoryStore(self))
        self._written = True
        return writer

    def reader(self, positions: Mapping[Partition, int]) -> "_MemoryReader":
        check_schemas(self._texts)
        return _MemoryReader(self, positions)

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return {p: self.stored(p).end for p in partitions}

    def starts(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return {p: self.stored(p).start for p in partitions}

    def texts(self) -> dict[str, str]:
        return dict(self._texts)

    def close(self) -> None:
        """Nothing to release: the messages live as long as this object."""

    def expire(self, partition: Partition) -> None:
        """Delete all messages of a partition, as a broker's retention does on an idle topic."""
        self.stored(partition).drop(len(self.stored(partition).messages))

    def stored(self, partition: Partition) -> _Stored:
        return self._stored.setdefault(partition, _Stored())

    def put(self, messages: Sequence[Message], texts: Mapping[str, str]) -> None:
        self._texts.update(texts)
        for message in messages:
            stored = self.stored((message.topic, message.lane))
            stored.messages.append(message)
            # Cut in halves: deleting one message at a time would move the whole list each time.
            if self._retain is not None and len(stored.messages) >= 2 * self._retain:
                stored.drop(self._retain)

    def release(self) -> None:
        self._written = False


class _MemoryStore:
    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    def append(self, messages: Sequence[Message], texts: Mapping[str, str]) -> None:
        self._log.put(messages, texts)

    def flush(self) -> None:
        """Memory is as durable as it gets."""

    def last(self, partition: Partition) -> Message | None:
        messages = self._log.stored(partition).messages
        return messages[-1] if messages else None

    def end(self, partition: Partition) -> int:
        return self._log.stored(partition).end

    def texts(self) -> dict[str, str]:
        return self._log.texts()

    def close(self) -> None:
        self._log.release()


class _MemoryReader:
    def __init__(self, log: MemoryLog, positions: Mapping[Partition, int]) -> None:
        self._log = log
        self._next = dict(positions)
        for partition in self._next:
            self._check_retention(partition)

    def poll(self, max_messages: int, paused: Collection[Partition] = ()) -> list[Fetched]:
        fetched: list[Fetched] = []
        for partition, offset in self._next.items():
            if partition in paused:
                continue
            self._check_retention(partition)
            stored = self._log.stored(partition)
            first = offset - stored.start
            found = stored.messages[first : first + max_messages]
            fetched += enumerate(found, offset)
            self._next[partition] = offset + len(found)
        return fetched

    def position(self, partition: Partition) -> int:
        return self._next[partition]

    def behind(self, partition: Partition) -> int:
        return self._log.stored(partition).end - self._next[partition]

    def wait(self, seconds: float) -> None:
        sleep(seconds)

    def close(self) -> None:
        """Nothing to release."""

    def _check_retention(self, partition: Partition) -> None:
        start, wanted = self._log.stored(partition).start, self._next[partition]
        if wanted < start:
            topic, lane = partition
            raise RetentionError(
                f"{topic} lane {lane}: offset {wanted} has been deleted, the log starts at "
                f"{start}; read faster, retain more messages, or start from {start}"
            )
