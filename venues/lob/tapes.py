"""A simulated market as tape files: one of trades, quotes and book for each venue, and labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.kinds import Flag, Kind
from schemas.rows import I8, MarketRows, take
from venues.lob.feed import LobSimulator
from venues.lob.labels import label_table

LABELS = "labels.parquet"


def write_tapes(simulator: LobSimulator, folder: Path) -> list[Path]:
    """Write all files below `folder` and return their paths, the labels last.

    Files of one venue have the same name in trades/, quotes/ and book/, and it begins with `sim`;
    each file says in its metadata that it is simulated. Files that are there are replaced.
    """
    rows, written = simulator.rows, []
    about = {b"simulated": b"true", b"settings": simulator.description[0].sha256.encode()}
    for source, one in enumerate(simulator.venues):
        stem = f"{one.venue}_{one.name}_seed{simulator.seed}"
        for layout, kind in (("trades", Kind.TRADE), ("quotes", Kind.QUOTE), ("book", Kind.BOOK)):
            mine = take(rows, (rows.source == source) & (rows.kind == kind))
            columns = {"ts_ns": mine.ts_event_ns, "recv_ns": mine.ts_recv_ns}
            texts = {"venue": _same(one.venue, mine), "symbol": _same(one.name, mine)}
            table = pa.table(columns | texts | _COLUMNS[kind](mine))
            written.append(folder / layout / f"{stem}.parquet")
            _write(written[-1], table, about)
    venues, names = [one.venue for one in simulator.venues], [one.name for one in simulator.venues]
    written.append(folder / LABELS)
    _write(written[-1], label_table(simulator.labels, venues, names), about)
    return written


def _trades(rows: MarketRows) -> dict[str, Any]:
    return {
        "price": rows.price, "size": rows.qty, "side": rows.side,
        "trade_id": pa.array(rows.venue_seq, mask=rows.venue_seq < 0).cast(pa.string()),
    }  # fmt: skip


def _quotes(rows: MarketRows) -> dict[str, Any]:
    return {
        "bid_px": rows.bid_px, "bid_sz": rows.bid_qty, "ask_px": rows.ask_px,
        "ask_sz": rows.ask_qty, "seq": _number(rows.venue_seq),
    }  # fmt: skip


def _book(rows: MarketRows) -> dict[str, Any]:
    snapshot = rows.flags & Flag.SNAPSHOT != 0
    before = np.where(snapshot | (rows.venue_seq < 0), -1, rows.venue_seq - 1)
    return {
        "side": rows.side, "price": rows.price, "size": rows.qty, "is_snapshot": snapshot,
        "seq": _number(rows.venue_seq), "prev_seq": _number(before),
    }  # fmt: skip


_COLUMNS = {Kind.TRADE: _trades, Kind.QUOTE: _quotes, Kind.BOOK: _book}


def _number(numbers: I8) -> pa.Array:
    return pa.array(numbers, mask=numbers < 0)


def _same(text: str, rows: MarketRows) -> pa.Array:
    return pa.DictionaryArray.from_arrays(np.zeros(rows.seq.size, np.int32), [text])


def _write(path: Path, table: pa.Table, about: dict[bytes, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(about), path, compression="zstd")
