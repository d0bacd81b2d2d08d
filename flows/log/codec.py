"""Rows to messages and back."""

import json
from typing import Any

import numpy as np
import pyarrow as pa

from flows.log.errors import PoisonMessageError
from flows.log.message import Message
from flows.log.template import ROWS_MAX as SMALL_ROWS_MAX
from flows.log.template import WORDS_MAX, read_small, read_words, write_small, write_words
from flows.log.words import Words, to_rows
from schemas.rows import I8, arrow_schema, from_batch, to_batch
from schemas.signal_rows import SignalRows, from_signal_batch, signal_schema, to_signal_batch
from schemas.topics import QUARANTINE, Encoding, Topic, topic_named

ROWS_PER_MESSAGE_MAX = (
    2048  # 550 kB of feature rows; 512 cost 0.07 us per row more, 1 MB is the bound
)

SIGNAL_BYTES_MAX = 1_000_000  # of a message of signals, whose rows are as wide as a run asks for
_WIDTH_BYTES = 8  # before a batch of signals, how many names it has; keeps the batch aligned

JsonRow = dict[str, Any]
Table = Any  # a NamedTuple of schemas.rows, or list[JsonRow]


def encode_rows(
    topic: Topic, *, lane: int, rows: Any, code_version: str, positions: bytes = b""
) -> list[Message]:
    """Messages of at most 2,048 rows each (signals: and 1 MB), in order; none for an empty table.

    Parameters
    ----------
    rows : NamedTuple of arrays
        The topic's own table; `seq` contiguous, `ts_recv_ns` never falling.
    positions : bytes
        Valid after the last row, so that only the last message carries them. Who reads them back
        appends all messages at once, or encodes at most 2,048 rows at a time.

    Raises
    ------
    ValueError
        Rows of another table or lane, a gap in `seq`, or time going backwards.
    """
    if type(rows) is not topic.table:
        raise ValueError(f"{topic.name} holds {_holds(topic)}, not {type(rows).__name__}")
    if not rows.seq.size:
        return []
    _check_order(topic, lane, rows.seq, rows.ts_recv_ns)
    if topic.partitions == "lane" and np.any(rows.lane != lane):
        raise ValueError(f"{topic.name} lane {lane}: the table holds rows of another lane")
    n = rows.seq.size
    if isinstance(rows, SignalRows):
        return _signal_messages(topic, lane, rows, code_version)
    if n <= SMALL_ROWS_MAX:
        return [_arrow_message(topic, lane, rows, write_small(rows), code_version, positions)]
    batch = to_batch(rows)  # once for all messages, which costs more than writing them
    return [
        _arrow_message(
            topic, lane, rows_from(rows, start, start + ROWS_PER_MESSAGE_MAX),
            batch.slice(start, ROWS_PER_MESSAGE_MAX).serialize().to_pybytes(), code_version,
            positions if start + ROWS_PER_MESSAGE_MAX >= n else b"",
        )
        for start in range(0, n, ROWS_PER_MESSAGE_MAX)
    ]  # fmt: skip


def encode_words(
    topic: Topic, *, lane: int, words: Words, code_version: str, positions: bytes = b""
) -> Message:
    """The one message of 1 to WORDS_MAX rows, as `encode_rows` makes it of the same rows."""
    seq, ts_ns = words.column("seq"), words.column("ts_recv_ns")
    _check_order(topic, lane, seq, ts_ns)
    times_ns = (int(ts_ns.min()), int(ts_ns.max()))
    body = write_words(words)
    return _message(
        topic, lane, (int(seq[0]), int(seq[-1])), times_ns, code_version, positions, body
    )


def encode_json(
    topic: Topic, *, lane: int, rows: list[JsonRow], code_version: str
) -> list[Message]:
    """One message per row: canonical JSON (sorted keys, no spaces, no NaN).

    Each row has the integers `seq` and `ts_recv_ns`; exact amounts are texts. ValueError otherwise.
    """
    if topic.encoding is not Encoding.JSON:
        raise ValueError(f"{topic.name} holds {_holds(topic)}, not JSON rows")
    return [_json_message(topic, lane, row, code_version) for row in rows]


def encode_frame(
    topic: Topic, *, lane: int, seq: int, ts_recv_ns: int, frame: bytes, code_version: str
) -> Message:
    """One frame of a venue as it was received."""
    if topic.encoding is not Encoding.RAW:
        raise ValueError(f"{topic.name} holds {_holds(topic)}, not frames")
    return _message(topic, lane, (seq, seq), (ts_recv_ns, ts_recv_ns), code_version, b"", frame)


def decode(message: Message, *, offset: int | None = None) -> Table:
    """The rows of a message: the topic's table, or a list of one dict for JSON and frames.

    PoisonMessageError naming topic, lane, seq and offset if the body is not what the header says.
    """
    rows = decode_words(message, offset=offset)
    return to_rows(rows) if isinstance(rows, Words) else rows


def decode_words(message: Message, *, offset: int | None = None) -> Table | Words:
    """The same; up to WORDS_MAX rows of a table as words."""
    try:
        topic = topic_named(message.topic)
        if message.schema_id != topic.schema_id:
            raise ValueError(f"schema id must be {topic.schema_id}, was {message.schema_id}")
        if topic.encoding is Encoding.ARROW:
            return _decode_arrow(topic, message)
        if topic.encoding is Encoding.RAW:
            frame = {"seq": message.first_seq, "ts_recv_ns": message.ts_min_ns}
            return [{**frame, "frame": message.body}]
        return [_decode_json(message)]
    except (ValueError, OSError, EOFError, pa.ArrowException) as error:
        raise PoisonMessageError(
            topic=message.topic,
            lane=message.lane,
            seq=message.first_seq,
            offset=offset,
            why=str(error).splitlines()[0] if str(error) else type(error).__name__,
        ) from error


def tail(message: Message, from_seq: int) -> list[Message]:
    """The part of a message from that seq on, encoded anew; none if it ends before."""
    if message.first_seq >= from_seq:
        return [message]
    if message.last_seq < from_seq:
        return []
    topic = topic_named(message.topic)  # only Arrow messages hold more than one row
    return encode_rows(
        topic,
        lane=message.lane,
        rows=rows_from(decode(message), from_seq - message.first_seq),
        code_version=message.code_version,
        positions=message.positions,
    )


def rows_from(table: Table, start: int, stop: int | None = None) -> Table:
    """A slice of a table or list; arrays are views."""
    if isinstance(table, list):
        return table[start:stop]
    return type(table)(*[column[start:stop] for column in table])


def _check_order(topic: Topic, lane: int, seq: I8, ts_ns: I8) -> None:
    if (seq[1:] - seq[:-1] != 1).any():
        raise ValueError(f"{topic.name} lane {lane}: seq must be contiguous within a table")
    if topic is not QUARANTINE and (ts_ns[1:] < ts_ns[:-1]).any():
        raise ValueError(f"{topic.name} lane {lane}: ts_recv_ns must not fall within a table")


def _signal_messages(topic: Topic, lane: int, rows: SignalRows, code: str) -> list[Message]:
    batch, n, names = to_signal_batch(rows), rows.seq.size, rows.values.shape[1]
    row_bytes = sum(column.nbytes for column in rows) // n
    most = max(1, min(ROWS_PER_MESSAGE_MAX, SIGNAL_BYTES_MAX // row_bytes))
    width = names.to_bytes(_WIDTH_BYTES, "little")
    return [
        _arrow_message(
            topic, lane, rows_from(rows, start, start + most),
            width + batch.slice(start, most).serialize().to_pybytes(), code, b"",
        )
        for start in range(0, n, most)
    ]  # fmt: skip


def _arrow_message(
    topic: Topic, lane: int, rows: Any, body: bytes, code: str, positions: bytes
) -> Message:
    seqs, ts_ns = (int(rows.seq[0]), int(rows.seq[-1])), rows.ts_recv_ns
    return _message(topic, lane, seqs, (int(ts_ns.min()), int(ts_ns.max())), code, positions, body)


def _json_message(topic: Topic, lane: int, row: JsonRow, code: str) -> Message:
    seq, ts_ns = row.get("seq"), row.get("ts_recv_ns")
    if type(seq) is not int or type(ts_ns) is not int:
        raise ValueError(f"{topic.name} lane {lane}: a row needs integer seq and ts_recv_ns: {row}")
    try:
        body = json.dumps(row, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{topic.name} lane {lane}, seq {seq}: {error}") from error
    return _message(topic, lane, (seq, seq), (ts_ns, ts_ns), code, b"", body)


def _message(
    topic: Topic,
    lane: int,
    seqs: tuple[int, int],
    times_ns: tuple[int, int],
    code: str,
    positions: bytes,
    body: bytes,
) -> Message:
    return Message(
        topic=topic.name,
        lane=lane,
        first_seq=seqs[0],
        last_seq=seqs[1],
        n_rows=seqs[1] - seqs[0] + 1,
        ts_min_ns=times_ns[0],
        ts_max_ns=times_ns[1],
        schema_id=topic.schema_id,
        code_version=code,
        positions=positions,
        body=body,
    )


def _decode_arrow(topic: Topic, message: Message) -> Any:
    if topic.table is SignalRows:
        return _checked(_signals(message.body), message)
    table: Any = topic.table
    if message.n_rows <= WORDS_MAX:
        words = read_words(table, message.body, message.n_rows)
        if words is not None:
            _check_first(int(words.column("seq")[0]), message)
            return words
    elif message.n_rows <= SMALL_ROWS_MAX:
        small = read_small(table, message.body, message.n_rows)
        if small is not None:
            return _checked(small, message)
    batch = pa.ipc.read_record_batch(pa.py_buffer(message.body), arrow_schema(table))
    batch.validate()
    return _checked(from_batch(table, batch), message)


def _signals(body: bytes) -> SignalRows:
    names = int.from_bytes(body[:_WIDTH_BYTES], "little")
    if not 0 < names <= SIGNAL_BYTES_MAX // 8:
        raise ValueError(f"{names} signals a row cannot be")
    rows = pa.py_buffer(body).slice(_WIDTH_BYTES)
    batch = pa.ipc.read_record_batch(rows, signal_schema(names))
    batch.validate()
    return from_signal_batch(batch, names)


def _checked(rows: Any, message: Message) -> Any:
    if rows.seq.size != message.n_rows:
        raise ValueError(f"the header says {message.n_rows} rows, the body has {rows.seq.size}")
    _check_first(int(rows.seq[0]), message)
    return rows


def _check_first(seq: int, message: Message) -> None:
    if seq != message.first_seq:
        raise ValueError(f"the header says that seq {message.first_seq} is first, it is {seq}")


def _decode_json(message: Message) -> JsonRow:
    row = json.loads(message.body)
    if not isinstance(row, dict) or row.get("seq") != message.first_seq:
        raise ValueError("the body is not the JSON row that the header says")
    return row


def _holds(topic: Topic) -> str:
    if topic.table is not None:
        return str(topic.table.__name__)
    return "JSON rows" if topic.encoding is Encoding.JSON else "frames"
