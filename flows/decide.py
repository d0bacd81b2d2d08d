"""Decide: lanes propose, the portfolio approves, and the simulated venue answers.

    market + features -> desk -> market (numbered, with reports), features, proposals, decisions
"""

from functools import partial
from operator import attrgetter

import bytewax.operators as op
from bytewax.operators import KeyedStream

from flows.parcel import Parcel, ParcelStep, fill
from operators.desk import Desk, DeskRules
from schemas.instruments import InstrumentTable


def steps(
    stream: KeyedStream[Parcel], table: InstrumentTable, rules: DeskRules
) -> KeyedStream[Parcel]:
    """The feedback loop, fused: one operator, row by row."""
    desk = partial(
        ParcelStep,
        Desk(table.arrays(), rules),
        read=lambda parcel: (parcel.market, parcel.features),
        write=fill(
            market=attrgetter("market"),
            features=attrgetter("features"),
            proposals=attrgetter("proposals"),
            decisions=attrgetter("decisions"),
            orders=attrgetter("orders"),
        ),
    )
    return op.stateful_batch("desk", stream, desk)
