"""How far each order book of a run could be trusted, from the status rows on its log."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from operators.features.orders.books import BEGUN_EMPTY_NS
from operators.market.books.words import GOOD, BookState
from schemas.instruments import InstrumentTable
from schemas.kinds import Flag, Kind
from schemas.rows import MarketRows, take

NAMES_SHOWN = 3
MINUTE_NS = 60_000_000_000


@dataclass(frozen=True)
class BookStory:
    """One book of a run.

    Attributes
    ----------
    states : BookState -> times that it was entered
    synced_s : float
        Seconds of our clock in which it could be used.
    lost_s : float
        Seconds behind its first snapshot in which it could not.
    evicted : int
        Levels dropped for want of room, as far as told.
    last : BookState
        At the end of the log.
    has_snapshot : bool
        Levels of it came, and a whole snapshot among them; True of a book without levels.
    """

    instrument: str
    states: dict[BookState, int]
    synced_s: float
    lost_s: float
    evicted: int
    last: BookState
    has_snapshot: bool = True

    @property
    def is_sound(self) -> bool:
        """Nothing but the wait for its first snapshot kept it from use."""
        return self.lost_s == 0.0 and self.last in GOOD and not self.evicted

    def report(self) -> dict[str, Any]:
        """JSON-safe; the keys of one entry of the report's `books`."""
        return {
            "instrument": self.instrument,
            "states": {state.name: n for state, n in sorted(self.states.items())},
            "synced_s": self.synced_s,
            "lost_s": self.lost_s,
            "gaps": self.states.get(BookState.GAP, 0),
            "resyncs": self.states.get(BookState.RESYNC, 0),
            "evicted": self.evicted,
            "last": self.last.name,
            "has_snapshot": self.has_snapshot,
        }


@dataclass
class _Book:
    state: BookState = BookState.NONE
    since_ns: int = 0
    synced_ns: int = 0
    lost_ns: int = 0
    evicted: int = 0
    was_good: bool = False
    entered: Counter[BookState] = field(default_factory=Counter)

    def until(self, now_ns: int) -> None:
        passed_ns = now_ns - self.since_ns
        if self.state in GOOD:
            self.synced_ns += passed_ns
        elif self.was_good:
            self.lost_ns += passed_ns
        self.since_ns = now_ns


class BookStories:
    """Folds the rows of a run, in the order of our clock."""

    def __init__(self, table: InstrumentTable) -> None:
        self._ids = {(one.lane, one.symbol): one.id for one in table.instruments}
        self._books: dict[tuple[int, int], _Book] = {}
        self._snapshots = Snapshots(table)
        self._last_ns = 0

    def add(self, rows: MarketRows) -> None:
        if not rows.seq.size:
            return
        self._last_ns = int(rows.ts_recv_ns[-1])
        self._snapshots.add(rows)
        told = take(rows, rows.kind == Kind.BOOK_STATUS)
        columns = (told.lane, told.symbol, told.ts_recv_ns, told.code, told.qty)
        for lane, symbol, at_ns, code, evicted in zip(*(c.tolist() for c in columns), strict=True):
            book, state = self._books.setdefault((lane, symbol), _Book()), BookState(code)
            book.until(at_ns)
            if state is not book.state:
                book.entered[state] += 1
            book.state, book.was_good = state, book.was_good or state in GOOD
            book.evicted = book.evicted if np.isnan(evicted) else int(evicted)

    def stories(self) -> list[BookStory]:
        """Books that had a status row, in the order of the table."""
        made, bare = [], set(self._snapshots.missing())
        for place, name in self._ids.items():
            book = self._books.get(place)
            if book is None:
                continue
            book.until(self._last_ns)
            synced_s, lost_s = book.synced_ns / 1e9, book.lost_ns / 1e9
            made.append(
                BookStory(
                    name, dict(book.entered), synced_s, lost_s, book.evicted, book.state,
                    name not in bare,
                )
            )  # fmt: skip
        return made


def troubles(stories: Sequence[BookStory]) -> str | None:
    """One line about the books that could not be used all the time; None if all could."""
    found = [story for story in stories if not story.is_sound and story.has_snapshot]
    if not found:
        return None
    said = [
        f"{story.instrument} for {story.lost_s:,.0f} s"
        f" (gaps: {story.states.get(BookState.GAP, 0):,}; at the end {story.last.name.lower()}"
        + (f"; levels dropped: {story.evicted:,})" if story.evicted else ")")
        for story in found[:3]
    ]
    more = f", and {len(found) - 3:,} others" if len(found) > 3 else ""
    return f"Order books that could not be trusted: {', '.join(said)}{more}."


class Snapshots:
    """Which books of some rows have changes, and no snapshot that these could change."""

    def __init__(self, table: InstrumentTable) -> None:
        self._arrays = table.arrays()
        self._names = [one.id for one in table.instruments]
        self._seen = np.zeros((len(self._names), 2), bool)  # a row of the book, one of a snapshot

    def add(self, rows: MarketRows) -> None:
        for n, flags in enumerate((np.uint8(0), np.uint8(Flag.SNAPSHOT))):
            mine = (rows.kind == Kind.BOOK) & (rows.flags & flags == flags)
            mine &= (rows.lane >= 0) & (rows.lane < self._arrays.base.size)
            lane, symbol = rows.lane[mine], rows.symbol[mine]
            known = (symbol >= 0) & (symbol < self._arrays.n_of_lane[lane])
            self._seen[self._arrays.base[lane[known]] + symbol[known], n] = True

    def missing(self) -> list[str]:
        """Instruments, in the order of the table."""
        bare = self._seen[:, 0] & ~self._seen[:, 1]
        return [name for name, each in zip(self._names, bare, strict=True) if each]


def without_snapshot(names: Sequence[str]) -> str | None:
    """One line about books that cannot begin; None if all can."""
    if not names:
        return None
    shown = ", ".join(names[:NAMES_SHOWN])
    more = f" and {len(names) - NAMES_SHOWN:,} others" if len(names) > NAMES_SHOWN else ""
    return (
        f"No snapshot of {shown}{more} lies in this span: what its book held before is not known, "
        "so its depth features are null (where the book comes order by order, for its first "
        f"{BEGUN_EMPTY_NS // MINUTE_NS} minutes) and all engines are refused on it "
        "(BOOK_UNHEALTHY)."
    )
