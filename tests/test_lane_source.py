"""Rows of several lanes leave the reader in one order, which only the log determines."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
import numpy as np
import pytest
from bytewax.dataflow import Dataflow
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.encode import encode
from flows.log.api import Partition
from flows.log.codec import encode_json, encode_rows
from flows.log.embedded import EmbeddedLog
from flows.log.errors import LogError, TimeOrderError
from flows.log.flight import Flight
from flows.log.lane_sink import Bundle, LaneSink
from flows.log.lane_source import ALL, WAIT_S, LaneSource, Tables
from flows.log.memory import MemoryLog
from flows.log.message import Message
from flows.log.reader import LaneReader, Window, merge_windows
from flows.log.writer import Writer
from flows.runtime import run_flow
from schemas.kinds import Flag, Kind
from schemas.rows import MarketRows, empty
from schemas.topics import FEATURES, MARKET, REPORTS

Row = tuple[int, int, int]  # ts_recv_ns, lane, seq


def quotes(lane: int, first_seq: int, times_ns: list[int], *, end: bool = False) -> list[Message]:
    n = len(times_ns)
    flags = np.zeros(n, np.uint8)
    flags[-1] = Flag.END if end else 0
    rows = empty(MarketRows, n)._replace(
        seq=np.arange(first_seq, first_seq + n),
        lane=np.full(n, lane, np.int16),
        kind=np.full(n, Kind.QUOTE, np.uint8),
        flags=flags,
        ts_recv_ns=np.array(times_ns, np.int64),
    )
    return encode_rows(MARKET, lane=lane, rows=rows, code_version="test")


def lanes(*numbers: int) -> list[Partition]:
    return [(MARKET.name, lane) for lane in numbers]


def rows_of(window: Window) -> list[Row]:
    if not window:
        return []
    merged = merge_windows(window)
    return list(
        zip(merged.ts_recv_ns.tolist(), merged.lane.tolist(), merged.seq.tolist(), strict=True)
    )


def drain(reader: LaneReader, max_rows: int = 1_000) -> list[Row]:
    """Everything that is certain now."""
    found: list[Row] = []
    while window := reader.window(max_rows):
        found += rows_of(window)
    return found


# fmt: off
RELEASED = [  # lane 0 and lane 1 hold rows at these times; what may leave?
    ("nothing while a lane is silent",         [1, 2, 3],    [],        0),
    ("up to the least last time",              [1, 2, 3],    [2],       3),
    ("of a time that may repeat, lane 0 only", [1, 3, 3],    [3],       3),
    ("the later lane waits for the earlier",   [5],          [5, 5, 9], 1),
    ("but not for times that are over",        [5],          [1, 2, 9], 3),
]
# fmt: on


@pytest.mark.parametrize(("what", "lane0", "lane1", "n"), RELEASED, ids=[c[0] for c in RELEASED])
def test_only_what_cannot_be_overtaken_leaves(
    what: str, lane0: list[int], lane1: list[int], n: int
) -> None:
    log = MemoryLog()
    writer = log.writer()
    for lane, times in enumerate((lane0, lane1)):
        if times:
            writer.append(quotes(lane, 0, times))
    reader = LaneReader(log, lanes(0, 1), state=None, merge=True)
    released = drain(reader)
    assert len(released) == n
    assert released == sorted(released)


def test_a_lane_alone_waits_for_nobody() -> None:
    log = MemoryLog()
    log.writer().append(quotes(0, 0, [1, 2, 2]))
    assert len(drain(LaneReader(log, lanes(0), state=None, merge=True))) == 3


def test_a_closed_lane_holds_nobody_up_even_after_a_resume() -> None:
    log = MemoryLog()
    writer = log.writer()
    writer.append([*quotes(0, 0, [1, 2], end=True), *quotes(1, 0, [3, 4])])
    reader = LaneReader(log, lanes(0, 1), state=None, merge=True)
    assert drain(reader) == [(1, 0, 0), (2, 0, 1), (3, 1, 0), (4, 1, 1)]
    reader = LaneReader(log, lanes(0, 1), state=reader.state(), merge=True)
    writer.append(quotes(1, 2, [5], end=True))
    assert drain(reader) == [(5, 1, 2)]
    assert reader.done()


def test_rows_behind_the_end_row_are_refused() -> None:
    log = MemoryLog()
    log.writer().append([*quotes(0, 0, [1, 2], end=True), *quotes(0, 2, [3])])
    with pytest.raises(LogError, match="rows follow the lane's END row"):
        LaneReader(log, lanes(0), state=None, merge=True).window(10)


def test_an_idle_lane_does_not_block_after_a_resume() -> None:
    log = MemoryLog()
    writer = log.writer()
    writer.append([*quotes(0, 0, [1, 9]), *quotes(1, 0, [2, 4])])
    reader = LaneReader(log, lanes(0, 1), state=None, merge=True)
    assert drain(reader) == [(1, 0, 0), (2, 1, 0), (4, 1, 1)]
    writer.append(quotes(1, 2, [9]))
    assert drain(reader) == [(9, 0, 1)]
    reader = LaneReader(log, lanes(0, 1), state=reader.state(), merge=True)
    assert drain(reader) == []  # lane 0 may bring another row of that time
    writer.append(quotes(1, 3, [12]))
    reader = LaneReader(log, lanes(0, 1), state=reader.state(), merge=True)
    writer.append(quotes(0, 2, [10]))
    assert drain(reader) == [(9, 1, 2), (10, 0, 2)]


def test_a_round_s_rows_leave_with_the_heartbeat_of_the_lowest_lane() -> None:
    """What tells execute that decide has passed the rows: no other round is waited for."""
    log = MemoryLog()
    writer = log.writer()
    reader = LaneReader(log, lanes(0, 1, 2), state=None, merge=True)
    writer.append([*quotes(0, 0, [3, 6]), *quotes(1, 0, [6]), *quotes(2, 0, [4, 5, 6])])
    assert drain(reader) == [(3, 0, 0), (4, 2, 0), (5, 2, 1), (6, 0, 1)]


def test_without_merge_every_lane_runs_on_its_own() -> None:
    log = MemoryLog()
    log.writer().append(quotes(0, 0, [1, 2]))
    reader = LaneReader(log, lanes(0, 1), state=None, merge=False)
    assert rows_of(reader.window(10)) == [(1, 0, 0), (2, 0, 1)]


def test_times_that_fall_are_refused_with_their_place() -> None:
    log = MemoryLog()
    log.writer().append([*quotes(0, 0, [5, 6]), *quotes(0, 2, [4])])
    with pytest.raises(TimeOrderError, match=r"market\.v1 lane 0, seq 2, offset 1"):
        LaneReader(log, lanes(0, 1), state=None, merge=True).window(10)


def test_json_rows_and_tables_merge_by_the_same_rule() -> None:
    log = MemoryLog()
    reports = [{"seq": k, "ts_recv_ns": ts} for k, ts in enumerate((2, 5))]
    log.writer().append(
        [
            *quotes(0, 0, [1, 2, 6]),
            *encode_json(REPORTS, lane=0, rows=reports, code_version="test"),
        ]
    )
    inputs = [(MARKET.name, 0), (REPORTS.name, 0)]
    window = LaneReader(log, inputs, state=None, merge=True).window(10)
    assert window[(MARKET.name, 0)].ts_recv_ns.tolist() == [1, 2]
    assert window[(REPORTS.name, 0)] == [{"seq": 0, "ts_recv_ns": 2}]


def test_an_input_far_ahead_waits_in_the_log_not_in_memory() -> None:
    log = MemoryLog()
    writer = log.writer()
    for k in range(2_000):
        writer.append(quotes(0, k, [k]))
    writer.append(quotes(1, 0, [0]))
    reader = LaneReader(log, lanes(0, 1), state=None, merge=True)
    for _ in range(50):
        reader.window(10)
    assert reader._inputs[lanes(0)[0]].n_rows <= 2 * 10 + 64


STEPS = st.lists(st.integers(0, 3), min_size=1, max_size=25)  # between times; 0 repeats a time
CUTS = st.lists(st.integers(1, 6), min_size=1, max_size=8)  # rows per message, in turn


def chunks(lane: int, steps: list[int], cuts: list[int]) -> list[list[Message]]:
    times, made, first = np.cumsum(steps).tolist(), [], 0
    for k in range(len(times)):
        n = cuts[k % len(cuts)]
        if first < len(times):
            part = times[first : first + n]
            made.append(quotes(lane, first, part, end=first + n >= len(times)))
            first += n
    return made


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    steps=st.lists(STEPS, min_size=1, max_size=4),
    cuts=CUTS,
    max_rows=st.integers(1, 30),
    pace=st.lists(st.integers(0, 3), min_size=1, max_size=10),
    resume_every=st.integers(1, 5),
)
def test_any_batching_polling_and_resume_gives_the_one_order(
    steps: list[list[int]], cuts: list[int], max_rows: int, pace: list[int], resume_every: int
) -> None:
    log = MemoryLog()
    writer = log.writer()
    waiting = [chunks(lane, each, cuts) for lane, each in enumerate(steps)]
    inputs = lanes(*range(len(steps)))
    reader = LaneReader(log, inputs, state=None, merge=True)
    found: list[Row] = []
    for turn in range(10_000):
        if reader.done():
            break
        lane = pace[turn % len(pace)] % len(steps)  # lanes are written at different paces
        lane = lane if waiting[lane] or turn % 2 else turn % len(steps)
        if waiting[lane] or (lane := next((k for k, w in enumerate(waiting) if w), -1)) >= 0:
            writer.append(waiting[lane].pop(0))
        found += rows_of(reader.window(max_rows))
        if turn % resume_every == 0:
            reader = LaneReader(log, inputs, state=reader.state(), merge=True)
    times = [np.cumsum(each).tolist() for each in steps]
    assert found == sorted((t, lane, s) for lane, ts in enumerate(times) for s, t in enumerate(ts))


@settings(derandomize=True, deadline=None, max_examples=50)
@given(steps=st.lists(STEPS, min_size=1, max_size=4), max_rows=st.integers(1, 10))
def test_a_window_is_larger_than_its_bound_only_by_rows_of_one_time(
    steps: list[list[int]], max_rows: int
) -> None:
    log = MemoryLog()
    writer = log.writer()
    for lane, each in enumerate(steps):
        for part in chunks(lane, each, [4]):
            writer.append(part)
    reader = LaneReader(log, lanes(*range(len(steps))), state=None, merge=True)
    while window := reader.window(max_rows):
        times = [row[0] for row in rows_of(window)]
        assert len(times) <= max_rows or len(steps) > 1
        assert len(times) <= max_rows or times[max_rows - 1] == times[-1]


def copy_flow(log: EmbeddedLog, writer: Writer, batch_rows: int) -> tuple[Dataflow, Flight]:
    """Market rows, unchanged, to the quarantine topic's neighbour: one bundle per window."""
    inputs = lanes(0, 1)

    def copies(tables: Tables) -> Bundle:
        return [
            replace(message, topic="quarantine.v1", schema_id=5)
            for rows in tables.values()
            for message in encode(MARKET, rows, "test")
        ]

    flow = Dataflow("copy")
    source = LaneSource(log, inputs, merge=True, batch_rows=batch_rows, ends=log.ends(inputs))
    windows = op.input("market", flow, source)
    op.output("copies", op.map_value("encode", windows, copies), LaneSink(writer, source.flight))
    return flow, source.flight


@pytest.mark.parametrize("batch_rows", [1, 7, 1_000])
def test_a_flow_reads_and_writes_the_log(tmp_path: Path, batch_rows: int) -> None:
    log = EmbeddedLog(tmp_path / "log.sqlite", create=True)
    writer = log.writer()
    for lane in (0, 1):
        writer.append(quotes(lane, 0, [10 * k + lane for k in range(30)]))
    flow, flight = copy_flow(log, writer, batch_rows)
    assert run_flow(flow, recovery=None, epoch_interval=timedelta(0)) == "finished"
    assert [writer.last_seq("quarantine.v1", lane) for lane in (0, 1)] == [29, 29]
    assert flight.over


def test_a_source_rests_as_soon_as_what_it_read_has_landed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(LaneReader, "wait", lambda reader, seconds: waits.append(seconds))
    log = MemoryLog()
    log.writer().append(quotes(0, 0, [1, 2]))
    source = LaneSource(log, lanes(0), merge=True, batch_rows=10)
    part = source.build_part("market", ALL, None)
    assert len(list(part.next_batch())) == 1
    assert (list(part.next_batch()), waits) == ([], [])  # its rows would wait as well
    source.flight.landed(1)
    assert (list(part.next_batch()), waits) == ([], [WAIT_S])


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    steps=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=90), min_size=1, max_size=3),
    cuts=st.lists(st.sampled_from([1, 3, 32, 33, 80]), min_size=1, max_size=6),
    max_rows=st.integers(1, 120),
)
def test_one_table_per_topic_is_the_windows_merged(
    steps: list[list[int]], cuts: list[int], max_rows: int
) -> None:
    """Also where short messages, which stay words until they leave, stand beside long ones."""
    log = MemoryLog()
    writer = log.writer()
    for lane, each in enumerate(steps):
        for part in chunks(lane, each, cuts):
            writer.append(part)
    inputs = lanes(*range(len(steps)))
    one, other = (LaneReader(log, inputs, state=None, merge=True) for _ in range(2))
    while window := one.window(max_rows):
        tables = other.merged(max_rows)
        assert list(tables) == [MARKET.name]
        assert all(
            np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
            for a, b in zip(tables[MARKET.name], merge_windows(window), strict=True)
        )
    assert other.merged(max_rows) == {}


def test_source_and_sink_have_one_part_for_all_lanes() -> None:
    log = MemoryLog()
    source = LaneSource(log, lanes(0), merge=True, batch_rows=1)
    assert source.list_parts() == LaneSink(log.writer()).list_parts() == [ALL]
    with pytest.raises(ValueError, match="batch_rows must be positive, was 0"):
        LaneSource(log, [(FEATURES.name, 0)], merge=True, batch_rows=0)
