"""Decide: lanes propose, the portfolio approves, and the simulated venue answers.

    market + features -> desk -> market (numbered, with reports), features, proposals, decisions

Where reports come back through the log, in workers and when a log is decided again, the lane and
the portfolio stage are enough, in one process or in two:

    features -> lane -> proposals -> portfolio -> decisions
"""

from functools import partial
from operator import attrgetter

import bytewax.operators as op
from bytewax.operators import KeyedStream

from flows.parcel import Parcel, ParcelStep, fill, whole
from operators.desk import Desk, DeskRules
from operators.governor.lane import Lane
from operators.governor.portfolio import Portfolio
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


def lane_steps(
    stream: KeyedStream[Parcel], table: InstrumentTable, rules: DeskRules
) -> KeyedStream[Parcel]:
    """What each lane proposes, from its own rows alone."""
    lane = partial(
        ParcelStep,
        Lane(table.arrays(), rules.lane),
        read=attrgetter("features"),
        write=fill(proposals=whole),
    )
    return op.stateful_batch("lane", stream, lane)


def portfolio_steps(
    stream: KeyedStream[Parcel], table: InstrumentTable, rules: DeskRules
) -> KeyedStream[Parcel]:
    """What the desk does about the proposals of all lanes, in one order."""
    portfolio = partial(
        ParcelStep,
        Portfolio(table.arrays(), rules.portfolio),
        read=attrgetter("proposals"),
        write=fill(decisions=whole),
    )
    return op.stateful_batch("portfolio", stream, portfolio)
