"""Every profile of the log keeps the same promises; a new profile joins the table below."""

import multiprocessing
import os
import pickle
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.log.api import Log, Partition
from flows.log.codec import decode, encode_frame, encode_json, encode_rows
from flows.log.embedded import EmbeddedLog
from flows.log.errors import (
    GapError,
    LogCorruptError,
    LogError,
    LogLockedError,
    PoisonMessageError,
    RetentionError,
)
from flows.log.kafka import KafkaLog
from flows.log.memory import MemoryLog
from flows.log.message import Message
from flows.log.reader import LaneReader
from flows.log.writer import Writer
from schemas.kinds import Kind
from schemas.rows import MarketRows, concat, empty
from schemas.signal_rows import no_signals
from schemas.topics import (
    CONTROL,
    DECISIONS,
    LEDGER,
    MARKET,
    RAW,
    SIGNALS,
    TOPICS,
    SchemaMismatchError,
    Topic,
    check_fingerprints,
    fingerprints,
)
from tests.kafka_server import PLANS, soon

PROFILES = ["memory", "embedded", "kafka", "kafka, fenced"]
LANE0: Partition = (MARKET.name, 0)


@pytest.fixture(params=PROFILES)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    opened: Log = MemoryLog()
    if request.param == "embedded":
        opened = EmbeddedLog(tmp_path / "log.sqlite", create=True)
    elif request.param.startswith("kafka"):
        opened = KafkaLog(
            request.getfixturevalue("kafka_servers"),
            deployment=request.getfixturevalue("deployment"),
            fence=request.param == "kafka, fenced",
            topics=PLANS,
        )
    yield opened
    opened.close()


def market(first_seq: int, n: int, *, lane: int = 0) -> MarketRows:
    """Quotes of one lane whose columns follow from `seq`."""
    seq = np.arange(first_seq, first_seq + n, dtype=np.int64)
    return empty(MarketRows, n)._replace(
        seq=seq,
        lane=np.full(n, lane, np.int16),
        kind=np.full(n, Kind.QUOTE, np.uint8),
        ts_recv_ns=1_000 + seq // 2,  # each time stands twice
        bid_px=100.0 + np.sin(seq),
        ask_px=101.0 + np.sin(seq),
    )


def messages(first_seq: int, n: int, *, lane: int = 0, positions: bytes = b"") -> list[Message]:
    rows = market(first_seq, n, lane=lane)
    return encode_rows(MARKET, lane=lane, rows=rows, code_version="test", positions=positions)


def store_raw(writer: Writer, made: list[Message]) -> None:
    """What a writer without rules would do, such as a second process that takes over."""
    writer._store.append(made, {})
    writer.flush()


def read_all(log: Log, partition: Partition = LANE0, max_rows: int = 100) -> MarketRows:
    reader = LaneReader(log, [partition], state=None, merge=False, ends=log.ends([partition]))
    parts: list[MarketRows] = []
    while not reader.done():
        parts += reader.window(max_rows).values()
    reader.close()
    return concat(parts) if parts else empty(MarketRows)


def raw_messages(log: Log, partition: Partition) -> list[Message]:
    """Everything that is stored, copies included; offsets may have holes."""
    [end] = log.ends([partition]).values()
    reader, found = log.reader({partition: 0}), []
    while reader.position(partition) < end:
        found += [message for _, message in reader.poll(10)]
    reader.close()
    return found


def same(found: Any, expected: Any) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(found, expected, strict=True))


# ---- rows come back as they were


def test_rows_come_back_bit_for_bit(log: Log) -> None:
    writer = log.writer()
    assert writer.append(messages(0, 4_500)) == 4_500
    writer.flush()
    assert same(read_all(log), market(0, 4_500))


def test_signals_come_back_bit_for_bit(log: Log) -> None:
    values = np.random.default_rng(1).normal(size=(3_000, 34))
    values[::3] = np.nan
    seq = np.arange(3_000)
    rows = no_signals(34)._replace(
        seq=seq, lane=np.zeros(3_000, np.int16), market_seq=seq, kind=np.ones(3_000, np.uint8),
        flags=np.ones(3_000, np.uint8), symbol=np.zeros(3_000, np.int32), ts_event_ns=seq,
        ts_recv_ns=seq, values=values,
    )  # fmt: skip
    writer = log.writer()
    assert writer.append(encode_rows(SIGNALS, lane=0, rows=rows, code_version="test")) == 3_000
    writer.flush()
    assert same(read_all(log, (SIGNALS.name, 0)), rows)


def test_a_table_is_cut_into_messages_of_2048_rows_and_the_last_knows_the_positions() -> None:
    made = messages(7, 4_500, positions=b"tape 99")
    assert [(m.first_seq, m.last_seq, m.n_rows, m.positions) for m in made] == [
        (7, 2054, 2048, b""),
        (2055, 4102, 2048, b""),
        (4103, 4506, 404, b"tape 99"),
    ]
    assert (made[0].ts_min_ns, made[0].ts_max_ns) == (1_003, 2_027)


def test_a_message_survives_its_header(log: Log) -> None:
    [message] = messages(3, 5, positions=b"\x00\xff")
    again = Message.parse(
        topic=message.topic, lane=message.lane, header=message.header(), body=message.body
    )
    assert again == message


def test_json_rows_are_canonical_and_one_per_message(log: Log) -> None:
    rows = [{"ts_recv_ns": 5 + k, "seq": k, "amount": "0.10", "b": [1, None]} for k in range(3)]
    writer = log.writer()
    writer.append(encode_json(LEDGER, lane=0, rows=rows, code_version="test"))
    writer.flush()
    stored = raw_messages(log, (LEDGER.name, 0))
    assert stored[0].body == b'{"amount":"0.10","b":[1,null],"seq":0,"ts_recv_ns":5}'
    assert [decode(m) for m in stored] == [[row] for row in rows]


def test_a_raw_frame_comes_back_as_received(log: Log) -> None:
    frame = encode_frame(RAW, lane=2, seq=0, ts_recv_ns=9, frame=b"\x00{", code_version="test")
    writer = log.writer()
    writer.append([frame])
    writer.flush()
    [found] = raw_messages(log, (RAW.name, 2))
    assert decode(found) == [{"seq": 0, "ts_recv_ns": 9, "frame": b"\x00{"}]


def encode(rows: Any, *, topic: Topic = MARKET, lane: int = 0) -> object:
    by = encode_json if isinstance(rows, list) else encode_rows
    return by(topic, lane=lane, rows=rows, code_version="")


NAN_ROW = {"seq": 0, "ts_recv_ns": 1, "x": float("nan")}

# fmt: off
REFUSED: list[tuple[str, Callable[[], object], str]] = [
    ("rows of another table",   lambda: encode(market(0, 1), topic=DECISIONS), "DecisionRows, not"),
    ("a hole in seq",           lambda: encode(concat([market(0, 1), market(2, 1)])), "contiguous"),
    ("time going backwards",    lambda: encode(backwards()),                  "must not fall"),
    ("rows of another lane",    lambda: encode(market(0, 1), lane=1),         "another lane"),
    ("a row without a seq",     lambda: encode([{"ts_recv_ns": 1}], topic=LEDGER), "integer seq"),
    ("NaN in JSON",             lambda: encode([NAN_ROW], topic=LEDGER),      "seq 0"),
    ("JSON for an Arrow topic", lambda: encode([]),                           "not JSON rows"),
]
# fmt: on


def backwards() -> MarketRows:
    return market(0, 2)._replace(ts_recv_ns=np.array([2, 1]))


@pytest.mark.parametrize(("what", "attempt", "text"), REFUSED, ids=[c[0] for c in REFUSED])
def test_what_cannot_be_encoded_is_refused(
    what: str, attempt: Callable[[], object], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        attempt()


# ---- the writer rule: each seq once, in order, without a hole


def test_a_restarted_writer_reads_back_where_it_stands(log: Log) -> None:
    writer = log.writer()
    assert (writer.last_seq(*LANE0), writer.last(*LANE0)) == (-1, None)
    writer.append(messages(0, 600, positions=b"row 600"))
    writer.close()
    again = log.writer()
    last = again.last(*LANE0)
    assert last is not None
    assert (again.last_seq(*LANE0), last.positions) == (599, b"row 600")


def test_what_the_log_holds_already_is_dropped(log: Log) -> None:
    writer = log.writer()
    writer.append(messages(0, 10))
    writer.close()
    again = log.writer()
    assert again.append(messages(0, 10)) == 0
    again.flush()
    assert len(raw_messages(log, LANE0)) == 1


def test_a_partly_known_message_is_cut_to_its_new_rows(log: Log) -> None:
    writer = log.writer()
    writer.append(messages(0, 10))
    assert writer.append(messages(4, 10, positions=b"p")) == 4
    last = writer.last(*LANE0)
    assert last is not None
    assert (last.first_seq, last.last_seq, last.positions) == (10, 13, b"p")
    writer.flush()
    assert same(read_all(log), market(0, 14))


def test_a_hole_is_refused_and_nothing_of_the_call_is_stored(log: Log) -> None:
    writer = log.writer()
    writer.append(messages(0, 10))
    with pytest.raises(
        GapError, match=r"market\.v1 lane 0: the writer expected seq 12 and found 13"
    ):
        writer.append([*messages(0, 3, lane=1), *messages(10, 2), *messages(13, 1)])
    writer.flush()
    assert [len(raw_messages(log, (MARKET.name, lane))) for lane in (0, 1)] == [1, 0]
    assert writer.append(messages(10, 3)) == 3


def test_one_append_covers_several_topics_and_texts(log: Log) -> None:
    writer = log.writer()
    row = {"seq": 0, "ts_recv_ns": 1}
    halt = encode_json(CONTROL, lane=0, rows=[row], code_version="test")
    writer.append([*messages(0, 2), *halt, *messages(0, 2, lane=3)], {"manifest": "{}"})
    partitions = [LANE0, (CONTROL.name, 0), (MARKET.name, 3), (MARKET.name, 5)]
    writer.flush()
    assert [end > 0 for end in log.ends(partitions).values()] == [True, True, True, False]
    assert log.texts()["manifest"] == "{}"


def test_a_snapshot_that_knows_more_than_the_log_is_refused(log: Log) -> None:
    writer = log.writer()
    writer.append(messages(0, 10))
    writer.resume(*LANE0, 9)
    with pytest.raises(LogError, match="up to seq 12, the log ends at 9"):
        writer.resume(*LANE0, 12)


# ---- the reader rule: what was seen is dropped, a hole stops


def test_a_reader_drops_and_cuts_what_was_written_twice(log: Log) -> None:
    writer = log.writer()
    for first, n in ((0, 10), (0, 10), (5, 8), (2, 3), (13, 2)):
        store_raw(writer, messages(first, n))
    assert same(read_all(log), market(0, 15))


def test_a_reader_stops_at_a_hole(log: Log) -> None:
    writer = log.writer()
    store_raw(writer, [*messages(0, 10), *messages(11, 1)])
    with pytest.raises(GapError, match="the reader expected seq 10 and found 11") as caught:
        read_all(log)
    assert (caught.value.topic, caught.value.lane) == LANE0


def test_a_bounded_replay_ends_where_the_log_ended_at_its_start(log: Log) -> None:
    writer = log.writer()
    writer.append(messages(0, 20))
    writer.append(messages(20, 20))
    writer.flush()
    reader = LaneReader(log, [LANE0], state=None, merge=True, ends=log.ends([LANE0]))
    parts: list[MarketRows] = []
    n = 40
    while not reader.done():
        writer.append(messages(n, 20))  # somebody goes on writing
        n += 20
        parts += reader.window(15).values()
    assert same(concat(parts), market(0, 40))


def test_an_empty_partition_ends_at_once(log: Log) -> None:
    reader = LaneReader(log, [LANE0], state=None, merge=True, ends=log.ends([LANE0]))
    assert (reader.window(10), reader.done()) == ({}, True)


@pytest.mark.parametrize("max_rows", [1, 7, 30, 10_000])
def test_a_reader_goes_on_from_the_state_after_every_window(log: Log, max_rows: int) -> None:
    writer = log.writer()
    inputs = [(MARKET.name, lane) for lane in range(3)]
    for first in range(0, 40, 10):
        for lane in range(3):
            store_raw(writer, messages(max(0, first - lane), 10 + lane, lane=lane))
    ends = log.ends(inputs)
    reader = LaneReader(log, inputs, state=None, merge=True, ends=ends)
    found: dict[Partition, list[MarketRows]] = {p: [] for p in inputs}
    while not reader.done():
        window = reader.window(max_rows)
        if not window:
            continue
        for partition, rows in window.items():
            found[partition].append(rows)
        state = pickle.loads(pickle.dumps(reader.state()))
        reader.close()
        reader = LaneReader(log, inputs, state=state, merge=True, ends=ends)
    for partition in inputs:
        assert same(concat(found[partition]), market(0, 40, lane=partition[1]))


def test_a_state_of_other_inputs_is_refused(log: Log) -> None:
    state = LaneReader(log, [LANE0], state=None, merge=True).state()
    with pytest.raises(LogError, match="the recovery state reads"):
        LaneReader(log, [(MARKET.name, 1)], state=state, merge=True)


def test_a_reader_sees_what_is_written_after_it_was_opened(log: Log) -> None:
    reader = LaneReader(log, [LANE0], state=None, merge=False)
    assert reader.window(10) == {}
    writer = log.writer()  # kept: a writer that is dropped may drop what it has not sent
    writer.append(messages(0, 3))
    assert same(soon(lambda: reader.window(10))[LANE0], market(0, 3))
    assert reader.window(10) == {}


# fmt: off
POISON: list[tuple[str, dict[str, Any]]] = [
    ("a cut body",              {"body": messages(10, 3)[0].body[:100]}),
    ("an empty body",           {"body": b""}),
    ("noise",                   {"body": b"\xff" * 500}),
    ("another number of rows",  {"body": messages(10, 2)[0].body}),
    ("rows of another seq",     {"body": messages(11, 3)[0].body}),
    ("another schema",          {"schema_id": 99}),
]
# fmt: on


@pytest.mark.parametrize(("what", "change"), POISON, ids=[c[0] for c in POISON])
def test_a_poisoned_message_is_named(log: Log, what: str, change: dict[str, Any]) -> None:
    writer = log.writer()
    [message] = messages(10, 3)
    store_raw(writer, [*messages(0, 10), replace(message, **change)])
    with pytest.raises(PoisonMessageError, match=r"market\.v1 lane 0, seq 10, offset 1: "):
        read_all(log)


def test_a_log_of_another_schema_is_refused_and_the_topic_named(log: Log) -> None:
    writer = log.writer()
    writer.append([], {"schema/features.v1": "0" * 64})
    writer.close()
    with pytest.raises(SchemaMismatchError, match=r"topic features\.v1"):
        log.writer()
    with pytest.raises(SchemaMismatchError, match=r"topic features\.v1"):
        log.reader({LANE0: 0})


def test_fingerprints_differ_by_topic_and_ids_are_never_reused() -> None:
    assert len(set(fingerprints().values())) == len(TOPICS)
    assert sorted(t.schema_id for t in TOPICS.values()) == list(range(1, len(TOPICS) + 1))
    check_fingerprints(fingerprints())
    with pytest.raises(SchemaMismatchError, match=r"topic new\.v7"):
        check_fingerprints({"new.v7": "0"})


# ---- memory: retention


def test_reading_behind_retention_is_refused() -> None:
    log = MemoryLog(retain_messages=4)
    reader = log.reader({LANE0: 0})
    writer = log.writer()
    for k in range(20):
        writer.append(messages(k, 1))
    [start] = log.starts([LANE0]).values()
    assert 20 - 8 <= start <= 20 - 4
    with pytest.raises(RetentionError, match="offset 0 has been deleted, the log starts at 16"):
        reader.poll(10)
    with pytest.raises(RetentionError):
        log.reader({LANE0: start - 1})
    assert [offset for offset, _ in log.reader({LANE0: start}).poll(10)] == [*range(start, 20)]


def test_a_writer_goes_on_where_retention_has_emptied_the_partition() -> None:
    log = MemoryLog()
    writer = log.writer()
    writer.append(messages(0, 10))
    writer.close()
    log.expire(LANE0)
    writer = log.writer()
    writer.resume(*LANE0, 9)  # what the recovery snapshot knows
    assert writer.append(messages(5, 10)) == 5
    assert log.ends([LANE0]) == {LANE0: 2}


# ---- embedded: one file, one writer, other readers


def test_a_second_writer_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log.sqlite", create=True)
    writer = log.writer()
    with pytest.raises(LogLockedError, match=f"process {os.getpid()} is writing"):
        EmbeddedLog(tmp_path / "log.sqlite").writer()
    writer.close()
    EmbeddedLog(tmp_path / "log.sqlite").writer().close()


def _read_in_another_process(path: Path, sums: "multiprocessing.Queue[int]") -> None:
    sums.put(int(read_all(EmbeddedLog(path)).seq.sum()))


def test_another_process_reads_while_this_one_writes(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log.sqlite", create=True)
    writer = log.writer()
    writer.append(messages(0, 100))
    context = multiprocessing.get_context("spawn")
    sums: multiprocessing.Queue[int] = context.Queue()
    process = context.Process(target=_read_in_another_process, args=(log._path, sums))
    process.start()
    n = 100
    while process.is_alive() and sums.empty():
        writer.append(messages(n, 1))
        n += 1
    process.join(20)
    assert sums.get(timeout=1) >= sum(range(100))


def _file_with_rows(tmp_path: Path, n: int = 20_000) -> Path:
    path = tmp_path / "log.sqlite"
    log = EmbeddedLog(path, create=True)
    writer = log.writer()
    writer.append(messages(0, n))
    writer.close()
    log.close()
    return path


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    path = _file_with_rows(tmp_path, 6_000)
    with sqlite3.connect(path) as db:
        body = bytearray(db.execute("SELECT body FROM messages WHERE position = 2").fetchone()[0])
        body[1_000] ^= 1
        db.execute("UPDATE messages SET body = ? WHERE position = 2", (bytes(body),))
    with pytest.raises(PoisonMessageError, match=r"seq 4096, offset 2: .*checksum"):
        read_all(EmbeddedLog(path))


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = _file_with_rows(tmp_path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(LogCorruptError, match=r"log\.sqlite: the log is damaged"):
        read_all(EmbeddedLog(path))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="there is no log here"):
        EmbeddedLog(tmp_path / "none.sqlite")
    (tmp_path / "text.sqlite").write_text("not a database, and long enough to have a header" * 9)
    with pytest.raises(LogCorruptError, match="damaged"):
        EmbeddedLog(tmp_path / "text.sqlite")
    sqlite3.connect(tmp_path / "other.sqlite").execute("CREATE TABLE t (x)").connection.close()
    with pytest.raises(LogCorruptError, match="not a log"):
        EmbeddedLog(tmp_path / "other.sqlite")
