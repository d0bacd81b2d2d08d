"""The frames of a recording as they settle: parsed, and judged by their chains and checksums."""

from collections.abc import Iterator
from typing import NamedTuple

from venues.frames.files import FrameFile, Recorded
from venues.frames.parsed import Parsed
from venues.frames.sequence import Verdict
from venues.frames.synchroniser import Judged, Synchroniser


class Settled(NamedTuple):
    """One line of a recording, and the frames that are decided with it."""

    line: Recorded | None  # None at the end of the file: what still waited
    venue: str
    parsed: Parsed | None
    decided: list[Judged]


def settle(file: FrameFile) -> Iterator[Settled]:
    """Every frame of the file once, in the order in which its rows may be used.

    Frames that number their connection begin anew where the recording connects again.
    """
    syncs: dict[str, Synchroniser] = {}
    numbered: set[str] = set()
    for line, parsed in file:
        venue = line.venue or file.venue
        parser = file.parsers.get(venue)
        if parser is None:  # quarantined: the line names a venue that has no parser
            yield Settled(line, venue, parsed, [Judged(parsed, (), Verdict.UNPROVABLE)])
            continue
        waited: list[Judged] = []
        if venue in numbered and line.ours == "connected":
            waited = syncs.pop(venue).flush()
            numbered.discard(venue)
        sync = syncs.setdefault(venue, Synchroniser(parser.venue))
        decided = sync.accept(parsed)
        if any(one.connection != Verdict.UNPROVABLE for one in decided):
            numbered.add(venue)
        yield Settled(line, venue, parsed, waited + decided)
    for venue, sync in syncs.items():
        yield Settled(None, venue, None, sync.flush())
