"""Recordings of raw frames: zstd JSON lines, one frame a line, as they were received.

A line is `{"recv_ns": ns or null, "frame": the venue's JSON}`; beside it may stand `dir` (rx, tx,
connect, rest; audit and trades are REST answers of which not all was used), `url`, `text` (a frame
that is not JSON), `event` (the name of an event, where the venue keeps it outside of the message),
or `venue`, `path` and `query` of a REST answer.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
from msgspec import UNSET, Raw, Struct, UnsetType

from venues.frames.parsed import NO_TIME, FrameClass, Parsed
from venues.frames.parser import FrameParser
from venues.frames.registry import PARSERS, NoParserError, parser_for

_SUFFIX = ".jsonl.zst"
_CHUNK_BYTES = 1 << 20
_LINE_BYTES_MAX = 64 << 20  # a snapshot of 28,000 levels has 1 MB

# How names of recordings begin, where that is not the venue's name; the longest that fits is taken.
_BEGINS = {
    "binance_delivery": "binance_coinm",
    "coinbase_exchange": "coinbase",
    "kraken_v2": "kraken",
}
_BINANCE_PATHS = {"/api/": "binance_spot", "/fapi/": "binance_usdm", "/dapi/": "binance_coinm",
                  "/futures/data/": "binance_usdm"}  # fmt: skip


class RecordingError(Exception):
    """A recording cannot be read. `str()` is the whole message for a person."""

    def __init__(self, what: str, where: str, todo: str) -> None:
        super().__init__(f"{where}: {what}. {todo}.")
        self.what, self.where, self.todo = what, where, todo


class Recorded(NamedTuple):
    """One line of a recording."""

    line: int  # from 1
    venue: str  # "" where the line does not say
    ts_recv_ns: int  # NO_TIME where none was recorded
    ours: str  # "sent", "connected" or what else we did; "" for what the venue said
    label: str  # as Parser.parse takes it
    frame: bytes


class FrameFile:
    """A recording, parsed; iterate for its frames.

    Parameters
    ----------
    path : Path
        The file; its venue is told by its name.
    venue : str, optional
        The venue, where the name does not say.

    Attributes
    ----------
    parsers : dict[str, FrameParser]
        One for each venue in the file; their `instruments` name the rows' symbols.

    Raises
    ------
    NoParserError
        The file is of a venue without a parser.
    RecordingError
        No such file, not a recording, or damaged.
    """

    def __init__(self, path: Path, venue: str | None = None) -> None:
        self.path = path
        self.venue = venue or venue_of(path)
        self.parsers: dict[str, FrameParser] = {}
        if self.venue:
            self._parser(self.venue)

    def __iter__(self) -> Iterator[tuple[Recorded, Parsed]]:
        for line in recorded(self.path):
            yield line, self._parse(line)

    def _parse(self, line: Recorded) -> Parsed:
        if line.ours:
            return Parsed(FrameClass.CONTROL, line.ours, "", line.ts_recv_ns, 0)
        try:
            parser = self._parser(line.venue or self.venue)
        except NoParserError as error:
            return Parsed(FrameClass.QUARANTINED, "unknown", str(error), line.ts_recv_ns, 0)
        return parser.parse(line.frame, ts_recv_ns=line.ts_recv_ns, label=line.label)

    def _parser(self, venue: str) -> FrameParser:
        if venue not in self.parsers:
            self.parsers[venue] = parser_for(venue)
        return self.parsers[venue]


def venue_of(path: Path) -> str:
    """The venue that the name of a recording begins with; "" if each line says its own."""
    first = next(iter(recorded(path)), None)
    if first is not None and first.venue:
        return ""
    stem = path.name.removesuffix(_SUFFIX)
    if stem.startswith("bitstamp") and first is not None and first.label and not first.ours:
        return "bitstamp_2015"  # the only recordings whose events are named beside the frame
    known = {**_BEGINS, **{name: name for name in PARSERS}}
    found = [name for name in known if stem == name or stem.startswith(f"{name}_")]
    if not found:
        raise NoParserError(stem.partition("_")[0])
    return known[max(found, key=len)]


class _Line(Struct):
    recv_ns: int | None = None
    frame: Raw | UnsetType = UNSET
    text: str | UnsetType = UNSET
    dir: str = "rx"
    url: str = ""
    event: str = ""
    venue: str = ""
    path: str = ""
    query: str = ""


_LINE = msgspec.json.Decoder(_Line)
_OURS = {"tx": "sent", "connect": "connected", "audit": "compared", "trades": "fetched"}


class Line(NamedTuple):
    """What a recording has of one frame."""

    recv_ns: int
    dir: str  # "" for a websocket message that was received
    url: str
    frame: bytes

    def text(self) -> bytes:
        """As one line of a recording."""
        head: dict[str, object] = {"recv_ns": self.recv_ns}
        if self.dir:
            head |= {"dir": self.dir, "url": self.url}
        if self.dir != "connect":
            head |= self._content()
        return msgspec.json.encode(head).replace(b"\n", b" ") + b"\n"

    def _content(self) -> dict[str, object]:
        try:
            msgspec.json.decode(self.frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {"text": self.frame.decode(errors="replace")}
        return {"frame": Raw(self.frame)}


def write_recording(path: Path, lines: Iterable[Line]) -> int:
    """Write a recording; returns how many lines it has."""
    n = 0
    with pa.output_stream(str(path), compression="zstd") as stream:
        for line in lines:
            stream.write(line.text())
            n += 1
    return n


def recorded(path: Path) -> Iterator[Recorded]:
    """The lines of a recording in order. RecordingError names the file and the line."""
    for number, text in enumerate(_lines(path), 1):
        where = f"{path}, line {number}"
        try:
            line = _LINE.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RecordingError(
                f"not a recorded frame ({error})", where, "Give a recording of raw frames"
            ) from None
        yield _recorded(number, line)


def count_lines(path: Path) -> int:
    """How many lines a recording has. RecordingError as for `recorded`."""
    return sum(1 for _ in _lines(path))


def _recorded(number: int, line: _Line) -> Recorded:
    label = line.event
    if line.dir == "rest":
        label = line.url
    elif line.path:
        label = f"{line.path}?{line.query}" if line.query else line.path
    venue = line.venue
    if venue == "binance":
        begins = (v for path, v in _BINANCE_PATHS.items() if line.path.startswith(path))
        venue = next(begins, venue)
    if line.text is not UNSET:
        frame = line.text.encode()
    else:
        frame = b"" if line.frame is UNSET else bytes(line.frame)
    ours = _OURS.get(line.dir, "")
    return Recorded(number, venue, line.recv_ns or NO_TIME, ours, label, frame)


def _lines(path: Path) -> Iterator[bytes]:
    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "no such file"
        raise RecordingError(what, str(path), "Give the path of a recording of raw frames")
    rest = b""
    try:
        with pa.input_stream(str(path), compression="zstd") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from whole
                if len(rest) > _LINE_BYTES_MAX:
                    raise RecordingError(
                        "a line is longer than any frame", str(path), "Give a recording of frames"
                    )
    except OSError as error:
        raise RecordingError(
            f"not zstd, or cut short or damaged ({error})", str(path), "Copy it again"
        ) from error
    if rest:
        yield rest
