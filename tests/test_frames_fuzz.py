"""Promise: no bytes make a parser raise, lose count, or let a value out that no market prints."""

import json
import random
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.kinds import Kind, Side
from tests.frame_text import RECV_NS
from tests.test_frames_cases import LABELLED, TABLES
from tests.test_frames_recorded import FILES
from venues.frames import (
    PARSERS,
    Account,
    FrameClass,
    FrameFile,
    Parsed,
    Synchroniser,
    parser_for,
)
from venues.frames.files import recorded

FRAMES_MAX = 120  # of each recording

FRAMES: dict[str, list[tuple[str, bytes]]] = {  # per venue: label and frame
    venue: [("", frame.encode()) for _, frame, _ in table] for venue, table in TABLES.items()
}
for _venue, _label, _frame, _ in LABELLED:
    FRAMES.setdefault(_venue, []).append((_label, _frame.encode()))

NASTY = [  # in place of a value
    b"null", b"true", b"[]", b"{}", b'""', b"0", b"-0", b"-1", b"1e300", b"1e-300", b"1e999",
    b"NaN", b'"NaN"', b'"nan"', b'"inf"', b'"-Infinity"', b'"1_0"', b'" 1"', b'"1e5"', b'"0x1"',
    b'"-0.0"', b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809",
    b'"\xd9\xa1"', b'"\xff"', b'"0001-01-01T00:00:00Z"', b'"9999-12-31T23:59:59Z"',
    b"[" * 2000, b'"x"' * 3,
]  # fmt: skip
VALUE = re.compile(rb'"[^"]*"|-?[0-9][0-9.eE+-]*|true|false|null|\[\]|\{\}')


def damaged_bytes(frame: bytes, edits: list[tuple[int, int, int]]) -> bytes:
    """Each edit changes, drops, doubles or inserts one byte, or cuts the frame."""
    found = bytearray(frame)
    for what, at, byte in edits:
        k = at % (len(found) + 1)
        if what == 0:
            found[k : k + 1] = bytes([byte])
        elif what == 1:
            del found[k : k + 1]
        elif what == 2:
            found[k:k] = found[k : k + 1 + byte % 40]
        elif what == 3:
            found[k:k] = bytes([byte])
        else:
            del found[k:]
    return bytes(found)


def damaged_value(frame: bytes, at: int, nasty: bytes) -> bytes:
    values = list(VALUE.finditer(frame))
    if not values:
        return nasty
    value = values[at % len(values)]
    return frame[: value.start()] + nasty + frame[value.end() :]


def check(parsed: Parsed) -> None:
    """The frame is accounted for, and its rows are what a market can print."""
    account = Account()
    account.add(parsed)
    assert account.problems() == []
    rows = parsed.rows()
    assert rows.seq.size == parsed.n_rows
    assert (parsed.kind == FrameClass.QUARANTINED) <= bool(parsed.reason)
    assert parsed.kind == FrameClass.DATA or (parsed.n_rows, parsed.refused) == (0, ())
    assert (rows.ts_event_ns >= 0).all()
    sized = np.isin(rows.kind, [Kind.BOOK, Kind.TRADE])
    assert (rows.price[sized] > 0).all()
    assert (rows.price[sized] <= 1e12).all()
    assert (rows.qty[sized] >= 0).all()
    assert (rows.qty[sized] <= 1e18).all()
    assert np.isin(rows.side, list(Side)).all()
    for column in rows:
        assert not np.isinf(column).any()
    for book in parsed.books:
        texts = [*book.bid_texts, *book.ask_texts]
        assert not texts or len(texts) == book.n_rows


def taught(venue: str):
    """A parser and its synchroniser that know the channels and books of the venue's table."""
    parser = parser_for(venue)
    sync = Synchroniser(parser.venue, held_max=4)
    for label, frame in FRAMES[venue]:
        sync.accept(parser.parse(frame, ts_recv_ns=RECV_NS, label=label))
    return parser, sync


EDITS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=4
)


def test_every_venue_is_fuzzed() -> None:
    alike = {"binance_coinm", "bybit_linear", "bybit_inverse"}  # as what is fuzzed
    assert FRAMES.keys() | alike >= PARSERS.keys()


@pytest.mark.parametrize("venue", FRAMES)
@given(which=st.integers(0, 99), edits=EDITS)
def test_random_bytes(venue: str, which: int, edits: list[tuple[int, int, int]]) -> None:
    parser, sync = taught(venue)
    label, frame = FRAMES[venue][which % len(FRAMES[venue])]
    parsed = parser.parse(damaged_bytes(frame, edits), ts_recv_ns=RECV_NS, label=label)
    check(parsed)
    for judged in [*sync.accept(parsed), *sync.flush()]:
        check(judged.parsed)


@pytest.mark.parametrize("venue", FRAMES)
def test_every_value_of_every_frame_replaced(venue: str) -> None:
    parser, sync = taught(venue)
    for label, frame in FRAMES[venue]:
        for at in range(len(VALUE.findall(frame))):
            for nasty in NASTY:
                parsed = parser.parse(
                    damaged_value(frame, at, nasty), ts_recv_ns=RECV_NS, label=label
                )
                check(parsed)
                for judged in sync.accept(parsed):
                    check(judged.parsed)


def pruned(found: Any) -> Iterator[Any]:
    """The same JSON value with one of its parts left out, one after the other."""
    parts = found.items() if isinstance(found, dict) else enumerate(found)
    for key, part in list(parts):
        if isinstance(found, dict):
            yield {k: v for k, v in found.items() if k != key}
        else:
            yield found[:key] + found[key + 1 :]
        if isinstance(part, dict | list):
            for less in pruned(part):
                copy = found.copy()
                copy[key] = less
                yield copy


@pytest.mark.parametrize("venue", FRAMES)
def test_every_one_and_two_parts_of_every_frame_left_out(venue: str) -> None:
    parser, _ = taught(venue)
    for label, frame in FRAMES[venue]:
        try:
            found = json.loads(frame)
        except ValueError:  # some rows of the tables are no JSON
            continue
        short = len(frame) < 160  # two parts of the others take minutes
        for less in (
            two for one in pruned(found) for two in [one, *(pruned(one) if short else ())]
        ):
            text = json.dumps(less).encode()
            check(parser.parse(text, ts_recv_ns=RECV_NS, label=label))


@pytest.mark.parametrize("name", FILES)
def test_damaged_recordings_still_add_up(data_path: Callable[[str], Path], name: str) -> None:
    """One of two frames is damaged; what follows in the session meets what that left behind."""
    chance = random.Random(name)
    file = FrameFile(data_path(f"raw/{name}.jsonl.zst"))
    accounts = Account(), Account()
    syncs: dict[str, Synchroniser] = {}
    for line in islice(recorded(file.path), FRAMES_MAX):
        frame, venue = line.frame, line.venue or file.venue
        parser = file.parsers.setdefault(venue, parser_for(venue))
        if chance.random() < 0.3:
            edits = [(chance.randrange(5), chance.randrange(4000), chance.randrange(256))]
            frame = damaged_bytes(frame, edits)
        elif chance.random() < 0.3:
            frame = damaged_value(frame, chance.randrange(4000), chance.choice(NASTY))
        parsed = parser.parse(frame, ts_recv_ns=line.ts_recv_ns, label=line.label)
        check(parsed)
        accounts[0].add(parsed)
        for judged in syncs.setdefault(venue, Synchroniser(parser.venue)).accept(parsed):
            accounts[1].add(judged.parsed)
    for judged in (judged for sync in syncs.values() for judged in sync.flush()):
        accounts[1].add(judged.parsed)
    assert [account.problems() for account in accounts] == [[], []]
    assert accounts[0].frames == accounts[1].frames


@pytest.mark.parametrize("venue", FRAMES)
@given(label=st.text(max_size=20), frame=st.binary(max_size=60))
def test_noise(venue: str, label: str, frame: bytes) -> None:
    check(parser_for(venue).parse(frame, ts_recv_ns=RECV_NS, label=label))
