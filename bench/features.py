"""How fast the order-flow features are on one core: market rows in hand to serialised values.

    trifecta bench features [--json]

All of order flow, on the quotes, trades and best five levels of a recorded perpetual, the levels
from a book that was found equal to the venue's own quotes. Beside each figure stands its twin: a
kernel that only reads the same columns, called in the same batches. Processor time, so that others
on the machine do not count (they do in p50 and p99); measured in a child process pinned to one
core.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter_ns, process_time
from typing import Any

import numpy as np
import pyarrow as pa

from bench.book import SNAPSHOT_LEVELS, compare
from operators.arrays import F8, kernel
from operators.features.feature import Terms
from operators.features.flow.events import FlowInput, flow_input
from operators.features.flow.registry import FEATURES
from operators.features.levels import BookLevels, cut_books
from operators.features.signal import SignalBlock
from operators.features.signals import Signals, SignalsState
from operators.market.books.l2 import BookTopRows, L2Books
from operators.market.books.l2_state import BookTerms
from schemas.instruments import InstrumentArrays, InstrumentTable
from schemas.kinds import Flag, Kind
from schemas.rows import MarketRows, concat, take
from venues.tape import TapeError, open_tapes

RECORDING = "binance_usdm_BTCUSDT_20240808T2354"
KINDS = ("book", "quotes", "trades")
BATCHES = {1: 20_000, 100: 80_000, 1_000: 80_000}  # rows a call, and rows measured: the last
NAMES = tuple(feature.name for feature in FEATURES)  # the full flow set
LAPS = 5  # over the same rows from the same state; the median counts
AIM_PER_S, AIM_US_P99 = 1_000_000, 100.0  # at 1,000 rows a call; a call with one row
DAILY_QTY = 250_000.0  # base units: what this market trades in a day, by its order of magnitude


def main(json_output: bool) -> None:
    """Run all measurements and print them; as JSON on standard output if asked for.

    TapeError where the recording is not there.
    """
    command = [sys.executable, "-m", "bench.features", str(_folder())]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    if json_output:
        print(json.dumps(found, indent=2))
        return
    print(
        f"{found['recording']}: {found['features']} features of {found['rows']:,} rows "
        f"({found['quotes']:,} quotes, {found['trades']:,} trades, {found['books']:,} books)"
    )
    for run in found["runs"]:
        print(
            f"{run['batch_rows']:>8,} rows a call: {run['rows_per_s']:>12,.0f} rows/s, "
            f"{run['times_reading']:>6.1f} times the cost of reading, of it serialising "
            f"{run['serialising_share']:.0%}, p50 {run['us_p50']:,.1f} p99 {run['us_p99']:,.1f} us "
            "a call"
        )
    print("each operator alone, 1,000 rows a call, not serialised:")
    for name, ns in found["ns_per_row_alone"].items():
        print(f"{ns:>8,.1f} ns a row: {name}")


def _folder() -> Path:
    """Where the recording is. TapeError if it is not."""
    house = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("TRIFECTA_DATA") or house.parent / "shared" / "data")
    for kind in KINDS:
        path = folder / kind / f"{RECORDING}.parquet"
        if not path.is_file():
            raise TapeError(
                "the recording that this measures is not there", str(path),
                "Set TRIFECTA_DATA to the folder with book/, quotes/ and trades/",
            )  # fmt: skip
    return folder


def _measure(folder: Path) -> dict[str, Any]:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    feed = open_tapes([folder / kind / f"{RECORDING}.parquet" for kind in KINDS])
    every = concat(list(feed.read(0, 65_536)))
    top, best = _best_levels(every, feed.table.arrays())
    verified = compare(top, folder / "quotes" / f"{RECORDING}.parquet")
    if verified.equal != verified.compared:
        raise RuntimeError(f"the book is wrong, what is made of it means nothing: {verified}")
    flowing = (every.kind != Kind.BOOK) | (every.flags & Flag.MSG_LAST != 0)
    rows, best = take(every, flowing), best[flowing]
    signals = _signals(feed.table, NAMES)
    return {
        "recording": RECORDING,
        "features": len(NAMES),
        "rows": int(rows.seq.size),
        "quotes": int(np.count_nonzero(rows.kind == Kind.QUOTE)),
        "trades": int(np.count_nonzero(rows.kind == Kind.TRADE)),
        "books": int(np.count_nonzero(rows.kind == Kind.BOOK)),
        "state_bytes": len(signals.dump(signals.initial())),
        "runs": [
            _batches(signals, rows, best, size, measured) for size, measured in BATCHES.items()
        ],
        "ns_per_row_alone": _alone(feed.table, rows, best),
        "aim_rows_per_s": AIM_PER_S,
        "aim_us_p99": AIM_US_P99,
        "machine": {"cpu": _cpu(), "python": platform.python_version(), "cores_used": 1},
    }  # fmt: skip


def _signals(table: InstrumentTable, names: Sequence[str]) -> Signals:
    daily_qty = np.full(len(table.instruments), DAILY_QTY)
    return Signals(Terms.of(table, daily_qty=daily_qty), names)


def _best_levels(rows: MarketRows, table: InstrumentArrays) -> tuple[BookTopRows, F8]:
    """The book's top after each message, and beside the message's last row its best levels."""
    n = table.lane.size
    cut = np.full(n, SNAPSHOT_LEVELS, np.int64)
    tops = L2Books(table, BookTerms.full(n)._replace(snapshot_depth=cut))
    best = BookLevels(table, cut_books([0] * n))
    return tops.step(tops.initial(), rows)[1], best.step(best.initial(), rows)[1].levels


def _batches(
    signals: Signals, rows: MarketRows, best: F8, size: int, measured: int
) -> dict[str, Any]:
    """The last rows of the recording, so many a call."""
    start = rows.seq.size - measured
    state, _ = signals.step_behind_books(signals.initial(), _part(rows, 0, start), best[:start])
    saved = signals.dump(state)
    batches = [
        (_part(rows, at, at + size), best[at : at + size])
        for at in range(start, rows.seq.size, size)
    ]
    flow_s, values_s, read_s, calls_ns = [], [], [], np.empty(0, np.int64)
    schema = pa.schema([("values", pa.list_(pa.float64(), len(NAMES)))])
    for _ in range(LAPS):
        spent_s, ns, out_bytes = _lap(signals, signals.load(saved), batches, schema)
        flow_s.append(spent_s)
        calls_ns = np.concatenate([calls_ns, ns])
        values_s.append(_lap(signals, signals.load(saved), batches, None)[0])
        read_s.append(_reading(batches))
    spent, values, read = (float(np.median(each)) for each in (flow_s, values_s, read_s))
    return {
        "batch_rows": size,
        "rows": measured,
        "rows_per_s": measured / spent,
        "rows_per_s_not_serialised": measured / values,
        "serialising_share": max(0.0, 1.0 - values / spent),
        "reads_per_s": measured / read,
        "times_reading": spent / read,
        "us_p50": float(np.percentile(calls_ns, 50)) / 1e3,
        "us_p99": float(np.percentile(calls_ns, 99)) / 1e3,
        "bytes_out": out_bytes,
    }


def _lap(
    signals: Signals,
    state: SignalsState,
    batches: list[tuple[MarketRows, F8]],
    schema: pa.Schema | None,
) -> tuple[float, Any, int]:
    """Processor seconds, wall nanoseconds of each call, and bytes that came out."""
    ns, out_bytes = np.empty(len(batches), np.int64), 0
    start_s = process_time()
    for i, (rows, best) in enumerate(batches):
        start_ns = perf_counter_ns()
        state, block = signals.step_behind_books(state, rows, best)
        if schema is not None:
            out_bytes += _serialised(block, schema).size
        ns[i] = perf_counter_ns() - start_ns
    return process_time() - start_s, ns, out_bytes


def _serialised(block: SignalBlock, schema: pa.Schema) -> pa.Buffer:
    """One fixed-size list per row: 60 columns of their own take ten times as long to build."""
    flat = pa.array(block.values.ravel())
    column = pa.FixedSizeListArray.from_arrays(flat, type=schema.field(0).type)
    return pa.RecordBatch.from_arrays([column], schema=schema).serialize()


def _alone(table: InstrumentTable, rows: MarketRows, best: F8) -> dict[str, float]:
    """Nanoseconds per row of each operator, with the making of flow rows, which all share."""
    size, measured = 1_000, BATCHES[1_000]
    start = rows.seq.size - measured
    batches = [
        (_part(rows, at, at + size), best[at : at + size])
        for at in range(start, rows.seq.size, size)
    ]
    found = {}
    for operator in dict.fromkeys(feature.operator for feature in FEATURES):
        names = [feature.name for feature in FEATURES if feature.operator == operator]
        signals = _signals(table, names)
        laps = [_lap(signals, signals.initial(), batches, None)[0] for _ in range(LAPS)]
        found[", ".join(names)] = float(np.median(laps)) / measured * 1e9
    return found


def _reading(batches: list[tuple[MarketRows, F8]]) -> float:
    """Processor seconds for reading the columns of the same batches, and nothing else."""
    total = np.zeros(1)
    start_s = process_time()
    for rows, best in batches:
        _read(flow_input(rows, best), total)
    return process_time() - start_s


@kernel
def _read(rows: FlowInput, total: F8) -> None:
    best = rows.levels
    for i in range(rows.kind.size):
        total[0] += (
            rows.kind[i] + rows.flags[i] + rows.lane[i] + rows.symbol[i] + rows.ts_event_ns[i]
            + rows.side[i] + rows.price[i] + rows.qty[i] + rows.bid_px[i] + rows.bid_qty[i]
            + rows.ask_px[i] + rows.ask_qty[i]
        )  # fmt: skip
        for what in range(best.shape[1]):
            for level in range(best.shape[2]):
                total[0] += best[i, what, level]


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
    print(json.dumps(_measure(Path(sys.argv[1]))))
