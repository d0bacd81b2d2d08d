"""Alarms per hour on a recording, beside a surrogate in which trades mean nothing."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from bench.detection_input import CHUNK_ROWS, alarms_of
from operators.features.detection.alarms import AlarmKind
from operators.features.detection.thresholds import Thresholds
from schemas.kinds import Kind
from schemas.rows import MarketRows, concat, take
from venues.feed import rebatch
from venues.tape import TapeError, open_tapes

RECORDING = "binance_usdm_BTCUSDT_20240808T2354"
KINDS = ("book", "quotes", "trades")
SURROGATE_SEEDS = (1, 2, 3, 4, 5)
WINDOW_NS = 10_000_000_000


def measure_recorded(thresholds: Thresholds) -> dict[str, Any]:
    """Alarms per hour by kind, of the recording and of its surrogates. TapeError without it.

    An iceberg is native where trades exceeded what the book showed, else its refills were seen.
    """
    folder = data_folder()
    feed = open_tapes([folder / kind / f"{RECORDING}.parquet" for kind in KINDS])
    rows, table = concat(list(feed.read(0, CHUNK_ROWS))), feed.table.arrays()
    hours = (rows.ts_recv_ns[-1] - rows.ts_recv_ns[0]) / 3.6e12

    def per_hour(of: MarketRows) -> dict[str, float]:
        alarms = alarms_of(rebatch([of], skip_rows=0, batch_rows=CHUNK_ROWS), table, [thresholds])[
            0
        ]
        native = (alarms.kind == AlarmKind.ICEBERG) & (alarms.strength == 0.0)
        told = {"iceberg, refills": (alarms.kind == AlarmKind.ICEBERG) & ~native,
                "iceberg, native": native}  # fmt: skip
        for kind in (AlarmKind.SPOOF, AlarmKind.LAYERING, AlarmKind.ABSORPTION):
            told[kind.name.lower()] = alarms.kind == kind
        return {what: float(np.count_nonzero(of) / hours) for what, of in told.items()}

    real = per_hour(rows)
    surrogates = [per_hour(surrogate(rows, seed)) for seed in SURROGATE_SEEDS]
    mean = {kind: float(np.mean([one[kind] for one in surrogates])) for kind in real}
    lines = [f"{RECORDING}, {hours * 60:.1f} minutes: alarms per hour, and in the surrogate"]
    lines += [f"    {kind:<16} {real[kind]:>8.1f} {mean[kind]:>8.1f}" for kind in real]
    return {
        "recording": RECORDING, "hours": float(hours), "per_hour": real, "surrogate": mean,
        "surrogates": len(surrogates), "lines": lines,
    }  # fmt: skip


def surrogate(rows: MarketRows, seed: int) -> MarketRows:
    """The same quotes and books; the trades at each other's times, with each other's signs.

    Prices and sizes of trades are dealt out anew among the moments of the same 10 s at which one
    was traded, so that they stay near the book; signs apart from them. What is left is chance.
    """
    random = np.random.default_rng(seed)
    trades = np.flatnonzero(rows.kind == Kind.TRADE)
    window = rows.ts_recv_ns[trades] // WINDOW_NS
    dealt = take(rows, slice(None))
    moved = trades[np.lexsort((random.random(trades.size), window))]
    dealt.price[trades], dealt.qty[trades] = rows.price[moved], rows.qty[moved]
    dealt.side[trades] = rows.side[trades[np.lexsort((random.random(trades.size), window))]]
    return dealt


def data_folder() -> Path:
    """Where the recordings are. TapeError if it is not."""
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
