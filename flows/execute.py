"""Execute: orders and execution reports as the JSON rows of their topics.

orders, report rows -> journal -> orders.v1, reports.v1

As a worker it runs envelopes and the simulated venue itself:

features + decisions -> executor -> orders, reports -> journal -> orders.v1, reports.v1
"""

from functools import partial
from operator import attrgetter
from typing import Any

import bytewax.operators as op
import numpy as np
from bytewax.operators import KeyedStream

from flows.parcel import Parcel, ParcelStep, fill
from operators.execution.executor import Executor
from operators.execution.journal import OrderJournal
from operators.execution.simulated_venue import VenueRules
from schemas.instruments import InstrumentTable
from schemas.kinds import Kind
from schemas.rows import MarketRows, take


def steps(stream: KeyedStream[Parcel], table: InstrumentTable) -> KeyedStream[Parcel]:
    """What was sent and what came back, numbered per lane."""
    journal = partial(
        ParcelStep,
        OrderJournal(table),
        read=lambda parcel: (parcel.orders, _reports(parcel.market)),  # a replay sends no orders
        write=fill(orders=lambda out: out[0], reports=lambda out: out[1]),
    )
    return op.stateful_batch("execute", stream, journal)


def worker_steps(
    stream: KeyedStream[Parcel], table: InstrumentTable, rules: VenueRules
) -> KeyedStream[Parcel]:
    """Decisions act on the simulated venue, and its reports leave for ingest."""
    executor = partial(
        ParcelStep,
        Executor(table.arrays(), rules),
        read=attrgetter("features", "decisions"),
        write=fill(orders=attrgetter("orders"), market=attrgetter("reports")),
    )
    return steps(op.stateful_batch("executor", stream, executor), table)


def _reports(market: MarketRows) -> Any:
    found = np.flatnonzero(market.kind == Kind.REPORT)
    return take(market, found)
