"""Recorded quotes as market rows, for training.

The desk's own tape reader belongs to the outside and stands a floor higher; training needs one
file of one symbol at a time, and only the rows that the desk would let in.
"""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from operators.market.completeness import Completeness, shortfall
from schemas.instruments import Instrument, InstrumentArrays, InstrumentKind, InstrumentTable
from schemas.kinds import NO_ID, Flag, Kind
from schemas.rows import I8, MarketRows, empty, take
from schemas.times import in_ns, is_moment

COLUMNS = ("ts_ns", "venue", "symbol", "bid_px", "bid_sz", "ask_px", "ask_sz", "recv_ns")


def load_quotes(path: Path) -> tuple[InstrumentArrays, MarketRows]:
    """The instrument table (one instrument, lane 0) and the valid quotes of a Parquet file.

    Log time is `recv_ns` if every row has it, else `ts_ns`. Left out, as they are no price to the
    desk: a missing, infinite or non-positive price, a bid above the ask; and log time that goes
    backwards.

    Raises
    ------
    ValueError
        If a column is missing or the file holds more than one symbol.
    """
    table, rows, valid = _read(path)
    rows = take(rows, valid)
    return table.arrays(), rows._replace(seq=np.arange(rows.seq.size))


def incomplete(path: Path, least: float) -> str:
    """What a file of quotes lacks, in a sentence; "" if that share of its session is covered.

    Rows that the desk's gate refuses cover nothing; how long the others do is declared in
    `schemas.markets`.
    """
    table, rows, valid = _read(path)
    kept = (rows.bid_px > rows.ask_px) & (table.arrays().may_cross[0] == 1)
    found = Completeness(table, [0])
    rows.ts_recv_ns[:] = np.maximum.accumulate(rows.ts_recv_ns)
    found.add(rows, valid | kept)
    return shortfall(list(found.streams()), table, [str(path)], least)


def _read(path: Path) -> tuple[InstrumentTable, MarketRows, NDArray[np.bool_]]:
    """Every row of a file, and which of them are valid."""
    schema = pq.read_schema(path)
    missing = sorted(set(COLUMNS) - set(schema.names))
    if missing:
        raise ValueError(f"{path}: a file of quotes needs the columns {missing}")
    table = pq.read_table(path, columns=list(COLUMNS))
    venues, symbols = (pc.unique(table[name]).to_pylist() for name in ("venue", "symbol"))
    if len(venues) != 1 or len(symbols) != 1:
        raise ValueError(f"{path}: training reads one symbol per file, found {venues}, {symbols}")
    for name in ("ts_ns", "recv_ns"):
        type_ = schema.field(name).type
        if not (is_moment(type_) or (name == "recv_ns" and pa.types.is_null(type_))):
            raise ValueError(
                f"{path}: {name} has the type {type_}; write it as int64 nanoseconds since 1970 "
                "UTC, or as timestamps with a zone"
            )
    ts_ns: I8 = in_ns(table["ts_ns"]).to_numpy()
    log_ns: I8 = ts_ns if table["recv_ns"].null_count else in_ns(table["recv_ns"]).to_numpy()
    bid, ask = table["bid_px"].to_numpy(), table["ask_px"].to_numpy()
    n = table.num_rows
    rows = empty(MarketRows, n)._replace(
        kind=np.full(n, Kind.QUOTE, np.uint8),
        flags=np.full(n, Flag.MSG_LAST, np.uint8),
        ts_event_ns=ts_ns,
        ts_recv_ns=log_ns.copy(),
        ref_id=np.full(n, NO_ID, np.int64),
        bid_px=bid,
        bid_qty=table["bid_sz"].to_numpy(),
        ask_px=ask,
        ask_qty=table["ask_sz"].to_numpy(),
        source_row=np.arange(n),
    )
    with np.errstate(invalid="ignore"):
        valid = np.isfinite(bid) & np.isfinite(ask) & (bid > 0) & (bid <= ask)
    valid &= log_ns >= np.maximum.accumulate(log_ns)
    return _table(venues[0], symbols[0]), rows, valid


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _table(venue: str, symbol: str) -> InstrumentTable:
    instrument = Instrument(
        lane=0, symbol=0, venue=venue, name=symbol, kind=InstrumentKind.SPOT, base=symbol,
        quote="USD", settle="USD", contract_size="1", tick="0.01", lot="1", fee_maker="0",
        fee_taker="0", can_short=True, has_quotes=True, binary_payout="0", clock_offset_ns=0,
        assumed="all but venue and name: features use none of it",
    )  # fmt: skip
    return InstrumentTable(1, "USD", (instrument,))
