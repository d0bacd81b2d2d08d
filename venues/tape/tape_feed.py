"""Any number of tapes as one feed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from schemas.instruments import USD_AT_PAR, InstrumentTable
from schemas.kinds import Kind
from schemas.rows import MarketRows
from venues.feed import SourceInfo, rebatch
from venues.tape.discover import discover
from venues.tape.errors import TapeError
from venues.tape.layouts import ORDERS
from venues.tape.merge import merge
from venues.tape.order_stream import OrderStream
from venues.tape.orders import order_feed
from venues.tape.scan import Scan, scan
from venues.tape.stream import Stream
from venues.venue_classes import venue_class

LATENCY_NS = 5_000_000  # 5 ms: a plain path to a venue, where a tape has no receive times
INTERVALS_MAX = 32  # lengths of bars in one file; each is read on its own
LANES_MAX = 1024


@dataclass(frozen=True)
class TapeFeed:
    """Recorded tapes as a feed; see `open_tapes`."""

    table: InstrumentTable
    names: list[str]
    n_rows: int
    simulated: bool
    has_recv: bool
    description: list[SourceInfo]
    streams: list[Stream | OrderStream]
    cuts: list[tuple[int, int]]  # per stream, rows inside the cut

    def read(self, start: int, batch_rows: int) -> Iterator[MarketRows]:
        """Rows from merged position `start` on; what stands before is merged and passed over."""
        chunks: list[Iterable[MarketRows]] = [
            stream.chunks(*cut) for stream, cut in zip(self.streams, self.cuts, strict=True)
        ]
        return rebatch(merge(chunks), skip_rows=start, batch_rows=batch_rows)


def open_tapes(
    paths: Iterable[str | Path],
    *,
    from_ns: int | None = None,
    to_ns: int | None = None,
    lanes: int = 8,
    one_lane: bool = False,
    latency_ns: int = LATENCY_NS,
    at_par: Sequence[str] = USD_AT_PAR,
) -> TapeFeed:
    """Look through tapes once and make them one feed.

    Parameters
    ----------
    paths : files in Parquet, in any order
        Layouts trades, quotes, book, bars, quote_bars, funding, open_interest, mark_price, options,
        futures_chain and orders_l3, told by their columns. Sources are numbered in the order of
        folder and file name, so that the same tapes give the same rows however they are listed.
    from_ns, to_ns : int, optional
        Keep rows with from_ns <= ts_recv_ns < to_ns. The instrument table is that of all rows.
    lanes : int
        Number of lanes; see `discover` for who shares one.
    one_lane : bool
        All assets share the first, so that features can compare them.
    latency_ns : int
        Added to venue times to stand for receive times, where not every tape has these.
    at_par : sequence of str
        Assets that count as one USD each.

    Notes
    -----
    Bars, and quotes made from bars or samples, are stamped with their end, when they are known.
    Rows are never dropped: a defect is a `reason`. Funding and open interest keep the source's
    stamp.

    Raises
    ------
    TapeError
        For a file that is missing, damaged, empty, of an unsupported layout, with a missing column
        or a wrong type, given twice, of an unknown venue, and for a cut that leaves no row.
    """
    if not 1 <= lanes <= LANES_MAX:
        raise ValueError(f"lanes must be in 1..{LANES_MAX}, was {lanes}")
    if latency_ns < 0:
        raise ValueError(f"latency_ns must not be negative, was {latency_ns}")
    scans = sorted((scan(path) for path in _each_once(paths)), key=lambda s: (s.name, s.sha256))
    has_recv = all(one.has_recv and one.first_recv_ns is not None for one in scans)
    table = discover(scans, lanes=lanes, has_recv=has_recv, one_lane=one_lane, at_par=at_par)
    rows_of = {(i.venue, i.name): k for k, i in enumerate(table.instruments)}
    _check_orders(scans)
    streams = [
        OrderStream(one, source, table, rows_of, has_recv, latency_ns)
        if one.layout is ORDERS
        else Stream(one, source, table, rows_of, interval_s, has_recv, latency_ns)
        for source, one in enumerate(scans)
        for interval_s in _intervals(one)
    ]
    cuts = [_cut(stream, from_ns, to_ns) for stream in streams]
    n_rows = [0] * len(scans)
    for stream, (start, stop) in zip(streams, cuts, strict=True):
        n_rows[stream.source] += stop - start
    if not sum(n_rows):
        raise TapeError(
            "no row lies in the period asked for",
            ", ".join(one.name for one in scans),
            f"The tapes have venue times from {_utc(min(one.first_ts_ns or 0 for one in scans))}"
            f" to {_utc(max(one.last_ts_ns for one in scans))}",
        )
    return TapeFeed(
        table=table,
        names=[one.name for one in scans],
        n_rows=sum(n_rows),
        simulated=any(venue_class(i.venue).what == "simulated" for i in table.instruments),
        has_recv=has_recv,
        description=[_info(one, n) for one, n in zip(scans, n_rows, strict=True)],
        streams=streams,
        cuts=cuts,
    )


def _each_once(paths: Iterable[str | Path]) -> list[Path]:
    found = [Path(path) for path in paths]
    if not found:
        raise TapeError("no file was given", "tapes", "Name at least one Parquet file")
    seen: set[Path] = set()
    for path in found:
        if path.resolve() in seen:
            raise TapeError("the file is given twice", str(path), "Name each tape once")
        seen.add(path.resolve())
    return found


def _check_orders(scans: list[Scan]) -> None:
    """Tapes of single orders: venues whose words are known, and trades that come once."""
    for one in scans:
        if one.layout is not ORDERS:
            continue
        feeds = {market: order_feed(one.path, market[0]) for market in one.markets}
        telling = {market for market, feed in feeds.items() if feed.trade}
        for other in scans:
            if other.layout.name == "trades" and telling & set(other.markets):
                raise TapeError(
                    f"its trades are in {one.name} too",
                    str(other.path),
                    "Leave one of the two out, or every trade counts twice",
                )


def _intervals(one: Scan) -> list[int] | list[None]:
    if len(one.intervals_s) > INTERVALS_MAX:
        raise TapeError(
            f"bars of {len(one.intervals_s)} lengths",
            str(one.path),
            f"Split it into files of at most {INTERVALS_MAX} lengths",
        )
    return one.intervals_s or [None]


def _cut(stream: Stream | OrderStream, from_ns: int | None, to_ns: int | None) -> tuple[int, int]:
    """First row of the stream inside the cut, and the first after it."""
    if from_ns is None and to_ns is None and len(stream.scan.intervals_s) <= 1:
        return 0, stream.scan.n_rows
    start = stop = 0
    for ts_ns in stream.times():
        start += 0 if from_ns is None else int(np.searchsorted(ts_ns, from_ns, side="left"))
        stop += ts_ns.size if to_ns is None else int(np.searchsorted(ts_ns, to_ns, side="left"))
    return start, max(start, stop)


def _info(one: Scan, n_rows: int) -> SourceInfo:
    return SourceInfo(
        name=one.name,
        kind=one.layout.name,
        rows=n_rows,
        first_ns=one.first_ts_ns or 0,
        last_ns=one.last_ts_ns,
        sha256=one.sha256,
        cadence_s=max(one.intervals_s, default=0) if one.layout.kind == Kind.QUOTE else 0,
    )


def _utc(ts_ns: int) -> str:
    """A time for people, to the second, as `--from` takes it."""
    return f"{datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC):%Y-%m-%dT%H:%M:%S} UTC"
