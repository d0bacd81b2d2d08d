"""How fast a full-depth book is on one core: rows in hand to serialised tops.

    trifecta bench book [--json]

On two recorded perpetuals, and only after the rebuilt top of every message was found equal to the
venue's own quotes. Beside each figure stands its twin: a kernel that only reads the columns that
the book reads, called in the same batches. Processor time, so that others on the machine do not
count (they do in p50 and p99); measured in child processes pinned to one core.
"""

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from time import perf_counter_ns, process_time
from typing import Any

import numpy as np

from operators.arrays import F8, kernel
from operators.market.books.l2 import LEVELS_MAX, BookColumns, L2Books
from operators.market.books.l2_state import BookTerms, L2State
from schemas.rows import MarketRows, concat, to_batch
from venues.tape import TapeError, open_tapes
from venues.verify import compare as compare  # bench.features verifies with it too

RECORDINGS = ("binance_usdm_BTCUSDT_20240808T2354", "binance_usdm_ETHUSDT_20240808T2354")
SNAPSHOT_LEVELS = 1_000  # a side: what the recorded snapshots were asked for
BATCHES = {1: 50_000, 100: 200_000, 1_000: 200_000}  # rows a call, and rows measured: the last
LAPS = 5  # over the same rows from the same state; the median counts
AIM_PER_S = 5_000_000


def main(json_output: bool) -> None:
    """Run all measurements and print them; as JSON on standard output if asked for.

    TapeError where the recordings are not there.
    """
    folder = _folder()
    found: dict[str, Any] = {
        "books": [_child(folder, name) for name in RECORDINGS],
        "aim_updates_per_s": AIM_PER_S,
        "machine": {"cpu": _cpu(), "python": platform.python_version(), "cores_used": 1},
    }
    if json_output:
        print(json.dumps(found, indent=2))
        return
    for book in found["books"]:
        print(
            f"{book['recording']}: {book['verified']['equal']:,} of "
            f"{book['verified']['compared']:,} changes equal the venue's quote; "
            f"{book['levels']:,} levels, {book['bytes']:,} bytes of {book['bytes_budget']:,}"
        )
        for run in book["runs"]:
            print(
                f"{run['batch_rows']:>8,} rows a call: {run['updates_per_s']:>12,.0f} updates/s, "
                f"{run['times_reading']:>5.1f} times the cost of reading, "
                f"p50 {run['us_p50']:,.1f} p99 {run['us_p99']:,.1f} us a call"
            )


def _folder() -> Path:
    """Where the recordings are. TapeError if they are not."""
    house = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("TRIFECTA_DATA") or house.parent / "shared" / "data")
    for name in RECORDINGS:
        for kind in ("book", "quotes"):
            path = folder / kind / f"{name}.parquet"
            if not path.is_file():
                raise TapeError(
                    "the recording that this measures is not there", str(path),
                    "Set TRIFECTA_DATA to the folder with book/ and quotes/",
                )  # fmt: skip
    return folder


def _child(folder: Path, name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.book", str(folder), name]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _measure(folder: Path, name: str) -> dict[str, Any]:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    feed = open_tapes([folder / "book" / f"{name}.parquet"])
    rows, n = concat(list(feed.read(0, 65_536))), len(feed.table.instruments)
    cut = np.full(n, SNAPSHOT_LEVELS, np.int64)
    operator = L2Books(feed.table.arrays(), BookTerms.full(n)._replace(snapshot_depth=cut))
    state, top = operator.step(operator.initial(), rows)
    verified = compare(top, folder / "quotes" / f"{name}.parquet")
    if verified.equal != verified.compared or verified.unsynced:
        raise RuntimeError(f"{name}: the book is wrong, its speed means nothing: {verified}")
    return {
        "recording": name,
        "rows": int(rows.seq.size),
        "messages": int(top.seq.size),
        "verified": asdict(verified),
        "levels": int(top.n_bids[-1] + top.n_asks[-1]),
        "levels_evicted": int(top.evicted[-1]),
        "bytes": sum(part.nbytes for part in state),
        "bytes_budget": 2 * 16 * LEVELS_MAX,
        "runs": [
            _batches(operator, rows, size, measured) for size, measured in BATCHES.items()
        ],
    }  # fmt: skip


def _batches(operator: L2Books, rows: MarketRows, size: int, measured: int) -> dict[str, Any]:
    """The last rows of the recording, so many a call."""
    start = rows.seq.size - measured
    state, _ = operator.step(operator.initial(), _part(rows, 0, start))
    saved = operator.dump(state)
    batches = [_part(rows, at, at + size) for at in range(start, rows.seq.size, size)]
    book_s, read_s, calls_ns = [], [], np.empty(0, np.int64)
    for _ in range(LAPS):
        spent_s, ns, out_bytes = _lap(operator, operator.load(saved), batches)
        book_s.append(spent_s)
        calls_ns = np.concatenate([calls_ns, ns])
        read_s.append(_reading(batches))
    book, read = float(np.median(book_s)), float(np.median(read_s))
    return {
        "batch_rows": size,
        "rows": measured,
        "updates_per_s": measured / book,
        "reads_per_s": measured / read,
        "times_reading": book / read,
        "us_p50": float(np.percentile(calls_ns, 50)) / 1e3,
        "us_p99": float(np.percentile(calls_ns, 99)) / 1e3,
        "bytes_out": out_bytes,
    }


def _lap(operator: L2Books, state: L2State, batches: list[MarketRows]) -> tuple[float, Any, int]:
    """Processor seconds, wall nanoseconds of each call, and bytes that came out."""
    ns, out_bytes = np.empty(len(batches), np.int64), 0
    start_s = process_time()
    for i, batch in enumerate(batches):
        start_ns = perf_counter_ns()
        state, top = operator.step(state, batch)
        if top.seq.size:
            out_bytes += to_batch(top).serialize().size
        ns[i] = perf_counter_ns() - start_ns
    return process_time() - start_s, ns, out_bytes


def _reading(batches: list[MarketRows]) -> float:
    """Processor seconds for reading the columns of the same batches, and nothing else."""
    total = np.zeros(1)
    start_s = process_time()
    for batch in batches:
        _read(BookColumns(*(getattr(batch, name) for name in BookColumns._fields)), total)
    return process_time() - start_s


@kernel
def _read(rows: BookColumns, total: F8) -> None:
    for i in range(rows.kind.size):
        total[0] += (
            rows.kind[i] + rows.flags[i] + rows.lane[i] + rows.symbol[i] + rows.side[i]
            + rows.price[i] + rows.qty[i] + rows.venue_seq[i] + rows.source[i]
            + rows.source_row[i] + rows.seq[i] + rows.ts_event_ns[i] + rows.ts_recv_ns[i]
            + rows.code[i] + rows.reason[i]
        )  # fmt: skip


def _part(rows: MarketRows, start: int, stop: int) -> MarketRows:
    return MarketRows._make(column[start:stop] for column in rows)


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]), sys.argv[2])))
