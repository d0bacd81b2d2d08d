"""The log on Kafka: what the contract of every profile does not say, on a real broker."""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from flows.log import kafka_reader, kafka_store
from flows.log.errors import (
    LogAwayError,
    LogError,
    LogLockedError,
    PoisonMessageError,
    RetentionError,
)
from flows.log.kafka import KafkaLog
from flows.log.kafka_client import HEADER, clear, client_settings
from flows.log.kafka_reader import KafkaReader
from flows.log.kafka_topics import (
    META,
    Outcome,
    apply_topics,
    delete_topics,
    full_name,
    planned_topics,
)
from flows.log.message import Message
from flows.log.reader import LaneReader
from flows.log.writer import Writer
from schemas.topics import TOPICS
from tests.kafka_server import PLANS, soon
from tests.test_log_contract import LANE0, market, messages, read_all, same

Open = Callable[..., KafkaLog]


@pytest.fixture
def open_log(kafka_servers: str, deployment: str) -> Iterator[Open]:
    """Opens the test's deployment, as often as there are processes in its story."""
    logs: list[KafkaLog] = []

    def opener(**arguments: Any) -> KafkaLog:
        logs.append(
            KafkaLog(kafka_servers, deployment=deployment, **{"topics": PLANS, **arguments})
        )
        return logs[-1]

    yield opener
    for log in logs:
        log.close()


def write(writer: Writer, made: list[Message]) -> None:
    writer.append(made)
    writer.flush()


def raw_consumer(servers: str, **settings: Any) -> Consumer:
    return Consumer({**client_settings(servers), "group.id": "test", **settings})


# ---- what a message is on the brokers


def test_a_message_has_one_header_and_stands_in_its_lanes_partition(
    open_log: Open, kafka_servers: str, deployment: str
) -> None:
    writer = open_log().writer()
    [made] = messages(0, 10, lane=4, positions=b"tape 10")
    writer.append([made])
    writer.flush()
    consumer = raw_consumer(kafka_servers)
    consumer.assign([TopicPartition(full_name(deployment, "market.v1"), 4, 0)])
    raw = soon(lambda: consumer.poll(0.1))
    consumer.close()
    assert raw is not None
    assert raw.headers() == [(HEADER, made.header())]
    assert (raw.value(), raw.key(), raw.partition()) == (made.body, None, 4)


def test_texts_survive_and_the_last_one_counts(open_log: Open) -> None:
    writer = open_log(fence=True).writer()
    writer.append([], {"manifest": "first", "table": "[]"})
    writer.append([], {"manifest": "second"})
    open_log(fence=True).writer()  # aborts what the first has open: texts are not part of it
    texts = open_log().texts()
    assert (texts["manifest"], texts["table"]) == ("second", "[]")


def test_a_message_that_is_too_large_is_refused(open_log: Open) -> None:
    writer = open_log().writer()
    [made] = messages(0, 1)
    with pytest.raises(LogError, match="MSG_SIZE_TOO_LARGE"):
        writer.append([replace(made, body=bytes(3 * 1024 * 1024))])
    with pytest.raises(LogError, match="MSG_SIZE_TOO_LARGE"):
        writer.append([made])  # it has failed for good: nothing may follow what is missing


@pytest.mark.parametrize(
    "code", [KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, KafkaError._GAPLESS_GUARANTEE]
)
def test_a_writer_that_a_broker_has_lost_count_of_may_start_again(code: int) -> None:
    failure = clear(KafkaError(code), "here")
    assert isinstance(failure, LogAwayError)
    assert "here: Kafka has lost count" in str(failure)


# ---- the fence


def test_a_zombie_writer_changes_nothing(open_log: Open) -> None:
    zombie = open_log(fence=True).writer()
    zombie.append(messages(0, 10))
    zombie.flush()
    owner = open_log(fence=True).writer()
    assert owner.last_seq(*LANE0) == 9
    with pytest.raises(LogLockedError, match="another process has taken over"):
        write(zombie, messages(10, 5))  # the append or its flush
    with pytest.raises(LogLockedError, match="another process has taken over"):
        zombie.flush()
    zombie.close()
    owner.append(messages(10, 20))
    owner.flush()
    assert same(read_all(open_log()), market(0, 30))


def test_a_fenced_writer_is_told_so_even_if_its_rows_are_reported_first(open_log: Open) -> None:
    zombie = open_log(fence=True).writer()
    store: Any = zombie._store
    open_log(fence=True).writer()
    with pytest.raises(LogLockedError):
        write(zombie, messages(0, 5))
    for reported in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._FATAL):
        store._failed = KafkaError(reported)  # in whatever order the client brings the news
        with pytest.raises(LogLockedError, match="another process has taken over"):
            zombie.flush()
    zombie.close()


def test_what_a_zombie_left_uncommitted_counts_as_written(open_log: Open) -> None:
    zombie = open_log(fence=True).writer()
    zombie.append(messages(0, 10))
    zombie.flush()
    zombie.append(messages(10, 10))
    assert zombie.last(*LANE0) is not None  # delivered, and the transaction is still open
    owner = open_log(fence=True).writer()  # aborts it
    assert owner.last_seq(*LANE0) == 19
    owner.append(messages(20, 10))
    owner.flush()
    with pytest.raises(LogLockedError):
        zombie.flush()
    assert same(read_all(open_log()), market(0, 30))


def test_writers_of_other_ids_do_not_fence_each_other(open_log: Open) -> None:
    one = open_log(fence=True, writer_id="ingest-0").writer()
    two = open_log(fence=True, writer_id="ingest-1").writer()
    for k in range(2):
        one.append(messages(10 * k, 10))
        two.append(messages(10 * k, 10, lane=1))
        one.flush()
        two.flush()
    assert same(read_all(open_log()), market(0, 20))


def test_a_flush_commits_and_readers_need_not_wait_for_it(
    open_log: Open, kafka_servers: str, deployment: str
) -> None:
    writer = open_log(fence=True).writer()
    lane0 = TopicPartition(full_name(deployment, "market.v1"), 0)
    committed = raw_consumer(kafka_servers, **{"isolation.level": "read_committed"})
    writer.append(messages(0, 10))
    assert writer.last(*LANE0) is not None
    assert committed.get_watermark_offsets(lane0) == (0, 0)
    assert same(read_all(open_log()), market(0, 10))
    writer.flush()
    assert soon(lambda: committed.get_watermark_offsets(lane0) == (0, 2))  # and its mark
    committed.close()


def test_a_long_run_commits_without_being_flushed(
    open_log: Open, kafka_servers: str, deployment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_store, "COMMIT_EVERY_S", 0.0)
    writer = open_log(fence=True).writer()
    for k in range(3):
        writer.append(messages(10 * k, 10))
    lane0 = TopicPartition(full_name(deployment, "market.v1"), 0)
    committed = raw_consumer(kafka_servers, **{"isolation.level": "read_committed"})
    assert soon(lambda: committed.get_watermark_offsets(lane0)[1] > 2)  # all but the last
    committed.close()
    assert same(read_all(open_log()), market(0, 30))


@pytest.mark.parametrize("max_rows", [1, 10, 1_000])
def test_a_bounded_replay_ends_before_the_marks_of_transactions(
    open_log: Open, max_rows: int
) -> None:
    log = open_log(fence=True)
    writer = log.writer()
    inputs = [("market.v1", lane) for lane in range(2)]
    for k in range(4):
        for lane in range(2):
            writer.append(messages(10 * k, 10, lane=lane))
        writer.flush()
    assert soon(lambda: [writer._store.end(p) for p in inputs] == [8, 8])  # four marks each
    ends = log.ends(inputs)
    assert list(ends.values()) == [7, 7]
    reader = LaneReader(log, inputs, state=None, merge=True, ends=ends)
    n = 0
    while not reader.done():
        n += sum(rows.seq.size for rows in reader.window(max_rows).values())
    assert n == 80


def test_a_position_advances_over_the_marks_even_of_a_lane_that_waits(open_log: Open) -> None:
    log = open_log(fence=True)
    writer = log.writer()
    writer.append(messages(0, 10))
    writer.flush()
    assert soon(lambda: writer._store.end(LANE0) == 2)
    reader = log.reader({LANE0: 0})
    assert soon(lambda: reader.poll(1))
    assert reader.position(LANE0) in (1, 2)
    assert soon(lambda: reader.poll(1, paused={LANE0}) or reader.position(LANE0) == 2) is True
    reader.close()


# ---- positions that do not exist


def test_reading_what_retention_has_deleted_is_refused(
    open_log: Open, kafka_servers: str, deployment: str
) -> None:
    log = open_log()
    writer = log.writer()
    for k in range(3):
        writer.append(messages(10 * k, 10))
    writer.close()
    delete_before(kafka_servers, deployment, 2)
    assert (log.starts([LANE0]), log.ends([LANE0])) == ({LANE0: 2}, {LANE0: 3})
    with pytest.raises(RetentionError, match="offset 0 has been deleted, the log starts at 2"):
        log.reader({LANE0: 0})
    late = KafkaReader(kafka_servers, {LANE0: 0}, log._names)  # it was deleted after the check
    with pytest.raises(RetentionError, match=r"market\.v1 lane 0: the next message has been del"):
        soon(lambda: late.poll(10))
    late.close()
    reader = log.reader({LANE0: 2})
    assert [offset for offset, _ in soon(lambda: reader.poll(10))] == [2]
    reader.close()


def test_a_writer_goes_on_where_retention_has_emptied_the_partition(
    open_log: Open, kafka_servers: str, deployment: str
) -> None:
    log = open_log()
    writer = log.writer()
    writer.append(messages(0, 10))
    writer.close()
    delete_before(kafka_servers, deployment, 1)
    assert (log.starts([LANE0]), log.ends([LANE0])) == ({LANE0: 1}, {LANE0: 1})
    writer = log.writer()
    assert writer.last(*LANE0) is None
    writer.resume(*LANE0, 9)  # what the recovery snapshot knows
    assert writer.append(messages(5, 10)) == 5
    writer.flush()
    assert log.ends([LANE0]) == {LANE0: 2}


def test_a_position_behind_the_end_is_of_another_log(open_log: Open) -> None:
    with pytest.raises(LogError, match="offset 7 was asked for and the log ends at 0"):
        open_log().reader({LANE0: 7})


def delete_before(servers: str, deployment: str, offset: int) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    lane0 = TopicPartition(full_name(deployment, "market.v1"), 0, offset)
    for future in admin.delete_records([lane0]).values():
        future.result()


# ---- what others put into our topics


# fmt: off
FOREIGN: list[tuple[str, Any, str]] = [
    ("no header",        [],                       r"no header 'trifecta'"),
    ("another's header", [("trace", b"1")],        r"no header 'trifecta'"),
    ("a short one",      [(HEADER, b"\x01")],      r"a header has at least"),
    ("another version",  [(HEADER, bytes(60))],    r"header version must be 1, was 0"),
]
# fmt: on


@pytest.mark.parametrize(("what", "headers", "said"), FOREIGN, ids=[c[0] for c in FOREIGN])
def test_a_foreign_message_is_named(
    open_log: Open,
    kafka_servers: str,
    deployment: str,
    what: str,
    headers: Any,
    said: str,
) -> None:
    log = open_log()
    writer = log.writer()
    writer.append(messages(0, 10))
    writer.flush()
    other = Producer(client_settings(kafka_servers))
    other.produce(full_name(deployment, "market.v1"), b"x", partition=0, headers=headers)
    other.flush()
    with pytest.raises(PoisonMessageError, match=rf"market\.v1 lane 0, seq -1, offset 1: .*{said}"):
        read_all(log)
    with pytest.raises(PoisonMessageError, match="offset 1"):
        log.writer().last_seq(*LANE0)


# ---- memory


def test_a_lane_that_nobody_asks_for_waits_on_the_broker(
    open_log: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_reader, "FETCH_MESSAGES", 10)
    monkeypatch.setattr(kafka_reader, "HELD_BYTES_MAX", 20_000)
    monkeypatch.setattr(kafka_reader, "HELD_BYTES_MIN", 5_000)
    log = open_log()
    writer = log.writer()
    for k in range(500):  # of about 2 kB each
        writer.append(messages(k, 1))
        writer.append(messages(k, 1, lane=1))
    writer.flush()
    lane1 = ("market.v1", 1)
    reader = log.reader({LANE0: 0, lane1: 0})
    found: list[Message] = []
    held = 0
    while len(found) < 500:
        found += [m for _, m in reader.poll(10, paused={LANE0})]
        held = max(held, reader._n_bytes[LANE0])
    assert 20_000 < held <= 20_000 + 10 * len(found[0].body)
    while len(found) < 1_000:
        found += [m for _, m in reader.poll(10)]
    reader.close()
    for lane in range(2):
        assert [m.first_seq for m in found if m.lane == lane] == list(range(500))


# ---- topics


def test_a_missing_topic_is_named_with_the_way_out(kafka_servers: str) -> None:
    with pytest.raises(LogError, match=r"no topic desk9\.market\.v1, .* --deployment desk9'"):
        KafkaLog(kafka_servers, deployment="desk9")


def test_another_number_of_partitions_is_refused(open_log: Open) -> None:
    plans = [replace(plan, partitions=plan.partitions + 2) for plan in PLANS]
    with pytest.raises(LogError, match=r"market\.v1 has 6 partitions and .* plans 8"):
        open_log(topics=plans)


def test_a_lane_that_is_not_planned_is_refused(open_log: Open) -> None:
    log = open_log()
    for partition in (("market.v1", 6), ("orders.v1", 0)):
        with pytest.raises(LogError, match="plans no such partition"):
            log.ends([partition])


def test_nobody_at_the_address_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.log.kafka_client.FIRST_ANSWER_TIMEOUT_S", 0.5)
    with pytest.raises(LogError, match=r"127\.0\.0\.1:1: Kafka does not answer .*kafka up'"):
        KafkaLog("127.0.0.1:1")


def test_topics_are_applied_once_and_differences_reported(
    kafka_servers: str, deployment: str
) -> None:
    def outcomes(plans: Any = PLANS, dry_run: bool = False) -> set[Outcome]:
        made = apply_topics(kafka_servers, deployment, plans, dry_run=dry_run)
        return {each.outcome for each in made}

    assert outcomes() == {Outcome.EQUAL}
    shorter = [replace(plan, retention_days=2.0) for plan in PLANS]
    assert outcomes(shorter, dry_run=True) == {Outcome.CHANGED}
    [market_topic, *_] = apply_topics(kafka_servers, deployment, shorter)
    assert market_topic.words == "retention.ms -1 -> 172800000"
    assert soon(lambda: outcomes(shorter) == {Outcome.EQUAL})
    assert soon(lambda: outcomes() == {Outcome.CHANGED})
    wider = [replace(PLANS[0], partitions=7, retention_days=3.0)]
    for _ in range(2):
        [found] = apply_topics(kafka_servers, deployment, wider)
        assert found.outcome is Outcome.DIFFERS
        assert found.words.startswith("6 partitions, planned are 7; nothing was changed")
    assert soon(lambda: outcomes() == {Outcome.EQUAL})  # brokers tell of a change a little later


def test_a_dry_run_makes_nothing_and_a_deployment_can_be_removed(kafka_servers: str) -> None:
    for _ in range(2):
        found = apply_topics(kafka_servers, "scratch", PLANS, dry_run=True)
        assert {each.outcome for each in found} == {Outcome.CREATED}
    apply_topics(kafka_servers, "scratch", PLANS)
    delete_topics(kafka_servers, "scratch", PLANS)
    again = apply_topics(kafka_servers, "scratch", PLANS, dry_run=True)
    assert {each.outcome for each in again} == {Outcome.CREATED}


def test_the_plan_holds_every_topic_and_compacts_only_texts() -> None:
    plans = {plan.name: plan for plan in planned_topics()}
    assert set(plans) == {*TOPICS, META}
    assert [name for name, plan in plans.items() if plan.compacted] == [META]
    lanes = {plans[name].partitions for name, t in TOPICS.items() if t.partitions == "lane"}
    single = {plans[name].partitions for name, t in TOPICS.items() if t.partitions == "single"}
    assert (lanes, single, plans[META].partitions) == ({8}, {1}, 1)


DEFAULTS = "defaults: {partitions: 8, retention_days: null, message_bytes_max: 1000, "
WHOLE = DEFAULTS + "compacted: false}\n"
# fmt: off
PLANNED_WRONG = [
    ("no YAML",           "topics: {",                                  "expected"),
    ("another shape",     "topics: {}",                                 "'defaults' and 'top"),
    ("a missing key",     DEFAULTS + "}\ntopics: {a: {}}",              "a: .*missing: compacted"),
    ("an unknown key",    WHOLE + "topics: {a: {x: 1}}",                "a: unknown .*x"),
    ("no partition",      WHOLE + "topics: {a: {partitions: 0}}",       "cannot be 0"),
    ("a word for a time", WHOLE + "topics: {a: {retention_days: long}}", "cannot be 'long'"),
]
# fmt: on


@pytest.mark.parametrize(("what", "text", "said"), PLANNED_WRONG, ids=[c[0] for c in PLANNED_WRONG])
def test_a_wrong_plan_is_refused(tmp_path: Path, what: str, text: str, said: str) -> None:
    path = tmp_path / "topics.yaml"
    path.write_text(text)
    with pytest.raises(LogError, match=rf"topics\.yaml.*{said}"):
        planned_topics(path)


def test_reader_positions_travel_in_a_snapshot(open_log: Open) -> None:
    log = open_log(fence=True)
    writer = log.writer()
    writer.append(messages(0, 30))
    writer.flush()
    reader = LaneReader(log, [LANE0], state=None, merge=False)
    assert soon(lambda: reader.window(12))
    state = pickle.loads(pickle.dumps(reader.state()))
    reader.close()
    writer.append(messages(30, 10))
    writer.flush()
    again = LaneReader(log, [LANE0], state=state, merge=False)
    rows = soon(lambda: again.window(100))[LANE0]
    again.close()
    assert (int(rows.seq[0]), state[LANE0].last_seq) == (12, 11)
