"""Recorded rows as the frames that Great Expectations reads: one per kind and class of venue."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from operators.market.gate import Gate
from schemas.expectations import KINDS, MarketClass, Seen, of_class
from schemas.kinds import Kind
from schemas.rows import I8, U2, MarketRows, take, to_batch
from venues.feed import Feed

SLICE_ROWS = 1_000_000  # at most; about 400 MB in frames of 29 columns
POSITION = "position"  # of a row within what is judged, from 0


@dataclass(frozen=True)
class Slice:
    """Some consecutive rows, with the gate's verdict on them and what it remembered."""

    first: int  # position of its first row
    rows: MarketRows
    reason: U2
    seen: Seen

    def frames(self) -> Iterator[tuple[Kind, MarketClass, Any]]:
        """The judged rows by suite, each as a frame in their order."""
        position = self.first + np.arange(self.rows.seq.size, dtype=np.int64)
        for kind in KINDS:
            of_kind = self.rows.kind == kind
            for group in MarketClass:
                wanted = of_kind & of_class(group, self.seen)
                if wanted.any():
                    rows, seen = take(self.rows, wanted), take(self.seen, wanted)
                    yield kind, group, frame(rows, seen, position[wanted])


def slices(feed: Feed, *, rows: int = SLICE_ROWS) -> Iterator[Slice]:
    """Every row of a feed's sources, through the gate, in slices of about so many rows."""
    gate = Gate(feed.table.arrays(), len(feed.names))
    state, first = gate.initial(), 0
    for part in feed.read(0, rows):
        if (part.source < 0).any():  # of a recorded log: what was said of books is no source's row
            part = take(part, part.source >= 0)
        state, (reason, seen) = gate.judge(state, part)
        yield Slice(first, part, reason, seen)
        first += part.seq.size


def frame(rows: MarketRows, seen: Seen, position: I8) -> Any:
    """Columns of the rows, of `Seen` and the position, Arrow-backed: a null stays one, and an
    int64 stays whole. Plain pandas would take a null for NaN, and with it an int64 for a float64.
    """
    batch = to_batch(rows)
    beside = {**seen._asdict(), POSITION: position}
    table = pa.table(
        {name: batch.column(name) for name in batch.schema.names}
        | {name: pa.array(column) for name, column in beside.items()}
    )
    return table.to_pandas(types_mapper=pd.ArrowDtype)
