"""The whole chain in one process: a tape goes in, every topic of the log comes out.

tape -> ingest -> features -> decide -> execute -> account -> log
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import bytewax.operators as op
import numpy as np
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source

from flows import account, decide, execute, features, ingest
from flows.log.codec import JsonRow, encode_json, encode_rows, rows_from
from flows.log.lane_sink import LaneSink
from flows.log.message import Message
from flows.log.stop import hushed
from flows.parcel import Parcel
from operators.desk import DeskRules
from operators.sequence.tier import Predictor
from schemas.instruments import InstrumentTable
from schemas.rows import take
from schemas.topics import (
    DECISIONS,
    FEATURES,
    LEDGER,
    MARKET,
    ORDERS,
    PROPOSALS,
    QUARANTINE,
    REPORTS,
    Topic,
)


@dataclass(frozen=True)
class Chain:
    """What the tiers of one run are made of."""

    table: InstrumentTable
    n_sources: int
    predictor: Predictor | None
    rules: DeskRules
    balance: str
    code_version: str


def build(
    source: Source[tuple[str, Parcel]],
    sink: LaneSink,
    chain: Chain,
    *,
    seen: Callable[[Parcel, float], None],
) -> Dataflow:
    """The flow. `seen(parcel, seconds)` is told each finished batch and how long it took."""
    flow = Dataflow("desk")
    stream = op.input("tape", flow, source)
    stream = ingest.steps(stream, chain.table, chain.n_sources)
    stream = features.steps(stream, chain.table, chain.predictor)
    stream = decide.steps(stream, chain.table, chain.rules)
    stream = execute.steps(stream, chain.table)
    stream = account.steps(stream, chain.table, chain.balance)
    bundles = op.map_value("encode", stream, hushed(_Encode(chain, seen)))
    op.output("log", bundles, sink)
    return flow


class _Encode:
    """A finished parcel as the messages of all topics, in one bundle."""

    def __init__(self, chain: Chain, seen: Callable[[Parcel, float], None]) -> None:
        self.__name__ = self.__qualname__ = "encode"
        self._code = chain.code_version
        self._seen = seen

    def __call__(self, parcel: Parcel) -> list[Message]:
        messages: list[Message] = []
        position = parcel.position.to_bytes(8, "little")
        for topic, rows in (
            (QUARANTINE, parcel.quarantine),
            (MARKET, parcel.market),
            (FEATURES, parcel.features),
            (PROPOSALS, parcel.proposals),
        ):
            messages += self._by_lane(topic, rows, position if topic is MARKET else b"")
        messages += encode_rows(DECISIONS, lane=0, rows=parcel.decisions, code_version=self._code)
        messages += self._json_by_lane(ORDERS, parcel.orders)
        messages += self._json_by_lane(REPORTS, parcel.reports)
        messages += encode_json(LEDGER, lane=0, rows=parcel.journal, code_version=self._code)
        self._seen(parcel, monotonic() - parcel.born_s)
        return messages

    def _by_lane(self, topic: Topic, rows: Any, position: bytes) -> list[Message]:
        messages: list[Message] = []
        for lane, mine in _split(rows):
            messages += encode_rows(
                topic, lane=lane, rows=mine, code_version=self._code, positions=position
            )
        return messages

    def _json_by_lane(self, topic: Topic, rows: list[JsonRow]) -> list[Message]:
        messages: list[Message] = []
        for lane in sorted({row["lane"] for row in rows}):
            mine = [row for row in rows if row["lane"] == lane]
            messages += encode_json(topic, lane=lane, rows=mine, code_version=self._code)
        return messages


def _split(rows: Any) -> list[tuple[int, Any]]:
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
