"""The topics of a deployment as infra/kafka/topics.yaml states them, and how brokers hold them."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exported, undeclared
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from flows.kafka_jars import infra_file
from flows.log.errors import LogError
from flows.log.kafka_client import FIRST_ANSWER_TIMEOUT_S, RETRY_S, clear, passing

META = "meta.v1"  # the meta table: texts by name
DAY_MS = 86_400_000
ASK_TIMEOUT_S = 30.0
USABLE_TIMEOUT_S = 60.0
_KEYS = frozenset({"partitions", "retention_days", "message_bytes_max", "compacted"})


@dataclass(frozen=True)
class TopicPlan:
    """What one topic is to be like.

    Attributes
    ----------
    name : str
        Without the deployment's name.
    partitions : int, > 0
    retention_days : float or None
        None keeps everything.
    message_bytes_max : int, > 0
    compacted : bool
        Keep the last message per key instead of all.
    """

    name: str
    partitions: int
    retention_days: float | None
    message_bytes_max: int
    compacted: bool

    def settings(self) -> dict[str, str]:
        """The same in the broker's names."""
        days = self.retention_days
        return {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "max.message.bytes": str(self.message_bytes_max),
            "retention.ms": "-1" if days is None else str(int(days * DAY_MS)),
        }


class Outcome(Enum):
    """What `apply_topics` found, or did."""

    CREATED = "created"
    EQUAL = "as planned"
    CHANGED = "changed"
    DIFFERS = "differs"  # and only a person can mend it


@dataclass(frozen=True)
class TopicOutcome:
    """One topic, and in words what was other than planned; empty if nothing was."""

    topic: str
    outcome: Outcome
    words: str = ""


def full_name(deployment: str, topic: str) -> str:
    """The topic's name on the brokers."""
    return f"{deployment}.{topic}" if deployment else topic


@cache
def planned_topics(path: Path | None = None) -> tuple[TopicPlan, ...]:
    """The topics of a file like infra/kafka/topics.yaml, by default that one.

    LogError naming the file and the topic if a key is unknown, missing or has no meaning.
    """
    path = path or infra_file("topics.yaml")
    try:
        read = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise LogError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(read, dict) or set(read) != {"defaults", "topics"}:
        raise LogError(f"{path}: must hold 'defaults' and 'topics', and nothing else")
    return tuple(
        _plan(path, name, {**read["defaults"], **(own or {})})
        for name, own in read["topics"].items()
    )


def apply_topics(
    servers: str, deployment: str, plans: Sequence[TopicPlan], *, dry_run: bool = False
) -> list[TopicOutcome]:
    """Make the brokers hold the planned topics; a second call finds nothing to do.

    Missing topics are created, on three brokers where there are three. Retention, compaction and
    message size are changed where they differ. Partition counts and replicas never are: rows would
    change their lane. Such a topic is reported as DIFFERS.

    Parameters
    ----------
    dry_run : bool
        Only say what would be done.
    """
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    try:
        metadata = admin.list_topics(timeout=FIRST_ANSWER_TIMEOUT_S)
        replicas = min(3, len(metadata.brokers))
        there = {full_name(deployment, plan.name) for plan in plans} & set(metadata.topics)
        found = _settings_of(admin, there)
        outcomes, missing = [], []
        for plan in plans:
            name = full_name(deployment, plan.name)
            if name not in there:
                missing.append(_new_topic(name, plan, replicas))
                words = f"{plan.partitions} partitions, {replicas} replicas"
                outcomes.append(TopicOutcome(name, Outcome.CREATED, words))
                continue
            partitions = metadata.topics[name].partitions.values()
            outcomes.append(
                _compare(name, plan, [len(p.replicas) for p in partitions], replicas, found[name])
            )
            if outcomes[-1].outcome is Outcome.CHANGED and not dry_run:
                _change(admin, name, plan.settings())
        if missing and not dry_run:
            _results(
                admin.create_topics(missing, request_timeout=ASK_TIMEOUT_S),
                fine=KafkaError.TOPIC_ALREADY_EXISTS,  # another worker was faster
            )
            _wait_until_usable(admin, missing)
    except KafkaException as error:
        raise clear(error.args[0], servers) from error
    return outcomes


def delete_topics(servers: str, deployment: str, plans: Sequence[TopicPlan]) -> list[str]:
    """Remove a deployment with all its rows, such as a scratch one for a comparison.

    Returns the topics that were there.
    """
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    try:
        admin.list_topics(timeout=FIRST_ANSWER_TIMEOUT_S)
        names = [full_name(deployment, plan.name) for plan in plans]
        deletions = admin.delete_topics(names, operation_timeout=ASK_TIMEOUT_S)
        return _results(deletions, fine=KafkaError.UNKNOWN_TOPIC_OR_PART)
    except KafkaException as error:
        raise clear(error.args[0], servers) from error


def _plan(path: Path, name: str, values: Mapping[str, Any]) -> TopicPlan:
    if set(values) != _KEYS:
        odd = ", ".join(sorted(map(str, set(values) ^ _KEYS)))
        raise LogError(f"{path}, {name}: unknown or missing: {odd}; known: {sorted(_KEYS)}")
    checks: dict[str, Callable[[Any], bool]] = {
        "partitions": lambda x: type(x) is int and x > 0,
        "retention_days": lambda x: x is None or (type(x) in (int, float) and x > 0),
        "message_bytes_max": lambda x: type(x) is int and x > 0,
        "compacted": lambda x: type(x) is bool,
    }
    for key, sound in checks.items():
        if not sound(values[key]):
            raise LogError(f"{path}, {name}: {key} cannot be {values[key]!r}")
    return TopicPlan(name=name, **values)


def _new_topic(name: str, plan: TopicPlan, replicas: int) -> NewTopic:
    settings = plan.settings() | ({"min.insync.replicas": "2"} if replicas > 1 else {})
    return NewTopic(name, plan.partitions, replicas, config=settings)


def _compare(
    name: str, plan: TopicPlan, replicas: list[int], wanted: int, settings: Mapping[str, str]
) -> TopicOutcome:
    unlike = [
        f"{key} {settings[key]} -> {value}"
        for key, value in plan.settings().items()
        if settings[key] != value
    ]
    fixed = []
    if len(replicas) != plan.partitions:
        fixed.append(f"{len(replicas)} partitions, planned are {plan.partitions}")
    if min(replicas) < wanted:
        fixed.append(f"{min(replicas)} replicas, planned are {wanted}")
    if fixed:
        words = "; ".join([*fixed, "nothing was changed", *unlike])
        return TopicOutcome(name, Outcome.DIFFERS, words)
    return TopicOutcome(name, Outcome.CHANGED if unlike else Outcome.EQUAL, ", ".join(unlike))


def _settings_of(admin: AdminClient, names: set[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in sorted(names)]
    futures = admin.describe_configs(asked, request_timeout=ASK_TIMEOUT_S)
    return {
        resource.name: {key: entry.value for key, entry in future.result().items()}
        for resource, future in futures.items()
    }


def _change(admin: AdminClient, name: str, settings: Mapping[str, str]) -> None:
    entries = [
        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        for key, value in settings.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
    _results(admin.incremental_alter_configs([resource], request_timeout=ASK_TIMEOUT_S))


def _results(futures: Mapping[Any, "Future[Any]"], *, fine: int | None = None) -> list[Any]:
    """Wait for all; those that were done. An error of the code `fine` is none, but not done."""
    done = []
    for what, future in futures.items():
        try:
            future.result()
            done.append(what)
        except KafkaException as error:
            if error.args[0].code() != fine:
                raise
    return done


def _wait_until_usable(admin: AdminClient, made: Sequence[NewTopic]) -> None:
    """Brokers list a topic before they take rows for it; rows written until then would be lost."""
    end = time.monotonic() + USABLE_TIMEOUT_S
    latest = OffsetSpec.latest()
    asked = {
        TopicPartition(topic.topic, lane): latest
        for topic in made
        for lane in range(topic.num_partitions)
    }
    while True:
        admin.list_topics(timeout=ASK_TIMEOUT_S)  # the client's own memory is from before
        try:
            _results(admin.list_offsets(asked, request_timeout=ASK_TIMEOUT_S))
            return
        except KafkaException as error:
            if not passing(error.args[0]) or time.monotonic() > end:
                raise
        time.sleep(RETRY_S)
