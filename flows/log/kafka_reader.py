"""Reading from Kafka: one consumer for all lanes of a process."""

from collections import deque
from collections.abc import Collection, Mapping

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Raw

from flows.log.api import Fetched, Partition
from flows.log.errors import LogError
from flows.log.kafka_client import clear, new_consumer, parse, passing
from flows.log.message import Message

FETCH_MESSAGES = 1_000  # per call of the consumer, which takes 1.5 us each
HELD_BYTES_MAX = 8 * 1024 * 1024  # fetched and not yet asked for, per partition; then it is paused
HELD_BYTES_MIN = 2 * 1024 * 1024  # and resumed here

ASK_S = 1.0

_Held = tuple[int, Message | None]  # offset after it, or of the end of the log where None


class KafkaReader:
    """See `flows.log.api.Reader`; `names` gives the brokers' name of each topic.

    A paused partition is still fetched, up to 8 MB: pausing the consumer throws away what it has
    fetched ahead, and a merge pauses and goes on at every other window.
    """

    def __init__(
        self, servers: str, positions: Mapping[Partition, int], names: Mapping[str, str]
    ) -> None:
        self._next = dict(positions)
        self._held: dict[Partition, deque[_Held]] = {p: deque() for p in positions}
        self._n_bytes = dict.fromkeys(positions, 0)
        self._stopped: set[Partition] = set()  # paused at the consumer
        self._of = {(names[topic], lane): (topic, lane) for topic, lane in positions}
        self._there = {own: TopicPartition(*there) for there, own in self._of.items()}
        self._consumer = new_consumer(servers)
        self._consumer.assign(
            [TopicPartition(*there, self._next[own]) for there, own in self._of.items()]
        )

    def poll(self, max_messages: int, paused: Collection[Partition] = ()) -> list[Fetched]:
        self._fetch()
        fetched: list[Fetched] = []
        for partition, held in self._held.items():
            limit = 0 if partition in paused else max_messages
            fetched += self._take(partition, held, limit)
        return fetched

    def position(self, partition: Partition) -> int:
        return self._next[partition]

    def behind(self, partition: Partition) -> int:
        """As the brokers said with the last fetch, or say now where fetching is paused."""
        there = self._there[partition]
        try:
            cached = partition not in self._stopped
            _, high = self._consumer.get_watermark_offsets(there, ASK_S, cached=cached)
        except KafkaException:  # they are away; the flow will say so
            _, high = self._consumer.get_watermark_offsets(there, cached=True)
        return max(0, high - self._next[partition])

    def wait(self, seconds: float) -> None:
        raw = self._consumer.poll(seconds)
        if raw is not None:
            self._keep([raw])

    def close(self) -> None:
        self._consumer.close()

    def _fetch(self) -> None:
        self._keep(self._consumer.consume(FETCH_MESSAGES, 0))

    def _keep(self, fetched: list[Raw]) -> None:
        for raw in fetched:
            partition = self._of.get((raw.topic() or "", raw.partition() or 0))
            error, offset = raw.error(), raw.offset()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF and partition and offset is not None:
                    # Past the marks of transactions, which have an offset and no message.
                    self._held[partition].append((offset, None))
                elif not passing(error):
                    where = (
                        "the log" if partition is None else f"{partition[0]} lane {partition[1]}"
                    )
                    raise clear(error, where)
                continue
            if partition is None or offset is None:
                raise LogError(f"{raw.topic()} {raw.partition()}: nobody asked for it")
            message = parse(raw, partition)
            self._held[partition].append((offset + 1, message))
            self._n_bytes[partition] += len(message.body)
        self._bound()

    def _take(self, partition: Partition, held: deque[_Held], max_messages: int) -> list[Fetched]:
        taken: list[Fetched] = []
        while held and (len(taken) < max_messages or held[0][1] is None):
            after, message = held.popleft()
            self._next[partition] = after
            if message is not None:
                taken.append((after - 1, message))
                self._n_bytes[partition] -= len(message.body)
        return taken

    def _bound(self) -> None:
        full = {p for p, n in self._n_bytes.items() if n > HELD_BYTES_MAX} - self._stopped
        free = {p for p in self._stopped if self._n_bytes[p] < HELD_BYTES_MIN}
        if full:
            self._consumer.pause([self._there[p] for p in full])
        if free:
            self._consumer.resume([self._there[p] for p in free])
        self._stopped = (self._stopped | full) - free
