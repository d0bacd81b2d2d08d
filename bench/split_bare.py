"""Bare librdkafka: messages produced, consumed and watched with nothing of ours around them.

The clients' settings are the log's own, so that what differs is the desk's work.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from confluent_kafka import Message as Raw
from confluent_kafka import Producer, TopicPartition

from cli.errors import Refused
from flows.log.kafka_client import HEADER, client_settings, new_consumer, parse, passing
from flows.log.message import Message
from schemas.rows import F8

PRODUCER: dict[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 0,
    "compression.type": "lz4",
    "queue.buffering.max.kbytes": 65_536,
}
FETCH_MESSAGES = 1_000
POLL_S = 0.05
FLUSH_S = 60.0
SILENCE_S = 30.0  # without a message that is known to be there

Place = tuple[str, int]  # a topic as the brokers name it, and a partition


@dataclass(frozen=True)
class Held:
    """A message in memory: where it stood, when its producer made it, its bytes."""

    topic: str
    lane: int
    created_ms: int
    header: bytes
    body: bytes

    def message(self, topic: str) -> Message:
        """With its header read; `topic` is the name without a deployment."""
        return Message.parse(topic=topic, lane=self.lane, header=self.header, body=self.body)


def produce(servers: str, name: str, messages: Sequence[Held]) -> dict[str, float]:
    """Write messages to a topic, as fast as it goes, until all are acknowledged.

    The first does not count: with it the producer finds its brokers, and gets its id from them.
    """
    producer = Producer({**client_settings(servers), **PRODUCER})
    producer.list_topics(name, FLUSH_S)
    _hand_over(producer, servers, name, messages[:1])
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    _hand_over(producer, servers, name, messages[1:])
    wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    return _figures(messages[1:], wall_s, cpu_s)


def consume(servers: str, ends: Mapping[Place, int]) -> tuple[list[Held], dict[str, float]]:
    """Read partitions from their beginning up to the offsets after their last messages."""
    consumer = new_consumer(servers)
    try:
        consumer.list_topics(timeout=FLUSH_S)
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        consumer.assign([TopicPartition(*place, 0) for place in ends])
        found: list[Raw] = []
        left = {place for place, end in ends.items() if end}
        silent_s = time.monotonic() + SILENCE_S
        while left:
            new = [raw for raw in consumer.consume(FETCH_MESSAGES, POLL_S) if _is_message(raw)]
            found += new
            left -= {place for raw in new if (place := _place(raw)) and _after(raw) >= ends[place]}
            if new:
                silent_s = time.monotonic() + SILENCE_S
            elif time.monotonic() > silent_s:
                raise Refused(f"{servers}: {sorted(left)}: not all that was written came back")
        wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    finally:
        consumer.close()
    held = [_held(raw) for raw in found]
    return held, _figures(held, wall_s, cpu_s)


class Arrivals:
    """A consumer in a thread that notes when each message comes. A context; read it afterwards.

    Attributes
    ----------
    found : list of (int, Held)
        Nanoseconds of `time.monotonic_ns()`, and the message, in the order of arrival.
    """

    def __init__(self, servers: str, places: Sequence[Place]) -> None:
        self.found: list[tuple[int, Held]] = []
        self._raw: list[tuple[int, Raw]] = []
        self._consumer = new_consumer(servers)
        self._consumer.assign([TopicPartition(*place, 0) for place in places])
        self._over = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._watch, name="arrivals", daemon=True)

    def __enter__(self) -> "Arrivals":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._consumer.close()
        if self._failed is not None and kind is None:
            raise self._failed
        self.found = [(at_ns, _held(raw)) for at_ns, raw in self._raw]

    def __len__(self) -> int:
        return len(self._raw)

    def _watch(self) -> None:
        try:
            while not self._over.is_set():
                raw = self._consumer.poll(POLL_S)
                at_ns = time.monotonic_ns()
                if raw is not None and _is_message(raw):
                    self._raw.append((at_ns, raw))
        except Exception as error:
            self._failed = error  # raised where the watch ends


def replay(servers: str, name: str, messages: Sequence[tuple[int, Held]]) -> F8:
    """Produce messages at the pace at which they came; nanoseconds from each to its arrival.

    Parameters
    ----------
    messages : sequence of (int, Held)
        With the nanoseconds of their first arrival, rising.
    """
    producer = Producer({**client_settings(servers), **PRODUCER})
    producer.list_topics(name, FLUSH_S)
    lanes = sorted({each.lane for _, each in messages})
    sent: dict[int, list[int]] = {lane: [] for lane in lanes}
    with Arrivals(servers, [(name, lane) for lane in lanes]) as arrivals:
        time.sleep(1.0)  # the consumer has found its brokers
        shift_ns = time.monotonic_ns() - messages[0][0]
        for due_ns, each in messages:
            wait_ns = due_ns + shift_ns - time.monotonic_ns()
            if wait_ns > 0:
                time.sleep(wait_ns / 1e9)
            sent[each.lane].append(time.monotonic_ns())
            producer.produce(name, each.body, partition=each.lane, headers=[(HEADER, each.header)])
            producer.poll(0)
        producer.flush(FLUSH_S)
        silent_s = time.monotonic() + SILENCE_S
        while len(arrivals) < len(messages) and time.monotonic() < silent_s:
            time.sleep(POLL_S)
    came: dict[int, list[int]] = {lane: [] for lane in lanes}
    for at_ns, each in arrivals.found:
        came[each.lane].append(at_ns)
    if any(len(came[lane]) != len(sent[lane]) for lane in lanes):
        raise Refused(f"{servers}: {len(messages)} messages were sent, {len(arrivals)} came back")
    return np.concatenate([np.array(came[k], np.float64) - np.array(sent[k]) for k in lanes])


def _hand_over(producer: Producer, servers: str, name: str, messages: Sequence[Held]) -> None:
    for each in messages:
        while True:
            try:
                producer.produce(
                    name, each.body, partition=each.lane, headers=[(HEADER, each.header)]
                )
                break
            except BufferError:  # more than the brokers take at the moment
                producer.poll(POLL_S)
        producer.poll(0)
    if producer.flush(FLUSH_S):
        raise Refused(f"{servers}: {name}: messages were not acknowledged within {FLUSH_S:.0f} s")


def _is_message(raw: Raw) -> bool:
    error = raw.error()
    if error is None:
        return True
    if not passing(error) and error.name() != "_PARTITION_EOF":
        raise Refused(f"{raw.topic()} {raw.partition()}: Kafka refuses ({error.str()})")
    return False


def _place(raw: Raw) -> Place:
    return raw.topic() or "", raw.partition() or 0


def _after(raw: Raw) -> int:
    return (raw.offset() or 0) + 1


def _held(raw: Raw) -> Held:
    message = parse(raw, _place(raw))
    return Held(message.topic, message.lane, raw.timestamp()[1], message.header(), message.body)


def _figures(messages: Sequence[Held], wall_s: float, cpu_s: float) -> dict[str, float]:
    n_rows = sum(each.message(each.topic).n_rows for each in messages)
    n_bytes = sum(len(each.body) + len(each.header) for each in messages)
    return {
        "messages": len(messages),
        "rows": n_rows,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "messages_per_s": len(messages) / wall_s,
        "rows_per_s": n_rows / wall_s,
        "mb_per_s": n_bytes / 1e6 / wall_s,
    }
