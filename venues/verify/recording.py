"""Verifies a recording of raw frames: parsed, judged, and every book in it rebuilt."""

from collections.abc import Callable
from pathlib import Path

from venues.frames.files import FrameFile, RecordingError
from venues.frames.parsed import Account, FrameClass, Parsed
from venues.frames.registry import NoParserError
from venues.frames.settled import settle
from venues.frames.synchroniser import Judged
from venues.verify.books import VenueBooks
from venues.verify.evidence import checks_of_venues
from venues.verify.report import (
    Check,
    Count,
    FileReport,
    Outcome,
    Place,
    StreamReport,
)

PLACES_MAX = 8  # of each reason
REASONS_MAX = 256  # of a file; a damaged one must not fill the memory with reasons
PROGRESS_LINES = 1_024

Progress = Callable[[int], None]  # lines read since the last call


def verify_recording(path: Path, progress: Progress = lambda lines: None) -> FileReport:
    """Read a recording once and say what holds.

    Notes
    -----
    Memory: one chunk of rows, the books, and quotes that wait for their message, all bounded.

    Raises
    ------
    NoParserError
        The file is of a venue without a parser, or all of its lines are.
    RecordingError
        No such file, not a recording, damaged, or without a frame.
    """
    file, tally, lines = FrameFile(path), _Tally(), 0
    venues: dict[str, VenueBooks] = {}
    unlisted = ""
    for step in settle(file):
        place = Place(0, 0)
        if step.line is not None:
            lines += 1
            place = Place(step.line.line, step.line.ts_recv_ns)
            if lines % PROGRESS_LINES == 0:
                progress(PROGRESS_LINES)
        parser = file.parsers.get(step.venue)
        if parser is None:
            unlisted = unlisted or step.venue
        elif step.venue not in venues:
            venues[step.venue] = VenueBooks(parser.venue, parser.instruments)
        for judged in step.decided:
            tally.add(step.venue, judged, place if judged.parsed is step.parsed else None)
            if parser is not None:
                venues[step.venue].add(judged, place)
    progress(lines % PROGRESS_LINES)
    if not lines:
        raise RecordingError("it holds no frame", str(path), "Leave it out, or record it again")
    if not venues:
        raise NoParserError(unlisted)
    reports = {name: books.finish() for name, books in venues.items()}
    evidence = {
        name: [one.evidence for one in books.books.values()] for name, books in venues.items()
    }
    rows = sum(books.rows for books in venues.values())
    return FileReport(
        file=str(path),
        venues=tuple(venues),
        frames=lines,
        streams=tally.streams(),
        books=tuple(report for each in reports.values() for report in each),
        checks=(tally.check(lines, rows), *checks_of_venues(evidence, reports)),
        counts=tally.counts(),
    )


class _Tally:
    """The classes of all frames, by message type, and why some became no rows."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], Account] = {}
        self._reasons: dict[tuple[str, str], int] = {}
        self._places: dict[tuple[str, str], list[Place]] = {}

    def add(self, venue: str, judged: Judged, place: Place | None) -> None:
        """Count a frame where it was decided; its place is None where it had to wait before."""
        parsed = judged.parsed
        self._of.setdefault((venue, parsed.stream), Account()).add(parsed)
        for what, reason, n in _reasons(parsed):
            key = what, reason
            if key not in self._reasons and len(self._reasons) >= REASONS_MAX:
                key = what, "other reasons"
            self._reasons[key] = self._reasons.get(key, 0) + n
            places = self._places.setdefault(key, [])
            if place is not None and len(places) < PLACES_MAX:
                places.append(place)

    def streams(self) -> tuple[StreamReport, ...]:
        return tuple(
            StreamReport(
                venue=venue,
                stream=stream,
                frames=one.frames,
                data=one.classes[FrameClass.DATA],
                superseded=one.classes[FrameClass.SUPERSEDED],
                control=one.classes[FrameClass.CONTROL],
                unused=one.classes[FrameClass.KNOWN_UNUSED],
                quarantined=one.classes[FrameClass.QUARANTINED],
                elements=one.elements,
                rows=one.rows,
                refused=one.refused,
            )
            for (venue, stream), one in self._of.items()
        )

    def counts(self) -> tuple[Count, ...]:
        return tuple(
            Count(what, reason, n, tuple(self._places[what, reason]))
            for (what, reason), n in self._reasons.items()
        )

    def check(self, lines: int, rows: int) -> Check:
        """Whether both identities close, against lines and rows that were counted elsewhere."""
        problems = [
            f"{venue} {stream}: {problem}"
            for (venue, stream), one in self._of.items()
            for problem in one.problems()
        ]
        frames = sum(one.frames for one in self._of.values())
        made = sum(one.rows for one in self._of.values())
        elements = sum(one.elements for one in self._of.values())
        if frames != lines:
            problems.append(f"{lines:,} lines, but {frames:,} frames are accounted for")
        if made != rows:
            problems.append(f"{made:,} rows are accounted for, but {rows:,} were made")
        says = "; ".join(problems) or f"{frames:,} frames and {elements:,} elements add up"
        outcome = Outcome.FAILED if problems else Outcome.PASSED
        return Check("accounts", outcome, says, frames, frames if not problems else 0)


def _reasons(parsed: Parsed) -> list[tuple[str, str, int]]:
    """What of a frame became no rows, why, and how much."""
    if parsed.kind in (FrameClass.SUPERSEDED, FrameClass.QUARANTINED):
        return [(parsed.kind.name.lower(), parsed.reason, 1)]
    return [("refused", one.reason, one.elements) for one in parsed.refused]
