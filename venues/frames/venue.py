"""What a venue's public feed says and what it can prove: the tables behind parsers and docs."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Use(Enum):
    """What a parser does with a message type."""

    DATA = "rows"
    CONTROL = "control"
    UNUSED = "not used"


class MessageType(NamedTuple):
    """One message type of a venue."""

    name: str  # as the parser tells it; shown in accounts
    use: Use
    rows: str  # kinds of rows it becomes, "" for none
    says: str

    @property
    def is_book(self) -> bool:
        return "BOOK" in self.rows


class Checksum(Enum):
    """Checksums over the written digits of the top of the book."""

    NONE = "none"
    KRAKEN = "CRC32 over the 10 best asks, then bids: digits without point and leading zeros"
    OKX = "CRC32 (signed) over the 25 best levels, bid and ask in turn, digits joined by colons"


CHECKSUM_DEPTH = {Checksum.NONE: 0, Checksum.KRAKEN: 10, Checksum.OKX: 25}  # levels a side


@dataclass(frozen=True)
class Proof:
    """What of its own completeness a feed can prove, in words for people and rules for code.

    `sequence` says how message numbers chain, "" where they don't: then a lost message cannot be
    seen, and the book is `unprovable`, never `ok`.
    """

    sequence: str = ""
    checksum: Checksum = Checksum.NONE

    @property
    def provable(self) -> bool:
        return bool(self.sequence) or self.checksum is not Checksum.NONE

    @property
    def words(self) -> str:
        """For tables: what is proven, or that nothing is."""
        found = [self.sequence] if self.sequence else []
        if self.checksum is not Checksum.NONE:
            found.append(self.checksum.value)
        return "; ".join(found) if self.provable else "unprovable"


@dataclass(frozen=True)
class Venue:
    """One venue's public market data feed."""

    name: str
    title: str
    proof: Proof
    types: tuple[MessageType, ...]
    notes: str = ""
    starts_empty: bool = False  # no snapshot comes: the book fills from the first message on


def data(name: str, rows: str, says: str) -> MessageType:
    return MessageType(name, Use.DATA, rows, says)


def control(name: str, says: str) -> MessageType:
    return MessageType(name, Use.CONTROL, "", says)


def unused(name: str, says: str) -> MessageType:
    return MessageType(name, Use.UNUSED, "", says)
