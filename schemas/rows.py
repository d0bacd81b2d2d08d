"""Rows of every numeric topic: one typed tuple of NumPy columns each, and its Arrow schema.

In memory a table is a NamedTuple of equally long, contiguous arrays, which numba reads as it is;
on the log it is one Arrow record batch of the same columns. Floats: NaN in memory is null on the
log. Prices are quote units per base unit, quantities the instrument's own units (base units, or
contracts), times int64 nanoseconds since 1970 UTC: `ts_event_ns` the venue's clock, `ts_recv_ns`
ours. `symbol` indexes the lane's instrument table, NO_SYMBOL where none.
"""

import hashlib
from functools import cache
from typing import Any, NamedTuple, TypeVar, cast, get_type_hints

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

I8 = NDArray[np.int64]
I4 = NDArray[np.int32]
I2 = NDArray[np.int16]
I1 = NDArray[np.int8]
U8 = NDArray[np.uint64]
U2 = NDArray[np.uint16]
U1 = NDArray[np.uint8]
F8 = NDArray[np.float64]


class MarketRows(NamedTuple):
    """`market.v1`: everything that can influence a decision, one row per event.

    TRADE uses side (aggressor), price, qty. QUOTE uses bid_px, bid_qty, ask_px, ask_qty. BOOK uses
    side (of the level), price, qty (0 removes), flags SNAPSHOT, ref_id (a level: the venue's number
    of the message that this one follows, where it says so; an order: its id). BOOK_STATUS uses code
    (BookState), reason (BookReason), ref_id (snapshots so far), qty (levels evicted so far, where
    told). BAR uses open, high, low, price (close), qty (volume), and ref (interval in seconds).
    FUNDING uses price (rate, a fraction) and ref (interval in seconds). OPEN_INTEREST uses qty.
    MARK uses price (mark), ref (index price).
    REPORT uses side, price, qty, ref (fee in the settle asset, positive is paid), ref_id
    (envelope), code, role, reason. CONTROL uses code and, of a book,
    ref_id. HEARTBEAT uses nothing more.
    """

    seq: I8  # contiguous per lane from 0
    lane: I2
    kind: U1  # Kind
    flags: U1  # Flag bits
    symbol: I4
    ts_event_ns: I8
    ts_recv_ns: I8
    side: I1  # Side
    code: U1  # ReportCode, Control or BookState
    role: U1  # Role
    reason: U2  # Reason, or BookReason
    ref_id: I8  # envelope id of a report, see above for books and commands, else NO_ID
    price: F8
    qty: F8
    bid_px: F8
    bid_qty: F8
    ask_px: F8
    ask_qty: F8
    open: F8
    high: F8
    low: F8
    ref: F8
    venue_seq: I8  # the venue's own number of the message, -1 where it gives none
    source: I2  # which source of the run (index into its list of tapes), -1 for our own rows
    source_row: I8  # position in that source, -1 for our own rows


class FeatureRows(NamedTuple):
    """`features.v1`: one row per market row, with the same seq; features are null unless the row
    is a trade or quote. Columns up to `ask_px` are passed through.
    """

    seq: I8
    lane: I2
    kind: U1
    flags: U1
    symbol: I4
    ts_event_ns: I8
    ts_recv_ns: I8
    side: I1
    code: U1
    role: U1
    reason: U2
    ref_id: I8
    price: F8
    qty: F8
    ref: F8
    bid_px: F8
    ask_px: F8
    mid: F8  # quote units; (bid + ask) / 2, or the trade's price where the market has no quotes
    spread: F8  # quote units, of the last quote; 0 where the market has no quotes
    log_return: F8  # ln(mid / mid before)
    window_change: F8  # ln(last / first) over the price window
    window_std: F8  # standard deviation of ln(mid) over the price window
    window_std_slow: F8  # its slow exponential mean
    vol_fx: F8
    vol_binary: F8
    vol_dex: F8
    sigma: F8  # EWMA volatility per tick, of log returns
    atr: F8  # quote units, Wilder
    pivot_px: F8  # last confirmed swing, quote units
    pivot_before_px: F8  # the swing before it
    swing_extreme_px: F8  # furthest price since pivot_px
    momentum: F8  # ln(mid) over its own exponential mean, in units of sigma
    momentum_gradient: F8  # exponential mean of the change of momentum per tick
    n_ticks: F8  # ticks of this symbol so far, this one included
    p_up: F8  # probability that the mid is higher at the model's horizon
    vol_ratio: F8  # predicted over present volatility
    p_trend_up: F8
    p_trend_down: F8
    p_range: F8
    p_volatile: F8


class ProposalRows(NamedTuple):
    """`proposals.v1`: for each evaluation one row per engine in written order (kind PROPOSAL, the
    last with flag MSG_LAST); reports, control rows and heartbeats are passed through.
    """

    seq: I8  # contiguous per lane from 0
    lane: I2
    market_seq: I8  # the market row that caused it
    kind: U1
    flags: U1
    symbol: I4
    ts_event_ns: I8
    ts_recv_ns: I8
    side: I1
    code: U1
    role: U1
    reason: U2  # OK, or the first gate of the lane that refused
    ref_id: I8
    price: F8  # report: fill price
    qty: F8
    ref: F8
    engine: U1  # Engine
    rank: U1  # 0 for the engine that the heuristic prefers, then in written order
    symbol_second: I4  # the other leg, NO_SYMBOL where none
    side_second: I1
    bid_px: F8
    ask_px: F8
    bid_px_second: F8
    ask_px_second: F8
    p_up: F8
    confidence: F8  # probability that the proposal's side is right, 0 to 1
    size_fraction: F8  # of equity: at risk (spot), staked (binary), notional (arbitrage)
    stop_px: F8
    target_px: F8  # spot: take-profit; arbitrage: the log spread at which to leave
    level_px: F8  # the Fibonacci level, or the mean log spread
    atr: F8
    hold_ns: I8  # longest holding time, or a binary's expiry
    vol_score: F8
    trend_strength: F8
    mean_reversion: F8


class DecisionRows(NamedTuple):
    """`decisions.v1`: one row per evaluation (kind DECISION), one per heartbeat of lane 0
    (PROGRESS). An approved row is an envelope: what execute may do, and its reserved worst case.
    The reason of a PROGRESS row is the stop that was in force then, OK without one.
    """

    seq: I8  # contiguous from 0; the envelope's id
    lane: I2
    market_seq: I8
    kind: U1
    flags: U1  # Flag.END on the last row of a log that has ended
    symbol: I4
    symbol_second: I4
    ts_event_ns: I8
    ts_recv_ns: I8
    engine: U1
    side: I1
    side_second: I1
    approved: U1  # 1 trades, 0 does not
    reason: U2  # OK if approved, else the first gate that refused
    qty: F8
    qty_second: F8
    stake: F8  # binary only, settle asset
    bid_px: F8
    ask_px: F8
    bid_px_second: F8
    ask_px_second: F8
    stop_px: F8
    target_px: F8
    level_px: F8
    atr: F8
    hold_ns: I8
    worst_loss: F8  # desk currency, reserved until the envelope is closed
    confidence: F8
    p_up: F8
    vol_score: F8
    trend_strength: F8
    mean_reversion: F8
    equity: F8  # desk currency, marked, before this decision
    model: U8  # first 8 bytes of the model's SHA-256; 0 is the momentum fallback
    features: U8  # first 8 bytes of the feature schema's SHA-256


Rows = TypeVar("Rows", bound=tuple[Any, ...])

_SCALARS: dict[Any, type[np.generic]] = {
    I8: np.int64, I4: np.int32, I2: np.int16, I1: np.int8,
    U8: np.uint64, U2: np.uint16, U1: np.uint8, F8: np.float64,
}  # fmt: skip


def dtypes(table: type[Any]) -> dict[str, np.dtype[Any]]:
    """Column names of a table with their NumPy types, in order."""
    return _dtypes(cast(Any, table))


@cache
def _dtypes(table: Any) -> dict[str, np.dtype[Any]]:
    return {name: np.dtype(_SCALARS[hint]) for name, hint in get_type_hints(table).items()}


def arrow_schema(table: type[Any]) -> pa.Schema:
    """The Arrow schema of a table; floats are nullable, everything else is not."""
    return _arrow_schema(cast(Any, table))


@cache
def _arrow_schema(table: Any) -> pa.Schema:
    fields = [
        pa.field(name, pa.from_numpy_dtype(dtype), nullable=dtype.kind == "f")
        for name, dtype in dtypes(table).items()
    ]
    return pa.schema(fields)


def empty(table: type[Rows], n: int = 0) -> Rows:
    """`n` blank rows: NaN floats, zero integers. Tables without rows share their arrays."""
    return _no_rows(cast(Any, table)) if n == 0 else _blank_rows(table, n)


def take(rows: Rows, index: Any) -> Rows:
    """Rows picked by an integer array, a mask or a slice; always owned, contiguous arrays."""
    if isinstance(index, slice):
        return type(rows)(*[np.array(column[index]) for column in rows])
    return type(rows)(*[column[index] for column in rows])  # a copy already


def concat(parts: list[Rows]) -> Rows:
    """Tables one after the other; at least one."""
    if len(parts) == 1:
        return parts[0]
    return type(parts[0])(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def to_batch(rows: Any) -> pa.RecordBatch:
    """The Arrow batch of a table: NaN becomes null."""
    arrays = [
        _nullable(column) if column.dtype.kind == "f" else pa.array(column) for column in rows
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(type(rows)))


def from_batch(table: type[Rows], batch: pa.RecordBatch) -> Rows:
    """The table of an Arrow batch: null becomes NaN.

    ValueError if the columns differ, or one that is never null holds a null (Arrow lets it pass).
    """
    if not batch.schema.equals(arrow_schema(table)):
        raise ValueError(f"not the columns of {table.__name__}: {batch.schema.names}")
    arrays = batch.columns
    for (name, dtype), array in zip(dtypes(table).items(), arrays, strict=True):
        if dtype.kind != "f" and array.null_count:
            raise ValueError(f"{array.null_count} nulls in {name}, which is never null")
    columns = (array.to_numpy(zero_copy_only=False) for array in arrays)
    return table(*(_owned(column) for column in columns))


def fingerprint(table: type[Any]) -> str:
    """SHA-256 of the column names and types: what two programs compare before they talk."""
    text = ";".join(f"{name}:{dtype.str}" for name, dtype in dtypes(table).items())
    return hashlib.sha256(f"{table.__name__}({text})".encode()).hexdigest()


def _blank_rows(table: type[Rows], n: int) -> Rows:
    return table(*[_blank(dtype, n) for dtype in dtypes(table).values()])


@cache
def _no_rows(table: Any) -> Any:
    """Made once: a flow asks for them with every batch, and forty arrays cost 40 us."""
    return _blank_rows(table, 0)


def _owned(column: NDArray[Any]) -> NDArray[Any]:
    """`np.require(column, requirements="COW")` at a tenth of its cost, which small batches feel."""
    flags = column.flags
    return column if flags.owndata and flags.writeable and flags.c_contiguous else column.copy()


def _blank(dtype: np.dtype[Any], n: int) -> NDArray[Any]:
    return np.full(n, np.nan) if dtype.kind == "f" else np.zeros(n, dtype)


def _nullable(column: F8) -> pa.Array:
    """The same as `pa.array(column, from_pandas=True)`, for many rows at a third of its cost."""
    if column.size < 256:
        return pa.array(column, from_pandas=True)
    missing = np.isnan(column)
    if not missing.any():
        return pa.array(column)
    valid = np.packbits(~missing, bitorder="little")
    buffers = [pa.py_buffer(valid), pa.py_buffer(np.ascontiguousarray(column))]
    return pa.Array.from_buffers(pa.float64(), column.size, buffers)
