"""The flows that run as workers behind ingest: what each reads, does and writes.

market -> features (and signals) -> decide (lanes, then the portfolio) -> execute -> orders, reports
market -> account -> ledger
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream

from flows import account, decide, execute, features
from flows.chain import Chain
from flows.encode import encode
from flows.log.lane_sink import LaneSink
from flows.log.lane_source import LaneSource
from flows.log.message import Message
from flows.log.stop import hushed
from flows.parcel import Parcel
from schemas.rows import empty
from schemas.topics import (
    DECISIONS,
    FEATURES,
    LEDGER,
    MARKET,
    ORDERS,
    PROPOSALS,
    REPORTS,
    SIGNALS,
    Topic,
    topic_named,
)

Seen = Callable[[Parcel, list[Message]], None]
Steps = Callable[[KeyedStream[Parcel], Chain], KeyedStream[Parcel]]
FIELDS = {  # where a parcel keeps a topic's rows
    MARKET: "market",
    FEATURES: "features",
    SIGNALS: "signals",
    PROPOSALS: "proposals",
    DECISIONS: "decisions",
    ORDERS: "orders",
    REPORTS: "reports",
    LEDGER: "journal",
}
_SILENT = {
    FIELDS[topic]: empty(topic.table)
    for topic in (MARKET, FEATURES, PROPOSALS, DECISIONS)
    if topic.table is not None
}


@dataclass(frozen=True)
class Stage:
    """One kind of worker.

    Attributes
    ----------
    reads, writes : tuple of Topic
    merge : bool
        Rows of all its lanes in one order; else each lane on its own.
    by_lane : bool
        It may have a part of the lanes; else it needs them all.
    steps : callable
        The operators between.
    """

    reads: tuple[Topic, ...]
    writes: tuple[Topic, ...]
    merge: bool
    by_lane: bool
    steps: Steps


def _features(stream: KeyedStream[Parcel], chain: Chain) -> KeyedStream[Parcel]:
    stream = features.steps(stream, chain.table, chain.predictor)
    return features.signal_steps(stream, chain.signals)


def _lane(stream: KeyedStream[Parcel], chain: Chain) -> KeyedStream[Parcel]:
    return decide.lane_steps(stream, chain.table, chain.rules)


def _portfolio(stream: KeyedStream[Parcel], chain: Chain) -> KeyedStream[Parcel]:
    return decide.portfolio_steps(stream, chain.table, chain.rules)


def _decide(stream: KeyedStream[Parcel], chain: Chain) -> KeyedStream[Parcel]:
    return _portfolio(_lane(stream, chain), chain)


def _execute(stream: KeyedStream[Parcel], chain: Chain) -> KeyedStream[Parcel]:
    return execute.worker_steps(stream, chain.table, chain.rules.venue)


def _account(stream: KeyedStream[Parcel], chain: Chain) -> KeyedStream[Parcel]:
    return account.steps(stream, chain.table, chain.balance)


STAGES = {
    "features": Stage((MARKET,), (FEATURES, SIGNALS), merge=False, by_lane=True, steps=_features),
    "decide": Stage((FEATURES,), (PROPOSALS, DECISIONS), merge=True, by_lane=False, steps=_decide),
    "decide-lane": Stage((FEATURES,), (PROPOSALS,), merge=False, by_lane=True, steps=_lane),
    "decide-portfolio": Stage(
        (PROPOSALS,), (DECISIONS,), merge=True, by_lane=False, steps=_portfolio
    ),
    "execute": Stage(
        (FEATURES, DECISIONS), (ORDERS, REPORTS), merge=True, by_lane=False, steps=_execute
    ),
    "account": Stage((MARKET,), (LEDGER,), merge=True, by_lane=False, steps=_account),
}


def build(
    name: str,
    source: LaneSource,
    sink: LaneSink,
    chain: Chain,
    *,
    seen: Seen,
) -> Dataflow:
    """The worker's flow. `seen` is told of each batch and what it became."""
    stage = STAGES[name]
    flow = Dataflow(name)
    stream = op.map_value("parcel", op.input("log_in", flow, source), hushed(parcel_of))
    stream = stage.steps(stream, chain)
    bundles = op.map_value("encode", stream, hushed(partial(_encode, stage.writes, chain, seen)))
    op.output("log_out", bundles, sink)
    return flow


def parcel_of(tables: Mapping[str, Any]) -> Parcel:
    """The rows of each topic in their order; empty tables for silent topics."""
    found: dict[str, Any] = dict(_SILENT)
    found |= {FIELDS[topic_named(topic)]: rows for topic, rows in tables.items()}
    return Parcel(position=0, last=False, born_s=monotonic(), **found)


def _encode(
    topics: tuple[Topic, ...],
    chain: Chain,
    seen: Seen,
    parcel: Parcel,
) -> list[Message]:
    messages: list[Message] = []
    for topic in topics:
        messages += encode(topic, getattr(parcel, FIELDS[topic]), chain.code_version)
    seen(parcel, messages)
    return messages
