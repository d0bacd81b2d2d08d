"""Rows of any lanes as the messages of one topic."""

from collections.abc import Callable
from typing import Any

import numpy as np

from flows.log.codec import JsonRow, encode_json, encode_rows, encode_words, rows_from
from flows.log.message import Message
from flows.log.template import WORDS_MAX
from flows.log.words import Words, to_words
from schemas.rows import take
from schemas.signal_rows import SignalRows
from schemas.topics import Encoding, Topic


def _nowhere(lane: int) -> bytes:
    """Only market messages say where their source stands."""
    return b""


def encode(
    topic: Topic,
    rows: Any,
    code_version: str,
    *,
    positions: Callable[[int], bytes] = _nowhere,
) -> list[Message]:
    """Messages of a table or a list of JSON rows, lane by lane, in order.

    Parameters
    ----------
    rows :
        The topic's table, or list of dict, with `lane`. A topic with a single partition takes all.
    positions : callable
        Lane to the bytes that its last message carries, see `flows.log.codec.encode_rows`.
    """
    if topic.encoding is Encoding.JSON:
        return _json(topic, rows, code_version)
    if topic.partitions == "single":
        return encode_rows(topic, lane=0, rows=rows, code_version=code_version)
    if rows.seq.size <= WORDS_MAX and not isinstance(rows, SignalRows):
        return _encode_few(topic, rows, code_version, positions)
    messages: list[Message] = []
    for lane, mine in split(rows):
        messages += encode_rows(
            topic, lane=lane, rows=mine, code_version=code_version, positions=positions(lane)
        )
    return messages


def _encode_few(
    topic: Topic, rows: Any, code_version: str, positions: Callable[[int], bytes]
) -> list[Message]:
    if type(rows) is not topic.table or not rows.seq.size:
        return encode_rows(topic, lane=0, rows=rows, code_version=code_version)
    words = to_words(rows)
    lanes = sorted(set(rows.lane.tolist()))
    return [
        encode_words(
            topic, lane=lane, words=_of_lane(words, lane) if len(lanes) > 1 else words,
            code_version=code_version, positions=positions(lane),
        )
        for lane in lanes
    ]  # fmt: skip


def _of_lane(words: Words, lane: int) -> Words:
    return Words(words.table, words.array[words.column("lane") == lane])


def split(rows: Any) -> list[tuple[int, Any]]:
    """The rows of each lane, in order; without a copy where there is one lane."""
    if rows.lane.size == 0 or (rows.lane == rows.lane[0]).all():
        return [(int(lane), rows) for lane in rows.lane[:1]]
    order = np.argsort(rows.lane, kind="stable")
    by_lane = take(rows, order)
    lanes, starts = np.unique(by_lane.lane, return_index=True)
    stops = [*starts[1:].tolist(), rows.lane.size]
    return [
        (int(lane), rows_from(by_lane, int(start), stop))
        for lane, start, stop in zip(lanes, starts, stops, strict=True)
    ]


def _json(topic: Topic, rows: list[JsonRow], code_version: str) -> list[Message]:
    if topic.partitions == "single":
        return encode_json(topic, lane=0, rows=rows, code_version=code_version)
    messages: list[Message] = []
    for lane in sorted({row["lane"] for row in rows}):
        mine = [row for row in rows if row["lane"] == lane]
        messages += encode_json(topic, lane=lane, rows=mine, code_version=code_version)
    return messages
