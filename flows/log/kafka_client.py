"""What readers and writers on Kafka share: settings, questions to a partition, errors in words."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Raw

from flows.log.api import Partition
from flows.log.errors import (
    LogAwayError,
    LogError,
    LogLockedError,
    PoisonMessageError,
    RetentionError,
)
from flows.log.message import Message

SERVERS = "127.0.0.1:19092"  # where `trifecta kafka up` starts a broker
SERVERS_VARIABLE = "TRIFECTA_KAFKA"
HEADER = "trifecta"  # the one Kafka header of a message
MESSAGE_BYTES_MAX = 2 * 1024 * 1024  # of a client; the topics' own bound stands in topics.yaml
FIRST_ANSWER_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0  # while it is known that brokers were there
ATTEMPT_TIMEOUT_S = 3.0  # a broker that has just died never answers; its successor does
RETRY_S = 0.1

_FENCED = frozenset(
    {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
)
_LOST_COUNT = frozenset(  # a broker that came back numbers a writer's messages otherwise
    {
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, KafkaError.UNKNOWN_PRODUCER_ID,
        KafkaError._GAPLESS_GUARANTEE,
    }
)  # fmt: skip
_AWAY = frozenset(  # librdkafka goes on trying by itself
    {
        KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE,
        KafkaError._TIMED_OUT, KafkaError._UNKNOWN_PARTITION,
    }
)  # fmt: skip
_PASSING = _AWAY | frozenset(
    {
        # Right after a broker's start, a topic's creation or a change of leaders.
        KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.FENCED_LEADER_EPOCH,
        KafkaError._NOENT,  # of leaders
        KafkaError._DESTROY_BROKER,  # the broker that was asked has been replaced
    }
)  # fmt: skip


def servers_or_default(servers: str | None) -> str:
    """The addresses given, else those of TRIFECTA_KAFKA, else those of the local broker."""
    return servers or os.environ.get(SERVERS_VARIABLE) or SERVERS


def client_settings(servers: str) -> dict[str, Any]:
    """What producers and consumers have in common."""
    return {
        "bootstrap.servers": servers,
        # Raised anyway: all but the one line of a fatal error. Handing lines to Python's logging
        # (`logger`) ended a process with a segmentation fault.
        "log_level": 0,
        "reconnect.backoff.max.ms": 1000,
        "message.max.bytes": MESSAGE_BYTES_MAX,
    }


def new_consumer(servers: str, *, wait_ms: int = 100) -> Consumer:
    """A consumer that is told what to read: no group, nothing committed.

    `wait_ms` is how long a broker may keep a fetch open while nothing is there; messages are sent
    at once, but the news that the end is reached comes after it.

    Aborted transactions count as written: what follows them continues their `seq`, so it reads
    uncommitted messages. A position that does not exist (any more) is an error.
    """
    return Consumer(
        {
            **client_settings(servers),
            "group.id": "unused",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_uncommitted",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "check.crcs": True,
            "fetch.wait.max.ms": wait_ms,
            "fetch.error.backoff.ms": 50,
            "fetch.queue.backoff.ms": 5,  # 1,000 by default: a full queue would stall for a second
            "queued.max.messages.kbytes": 16_384,  # bounds the memory of a reader far behind
        }
    )


def passing(error: KafkaError) -> bool:
    """Whether it heals by itself."""
    return not error.fatal() and (error.retriable() or error.code() in _PASSING)


def clear(error: KafkaError, where: str) -> LogError:
    """A Kafka error as one of ours: what, where, and what to do."""
    if error.code() in _FENCED:
        return LogLockedError(
            f"{where}: another process has taken over as its writer and goes on; stop this one"
        )
    if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
        return RetentionError(
            f"{where}: the next message has been deleted by retention; read faster, retain more "
            "(infra/kafka/topics.yaml), or start from what is left"
        )
    if error.code() in _AWAY:
        return LogAwayError(
            f"{where}: Kafka does not answer ({error.str()}); start it with 'trifecta kafka up', "
            f"or set {SERVERS_VARIABLE} to its addresses"
        )
    if error.code() in _LOST_COUNT:
        return LogAwayError(
            f"{where}: Kafka has lost count of this writer's messages ({error.name()}), as after a "
            "kill of a broker; start it again: what the log holds is read back"
        )
    kind = LogAwayError if passing(error) else LogError
    return kind(f"{where}: Kafka refuses ({error.name()}: {error.str()})")


def parse(raw: Raw, partition: Partition) -> Message:
    """Our message of a Kafka message; PoisonMessageError if it is none."""
    topic, lane = partition
    headers = raw.headers()
    pairs = headers.items() if isinstance(headers, dict) else headers or []
    header = next((value for key, value in pairs if key == HEADER), None)
    try:
        if not isinstance(header, bytes):
            raise ValueError(f"it has no header {HEADER!r}, so another program wrote it")
        return Message.parse(topic=topic, lane=lane, header=header, body=raw.value() or b"")
    except ValueError as error:
        raise PoisonMessageError(
            topic=topic, lane=lane, seq=-1, offset=raw.offset(), why=str(error)
        ) from error


class Asker:
    """Short questions to single partitions, by one consumer; for one thread.

    Everything waits at most 30 s, the first of all 10 s, for an answer, then raises LogError.
    """

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._consumer = new_consumer(servers, wait_ms=10)

    def partitions(self) -> dict[str, int]:
        """All topics of the brokers, and their partition counts."""
        try:
            topics = self._consumer.list_topics(timeout=FIRST_ANSWER_TIMEOUT_S).topics
        except KafkaException as error:
            raise clear(error.args[0], self._servers) from error
        return {name: len(topic.partitions) for name, topic in topics.items()}

    def bounds(self, topic: str, lane: int) -> tuple[int, int]:
        """Offset of the first message that is still there, and of the next one to come."""
        end = time.monotonic() + ANSWER_TIMEOUT_S
        while True:
            try:
                low, high = self._consumer.get_watermark_offsets(
                    TopicPartition(topic, lane), timeout=ATTEMPT_TIMEOUT_S
                )
                return low, high
            except KafkaException as error:
                if not passing(error.args[0]) or time.monotonic() > end:
                    raise clear(error.args[0], f"{topic} lane {lane}") from error
            time.sleep(RETRY_S)
            with suppress(KafkaException):  # else it would ask a dead leader again and again
                self._consumer.list_topics(timeout=ATTEMPT_TIMEOUT_S)

    def span(self, topic: str, lane: int, start: int, stop: int) -> Iterator[Raw]:
        """The messages from `start` on and below `stop`, an offset that the topic has reached.

        Never until the end of the topic: that moves on while somebody writes.
        """
        if start >= stop:
            return
        self._consumer.assign([TopicPartition(topic, lane, start)])
        try:
            yield from self._until(topic, lane, stop)
        finally:
            self._consumer.unassign()  # an open fetch would hold up the next question

    def _until(self, topic: str, lane: int, stop: int) -> Iterator[Raw]:
        end = time.monotonic() + ANSWER_TIMEOUT_S
        while time.monotonic() < end:
            raw = self._consumer.poll(RETRY_S)
            if raw is None:
                continue
            error, offset = raw.error(), raw.offset() or 0
            if error is None:
                if offset < stop:
                    yield raw
                    end = time.monotonic() + ANSWER_TIMEOUT_S
                if offset >= stop - 1:
                    return
            elif error.code() == KafkaError._PARTITION_EOF:
                if offset >= stop:  # else a new leader has not caught up yet
                    return
            elif not passing(error):
                raise clear(error, f"{topic} lane {lane}")
        raise LogAwayError(
            f"{topic} lane {lane}: offsets up to {stop} were promised and did not come within "
            f"{ANSWER_TIMEOUT_S:.0f} s; see that all brokers run"
        )

    def last(self, topic: str, lane: int, bounds: tuple[int, int] | None = None) -> Raw | None:
        """The last message within the bounds, else of all that are there now; None if none is."""
        low, high = bounds or self.bounds(topic, lane)
        back = 1
        while True:  # marks of transactions stand between messages, rarely more than one
            start = max(low, high - back)
            found = list(self.span(topic, lane, start, high))
            if found or start == low:
                return found[-1] if found else None
            back *= 8

    def close(self) -> None:
        self._consumer.close()
