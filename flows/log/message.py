"""A message: some rows of one lane of one topic, and the header that says which."""

import struct
from dataclasses import dataclass

HEADER_VERSION = 1
_HEAD = struct.Struct("<BHIqqqqH")  # version, schema_id, n_rows, seqs, times, length of the code


@dataclass(frozen=True, slots=True)
class Message:
    """Rows `first_seq` to `last_seq` of one partition.

    Attributes
    ----------
    topic, lane : str, int
        The partition. They are the address, so they are not part of the header.
    first_seq, last_seq, n_rows : int
        `seq` of the first and last row, contiguous between them.
    ts_min_ns, ts_max_ns : int
        Least and greatest `ts_recv_ns` of the rows, nanoseconds UTC.
    schema_id : int
        `schemas.topics.Topic.schema_id` of the body.
    code_version : str
        Which program wrote it.
    positions : bytes
        Market topic: where ingest stands in its sources after these rows; opaque to the log.
    body : bytes
        The rows, see `flows.log.codec`.
    """

    topic: str
    lane: int
    first_seq: int
    last_seq: int
    n_rows: int
    ts_min_ns: int
    ts_max_ns: int
    schema_id: int
    code_version: str
    positions: bytes
    body: bytes

    def header(self) -> bytes:
        """Everything but address and body, as it travels beside the body in every profile."""
        code = self.code_version.encode()
        head = _HEAD.pack(
            HEADER_VERSION,
            self.schema_id,
            self.n_rows,
            self.first_seq,
            self.last_seq,
            self.ts_min_ns,
            self.ts_max_ns,
            len(code),
        )
        return head + code + self.positions

    @classmethod
    def parse(cls, *, topic: str, lane: int, header: bytes, body: bytes) -> "Message":
        """The message of a stored header and body; ValueError if the header is not one of ours."""
        if len(header) < _HEAD.size:
            raise ValueError(f"a header has at least {_HEAD.size} bytes, this one {len(header)}")
        version, schema_id, n_rows, first, last, ts_min, ts_max, n_code = _HEAD.unpack_from(header)
        if version != HEADER_VERSION:
            raise ValueError(f"header version must be {HEADER_VERSION}, was {version}")
        if n_rows < 1 or last - first + 1 != n_rows or len(header) < _HEAD.size + n_code:
            raise ValueError(f"the header contradicts itself: seq {first} to {last}, {n_rows} rows")
        code, positions = header[_HEAD.size :][:n_code], header[_HEAD.size + n_code :]
        return cls(
            topic=topic,
            lane=lane,
            first_seq=first,
            last_seq=last,
            n_rows=n_rows,
            ts_min_ns=ts_min,
            ts_max_ns=ts_max,
            schema_id=schema_id,
            code_version=code.decode(),
            positions=positions,
            body=body,
        )
