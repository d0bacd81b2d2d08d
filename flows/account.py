"""Account: every fill as a balanced transaction of the exact ledger.

market -> journal -> ledger.v1
"""

from functools import partial

import bytewax.operators as op
from bytewax.operators import KeyedStream

from flows.parcel import Parcel, ParcelStep, fill, whole
from operators.ledger.journal import Journal
from schemas.instruments import InstrumentTable


def steps(stream: KeyedStream[Parcel], table: InstrumentTable, balance: str) -> KeyedStream[Parcel]:
    """The double-entry journal."""
    journal = partial(
        ParcelStep,
        Journal(table, balance),
        read=lambda parcel: parcel.market,
        write=fill(journal=whole),
    )
    return op.stateful_batch("account", stream, journal)
