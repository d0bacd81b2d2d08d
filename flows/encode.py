"""Rows of any lanes as the messages of one topic."""

from collections.abc import Callable
from typing import Any

import numpy as np

from flows.log.codec import JsonRow, encode_json, encode_rows, rows_from
from flows.log.message import Message
from schemas.rows import take
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
    messages: list[Message] = []
    for lane, mine in split(rows):
        messages += encode_rows(
            topic, lane=lane, rows=mine, code_version=code_version, positions=positions(lane)
        )
    return messages


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
