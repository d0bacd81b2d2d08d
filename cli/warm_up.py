"""The whole chain over one row: what compiles or loads has done so before a run is timed."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from threading import Timer

from rich.console import Console

from flows.desk_run import RunRecord, run_desk
from flows.log.memory import MemoryLog
from flows.settings import RunSettings
from models.session import StreamModel
from schemas.instruments import InstrumentTable
from schemas.rows import MarketRows
from venues.feed import Feed, SourceInfo

LONG_S = 4.0  # from the kernels' cache it takes about one


@dataclass(frozen=True)
class _FirstRow:
    """A feed that ends after its first row."""

    feed: Feed

    @property
    def table(self) -> InstrumentTable:
        return self.feed.table

    @property
    def names(self) -> list[str]:
        return self.feed.names

    @property
    def n_rows(self) -> int:
        return 1

    @property
    def simulated(self) -> bool:
        return self.feed.simulated

    @property
    def has_recv(self) -> bool:
        return self.feed.has_recv

    @property
    def description(self) -> list[SourceInfo]:
        return self.feed.description

    def read(self, start: int, batch_rows: int) -> Iterator[MarketRows]:
        if start == 0:
            yield next(self.feed.read(0, 1))


def warm_up(
    feed: Feed,
    settings: RunSettings,
    record: RunRecord,
    model: StreamModel | None,
    console: Console,
) -> bool:
    """Run one row into nowhere, saying so where that takes long; False if a stop was asked for."""
    told = Timer(LONG_S, console.print, ["compiling kernels, once; with many features for minutes"])
    told.daemon = True
    if not os.environ.get("TRIFECTA_NO_NUMBA"):
        told.start()
    try:
        ended = run_desk(
            MemoryLog(),
            _FirstRow(feed),
            settings,
            replace(record, run_id="warm-up"),
            model=model,
            run_dir=None,
            batch_rows=1,
            speed=None,
            progress=lambda rows: None,
            seen=lambda parcel, seconds: None,
        )
    finally:
        told.cancel()
    return ended == "finished"
