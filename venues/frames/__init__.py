"""Frames: what venues send, read into market rows with every frame and element accounted for."""

from venues.frames.digits import DigitBook
from venues.frames.files import FrameFile, RecordingError
from venues.frames.orders import order_rows
from venues.frames.parsed import (
    NO_TIME,
    Account,
    Book,
    Event,
    FrameClass,
    Link,
    Parsed,
    Refused,
    market_rows,
)
from venues.frames.parser import FrameParser, Parser
from venues.frames.registry import PARSERS, RELAYED, NoParserError, parser_for, parser_of
from venues.frames.sequence import Chain, Verdict, judge
from venues.frames.synchroniser import Judged, Synchroniser
from venues.frames.venue import Checksum, Proof, Venue

__all__ = [
    "NO_TIME", "PARSERS", "RELAYED", "Account", "Book", "Chain", "Checksum", "DigitBook", "Event",
    "FrameClass", "FrameFile", "FrameParser", "Judged", "Link", "NoParserError", "Parsed",
    "Parser", "Proof", "RecordingError", "Refused", "Synchroniser", "Venue", "Verdict", "judge",
    "market_rows", "order_rows", "parser_for", "parser_of",
]  # fmt: skip
