"""Which file a row belongs to: a function of the row alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from flows.log.api import Partition
from flows.log.codec import Table
from schemas.instruments import InstrumentTable
from schemas.rows import I8, take
from schemas.topics import (
    DECISIONS,
    FEATURES,
    LEDGER,
    MARKET,
    ORDERS,
    QUARANTINE,
    REPORTS,
    SIGNALS,
    topic_named,
)

STORED = (MARKET, FEATURES, SIGNALS, QUARANTINE, DECISIONS, ORDERS, REPORTS, LEDGER)
# 131,072: with 40 columns 38 MB per lane and topic while it is open; fewer make small files where
# a lane has many symbols, more make a restart read more again.
BLOCK_ROWS = 1 << 17
SIGNAL_BLOCKS = 4  # blocks of signals in one of other topics: a row may have a hundred columns
DAY_NS = 86_400_000_000_000
NOBODY = "-"  # venue and symbol of rows that belong to a lane or the desk (heartbeats, the ledger)


class Cell(NamedTuple):
    """Rows that share a file: of one partition, block of `seq`, UTC day, venue and symbol."""

    path: Path  # below the store
    rows: Table


def block_rows(topic: str) -> int:
    """Rows of a block; a partition's blocks follow one another from seq 0."""
    return BLOCK_ROWS // SIGNAL_BLOCKS if topic == SIGNALS.name else BLOCK_ROWS


def block_end(topic: str, seq: int) -> int:
    """The first `seq` behind the block of a row."""
    return (seq // block_rows(topic) + 1) * block_rows(topic)


def cells(partition: Partition, rows: Table, instruments: InstrumentTable) -> Iterator[Cell]:
    """The files of rows of one block, each with its rows in their order.

    The day is that of `ts_recv_ns`.
    """
    topic, lane = partition
    if isinstance(rows, list):
        first = rows[0]["seq"]
        days = np.array([row["ts_recv_ns"] for row in rows], np.int64) // DAY_NS
        places, which = _of_json(rows)
    else:
        first, days = int(rows.seq[0]), rows.ts_recv_ns // DAY_NS
        places, which = _of_table(rows, instruments)
    start = block_end(topic, first) - block_rows(topic)
    name = f"lane{lane:02d}-{start:012d}.parquet"
    keys, cell_of = np.unique(np.stack([days, which]), axis=1, return_inverse=True)
    for k, (day, place) in enumerate(keys.T):
        venue, symbol = places[place]
        folder = Path(
            topic_named(topic).name,
            f"day={np.datetime64(int(day), 'D')}",
            f"venue={quote(venue, safe='')}",
            f"symbol={quote(symbol, safe='')}",
        )
        yield Cell(folder / name, _pick(rows, np.flatnonzero(cell_of.ravel() == k)))


def _of_table(rows: Any, instruments: InstrumentTable) -> tuple[list[tuple[str, str]], I8]:
    """Venue and symbol of each row, as numbers of a list."""
    pairs, which = np.unique(np.stack([rows.lane, rows.symbol]), axis=1, return_inverse=True)
    named = {(i.lane, i.symbol): (i.venue, i.name) for i in instruments.instruments}
    places = [named.get((int(lane), int(symbol)), (NOBODY, NOBODY)) for lane, symbol in pairs.T]
    distinct = sorted(set(places))
    merged = np.array([distinct.index(place) for place in places], np.int64)
    return distinct, merged[which.ravel()]


def _of_json(rows: list[dict[str, Any]]) -> tuple[list[tuple[str, str]], I8]:
    places = [_place_of(row.get("instrument")) for row in rows]
    distinct = sorted(set(places))
    return distinct, np.array([distinct.index(place) for place in places], np.int64)


def _place_of(instrument: str | None) -> tuple[str, str]:
    if instrument is None:
        return NOBODY, NOBODY
    venue, _, name = instrument.partition(":")
    return venue, name


def _pick(rows: Table, index: NDArray[np.intp]) -> Table:
    if isinstance(rows, list):
        return [rows[i] for i in index]
    return rows if index.size == rows.seq.size else take(rows, index)
