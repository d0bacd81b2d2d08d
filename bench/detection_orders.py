"""Icebergs where every order is told: planted ones, and alarms per hour on recordings.

The simulated market is told order by order, from the same seeds as by level. On recordings nobody
knows what is true, so beside them stands a surrogate: the same orders and fills, but the sizes of
new orders dealt out anew among those of the same 10 s. What the venue itself fills up again is
certain, so it has no surrogate.
"""

from pathlib import Path
from typing import Any

import numpy as np

from bench.detection_input import CHUNK_ROWS, alarms_of
from bench.detection_match import Score, score
from operators.features.detection.alarms import AlarmKind
from operators.features.detection.found import Found, blank_found
from operators.features.detection.order_icebergs import OrderIcebergs
from operators.features.detection.thresholds import Thresholds
from operators.features.flow.events import FlowEvents, flow_input
from operators.features.orders.books import OrderBooks
from operators.features.orders.events import NEW, OrderEvents
from operators.features.signal import SignalInput
from operators.market.books.words import OrderAction
from schemas.instruments import InstrumentArrays
from schemas.kinds import Kind
from schemas.rows import MarketRows, concat
from venues.lob import LobSimulator
from venues.tape import open_tapes

RECORDINGS = ("cme_ESH4_20231225T0000", "nasdaq_AAPL_20120621T0930")
OPENS_NS = {"cme_ESH4_20231225T0000": 1_703_545_200_000_000_000}  # 23:00 UTC; closed before
SURROGATE_SEEDS = (1, 2, 3, 4, 5)
WINDOW_NS = 10_000_000_000


def scores_by_order(
    seeds: tuple[int, ...], minutes: float, strength: float, settings: list[Thresholds]
) -> list[list[Score]]:
    """For each setting the score of icebergs on each seed."""
    found: list[list[Score]] = [[] for _ in settings]
    for seed in seeds:
        simulator = LobSimulator(
            seed=seed, minutes=minutes, strength=strength, faults_per_hour=0.0, by_order=True
        )
        table = simulator.table.arrays()
        every = alarms_of(simulator.read(0, CHUNK_ROWS), table, settings)
        for alarms, scores in zip(every, found, strict=True):
            scores.append(score(alarms, simulator.labels, AlarmKind.ICEBERG, table.tick))
    return found


def measure_orders(folder: Path, thresholds: Thresholds) -> list[dict[str, Any]]:
    """Icebergs per hour of each recording, by refills and by the venue, and of its surrogates.

    TapeError where a recording is not there.
    """
    return [_measure(folder, name, thresholds) for name in RECORDINGS]


def _measure(folder: Path, name: str, thresholds: Thresholds) -> dict[str, Any]:
    feed = open_tapes([folder / "orders_l3" / f"{name}.parquet"], lanes=1)
    rows, table = concat(list(feed.read(0, CHUNK_ROWS))), feed.table.arrays()
    hours = (rows.ts_event_ns[-1] - OPENS_NS.get(name, rows.ts_event_ns[0])) / 3.6e12
    books = OrderBooks(table)
    _, events = books.step(books.initial(), rows)
    real = _icebergs(rows, events, table, thresholds)
    chance = [
        np.count_nonzero(_icebergs(rows, dealt_anew(events, seed), table, thresholds) > 0.0)
        for seed in SURROGATE_SEEDS
    ]
    hidden = np.count_nonzero((rows.kind == Kind.BOOK) & (rows.code == OrderAction.EXECUTE_HIDDEN))
    return {
        "recording": name, "hours": float(hours),
        "refills": float(np.count_nonzero(real > 0.0) / hours),
        "refills_surrogate": float(np.mean(chance) / hours),
        "native": float(np.count_nonzero(real == 0.0) / hours),
        "hidden": float(hidden / hours),
    }  # fmt: skip


def dealt_anew(events: OrderEvents, seed: int) -> OrderEvents:
    """The same events; sizes of new orders change places within 10 s."""
    random = np.random.default_rng(seed)
    new = np.flatnonzero(events.what & NEW)
    moved = new[np.lexsort((random.random(new.size), events.ts_ns[new] // WINDOW_NS))]
    joined_qty = events.joined_qty.copy()
    joined_qty[new] = events.joined_qty[moved]
    return events._replace(joined_qty=joined_qty)


def _icebergs(
    rows: MarketRows, events: OrderEvents, table: InstrumentArrays, thresholds: Thresholds
) -> Any:
    """The strength of each alarm."""
    flow = FlowEvents(table)
    _, flow_rows = flow.step(flow.initial(), flow_input(rows))
    operator = OrderIcebergs(table, thresholds=thresholds.iceberg)
    known = SignalInput(rows, np.zeros(rows.seq.size, np.int32), flow_rows, events)
    found: Found = blank_found(operator.places(known))
    operator.watch(
        operator.initial(), known, np.empty((0, 0)), np.empty(0, np.int64), found
    )  # fmt: skip
    return found.strength[: found.n[0]]
