"""The whole chain in one process: a tape goes in, every topic of the log comes out.

tape -> ingest -> features -> decide -> signals -> execute -> account -> log
"""

from collections.abc import Callable
from time import monotonic

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source

from flows import account, decide, execute, features, ingest
from flows.chain import Chain
from flows.encode import encode
from flows.log.lane_sink import LaneSink
from flows.log.message import Message
from flows.log.stop import hushed
from flows.parcel import Parcel
from operators.market.books.keeper import BookFeeds
from schemas.topics import (
    DECISIONS,
    FEATURES,
    LEDGER,
    MARKET,
    ORDERS,
    PROPOSALS,
    QUARANTINE,
    REPORTS,
    SIGNALS,
)


def build(
    source: Source[tuple[str, Parcel]],
    sink: LaneSink,
    chain: Chain,
    *,
    books: BookFeeds | None,
    seen: Callable[[Parcel, float], None],
) -> Dataflow:
    """The flow. `seen(parcel, seconds)` is told each finished batch and how long it took."""
    flow = Dataflow("desk")
    stream = op.input("tape", flow, source)
    stream = ingest.steps(stream, chain.table, chain.n_sources, books)
    stream = features.steps(stream, chain.table, chain.predictor)
    stream = decide.steps(stream, chain.table, chain.rules)
    stream = features.signal_steps(stream, chain.signals)
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
        position = (parcel.position - parcel.held).to_bytes(8, "little")
        messages = encode(QUARANTINE, parcel.quarantine, self._code)
        messages += encode(MARKET, parcel.market, self._code, positions=lambda lane: position)
        for topic, rows in (
            (FEATURES, parcel.features),
            (SIGNALS, parcel.signals),
            (PROPOSALS, parcel.proposals),
            (DECISIONS, parcel.decisions),
            (ORDERS, parcel.orders),
            (REPORTS, parcel.reports),
            (LEDGER, parcel.journal),
        ):
            messages += encode(topic, rows, self._code)
        self._seen(parcel, monotonic() - parcel.born_s)
        return messages
