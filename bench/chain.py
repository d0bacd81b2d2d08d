"""How fast the whole chain is on one core: tape in memory to every topic in memory.

    trifecta bench chain [--json]

Measured in child processes pinned to one core, so that memory figures are one run's own:
the chain at one decision round a second, the chain at a decision on every tick, the bare model
session on the same rows, and the chain on a tape of 1 M rows once and ten times (processor time per
row and memory must stay).
"""

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import numpy as np

from flows.desk_run import first_record, run_desk
from flows.log.memory import MemoryLog
from flows.parcel import Parcel
from flows.settings import RunSettings
from models.registry import SHIPPED, load
from operators.features.tier import Features
from operators.sequence.tier import Sequence
from schemas.instruments import InstrumentTable
from schemas.kinds import Kind, ReportCode
from schemas.rows import FeatureRows, MarketRows, concat
from venues.feed import SourceInfo
from venues.simulator import Simulator

SEED = 1
RATE_HZ = 200.0  # rows per simulated second over seven instruments: one decision in 30 ticks
BATCH_ROWS = 24_576
ROWS = 2_000_000
LAP_ROWS = 1_000_000  # of the tape that is run once, and ten times: only the length differs
GAP_NS = 1_000_000_000  # between two laps, longer than any clock offset of the simulator
RETAINED = 64  # messages per partition: the log's memory is bounded, as a broker's retention is
# Quick round trips and no cooldown, so that the money path is busy: over 1,000 fills.
SETTINGS: dict[str, Any] = {
    "lane": {
        "binary_expiry_ns": 30_000_000_000,
        "binary_size_max": 0.0002,
        "spot_hold_ns": 60_000_000_000,
        "arb_hold_ns": 30_000_000_000,
    },
    "safety": {"loss_streak_max": 1_000_000, "daily_trades_max": 1_000_000},
}


@dataclass(frozen=True)
class MemoryFeed:
    """Rows that are in memory already, repeated with later times as often as needed."""

    rows: MarketRows
    table: InstrumentTable
    n_rows: int
    names: list[str]
    description: list[SourceInfo]
    simulated: bool = True
    has_recv: bool = True

    def read(self, start: int, batch_rows: int) -> Iterator[MarketRows]:
        n = self.rows.seq.size
        span_ns = int(self.rows.ts_recv_ns[-1] - self.rows.ts_recv_ns[0]) + GAP_NS
        position = start
        while position < self.n_rows:
            lap, at = divmod(position, n)
            end = min(at + batch_rows, at + self.n_rows - position, n)
            part = MarketRows._make(column[at:end] for column in self.rows)
            if lap:
                part = part._replace(
                    ts_recv_ns=part.ts_recv_ns + lap * span_ns,
                    ts_event_ns=part.ts_event_ns + lap * span_ns,
                )
            position += end - at
            yield part


def main(json_output: bool) -> None:
    """Run all measurements and print them; as JSON on standard output if asked for."""
    second = _child("chain", ROWS, "1s")
    tick = _child("chain", ROWS // 4, "tick")
    bare = _child("bare", ROWS, "1s")
    small, large = _child("laps", LAP_ROWS, "1s"), _child("laps", 10 * LAP_ROWS, "1s")
    found = {
        "ticks_per_s": second["ticks_per_s"],
        "decisions": second["decisions"],
        "fills": second["fills"],
        "ticks_per_decision": second["ticks"] / second["decisions"],
        "cadence_1s": second,
        "cadence_tick": tick,
        "bare_model": bare,
        "times_the_bare_model": bare["ticks_per_s"] / second["ticks_per_s"],
        "million_rows": small,
        "ten_million_rows": large,
        "us_per_row_10m_over_1m": large["us_per_row"] / small["us_per_row"],
        "rss_10m_over_1m": large["rss_mb"] / small["rss_mb"],
        "tape": {"simulated": True, "seed": SEED, "rate_hz": RATE_HZ, "batch_rows": BATCH_ROWS},
        "machine": {"cpu": cpu_name(), "python": platform.python_version(), "cores_used": 1},
    }
    if json_output:
        print(json.dumps(found, indent=2))
        return
    for name, run in (("one round a second", second), ("every tick", tick)):
        print(
            f"{name:>20}: {run['ticks_per_s']:>12,.0f} ticks/s  {run['decisions']:>9,} decisions "
            f"{run['fills']:>6,} fills"
        )
    print(f"{'bare model':>20}: {bare['ticks_per_s']:>12,.0f} ticks/s, "
          f"{found['times_the_bare_model']:.2f} times the chain")  # fmt: skip
    print(f"{'ten times as long':>20}: {found['us_per_row_10m_over_1m']:.2f} times the cost "
          f"per row, {found['rss_10m_over_1m']:.2f} times the memory (1.00: constant)")  # fmt: skip


def _child(what: str, rows: int, cadence: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.chain", what, str(rows), cadence]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _measure(what: str, rows: int, cadence: str) -> dict[str, Any]:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    feed = _feed(rows, lap_rows=LAP_ROWS if what == "laps" else ROWS)
    if what == "bare":
        return _bare(feed)
    _chain(
        _feed(2 * BATCH_ROWS, lap_rows=ROWS), cadence
    )  # kernels compiled and loaded, allocator warm
    return _chain(feed, cadence)


def _feed(rows: int, *, lap_rows: int) -> MemoryFeed:
    simulator = Simulator(
        seed=SEED, n_rows=min(rows, lap_rows), rate_hz=RATE_HZ, lanes=1, depth_levels=0
    )
    table = concat(list(simulator.read(0, 100_000)))
    return MemoryFeed(table, simulator.table, rows, simulator.names, simulator.description)


def _chain(feed: MemoryFeed, cadence: str) -> dict[str, Any]:
    model = load(SHIPPED)
    counts = {"ticks": 0, "decisions": 0, "fills": 0}

    def seen(parcel: Parcel, seconds: float) -> None:
        kind, code = parcel.market.kind, parcel.market.code
        counts["ticks"] += int(np.count_nonzero((kind == Kind.TRADE) | (kind == Kind.QUOTE)))
        filled = (code == ReportCode.FILLED) | (code == ReportCode.FILLED_MAKER)
        counts["fills"] += int(np.count_nonzero((kind == Kind.REPORT) & filled))
        if parcel.decisions is not None:
            counts["decisions"] += int(np.count_nonzero(parcel.decisions.kind == Kind.DECISION))

    settings = RunSettings(cadence=cadence, **SETTINGS)
    record = first_record(
        "bench", settings, profile="memory", topology="fused", feed=feed, model=model, notice=""
    )
    start, start_cpu = perf_counter(), process_time()
    run_desk(
        MemoryLog(retain_messages=RETAINED), feed, settings, record, model=model, run_dir=None,
        batch_rows=BATCH_ROWS, speed=None, progress=lambda n: None, seen=seen,
    )  # fmt: skip
    wall_s, cpu_s = perf_counter() - start, process_time() - start_cpu
    return {
        "rows": feed.n_rows,
        **counts,
        "wall_s": wall_s,
        "cpu_s": cpu_s,  # where it is below wall_s, others had the core meanwhile
        "ticks_per_s": counts["ticks"] / wall_s,
        "ticks_per_cpu_s": counts["ticks"] / cpu_s,
        "us_per_row": cpu_s / feed.n_rows * 1e6,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _bare(feed: MemoryFeed) -> dict[str, Any]:
    """onnxruntime alone on the same inputs, grouped by instrument and batched as in the chain."""
    model = load(SHIPPED)
    spy = _Spy(model)
    arrays = feed.table.arrays()
    features, sequence = Features(arrays), Sequence(arrays, spy)
    feature_state, sequence_state = features.initial(), sequence.initial()
    made: FeatureRows
    for rows in feed.read(0, BATCH_ROWS):
        feature_state, made = features.step(feature_state, rows)
        sequence_state, _ = sequence.step(sequence_state, made)
    for x, h in spy.calls[:50]:
        model.run(x, h)
    start = perf_counter()
    for x, h in spy.calls:
        model.run(x, h)
    wall_s = perf_counter() - start
    ticks = sum(x.shape[0] for x, _ in spy.calls)
    return {"ticks": ticks, "wall_s": wall_s, "ticks_per_s": ticks / wall_s}


class _Spy:
    """A predictor that remembers what it was asked."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.digest: int = model.digest
        self.calls: list[tuple[Any, Any]] = []

    def initial(self, n: int) -> Any:
        return self._model.initial(n)

    def run(self, x: Any, h: Any) -> Any:
        self.calls.append((x.copy(), h.copy()))
        return self._model.run(x, h)


def cpu_name() -> str:
    """The processor, in its maker's words."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
