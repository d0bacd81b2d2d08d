"""What a profile supplies: somewhere to store messages and fetch them again.

The rules (contiguous `seq`, read-back, trimming, the order of a merge) are the same everywhere and
live in `flows.log.writer` and `flows.log.reader`; a profile only stores and fetches.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from flows.log.message import Message

if TYPE_CHECKING:
    from flows.log.writer import Writer

Partition = tuple[str, int]  # topic name, lane
Fetched = tuple[int, Message]  # offset, message


class Store(Protocol):
    """The writing side of a profile. One owner per partition, no rules of its own."""

    def append(self, messages: Sequence[Message], texts: Mapping[str, str]) -> None:
        """Hand over messages of any partitions, in order, together with texts for the meta table.

        Profiles that can, store all of it or nothing. Profiles that push in the background may
        report a failure as late as the next `flush`, but never swallow it.
        """

    def flush(self) -> None:
        """Everything appended is durable when this returns; raises what went wrong since."""

    def last(self, partition: Partition) -> Message | None:
        """The last message in the log, as of now; None if it holds none."""

    def end(self, partition: Partition) -> int:
        """The offset that the next message of the partition gets; 0 if there never was one."""

    def texts(self) -> dict[str, str]:
        """The meta table."""

    def close(self) -> None: ...


class Reader(Protocol):
    """The reading side of a profile: raw messages, duplicates included."""

    def poll(self, max_messages: int, paused: Collection[Partition] = ()) -> list[Fetched]:
        """What is there now, at most that many messages per partition, without waiting.

        In offset order within a partition. Partitions in `paused` are left out this time.
        """

    def position(self, partition: Partition) -> int:
        """Every message below this offset has been returned (or does not exist)."""

    def behind(self, partition: Partition) -> int:
        """How many offsets the log goes on beyond `position`, as far as is known here."""

    def wait(self, seconds: float) -> None:
        """Return when something may have arrived, at the latest after so long."""

    def close(self) -> None: ...


class Log(Protocol):
    """A profile."""

    def writer(self) -> "Writer":
        """The one writer of this process; fences or refuses other writers."""

    def reader(self, positions: Mapping[Partition, int]) -> Reader:
        """Reads those partitions from those offsets on.

        RetentionError if an offset lies before the first message that is still there.
        """

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The offset after the last message of each; where a bounded replay ends."""

    def starts(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The offset of the first message that is still there."""

    def texts(self) -> dict[str, str]:
        """The meta table: run manifest, instrument table, schema fingerprints."""

    def close(self) -> None: ...
