"""Market rows as detectors read them: with the book's best levels beside each book message."""

from collections.abc import Iterator

import numpy as np

from operators.arrays import F8, kernel
from operators.features.detection.alarms import AlarmRows, Alarms
from operators.features.detection.thresholds import Thresholds
from operators.features.flow.depth import DEPTH
from operators.features.flow.events import FlowEvents, flow_input
from operators.features.flow.rows import ASK_PX, ASK_QTY, BID_PX, BID_QTY, NO_INSTRUMENT
from operators.features.signal import SignalInput
from operators.market.books.l2 import LEVELS_MAX, ROOM, L2Books, take_level
from operators.market.books.l2_state import BookTerms, L2State, levels
from operators.market.books.sides import ASK, BID
from schemas.instruments import InstrumentArrays
from schemas.kinds import Flag, Kind
from schemas.rows import I8, MarketRows, concat

CHUNK_ROWS = 65_536
_BOOK, _LAST = int(Kind.BOOK), int(Flag.MSG_LAST)


def alarms_of(
    parts: Iterator[MarketRows],
    table: InstrumentArrays,
    thresholds: list[Thresholds],
    *,
    snapshot_depth: int = 0,
) -> list[AlarmRows]:
    """The alarms of each of several settings, over the same rows.

    Parameters
    ----------
    parts : iterator of MarketRows
        In order, cut anywhere.
    snapshot_depth : int
        Levels a side that a snapshot holds at most; 0: all.
    """
    n = table.lane.size
    terms = BookTerms.full(n)._replace(snapshot_depth=np.full(n, snapshot_depth, np.int64))
    books, events = L2Books(table, terms), FlowEvents(table)
    book_state, event_state = books.initial(), events.initial()
    detectors = [Alarms(table, thresholds=each) for each in thresholds]
    states = [detector.initial() for detector in detectors]
    found: list[list[AlarmRows]] = [[] for _ in detectors]
    for rows in parts:
        book_state, best = best_levels(books, terms, book_state, rows, table)
        event_state, flow = events.step(event_state, flow_input(rows, best))
        k = (table.base[rows.lane] + rows.symbol).astype(np.int32)
        k[rows.symbol < 0] = NO_INSTRUMENT
        signal = SignalInput(rows, k, flow)
        for j, detector in enumerate(detectors):
            states[j], told = detector.step(states[j], signal)
            found[j].append(told)
    return [concat(each) for each in found]


def best_levels(
    books: L2Books, terms: BookTerms, state: L2State, rows: MarketRows, table: InstrumentArrays
) -> tuple[L2State, F8]:
    """The best levels after each whole book message, NaN elsewhere; shape (n, 4, DEPTH)."""
    best = np.full((rows.seq.size, 4, DEPTH), np.nan)
    cursor = np.zeros(2, np.int64)
    base = table.base.astype(np.int64)
    while True:
        _walk(state, terms, base, rows, best, cursor)
        if cursor[0] == rows.seq.size:
            return state, best
        state = books.roomier(state, int(cursor[1]))


@kernel
def _walk(
    state: L2State, terms: BookTerms, base: I8, rows: MarketRows, best: F8, cursor: I8
) -> None:
    """Goes on to the end, or to a row whose side needs room: `cursor` is the row, the side."""
    for i in range(cursor[0], rows.seq.size):
        cursor[0] = i
        if rows.kind[i] != _BOOK:
            continue
        k = base[rows.lane[i]] + rows.symbol[i]
        told = take_level(
            state, terms, LEVELS_MAX, k, rows.flags[i], rows.side[i], rows.price[i], rows.qty[i],
            rows.venue_seq[i], rows.source[i], rows.source_row[i],
        )  # fmt: skip
        if told == ROOM:
            cursor[1] = 2 * k + (BID if rows.side[i] > 0 else ASK)
            return
        if rows.flags[i] & _LAST:
            levels(state, 2 * k + BID, best[i, BID_PX], best[i, BID_QTY])
            levels(state, 2 * k + ASK, best[i, ASK_PX], best[i, ASK_QTY])
    cursor[0] = rows.seq.size
