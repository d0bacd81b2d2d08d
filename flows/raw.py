"""Raw frames on the log: what venues sent, as it was received, and back again.

A partition of raw.v1 is a connection, in the order of the run's sources. A message has one frame,
or a part of one that is too long for a message. Its positions say what the frame is: nothing for a
websocket message, else a `Note`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec
from msgspec import Struct

from flows.log.api import Log
from flows.log.codec import encode_frame
from flows.log.errors import PoisonMessageError
from flows.log.message import Message
from flows.log.writer import Writer
from schemas.topics import RAW
from venues.frames.files import Line
from venues.live.handover import Received, What

PART_BYTES = 512 << 10  # a snapshot has up to 2 MB, which is more than brokers take in a message
MESSAGES_PER_POLL = 1024


class Note(Struct, omit_defaults=True):
    """What a frame is, where it is no websocket message."""

    what: str = ""  # as the key `dir` of a recording; "" for a websocket message
    url: str = ""  # of a connection or a REST answer
    more: bool = False  # the frame goes on in the next message


_NOTE = msgspec.json.Decoder(Note)
_ENCODER = msgspec.json.Encoder()
_WHAT = {What.OPENED: "connect", What.AUDIT: "audit", What.TRADES: "trades"}


class RawRecorder:
    """Writes what a live feed receives, in order; part of ingest.

    Parameters
    ----------
    writer : Writer
        Ingest's own. A frame that cannot be written ends ingest, as a row does.
    code_version : str
    urls : sequence of str
        The websocket of each connection.

    Notes
    -----
    Frames stand on the log before the rows that were made of them; a frame whose rows were lost
    with the process is there once more than its rows, never the other way round.
    """

    def __init__(self, writer: Writer, code_version: str, urls: Sequence[str]) -> None:
        self._writer, self._code_version, self._urls = writer, code_version, urls
        self._next_seq: dict[int, int] = {}

    def __call__(self, items: Sequence[Received]) -> None:
        self._writer.append([message for item in items for message in self._messages(item)])

    def _messages(self, item: Received) -> Iterator[Message]:
        if item.what in (What.CLOSED, What.FAILED):
            return
        is_new = item.what is What.OPENED
        what = _WHAT.get(item.what, "rest" if item.label else "")
        url = self._urls[item.connection] if is_new else item.label
        frame = url.encode() if is_new else item.frame
        for at in range(0, max(len(frame), 1), PART_BYTES):
            note = Note(what, url, at + PART_BYTES < len(frame))
            made = encode_frame(
                RAW,
                lane=item.connection,
                seq=self._seq(item.connection),
                ts_recv_ns=item.ts_recv_ns,
                frame=frame[at : at + PART_BYTES],
                code_version=self._code_version,
            )
            yield replace(made, positions=b"" if note == Note() else _ENCODER.encode(note))

    def _seq(self, lane: int) -> int:
        """The next number; the first time, behind what the log holds."""
        if lane not in self._next_seq:
            self._next_seq[lane] = self._writer.last_seq(RAW.name, lane) + 1
        self._next_seq[lane] += 1
        return self._next_seq[lane] - 1


class _Part(NamedTuple):
    note: Note
    message: Message


def recorded_lines(log: Log, lane: int) -> Iterator[Line]:
    """The frames of one connection in order, as lines of a recording, up to the log's present end.

    PoisonMessageError for a message that is no part of a frame.
    """
    partition = (RAW.name, lane)
    starts, end = log.starts([partition]), log.ends([partition])[partition]
    parts: list[bytes] = []
    for part in _parts(log, starts, end):
        parts.append(part.message.body)
        if part.note.more:
            continue
        frame, parts = b"".join(parts), []
        yield Line(part.message.ts_min_ns, part.note.what, part.note.url, frame)


def _parts(log: Log, starts: Mapping[tuple[str, int], int], end: int) -> Iterator[_Part]:
    (partition,) = starts
    reader, last_seq = log.reader(starts), -1
    try:
        while reader.position(partition) < end:
            fetched = reader.poll(MESSAGES_PER_POLL)
            if not fetched:
                reader.wait(0.1)
            for offset, message in fetched:
                if offset >= end or message.first_seq <= last_seq:  # written twice
                    continue
                last_seq = message.last_seq
                yield _Part(_note(message, offset), message)
    finally:
        reader.close()


def _note(message: Message, offset: int) -> Note:
    try:
        return _NOTE.decode(message.positions) if message.positions else Note()
    except msgspec.DecodeError as error:
        raise PoisonMessageError(
            topic=message.topic, lane=message.lane, seq=message.first_seq, offset=offset,
            why=str(error),
        ) from error  # fmt: skip
