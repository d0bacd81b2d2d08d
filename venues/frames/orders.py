"""Order-by-order rows of the log as `L3Books` reads them."""

import numpy as np

from operators.market.books.l3 import OrderRows
from schemas.kinds import Kind
from schemas.rows import MarketRows, take


def order_rows(rows: MarketRows) -> OrderRows:
    """The BOOK rows that are about single orders, in order: `code` says what, `ref_id` of which.

    A message's rows are all of one kind, so the messages stay whole.
    """
    found = take(rows, np.flatnonzero((rows.kind == Kind.BOOK) & (rows.code > 0)))
    return OrderRows(
        seq=found.seq,
        lane=found.lane,
        symbol=found.symbol,
        flags=found.flags,
        ts_event_ns=found.ts_event_ns,
        ts_recv_ns=found.ts_recv_ns,
        venue_seq=found.venue_seq,
        action=found.code,
        side=found.side,
        order_id=found.ref_id,
        price=found.price,
        qty=found.qty,
    )
