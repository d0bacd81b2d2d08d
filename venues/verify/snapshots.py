"""A file of a venue's own snapshots (layout book_snapshots) beside the book of a tape."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from schemas.kinds import Side
from schemas.rows import F8, I8, concat, empty, take
from venues.tape.columns import NameCodes, batches, floats, open_parquet
from venues.tape.errors import TapeError
from venues.tape.layouts import SNAPSHOTS, check_columns
from venues.tape.scan import times
from venues.verify.evidence import Shown
from venues.verify.quotes import ByOrder, Quotes, Tops
from venues.verify.tolerance import Tolerance

CHUNK_ROWS = 16_384  # 40 columns and more

Market = tuple[str, str]  # venue, symbol
Levels = list[tuple[float, float]]  # price and quantity, the best first

WORDS = {Side.BUY: "bid", Side.SELL: "ask"}


class Snapshots(NamedTuple):
    """Some rows of one book. Levels that a row does not have are NaN."""

    row: I8  # of the file, from 0
    ts_ns: I8  # 0 where it has no time
    price: dict[Side, F8]  # (rows, levels)
    qty: dict[Side, F8]

    def levels(self, k: int, side: Side) -> Levels:
        """The levels of row `k`."""
        pairs = zip(self.price[side][k].tolist(), self.qty[side][k].tolist(), strict=True)
        return [(price, qty) for price, qty in pairs if not math.isnan(price)]

    @property
    def depth(self) -> int:
        """Levels that a row has room for, on each side."""
        return int(self.price[Side.BUY].shape[1])


class Span(NamedTuple):
    """What a tape is about."""

    markets: frozenset[Market]
    begin_ns: int
    end_ns: int

    def meets(self, other: "Span") -> bool:
        """Whether some market and some time are in both."""
        together = self.begin_ns <= other.end_ns and other.begin_ns <= self.end_ns
        return together and bool(self.markets & other.markets)


def span_of(path: Path) -> Span:
    """Markets and period of a tape. TapeError if it cannot be read."""
    markets: set[Market] = set()
    begin_ns, end_ns = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    for batch in batches(path, ["ts_ns", "venue", "symbol"]):
        names = pa.table({"venue": batch["venue"], "symbol": batch["symbol"]}).group_by(
            ["venue", "symbol"]
        )
        markets |= {(one["venue"], one["symbol"]) for one in names.aggregate([]).to_pylist()}
        ts_ns, real = times(batch, "ts_ns")
        ts_ns = ts_ns if real is None else ts_ns[real]
        begin_ns = int(ts_ns.min(initial=begin_ns))
        end_ns = int(ts_ns.max(initial=end_ns))
    return Span(frozenset(markets), begin_ns, end_ns)


def snapshots_of(path: Path, market: Market) -> Iterator[Snapshots]:
    """The snapshots of one book, in the order of the file. TapeError if it cannot be read."""
    schema = open_parquet(path).schema_arrow
    check_columns(path, schema, SNAPSHOTS)
    depth = 1
    while {f"bid_px_{depth}", f"ask_px_{depth}"} <= set(schema.names):
        depth += 1
    names = [f"{w}_{what}_{k}" for w in ("bid", "ask") for what in ("px", "sz")
             for k in range(depth)]  # fmt: skip
    missing = [name for name in names if name not in schema.names]
    if missing:
        raise TapeError(f"the column {missing[0]} is missing", str(path), "Give each level a size")
    codes, first = NameCodes(lambda *pair: 0 if pair == market else -1), 0
    for batch in batches(path, ["ts_ns", "venue", "symbol", *names]):
        for begin in range(0, batch.num_rows, CHUNK_ROWS):
            part = batch.slice(begin, CHUNK_ROWS)
            mine = np.flatnonzero(codes(part) == 0)
            ts_ns, real = times(part, "ts_ns")
            ts_ns = ts_ns if real is None else np.where(real, ts_ns, 0)
            price, qty = (
                {side: _columns(part, f"{word}_{what}", depth)[mine]
                 for side, word in WORDS.items()}
                for what in ("px", "sz")
            )  # fmt: skip
            yield Snapshots(mine + first, ts_ns[mine], price, qty)
            first += part.num_rows


class ByTime:
    """Each snapshot's best prices against the book as it stood at the snapshot's time.

    Parameters
    ----------
    snapshots : iterator of Snapshots
        In the order of their times; one without a time, or of an earlier one, is passed over.
    """

    def __init__(self, snapshots: Iterator[Snapshots], rule: Tolerance) -> None:
        self.found = Shown()
        self._rows, self._matcher = snapshots, ByOrder(sizes=False, after_s=rule.after_s)
        self._waiting, self._ended = empty(Quotes), False
        self._newest_ns = 0  # of the tops

    def add(self, tops: Tops, ts_ns: I8) -> None:
        """Take tops, and the times of their messages; one that goes back counts as the newest."""
        if not ts_ns.size:
            return
        ts_ns = np.maximum.accumulate(np.maximum(ts_ns, self._newest_ns))
        self._newest_ns = int(ts_ns[-1])
        while not self._ended and not self._reaches(int(ts_ns[-1])):
            self._read()
        ready = int(np.searchsorted(self._waiting.ts_recv_ns, ts_ns[-1]))
        self._lay(tops._replace(seq=ts_ns, ts_recv_ns=ts_ns), ready)

    def finish(self) -> Shown:
        """Compare what is left; what comes after the tape's last message cannot be."""
        while not self._ended:
            self._read()
        ready = int(np.searchsorted(self._waiting.ts_recv_ns, self._newest_ns, side="right"))
        self._lay(empty(Tops), ready)
        self.found.outside = self._waiting.seq.size
        self.found.agreement = self._matcher.finish()
        return self.found

    def _reaches(self, ts_ns: int) -> bool:
        times_ns = self._waiting.ts_recv_ns
        return bool(times_ns.size and times_ns[-1] >= ts_ns)

    def _read(self) -> None:
        rows = next(self._rows, None)
        if rows is None:
            self._ended = True
            return
        self.found.rows += rows.row.size
        newest_ns = self._waiting.ts_recv_ns[-1:].max(initial=0)
        top = np.maximum.accumulate(np.maximum(rows.ts_ns, newest_ns))
        kept = np.flatnonzero((rows.ts_ns == top) & (rows.ts_ns > 0))
        self._matcher.found.late += rows.row.size - kept.size
        made = empty(Quotes, kept.size)
        # After the messages of the same time: both files have it from one clock.
        made = made._replace(seq=rows.ts_ns[kept] + 1, ts_recv_ns=rows.ts_ns[kept])
        for side, word in WORDS.items():
            best, size = rows.price[side][kept, 0], rows.qty[side][kept, 0]
            made = made._replace(**{f"{word}_px": best, f"{word}_qty": size})
        self._waiting = concat([self._waiting, made])

    def _lay(self, tops: Tops, ready: int) -> None:
        self._matcher.add(tops, take(self._waiting, slice(0, ready)))
        self._waiting = take(self._waiting, slice(ready, None))


def _columns(part: pa.RecordBatch, word: str, depth: int) -> F8:
    """The columns of all levels, (rows, levels)."""
    return np.stack([floats(part, f"{word}_{k}")[0] for k in range(depth)], axis=1)
