"""Log rows as the columns of a Parquet file: times as timestamps, codes as their names."""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flows.log.codec import JsonRow
from operators.market.books.words import BookReason, BookState
from schemas.instruments import InstrumentTable
from schemas.kinds import NO_SYMBOL, Control, Engine, Kind, ReportCode, Role, Side
from schemas.reasons import Reason
from schemas.rows import empty, to_batch
from schemas.signal_rows import SignalRows, no_signals
from schemas.topics import LEDGER, ORDERS, REPORTS, Topic

TIME = pa.timestamp("ns")  # without a zone: DuckDB reads ns with a zone as microseconds
Words = tuple[type[IntEnum], ...]
WORDS: dict[str, Words] = {
    "kind": (Kind,),
    "side": (Side,),
    "side_second": (Side,),
    "role": (Role,),
    "reason": (Reason, BookReason),  # they share no number but that of OK
    "engine": (Engine,),
}
REPORT_CODES: Words = (ReportCode,)
CODES: dict[int, Words] = {Kind.CONTROL: (Control,), Kind.BOOK_STATUS: (BookState,)}
_NAME = pa.dictionary(pa.int16(), pa.string())
_PLACE = [("seq", pa.int64()), ("lane", pa.int16())]
_TIMES = [("ts_event", TIME), ("ts_recv", TIME)]
_ORDER = [
    ("market_seq", pa.int64()), ("ref_id", pa.int64()), ("client_id", pa.string()),
    ("side", _NAME), ("role", _NAME), ("reason", _NAME),
]  # fmt: skip
_POSTING = pa.struct([("account", pa.string()), ("asset", pa.string()), ("amount", pa.string())])
JSON_COLUMNS: dict[Topic, pa.Schema] = {  # exact amounts stay the texts that they are on the log
    ORDERS: pa.schema([
        *_PLACE, ("ts_recv", TIME), *_ORDER, ("order_type", _NAME),
        ("qty", pa.string()), ("price", pa.string()), ("hold_ns", pa.int64()),
    ]),
    REPORTS: pa.schema([
        *_PLACE, *_TIMES, *_ORDER, ("code", _NAME),
        ("qty", pa.string()), ("price", pa.string()), ("fee", pa.string()),
    ]),
    LEDGER: pa.schema([
        *_PLACE, *_TIMES, ("market_seq", pa.int64()), ("ref_id", pa.int64()), ("kind", _NAME),
        ("memo", pa.string()), ("postings", pa.list_(_POSTING)),
    ]),
}  # fmt: skip


def to_arrow(
    rows: Any, topic: Topic, instruments: InstrumentTable, signals: Sequence[str] = ()
) -> pa.Table:
    """The rows of a topic as they are stored.

    Parameters
    ----------
    rows : NamedTuple of arrays, or list of dict
        The topic's own table, or its JSON rows.
    signals : sequence of str
        The names of the run's signals, which become columns.

    Notes
    -----
    `*_ns` times become timestamps of the same nanoseconds, named without the unit. Codes become
    the names of their enum; a number without a name stays as its digits. `symbol` becomes
    `symbol_index`, because the folders have the symbol as text; a second leg's is its instrument.
    Everything else, nulls too, is as on the log.
    """
    if isinstance(rows, list):
        return _of_json(rows, topic)
    found: dict[str, pa.Array] = {}
    for name, column in _columns(rows, signals):
        if name in WORDS:
            found[name] = _words(getattr(rows, name), WORDS[name])
        elif name == "code":
            found[name] = _codes(rows)
        elif name in ("ts_event_ns", "ts_recv_ns"):
            found[name.removesuffix("_ns")] = column.view(TIME)
        elif name == "symbol":
            found["symbol_index"] = column
        elif name == "symbol_second":
            found["instrument_second"] = _instruments(rows.lane, rows.symbol_second, instruments)
        elif name == "approved":
            found[name] = pa.array(rows.approved != 0)
        else:
            found[name] = column
    return pa.table(found)


def columns_of(topic: Topic, signals: Sequence[str] = ()) -> pa.Schema:
    """The schema of a topic's files."""
    if topic.table is None:
        return JSON_COLUMNS[topic]
    none = no_signals(len(signals)) if topic.table is SignalRows else empty(topic.table)
    return to_arrow(none, topic, InstrumentTable(1, "", ()), signals).schema


def _columns(rows: Any, signals: Sequence[str]) -> Iterator[tuple[str, pa.Array]]:
    if not isinstance(rows, SignalRows):
        batch = to_batch(rows)
        yield from zip(batch.schema.names, batch.columns, strict=True)
        return
    for name, column in zip(SignalRows._fields[:-1], rows[:-1], strict=True):
        yield name, pa.array(column)
    for name, values in zip(signals, rows.values.T, strict=True):
        yield name, pa.array(np.ascontiguousarray(values), from_pandas=True)


def _of_json(rows: list[JsonRow], topic: Topic) -> pa.Table:
    schema = JSON_COLUMNS[topic]
    return pa.table({f.name: _column_of(rows, f) for f in schema}, schema=schema)


def _column_of(rows: list[JsonRow], field: pa.Field) -> pa.Array:
    if field.name == "postings":
        names = ("account", "asset", "amount")
        found = [[dict(zip(names, p, strict=True)) for p in row["postings"]] for row in rows]
        return pa.array(found, field.type)
    if field.type == TIME:
        return pa.array([row[f"{field.name}_ns"] for row in rows], pa.int64()).view(TIME)
    values = [row.get(field.name) for row in rows]
    if field.type == _NAME:
        return pa.array(values, pa.string()).dictionary_encode().cast(_NAME)
    return pa.array(values, field.type)


def _codes(rows: Any) -> pa.DictionaryArray:
    """What `code` counts depends on the row's kind."""
    keys = rows.kind.astype(np.int64) << 8 | rows.code
    names = {
        int(key): _name(CODES.get(int(key) >> 8, REPORT_CODES), int(key) & 0xFF)
        for key in np.unique(keys)
    }
    return _dictionary(keys, names)


def _words(numbers: NDArray[Any], words: Words) -> pa.DictionaryArray:
    return _dictionary(numbers, {int(n): _name(words, int(n)) for n in np.unique(numbers)})


def _instruments(
    lane: NDArray[Any], symbol: NDArray[Any], instruments: InstrumentTable
) -> pa.DictionaryArray:
    """Their ids; null where there is none."""
    keys = lane.astype(np.int64) << 32 | symbol.astype(np.int64) & 0xFFFF_FFFF
    named = {i.lane << 32 | i.symbol: i.id for i in instruments.instruments}
    found = _dictionary(keys, {int(k): named.get(int(k), "") for k in np.unique(keys)})
    indices = pa.array(found.indices.to_numpy(), mask=symbol == NO_SYMBOL)
    return pa.DictionaryArray.from_arrays(indices, found.dictionary)


def _dictionary(numbers: NDArray[Any], names: dict[int, str]) -> pa.DictionaryArray:
    """Numbers as their names; several numbers may have one."""
    known = np.array(sorted(names), np.int64)
    texts = sorted(set(names.values()))
    index = np.array([texts.index(names[int(n)]) for n in known], np.int16)
    places = index[np.searchsorted(known, numbers)] if known.size else np.zeros(0, np.int16)
    return pa.DictionaryArray.from_arrays(pa.array(places), pa.array(texts, pa.string()))


def _name(words: Words, number: int) -> str:
    return _names(words).get(number, str(number))


@cache
def _names(words: Words) -> dict[int, str]:
    return {int(member): member.name for enum in words for member in enum}
