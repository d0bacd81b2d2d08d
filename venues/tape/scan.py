"""The first pass over a tape: what is in it, before any of its rows is used."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from schemas.rows import I4, I8
from venues.tape.columns import (
    Mask,
    NameCodes,
    batches,
    booleans,
    floats,
    integers,
    open_parquet,
)
from venues.tape.errors import TapeError
from venues.tape.layouts import SAMPLED_S, Layout, layout_of
from venues.tape.steps import PRICE_DECIMALS_MAX, SIZE_DECIMALS_MAX, Steps

TIME_MAX_NS = 4_102_444_800_000_000_000  # the year 2100: later is not a time, and could overflow
EARLIEST_NS = 315_532_800_000_000_000  # the year 1980: what is earlier is of another unit


@dataclass
class Scan:
    """What the first pass found in one file, over all of its rows."""

    path: Path
    name: str  # folder/file, the same wherever the tapes lie
    layout: Layout
    sha256: str
    n_rows: int
    markets: list[tuple[str, str]] = field(default_factory=list)  # (venue, symbol), as they come
    price_steps: Steps = field(default_factory=lambda: Steps(PRICE_DECIMALS_MAX))
    size_steps: Steps = field(default_factory=lambda: Steps(SIZE_DECIMALS_MAX))
    intervals_s: list[int] = field(default_factory=list)  # of bars and samples; else empty
    delay_ns_min: dict[str, int] = field(default_factory=dict)  # venue: least recv_ns - ts_ns
    has_recv: bool = True  # every row has a receive time, opening book snapshots excepted
    first_ts_ns: int | None = None  # in file order, None if no row has one
    first_recv_ns: int | None = None
    last_ts_ns: int = 0  # the greatest
    last_recv_ns: int | None = None


def scan(path: Path) -> Scan:
    """Read a file once. TapeError if it cannot be used."""
    file = open_parquet(path)
    layout = layout_of(path, file.schema_arrow)
    if file.metadata.num_rows == 0:
        raise TapeError("it has no rows", str(path), "Leave it out, or write it again")
    with path.open("rb") as raw:
        sha256 = hashlib.file_digest(raw, "sha256").hexdigest()
    name = f"{path.resolve().parent.name}/{path.name}"
    found = Scan(path, name, layout, sha256, file.metadata.num_rows)
    numbers: dict[tuple[str, str], int] = {}
    codes = NameCodes(lambda venue, symbol: numbers.setdefault((venue, symbol), len(numbers)))
    delays = np.zeros(0, np.int64)
    wanted = [*layout.columns, *layout.optional]
    intervals: set[int] = set()
    for batch in batches(path, wanted):
        market = codes(batch)
        for column in layout.prices:
            found.price_steps.add(market, floats(batch, column)[0])
        for column in layout.sizes:
            found.size_steps.add(market, floats(batch, column)[0])
        if "interval_s" in layout.columns and layout.prices:
            intervals |= set(np.unique(integers(batch, "interval_s")[0]).tolist())
        snapshot = booleans(batch, "is_snapshot") if "is_snapshot" in layout.columns else None
        delays = _add_times(found, batch, market, snapshot, delays, len(numbers))
    if layout.name == "options":
        intervals |= {SAMPLED_S[venue] for venue, _ in numbers if venue in SAMPLED_S}
    found.markets, found.intervals_s = list(numbers), sorted(intervals)
    for (venue, _), delay in zip(numbers, delays.tolist(), strict=False):
        if delay < TIME_MAX_NS:
            found.delay_ns_min[venue] = min(delay, found.delay_ns_min.get(venue, delay))
    if found.first_ts_ns is None:
        raise TapeError("no row has a time", str(path), "Check the column ts_ns")
    _check_unit("ts_ns", found.last_ts_ns, path)
    _check_unit("recv_ns", found.last_recv_ns, path)
    return found


def _check_unit(column: str, last_ns: int | None, path: Path) -> None:
    """TapeError where whole numbers are small enough to be seconds, ms or us."""
    if last_ns is not None and last_ns < EARLIEST_NS:
        raise TapeError(
            f"the newest {column} is {last_ns}, and nanoseconds since 1970 have 19 digits today",
            str(path),
            "Write the column in nanoseconds, or as timestamps with a zone",
        )


def times(batch: pa.RecordBatch, name: str) -> tuple[I8, Mask | None]:
    """A time column and which values are real times (None: all are)."""
    values, given = integers(batch, name)
    real = (values >= 0) & (values <= TIME_MAX_NS)
    if not real.all():
        given = real if given is None else given & real
    return values, given


def _add_times(
    found: Scan,
    batch: pa.RecordBatch,
    market: I4,
    snapshot: Mask | None,
    delays: I8,
    n_markets: int,
) -> I8:
    """Take in one batch's times; gives the least delay per market so far."""
    ts, ts_real = times(batch, "ts_ns")
    recv, recv_real = times(batch, "recv_ns")
    at = ts if ts_real is None else ts[ts_real]
    if at.size:
        found.last_ts_ns = max(found.last_ts_ns, int(at.max()))
        found.first_ts_ns = int(at[0]) if found.first_ts_ns is None else found.first_ts_ns
    at = recv if recv_real is None else recv[recv_real]
    if at.size:
        found.last_recv_ns = max(found.last_recv_ns or 0, int(at.max()))
        found.first_recv_ns = int(at[0]) if found.first_recv_ns is None else found.first_recv_ns
    if recv_real is not None:
        excepted = recv_real if snapshot is None else recv_real | snapshot
        found.has_recv = found.has_recv and bool(excepted.all())
    delays = np.concatenate([delays, np.full(n_markets - delays.size, TIME_MAX_NS, np.int64)])
    usable = market >= 0
    for mask in (ts_real, recv_real):
        usable = usable if mask is None else usable & mask
    usable = usable if snapshot is None else usable & ~snapshot
    if usable.any():
        np.minimum.at(delays, market[usable], (recv - ts)[usable])
    return delays
