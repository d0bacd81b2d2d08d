"""The contract of parsers, and what all of them share: one frame in, one `Parsed` out, no raise."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from schemas.kinds import NO_SYMBOL
from venues.frames.fields import DefectError, words
from venues.frames.parsed import (
    NO_TIME,
    Book,
    Event,
    FrameClass,
    Link,
    Parsed,
    Refused,
)
from venues.frames.venue import Use, Venue

INSTRUMENTS_MAX = 4096  # discovered names; a damaged feed must not fill the memory with names
REASON_MAX = 200  # characters of a reason that quotes the frame

# What msgspec raises on bytes that are not the message asked for; anything else is our own fault.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, DefectError)

Element = TypeVar("Element")


class Parser(Protocol):
    """Reads the frames of one connection to one venue.

    Attributes
    ----------
    venue : Venue
        Its message types and proof.
    instruments : list[str]
        The venue's names; a row's `symbol` indexes it. It only grows.
    """

    venue: ClassVar[Venue]
    instruments: list[str]

    def parse(self, frame: bytes, *, ts_recv_ns: int = NO_TIME, label: str = "") -> Parsed:
        """What the frame says. Never raises for any bytes: what is not understood is quarantined.

        Parameters
        ----------
        frame : bytes
            One websocket message or REST answer as received.
        ts_recv_ns : int
            Our clock, ns since 1970 UTC; NO_TIME where a recording has none.
        label : str
            What the frame does not say itself: path and query of a REST answer's request, or the
            event's name where a recording keeps it beside the frame. "" for a websocket message.
        """


class Draft:
    """What is known of the frame so far; `FrameParser` makes the `Parsed` of it."""

    def __init__(self, ts_recv_ns: int) -> None:
        self.ts_recv_ns = ts_recv_ns
        self.kind = FrameClass.DATA
        self.stream = "unknown"
        self.reason = ""
        self.elements = 0
        self.parts: list[Book | Event] = []
        self.refused: list[Refused] = []
        self.broken: list[int] = []
        self.link: Link | None = None
        self.symbol = NO_SYMBOL  # of the book that the frame is about, once known
        self.is_book = True  # until its type is known, a frame may have been a book message

    def add(self, part: Book | Event) -> None:
        self.parts.append(part)
        if isinstance(part, Book) and part.snapshot and not (part.bids or part.asks):
            self.elements += 1  # that the book is empty

    def refuse(self, elements: int, reason: object, *, book: int | None = None) -> None:
        """Elements that become no rows; `book` is the symbol whose book lost them."""
        self.refused.append(Refused(elements, str(reason)[:REASON_MAX]))
        if book is not None:
            self.broken.append(book)

    def supersede(self, reason: str) -> None:
        self.kind, self.reason = FrameClass.SUPERSEDED, reason


class FrameParser(ABC):
    """Base of the venues' parsers: accounts for the frame, keeps the instruments.

    A venue's parser names its `venue`, and in `handlers` for every data type of it the method that
    reads it; `read` finds out the type and calls `dispatch`.

    Parameters
    ----------
    instruments : sequence of str, optional
        The only instruments that this feed is about; without, they are discovered in frames.
    """

    venue: ClassVar[Venue]
    handlers: ClassVar[dict[str, Callable[..., None]]]

    def __init__(self, instruments: Sequence[str] | None = None) -> None:
        self.instruments = list(instruments or ())
        self._fixed = instruments is not None
        self._index = {name: k for k, name in enumerate(self.instruments)}
        self._types = {known.name: known for known in self.venue.types}

    def parse(self, frame: bytes, *, ts_recv_ns: int = NO_TIME, label: str = "") -> Parsed:
        draft = Draft(ts_recv_ns)
        try:
            self.read(frame, draft, label)
        except UNREADABLE as error:
            draft.kind, draft.reason = FrameClass.QUARANTINED, f"{draft.stream}: {words(error)}"
            if draft.is_book and draft.symbol == NO_SYMBOL:
                draft.symbol = self._subject(frame)
        return self._close(draft)

    @abstractmethod
    def read(self, frame: bytes, draft: Draft, label: str) -> None:
        """Fill the draft, or raise one of UNREADABLE."""

    def subject(self, frame: bytes) -> str:
        """The instrument of a book message that could not be read; "" if it cannot be told."""
        return ""

    def dispatch(self, name: str, body: Any, draft: Draft, *more: Any) -> None:
        """Hand the body to the handler of its type; a type without one has its class already."""
        known = self._types.get(name)
        draft.stream = known.name if known else "unknown"
        if known is None:
            draft.is_book = False  # or every message type that a venue adds would cost all books
            raise DefectError(f"message type {name!r} is not known")
        draft.is_book = known.is_book
        if known.use is Use.DATA:
            self.handlers[name](self, body, draft, *more)
        else:
            draft.kind = _CLASS_OF[known.use]

    def symbol(self, name: str) -> int:
        """The instrument's index; DefectError if the feed is not about it."""
        found = self._index.get(name)
        if found is not None:
            return found
        if self._fixed:
            raise DefectError(f"symbol {name!r} is not one of this feed's instruments")
        if len(self.instruments) >= INSTRUMENTS_MAX:
            raise DefectError(f"symbol {name!r} is one more than {INSTRUMENTS_MAX} instruments")
        self._index[name] = len(self.instruments)
        self.instruments.append(name)
        return self._index[name]

    def only_symbol(self) -> int:
        """The one instrument, for messages that do not name theirs; DefectError if not one."""
        if len(self.instruments) != 1:
            raise DefectError(f"no symbol, and the feed has {len(self.instruments)} instruments")
        return 0

    def each(
        self, raw: Iterable[msgspec.Raw], decoder: "msgspec.json.Decoder[Element]", draft: Draft,
        use: Callable[[Element], Event],
    ) -> None:  # fmt: skip
        """Elements that stand alone (trades, bars): a bad one is refused, the others are rows."""
        for k, element in enumerate(raw):
            draft.elements += 1
            try:
                made = use(decoder.decode(element))
            except UNREADABLE as error:
                draft.refuse(1, f"{draft.stream}: element {k}: {words(error)}")
            else:
                draft.add(made)

    def figures(self, events: Iterable[Event], draft: Draft) -> None:
        """One message that carries several figures of one instrument: each is an element."""
        for event in events:
            draft.elements += 1
            draft.add(event)

    def _subject(self, frame: bytes) -> int:
        try:
            return self._index.get(self.subject(frame), NO_SYMBOL)
        except UNREADABLE:
            return NO_SYMBOL

    def _close(self, draft: Draft) -> Parsed:
        kind, reason = draft.kind, draft.reason
        if kind == FrameClass.DATA and draft.refused and not draft.parts:
            kind, reason = FrameClass.QUARANTINED, draft.refused[0].reason
        if kind != FrameClass.DATA:
            broken = tuple(draft.broken)
            if kind == FrameClass.QUARANTINED and draft.is_book and not broken:
                broken = (draft.symbol,)
            reason = reason[:REASON_MAX]
            return Parsed(
                kind, draft.stream, reason, draft.ts_recv_ns, 0, broken=broken, link=draft.link
            )
        return Parsed(
            kind, draft.stream, "", draft.ts_recv_ns, draft.elements, tuple(draft.parts),
            tuple(draft.refused), tuple(draft.broken), draft.link,
        )  # fmt: skip


_CLASS_OF = {Use.CONTROL: FrameClass.CONTROL, Use.UNUSED: FrameClass.KNOWN_UNUSED}
