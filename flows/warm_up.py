"""What compiles or loads has done so before a worker's first row: no market waits for it."""

from datetime import timedelta
from typing import Any

import numpy as np

from flows import stages
from flows.chain import Chain
from flows.encode import encode
from flows.log.lane_sink import LaneSink
from flows.log.lane_source import LaneSource
from flows.log.memory import MemoryLog
from flows.runtime import run_flow
from flows.settings import RunSettings
from models.registry import load_or_fallback
from schemas.kinds import NO_SYMBOL, Kind
from schemas.rows import empty
from schemas.topics import DECISIONS, Topic
from venues.simulator import Simulator

ROWS = 8
EPOCH = timedelta(days=1)


def warm_up(name: str) -> bool:
    """Run a stage over a few made-up rows into nowhere; False if a stop was asked for.

    Compiling takes half a minute where nothing is in the kernels' cache yet, else about a second.
    """
    table = Simulator(seed=0, n_rows=1, rate_hz=1.0).table
    model, _ = load_or_fallback()
    settings = RunSettings(mode="paper")
    rules = settings.rules(table, model.digest if model else 0)
    chain = Chain(table, 1, model, rules, settings.balance, "")
    stage, log = stages.STAGES[name], MemoryLog()
    writer = log.writer()
    for topic in stage.reads:
        writer.append(encode(topic, _rows(topic), ""))
    inputs = [(topic.name, 0) for topic in stage.reads]
    source = LaneSource(log, inputs, merge=stage.merge, batch_rows=2 * ROWS, ends=log.ends(inputs))
    flow = stages.build(name, source, LaneSink(writer), chain, seen=lambda parcel, messages: None)
    return run_flow(flow, recovery=None, epoch_interval=EPOCH) == "finished"


def _rows(topic: Topic) -> Any:
    """Quotes of one instrument, or rows that say nothing where the topic has no quotes."""
    assert topic.table is not None
    rows: Any = empty(topic.table, ROWS)
    rows.seq[:] = rows.ts_recv_ns[:] = rows.ts_event_ns[:] = np.arange(ROWS)
    if topic is DECISIONS:
        rows.kind[:], rows.symbol[:] = Kind.PROGRESS, NO_SYMBOL
    else:
        rows.kind[:] = Kind.QUOTE
        rows.bid_px[:], rows.ask_px[:] = 1.0, 1.0 + 1e-4 * np.arange(ROWS)
    return rows
