"""The writer rule, the same for every profile: each `seq` once, in order, without a hole."""

from collections.abc import Mapping, Sequence

from flows.log.api import Partition, Store
from flows.log.codec import tail
from flows.log.errors import GapError, LogError
from flows.log.message import Message
from schemas.topics import check_fingerprints, fingerprints

_SCHEMA = "schema/"  # prefix of the fingerprints in the meta table


class Writer:
    """Appends messages to any partitions of one log.

    What the log holds already is dropped (whole messages) or cut off (the overlapping rows), so a
    restarted flow simply writes its rows again. A hole is refused.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last_seq: dict[Partition, int] = {}
        check_schemas(store.texts())
        missing = {_SCHEMA + name: text for name, text in fingerprints().items()}
        missing = {key: text for key, text in missing.items() if key not in store.texts()}
        if missing:
            store.append([], missing)

    def append(self, messages: Sequence[Message], texts: Mapping[str, str] | None = None) -> int:
        """Store messages, with texts for the meta table; returns how many rows were new.

        Profiles with transactions store all of it or nothing. GapError if a `seq` was skipped;
        nothing of the call is stored then.
        """
        new: list[Message] = []
        reached: dict[Partition, int] = {}
        for message in messages:
            partition = (message.topic, message.lane)
            last = reached.get(partition, self.last_seq(*partition))
            if message.first_seq > last + 1:
                raise GapError(
                    who="writer",
                    topic=message.topic,
                    lane=message.lane,
                    expected=last + 1,
                    found=message.first_seq,
                )
            new += tail(message, last + 1)
            reached[partition] = max(last, message.last_seq)
        if new or texts:
            self._store.append(new, texts or {})
        self._last_seq.update(reached)
        return sum(message.n_rows for message in new)

    def flush(self) -> None:
        """Everything appended is durable when this returns."""
        self._store.flush()

    def last(self, topic: str, lane: int) -> Message | None:
        """The last message in the log: where a restarted writer goes on."""
        return self._store.last((topic, lane))

    def last_seq(self, topic: str, lane: int) -> int:
        """`seq` of the last row, read back from the log the first time; -1 if there is none."""
        partition = (topic, lane)
        if partition not in self._last_seq:
            last = self._store.last(partition)
            self._last_seq[partition] = -1 if last is None else last.last_seq
        return self._last_seq[partition]

    def resume(self, topic: str, lane: int, last_seq: int) -> None:
        """Tell what a recovery snapshot knows to be written.

        It counts where retention has emptied the partition. A log that holds less than the
        snapshot knows is another log, or was cut: LogError.
        """
        found = self.last_seq(topic, lane)
        emptied = self._store.last((topic, lane)) is None and self._store.end((topic, lane)) > 0
        if found < last_seq and not emptied:
            raise LogError(
                f"{topic} lane {lane}: the recovery directory knows rows up to seq {last_seq}, "
                f"the log ends at {found}; they do not belong together. Restore both from the "
                "same copy, or start a new run"
            )
        self._last_seq[(topic, lane)] = max(found, last_seq)

    def close(self) -> None:
        self._store.close()


def check_schemas(texts: Mapping[str, str]) -> None:
    """SchemaMismatchError if the log's meta table records other columns than this program's."""
    check_fingerprints(
        {key.removeprefix(_SCHEMA): text for key, text in texts.items() if key.startswith(_SCHEMA)}
    )
