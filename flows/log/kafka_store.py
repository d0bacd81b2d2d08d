"""Writing to Kafka: an idempotent producer without gaps, and for ingest a fence."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from flows.log.api import Partition
from flows.log.errors import LogAwayError, LogError, LogLockedError
from flows.log.kafka_client import (
    ANSWER_TIMEOUT_S,
    HEADER,
    RETRY_S,
    Asker,
    clear,
    client_settings,
    parse,
    passing,
)
from flows.log.kafka_topics import META
from flows.log.message import Message

COMMIT_EVERY_S = 1.0
TRANSACTION_TIMEOUT_S = 60  # after it the broker ends the transaction of a writer that stands still
START_TIMEOUT_S = 60.0  # a broker that was just started loads its transactions first
WAIT_SLICE_S = 0.1

_CONSEQUENCES = frozenset(  # of an error that is reported elsewhere
    {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._FATAL}
)


class KafkaStore:
    """See `flows.log.api.Store`.

    Without a fence a second writer is not kept out; that is for stages whose rows are a function of
    the log, since readers drop the copies. With one, the last writer to start wins: the one before
    gets LogLockedError, at the latest when it flushes.

    Parameters
    ----------
    names : mapping
        The brokers' name of each topic, the meta table's included.
    fence : str or None
        Transactional id of the only writer. One transaction per second holds everything together
        that it writes; readers see it at once and need not wait for the commit.
    delivery_timeout_s : float
        How long a message may stay without acknowledgement; then the store fails for good.
    """

    def __init__(
        self,
        servers: str,
        names: Mapping[str, str],
        *,
        fence: str | None,
        delivery_timeout_s: float,
    ) -> None:
        self._servers, self._names, self._timeout_s = servers, names, delivery_timeout_s
        self._failed: KafkaError | None = None
        self._committed_s: float | None = None  # when the open transaction began; None: none open
        self._undelivered = False
        self._written: dict[Partition, int] = {}  # last seq that this store has handed over
        self._fenced = fence is not None
        self._producer = self._new_producer(fence)
        if self._fenced:
            self._take_over()  # before anything is read back: nobody else writes from here on
        self._asker = Asker(servers)
        self._texts = read_texts(self._asker, names[META])

    def append(self, messages: Sequence[Message], texts: Mapping[str, str]) -> None:
        """Texts first and durable, so that who reads a message finds what it refers to."""
        self._check()
        if texts:
            self._put_texts(texts)
        if messages and self._fenced:
            self._renew_transaction()
        self._undelivered |= bool(messages)
        for message in messages:
            self._produce(message)
            self._written[(message.topic, message.lane)] = message.last_seq
        self._serve(lambda: self._producer.poll(0))

    def flush(self) -> None:
        self._deliver()
        self._commit()

    def last(self, partition: Partition) -> Message | None:
        self._deliver()
        raw = self._asker.last(self._names[partition[0]], partition[1])
        return None if raw is None else parse(raw, partition)

    def end(self, partition: Partition) -> int:
        self._deliver()
        return self._asker.bounds(self._names[partition[0]], partition[1])[1]

    def texts(self) -> dict[str, str]:
        return dict(self._texts)

    def close(self) -> None:
        """Flushes, unless the store has failed: that was said already."""
        try:
            if self._failed is None:
                self.flush()
        finally:
            self._producer.purge()  # or its end would wait for a broker that is away
            self._asker.close()

    def _new_producer(self, fence: str | None) -> Producer:
        settings: dict[str, Any] = {
            "enable.gapless.guarantee": True,  # a message that fails fails all that follow it
            "queue.buffering.max.kbytes": 65_536,
            "on_delivery": self._delivered,
        }
        if fence is not None:
            settings["transactional.id"] = fence
            settings["transaction.timeout.ms"] = TRANSACTION_TIMEOUT_S * 1000
        return self._connect(settings)

    def _connect(self, settings: dict[str, Any]) -> Producer:
        producer = Producer(
            {
                **client_settings(self._servers),
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 0,
                "compression.type": "lz4",  # market rows shrink to a third, and so does every copy
                "message.timeout.ms": int(self._timeout_s * 1000),
                "delivery.report.only.error": True,
                **settings,
            }
        )
        try:
            # An idempotent producer that has to find its broker by itself starts a second later.
            producer.list_topics(self._names[META], ANSWER_TIMEOUT_S)
        except KafkaException as error:
            raise clear(error.args[0], self._servers) from error
        return producer

    def _take_over(self) -> None:
        end = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self._producer.init_transactions(START_TIMEOUT_S)
                return
            except KafkaException as error:
                if not passing(error.args[0]) or time.monotonic() > end:
                    raise clear(error.args[0], self._servers) from error
            time.sleep(RETRY_S)

    def _renew_transaction(self) -> None:
        now_s = time.monotonic()
        if self._committed_s is not None and now_s - self._committed_s > COMMIT_EVERY_S:
            self._commit()
        if self._committed_s is None:
            try:
                self._producer.begin_transaction()
            except KafkaException as error:
                raise self._failure(error.args[0]) from error
            self._committed_s = now_s

    def _produce(self, message: Message) -> None:
        name = self._names[message.topic]
        end = time.monotonic() + self._timeout_s
        while True:
            try:
                self._producer.produce(
                    name,
                    message.body,
                    partition=message.lane,
                    headers=[(HEADER, message.header())],
                )
                return
            except BufferError:  # more than the brokers take at the moment
                self._serve(lambda: self._producer.poll(WAIT_SLICE_S))
                if time.monotonic() > end:
                    raise self._failure(KafkaError(KafkaError._MSG_TIMED_OUT)) from None
            except KafkaException as error:
                raise self._failure(error.args[0]) from error

    def _deliver(self) -> None:
        """Wait until everything handed over is acknowledged."""
        self._check()
        if not self._undelivered:  # a flush would still wait for the producer's start
            return
        if self._serve(lambda: self._producer.flush(self._timeout_s + ANSWER_TIMEOUT_S)):
            raise self._failure(KafkaError(KafkaError._MSG_TIMED_OUT))
        self._undelivered = False

    def _serve(self, call: Callable[[], int]) -> int:
        """A call that reports what happened in the background; raises what went wrong."""
        try:
            result = call()
        except KafkaException as error:
            raise self._failure(error.args[0]) from error
        except SystemError as error:
            # confluent-kafka reports failed messages while it is raising a fatal error already,
            # and then loses that error, or only what it was about.
            self._failed = None  # that the messages failed is only its consequence
            cause = error.__cause__
            fatal = KafkaError(KafkaError._FATAL)
            raise self._failure(
                cause.args[0] if isinstance(cause, KafkaException) else fatal
            ) from error
        self._check()
        return result

    def _commit(self) -> None:
        if self._committed_s is None:
            return
        end = time.monotonic() + TRANSACTION_TIMEOUT_S
        while True:
            try:
                self._producer.commit_transaction(TRANSACTION_TIMEOUT_S)
                break
            except KafkaException as error:
                self._check()
                if not error.args[0].retriable() or time.monotonic() > end:
                    raise self._failure(error.args[0]) from error
        self._committed_s = None
        self._check()

    def _put_texts(self, texts: Mapping[str, str]) -> None:
        """By a producer of its own: compaction removes aborted transactions, texts must stay."""
        failed: list[KafkaError] = []
        producer = self._connect({"on_delivery": lambda error, _: failed.append(error)})
        for name, text in texts.items():
            producer.produce(self._names[META], text.encode(), key=name.encode(), partition=0)
        if producer.flush(self._timeout_s + ANSWER_TIMEOUT_S) or failed:
            raise self._failure(failed[0] if failed else KafkaError(KafkaError._MSG_TIMED_OUT))
        self._texts.update(texts)

    def _delivered(self, error: KafkaError | None, _: object) -> None:
        if error is not None and self._failed is None:
            self._failed = error

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failure(self._failed)

    def _failure(self, error: KafkaError) -> LogError:
        """From now on the store refuses: what stands on the log is known only to a new one."""
        self._failed = self._failed or error
        if self._fenced and self._failed.code() in _CONSEQUENCES:
            self._failed = self._cause(self._failed)
        if self._failed.code() == KafkaError._MSG_TIMED_OUT:
            return LogAwayError(
                f"{self._servers}: rows were not acknowledged within {self._timeout_s:g} s and may "
                "or may not stand on the log; see that Kafka runs, then start again: what it "
                "holds is read back"
            )
        failure = clear(self._failed, self._servers)
        if isinstance(failure, LogLockedError) and self._slept():
            return LogAwayError(
                f"{self._servers}: this process, or Kafka, stood still for more than "
                f"{TRANSACTION_TIMEOUT_S} s, and Kafka has ended its transaction; start it again"
            )
        return failure

    def _slept(self) -> bool:
        """Its transaction is too old, and nobody has written behind it."""
        begun_s = self._committed_s
        if begun_s is None or time.monotonic() - begun_s < TRANSACTION_TIMEOUT_S:
            return False
        for partition, last_seq in self._written.items():
            raw = self._asker.last(self._names[partition[0]], partition[1])
            if raw is not None and parse(raw, partition).last_seq > last_seq:
                return False
        return True

    def _cause(self, consequence: KafkaError) -> KafkaError:
        """Why a transaction has failed; its messages may be reported as dropped before that."""
        try:
            self._producer.commit_transaction(ANSWER_TIMEOUT_S)
        except KafkaException as error:
            cause: KafkaError = error.args[0]
            return consequence if cause.retriable() else cause  # retriable: there was no answer
        return consequence


def read_texts(asker: Asker, name: str) -> dict[str, str]:
    """The meta table as it stands now."""
    low, high = asker.bounds(name, 0)
    texts = {}
    for raw in asker.span(name, 0, low, high):
        key, value = raw.key(), raw.value()
        if key is not None and value is not None:
            texts[key.decode()] = value.decode()
    return texts
