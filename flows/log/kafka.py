"""The log on Apache Kafka: for workers that run for long, on one machine or many."""

from collections.abc import Iterable, Mapping, Sequence

from flows.log.api import Partition
from flows.log.errors import LogError, RetentionError
from flows.log.kafka_client import Asker, servers_or_default
from flows.log.kafka_reader import KafkaReader
from flows.log.kafka_store import KafkaStore, read_texts
from flows.log.kafka_topics import META, TopicPlan, full_name, planned_topics
from flows.log.writer import Writer, check_schemas

DELIVERY_TIMEOUT_S = 60.0  # longer than a broker needs to come back, or a cluster to elect


class KafkaLog:
    """Topics on brokers; a lane is a partition. Profile `kafka`.

    Acknowledged messages survive kill -9 of a broker, and on three brokers the loss of one machine.
    Offsets may have holes (marks of transactions); `seq` has none.

    Parameters
    ----------
    servers : str or None
        `host:port,...`; None takes TRIFECTA_KAFKA, and without it the local broker.
    deployment : str
        Stands before every topic's name, so that several desks can share brokers. Lanes must be
        planned, and topics made, before: `trifecta kafka topics`.
    fence : bool
        Keep every other writer with the same `writer_id` out: for the writer of `market.v1`, whose
        order is not a function of the log. The last one to start wins.
    writer_id : str
        Who writes; only a fenced writer needs it.
    topics : sequence of TopicPlan
        What must be there; None is infra/kafka/topics.yaml.
    delivery_timeout_s : float
        How long a written message may stay without acknowledgement before the writer fails.

    Raises
    ------
    LogError
        No broker answers, a topic is missing, or has another number of partitions than planned.
    """

    def __init__(
        self,
        servers: str | None = None,
        *,
        deployment: str = "",
        fence: bool = False,
        writer_id: str = "ingest",
        topics: Sequence[TopicPlan] | None = None,
        delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
    ) -> None:
        self._servers = servers_or_default(servers)
        self._plans = {plan.name: plan for plan in topics or planned_topics()}
        self._names = {name: full_name(deployment, name) for name in self._plans}
        self._fence = full_name(deployment, writer_id) if fence else None
        self._delivery_timeout_s = delivery_timeout_s
        self._asker = Asker(self._servers)
        try:
            self._check_topics(deployment)
        except BaseException:
            self._asker.close()
            raise

    def writer(self) -> Writer:
        """A writer that has read back where it stands; with a fence, the only one.

        Without a fence other writers are not kept out: readers drop their copies.
        """
        store = KafkaStore(
            self._servers,
            self._names,
            fence=self._fence,
            delivery_timeout_s=self._delivery_timeout_s,
        )
        try:
            return Writer(store)
        except BaseException:
            store.close()
            raise

    def reader(self, positions: Mapping[Partition, int]) -> KafkaReader:
        check_schemas(self.texts())
        for (topic, lane), offset in positions.items():
            low, high = self._bounds((topic, lane))
            if offset < low:
                raise RetentionError(
                    f"{topic} lane {lane}: offset {offset} has been deleted, the log starts at "
                    f"{low}; read faster, retain more (infra/kafka/topics.yaml), or start from "
                    f"{low}"
                )
            if offset > high:
                raise LogError(
                    f"{topic} lane {lane}: offset {offset} was asked for and the log ends at "
                    f"{high}, so the topic was made anew; start with a new recovery directory"
                )
        return KafkaReader(self._servers, positions, self._names)

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """See `Log.ends`; not the end of the partition, where marks of transactions may stand."""
        found = {}
        for topic, lane in partitions:
            bounds = self._bounds((topic, lane))
            last = self._asker.last(self._names[topic], lane, bounds)
            found[(topic, lane)] = bounds[0] if last is None else (last.offset() or 0) + 1
        return found

    def starts(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return {p: self._bounds(p)[0] for p in partitions}

    def texts(self) -> dict[str, str]:
        return read_texts(self._asker, self._names[META])

    def close(self) -> None:
        self._asker.close()

    def _bounds(self, partition: Partition) -> tuple[int, int]:
        topic, lane = partition
        if topic not in self._plans or not 0 <= lane < self._plans[topic].partitions:
            raise LogError(f"{topic} lane {lane}: infra/kafka/topics.yaml plans no such partition")
        return self._asker.bounds(self._names[topic], lane)

    def _check_topics(self, deployment: str) -> None:
        there = self._asker.partitions()
        option = f" --deployment {deployment}" if deployment else ""
        for plan in self._plans.values():
            name = self._names[plan.name]
            if name not in there:
                raise LogError(
                    f"{self._servers}: there is no topic {name}, so no desk of that name has begun "
                    "here; check the name, or make what infra/kafka/topics.yaml plans with "
                    f"'trifecta kafka topics{option}'"
                )
            if there[name] != plan.partitions:
                raise LogError(
                    f"{self._servers}: topic {name} has {there[name]} partitions and "
                    f"infra/kafka/topics.yaml plans {plan.partitions}; see 'trifecta kafka "
                    f"topics{option}', and keep to the number that the rows were written with"
                )
