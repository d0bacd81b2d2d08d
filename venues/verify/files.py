"""Files of any kind that a person names: what each is, and what it is verified with."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from venues.frames.files import RecordingError, count_lines
from venues.frames.registry import NoParserError
from venues.tape import TapeError
from venues.tape.columns import open_parquet
from venues.tape.layouts import ORDERS, SNAPSHOTS
from venues.verify.orders import verify_orders
from venues.verify.recording import verify_recording
from venues.verify.report import FileReport, Outcome
from venues.verify.snapshots import span_of
from venues.verify.tape import layout_name, verify_tape

Progress = Callable[[int], None]  # lines or rows read since the last call

PASSED, FAILED, NOTHING = 0, 1, 2  # what a run of several files comes to
_REFUSALS = (NoParserError, RecordingError, TapeError)
_QUOTES = "quotes"  # the layout, and the folder beside a book's where its quotes are looked for


@dataclass(frozen=True)
class Refusal:
    """A file that could not be verified at all."""

    file: str
    why: str
    outcome: str = "refused"


@dataclass(frozen=True)
class Job:
    """One file to verify."""

    path: Path
    size: int  # lines or rows
    is_tape: bool
    quotes: Path | None = None
    snapshots: Path | None = None
    layout: str = ""  # of a tape

    def run(self, progress: Progress) -> FileReport | Refusal:
        """Verify it; what cannot be read, or is of a venue that is not listed, is refused."""
        try:
            if self.layout == ORDERS.name:
                return verify_orders(self.path, self.snapshots, progress)
            if self.is_tape:
                return verify_tape(self.path, self.quotes, progress, snapshots=self.snapshots)
            return verify_recording(self.path, progress)
        except _REFUSALS as error:
            return refusal(self.path, error)


def jobs(paths: Sequence[Path]) -> Iterator[Job | Refusal]:
    """What to do with each file, in the order given.

    Tapes of quotes are no jobs of their own: they go with the book of the same file name, or with
    the only book. A book without quotes among the files takes those of its name in the folder
    `quotes` beside its own. Neither are files of snapshots: they go with the book, or the orders,
    of the same file name, or else of the same market and period; without one among the files that
    of its name in the folder `book_snapshots` is taken.
    """
    tapes = [path for path in paths if _is_parquet(path)]
    layouts = {}
    for path in tapes:
        try:
            layouts[path] = layout_name(path)
        except TapeError:
            continue  # said when its turn comes
    quotes = [path for path, layout in layouts.items() if layout == _QUOTES]
    books = [path for path, layout in layouts.items() if layout == "book"]
    pairs = {path: _quotes_of(path, quotes, books) for path in books}
    snapshots = [path for path, layout in layouts.items() if layout == SNAPSHOTS.name]
    shown = {
        path: _snapshots_of(path, snapshots)
        for path, layout in layouts.items() if layout in ("book", ORDERS.name)
    }  # fmt: skip
    taken = {*pairs.values(), *shown.values()}
    for path in paths:
        if path in (*quotes, *snapshots) and path in taken:
            continue
        try:
            if _is_parquet(path):
                size = open_parquet(path).metadata.num_rows
                yield Job(
                    path, size, is_tape=True, quotes=pairs.get(path), snapshots=shown.get(path),
                    layout=layouts.get(path, ""),
                )  # fmt: skip
            else:
                yield Job(path, count_lines(path), is_tape=False)
        except _REFUSALS as error:
            yield refusal(path, error)


def refusal(path: Path, error: Exception) -> Refusal:
    """Why a file is refused; the message of a damaged file names it already."""
    why = str(error)
    return Refusal(str(path), why if str(path) in why else f"{path}: {why}")


def exit_code(found: Iterable[FileReport | Refusal]) -> int:
    """1 if a check failed; 2 if a file was refused or nothing could be verified; else 0."""
    outcomes = {one.outcome for one in found}
    if Outcome.FAILED in outcomes:
        return FAILED
    if "refused" in outcomes or Outcome.PASSED not in outcomes:
        return NOTHING
    return PASSED


def _is_parquet(path: Path) -> bool:
    if path.suffix == ".parquet" or not path.is_file():
        return path.suffix == ".parquet"
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _quotes_of(book: Path, quotes: Sequence[Path], books: Sequence[Path]) -> Path | None:
    named = next((path for path in quotes if path.name == book.name), None)
    if named is not None:
        return named
    if len(books) == 1 and len(quotes) == 1:
        return quotes[0]
    return _beside(book, _QUOTES)


def _snapshots_of(book: Path, snapshots: Sequence[Path]) -> Path | None:
    try:
        span = span_of(book) if snapshots else None
        fitting = [path for path in snapshots if span and span.meets(span_of(path))]
    except TapeError:
        return None  # said when its turn comes
    named = [path for path in fitting if path.name == book.name]
    return next(iter([*named, *fitting]), None) or _beside(book, SNAPSHOTS.name)


def _beside(book: Path, folder: str) -> Path | None:
    """The file of the same name in a folder beside the book's."""
    beside = book.resolve().parent.parent / folder / book.name
    return beside if beside.is_file() and beside.parent != book.resolve().parent else None
