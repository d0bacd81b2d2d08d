"""How complete a feed is, stream by stream and minute by minute."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from console.report.words import percent
from operators.market.completeness import SECOND_NS, Completeness, Stream
from operators.market.gate import Gate
from schemas.expectations import COMPLETE_FOR_BACKTEST, COMPLETE_FOR_TRAINING
from schemas.instruments import InstrumentTable
from schemas.reasons import Reason
from schemas.rows import MarketRows, take
from venues.feed import Feed

BATCH_ROWS = 65_536
FIRST = 5  # minutes below that are told


def completeness_of(
    feed: Feed,
    refused: MarketRows | None = None,
    *,
    first: int = 0,
    also: Callable[[MarketRows], None] = lambda rows: None,
) -> list[Stream]:
    """Every stream of a feed; reads it once, about five million rows a second.

    `refused` are rows of the same feed that it does not have, because a gate refused them; rows
    before the position `first` are not of the span that is measured. `also` is told of all rows.
    """
    gate = Gate(feed.table.arrays(), len(feed.names))
    state, found = gate.initial(), completeness(feed, refused)
    position = 0
    for rows in feed.read(0, BATCH_ROWS):
        also(rows)
        before = min(max(first - position, 0), rows.seq.size)
        position += rows.seq.size
        rows = take(rows, slice(before, None)) if before else rows
        state, (reason, _) = gate.judge(state, rows)
        found.add(rows, reason == Reason.OK)
    return list(found.streams())


def completeness(feed: Feed, refused: MarketRows | None = None) -> Completeness:
    """What will measure a feed."""
    return Completeness(feed.table, [each.cadence_s for each in feed.description], refused)


def completeness_table(streams: list[Stream], table: InstrumentTable, names: list[str]) -> pa.Table:
    """One row per stream and run of minutes that are alike, for a Parquet file.

    `session_ns` and `covered_ns` are those of each of the `minutes` from `minute_ns` on.
    """
    sizes = [each.minutes.minute_ns.size for each in streams]

    def column(values: list[str]) -> pa.Array:
        return pa.array(np.repeat(np.array(values, object), sizes), pa.string())

    def joined(name: str) -> pa.Array:
        return pa.array(
            np.concatenate([np.zeros(0, np.int64), *(getattr(s.minutes, name) for s in streams)])
        )

    return pa.table(
        {
            "source": column([names[each.source] for each in streams]),
            "instrument": column([table.instruments[each.instrument].id for each in streams]),
            "kind": column([each.kind.name for each in streams]),
            "minute_ns": joined("minute_ns"),
            "minutes": joined("n"),
            "session_ns": joined("session_ns"),
            "covered_ns": joined("covered_ns"),
        }
    )


def in_figures(stream: Stream, table: InstrumentTable, names: list[str]) -> Mapping[str, Any]:
    """A stream in figures, for JSON."""
    share = stream.completeness
    training = stream.below(COMPLETE_FOR_TRAINING)
    return {
        "source": names[stream.source],
        "instrument": table.instruments[stream.instrument].id,
        "kind": stream.kind.name,
        "minutes": stream.minutes.total,
        "session_s": stream.session_ns / SECOND_NS,
        "covered_s": stream.covered_ns / SECOND_NS,
        "completeness": None if np.isnan(share) else share,
        "minutes_below_training": training.total,
        "minutes_below_backtest": stream.below(COMPLETE_FOR_BACKTEST).total,
        "first_below_training_ns": training.first(FIRST).tolist(),
    }


def rounded_down(share: float | None) -> str:
    """A completeness in percent, for people: 100 % lacks nothing."""
    return percent(None if share is None else math.floor(share * 10_000) / 10_000)
