"""Recorded frames, parsed and synchronised once for all tests of a file."""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from schemas.rows import MarketRows, concat
from venues.frames import Account, FrameFile, Judged, Parsed, Verdict, market_rows
from venues.frames.settled import settle

CHUNK_FRAMES = 4096


class Run(NamedTuple):
    """What became of a recording's frames."""

    account: Account  # as parsed
    streams: dict[str, Account]
    settled: Account  # as synchronised: what the log gets
    verdicts: Counter[Verdict]
    n_checksums: int


@cache
def run(path: Path) -> Run:
    account, settled, verdicts = Account(), Account(), Counter[Verdict]()
    streams: dict[str, Account] = {}
    n_checksums = 0
    for parsed, decided in synchronised(path):
        if parsed is not None:
            account.add(parsed)
            streams.setdefault(parsed.stream, Account()).add(parsed)
        for one in decided:
            settled.add(one.parsed)
            verdicts.update(one.verdicts)
            n_checksums += sum(book.checksum is not None for book in one.parsed.books)
    return Run(account, streams, settled, verdicts, n_checksums)


def synchronised(path: Path) -> Iterator[tuple[Parsed | None, list[Judged]]]:
    """Each frame and what is decided with it; at the end, without a frame, what still waited."""
    return ((step.parsed, step.decided) for step in settle(FrameFile(path)))


@cache
def rows_of(path: Path, n_frames: int | None = None) -> MarketRows:
    """What the log gets of a recording's first frames, or of all."""
    found = (one.parsed for _, decided in synchronised(path) for one in decided)
    frames, parts = islice(found, n_frames), []
    while chunk := list(islice(frames, CHUNK_FRAMES)):
        parts.append(market_rows(chunk))
    return concat(parts)
