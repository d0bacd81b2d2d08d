"""Promise: what venues send can be kept; it comes back byte for byte and makes the same rows."""

import json
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cli.export
from cli.errors import Refused
from cli.export import ExportRequest, write_frames
from cli.worker import WorkerRequest, record_frames
from flows.desk_run import RECORD, RunRecord
from flows.log.kafka import KafkaLog
from flows.log.memory import MemoryLog
from flows.raw import PART_BYTES, RawRecorder, recorded_lines
from flows.settings import SettingsError
from schemas.kinds import Kind
from schemas.rows import MarketRows
from schemas.topics import RAW
from tests.kafka_server import PLANS
from tests.live_cases import Reader, one_market
from tests.venue_server import VenueServer
from venues.frames import FrameClass, FrameFile, market_rows
from venues.frames.files import Line, recorded, write_recording
from venues.frames.settled import settle
from venues.live import LIVE
from venues.live.handover import Received, What

REST = "/api/v3/depth?symbol=BTCUSDT&limit=1000"


@dataclass
class Recorded:
    """What came of one life of a recorded feed."""

    rows: MarketRows
    sent: list[tuple[str, bytes]]


def live_and_record(log: MemoryLog, venue: str) -> Recorded:
    with VenueServer(one_market(venue)) as server, Reader(server) as reader:
        writer = log.writer()
        reader.feed.record = RawRecorder(writer, "test", reader.feed.urls)
        reader.begin()
        reader.finish()
        reader.read_all()
        writer.close()
        return Recorded(reader.rows, list(server.sent))


@pytest.mark.parametrize("venue", LIVE)
def test_recorded_frames_make_the_same_rows_again(venue: str, tmp_path: Path) -> None:
    log = MemoryLog()
    lived = live_and_record(log, venue)
    lines = list(recorded_lines(log, 0))
    assert (lines[0].dir, lines[0].url[:5]) == ("connect", "ws://")
    assert not Counter((line.url, line.frame) for line in lines[1:]) - Counter(lived.sent)
    assert all(before.recv_ns <= line.recv_ns for before, line in pairwise(lines))

    path = tmp_path / f"{venue}_recorded.jsonl.zst"
    write_recording(path, lines)
    file = FrameFile(path)
    assert file.venue == venue
    made = market_rows(
        [
            one.parsed
            for settled in settle(file)
            for one in settled.decided
            if one.parsed.kind is FrameClass.DATA
        ]
    )
    rows = lived.rows
    rows = MarketRows._make(column[rows.kind != Kind.BOOK_STATUS] for column in rows)
    for column in ("kind", "side", "price", "qty", "venue_seq", "ref_id", "flags"):
        np.testing.assert_array_equal(getattr(made, column), getattr(rows, column), column)


def test_second_life_goes_on_behind_the_first() -> None:
    log = MemoryLog()
    live_and_record(log, "kraken")
    n_lines = len(list(recorded_lines(log, 0)))
    live_and_record(log, "kraken")
    lines = list(recorded_lines(log, 0))
    assert [line.dir for line in lines].count("connect") == 2
    assert lines[n_lines].dir == "connect"


# fmt: off
ITEMS: list[tuple[str, What, str, bytes, str]] = [  # what is received, and what it is called
    ("a frame",            What.FRAME,  "",   b'{"a":1}',                        ""),
    ("a text",             What.FRAME,  "",   b"pong",                           ""),
    ("no text at all",     What.FRAME,  "",   b"\xff\x00",                       ""),
    ("a REST answer",      What.FRAME,  REST, b'{"lastUpdateId": 1,\n "bids": []}', "rest"),
    ("one for an audit",   What.AUDIT,  REST, b"{}",                             "audit"),
    ("one with trades",    What.TRADES, REST, b"[]",                             "trades"),
    ("a very long one",    What.FRAME,  "",   b'"' + b"x" * 3 * PART_BYTES + b'"', ""),
    ("of exactly a part",  What.FRAME,  "",   b'"' + b"x" * (PART_BYTES - 2) + b'"', ""),
    ("an empty one",       What.FRAME,  "",   b"",                               ""),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "label", "frame", "called"), [c[1:] for c in ITEMS], ids=[c[0] for c in ITEMS]
)
def test_item_comes_back(what: What, label: str, frame: bytes, called: str, tmp_path: Path) -> None:
    log = MemoryLog()
    writer = log.writer()
    record = RawRecorder(writer, "test", ["ws://a", "ws://b"])
    record([Received(what, 1, 5, label, frame), Received(What.FRAME, 1, 6, "", b"{}")])
    writer.close()
    assert list(recorded_lines(log, 1)) == [Line(5, called, label, frame), Line(6, "", "", b"{}")]
    assert list(recorded_lines(log, 0)) == []
    path = tmp_path / "kraken_x.jsonl.zst"
    write_recording(path, recorded_lines(log, 1))
    first, second = recorded(path)
    assert (first.ts_recv_ns, first.label, bool(first.ours)) == (
        5, label if called == "rest" else "", called in ("audit", "trades"),
    )  # fmt: skip
    if not first.ours and frame != b"\xff\x00":  # bytes that are no text are kept on the log only
        assert first.frame.replace(b"\n", b" ") == frame.replace(b"\n", b" ")
    assert second.frame == b"{}"


def test_long_frames_come_back_from_brokers(kafka_servers: str, deployment: str) -> None:
    frame = b'"' + b"x" * 5 * PART_BYTES + b'"'  # more than a message may have
    log = KafkaLog(kafka_servers, deployment=deployment, fence=True, topics=PLANS)
    try:
        for life in range(2):
            writer = log.writer()
            record = RawRecorder(writer, "test", ["ws://a"])
            record([Received(What.OPENED, 0, 5), Received(What.FRAME, 0, 6 + life, "", frame)])
            writer.close()
        lines = list(recorded_lines(log, 0))
        opened = Line(5, "connect", "ws://a", b"ws://a")
        assert lines == [opened, Line(6, "", "", frame), opened, Line(7, "", "", frame)]
    finally:
        log.close()


def test_ingest_records_only_when_it_is_asked_to() -> None:
    with VenueServer(one_market("kraken", 4)) as server, Reader(server) as reader:
        for asked in (False, True):
            request = WorkerRequest("ingest", markets=("kraken:BTC/USD",), record=asked)
            record_frames(request, reader.feed, MemoryLog().writer(), "test")
            assert (reader.feed.record is not None) == asked


def test_connections_that_end_and_answers_that_fail_are_not_recorded() -> None:
    log = MemoryLog()
    record = RawRecorder(log.writer(), "test", ["ws://a"])
    record([Received(What.CLOSED, 0, 5, "why"), Received(What.FAILED, 0, 6, REST)])
    assert log.ends([(RAW.name, 0)]) == {(RAW.name, 0): 0}


def test_export_writes_a_file_for_each_venue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    log = MemoryLog()
    writer = log.writer()
    of_run = dict.fromkeys(RunRecord.__dataclass_fields__, "")
    sources = [{"name": name, "kind": "live"} for name in ("kraken", "okx")]
    writer.append([], {RECORD: json.dumps(of_run | {"sources": sources})})
    record = RawRecorder(writer, "test", ["ws://a", "ws://b"])
    record([Received(What.FRAME, 1, 5, "", b"pong")])
    monkeypatch.setattr(cli.export, "open_place", lambda *_: log)
    monkeypatch.setattr(log, "close", lambda: None, raising=False)
    write_frames(ExportRequest(None, "", tmp_path, json=True))
    (found,) = json.loads(capsys.readouterr().out)
    assert found == {
        "venue": "okx", "lines": 1, "file": str(tmp_path / "okx_recorded.jsonl.zst"),
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["okx_recorded.jsonl.zst"]
    (line,) = recorded(Path(found["file"]))
    assert line.frame == b"pong"


def test_export_without_frames_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.export, "open_place", lambda *_: MemoryLog())
    with pytest.raises(Refused, match="no run yet"):
        write_frames(ExportRequest(None, "", tmp_path, json=True))


@pytest.mark.parametrize("flow", ["ingest", "features"])
def test_record_without_a_live_feed_is_refused(flow: str) -> None:
    with pytest.raises(SettingsError, match="--record"):
        WorkerRequest(flow, simulate=flow == "ingest", record=True)
