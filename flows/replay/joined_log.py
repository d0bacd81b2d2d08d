"""Several logs read as one: what was decided again stands in scratch logs beside the recorded."""

from collections.abc import Collection, Iterable, Mapping

from flows.log.api import Fetched, Log, Partition, Reader
from flows.log.errors import LogError
from flows.log.writer import Writer


class JoinedLog:
    """A log to read, some of whose partitions are those of other logs.

    Parameters
    ----------
    log : Log
    instead : mapping of (topic, lane) to Log
        Where these partitions are; all others are in `log`.
    """

    def __init__(self, log: Log, instead: Mapping[Partition, Log]) -> None:
        self._log, self._instead = log, instead

    def reader(self, positions: Mapping[Partition, int]) -> Reader:
        by_log: dict[int, tuple[Log, dict[Partition, int]]] = {}
        for partition, offset in positions.items():
            log = self._at(partition)
            by_log.setdefault(id(log), (log, {}))[1][partition] = offset
        readers: dict[Partition, Reader] = {}
        for log, its in by_log.values():
            readers |= dict.fromkeys(its, log.reader(its))
        return _JoinedReader(readers)

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        found: dict[Partition, int] = {}
        for partition in partitions:
            found |= self._at(partition).ends([partition])
        return found

    def starts(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        found: dict[Partition, int] = {}
        for partition in partitions:
            found |= self._at(partition).starts([partition])
        return found

    def texts(self) -> dict[str, str]:
        return self._log.texts()

    def writer(self) -> Writer:
        raise LogError("a replay reads the log and never writes it")

    def close(self) -> None:
        """Whoever opened the logs closes them."""

    def _at(self, partition: Partition) -> Log:
        return self._instead.get(partition, self._log)


class _JoinedReader:
    def __init__(self, readers: Mapping[Partition, Reader]) -> None:
        self._of = readers
        self._readers = list({id(reader): reader for reader in readers.values()}.values())

    def poll(self, max_messages: int, paused: Collection[Partition] = ()) -> list[Fetched]:
        return [each for reader in self._readers for each in reader.poll(max_messages, paused)]

    def position(self, partition: Partition) -> int:
        return self._of[partition].position(partition)

    def behind(self, partition: Partition) -> int:
        return self._of[partition].behind(partition)

    def wait(self, seconds: float) -> None:
        """The recorded log's reader waits; scratch logs are complete."""
        self._readers[0].wait(seconds)

    def close(self) -> None:
        for reader in self._readers:
            reader.close()
