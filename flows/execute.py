"""Execute: orders and execution reports as the JSON rows of their topics.

orders, report rows -> execute -> orders.v1, reports.v1
"""

from functools import partial
from typing import Any

import bytewax.operators as op
import numpy as np
from bytewax.operators import KeyedStream

from flows.parcel import Parcel, ParcelStep, fill
from operators.execution.journal import OrderJournal
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


def _reports(market: MarketRows) -> Any:
    found = np.flatnonzero(market.kind == Kind.REPORT)
    return take(market, found)
