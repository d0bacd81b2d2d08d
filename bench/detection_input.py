"""Market rows as detectors read them: with the book's best levels beside each book message."""

from collections.abc import Iterator

import numpy as np

from operators.features.detection.alarms import AlarmRows, Alarms
from operators.features.detection.thresholds import Thresholds
from operators.features.flow.events import FlowEvents, flow_input
from operators.features.flow.rows import NO_INSTRUMENT
from operators.features.levels import BookLevels, cut_books
from operators.features.orders.books import OrderBooks
from operators.features.signal import SignalInput
from schemas.instruments import InstrumentArrays
from schemas.rows import MarketRows, concat

CHUNK_ROWS = 65_536


def alarms_of(
    parts: Iterator[MarketRows], table: InstrumentArrays, thresholds: list[Thresholds]
) -> list[AlarmRows]:
    """The alarms of each of several settings, over the same rows.

    Parameters
    ----------
    parts : iterator of MarketRows
        In order, cut anywhere.
    """
    books, events = BookLevels(table, cut_books([0] * table.lane.size)), FlowEvents(table)
    orders = OrderBooks(table)
    book_state, order_state, event_state = books.initial(), orders.initial(), events.initial()
    detectors = [Alarms(table, thresholds=each) for each in thresholds]
    states = [detector.initial() for detector in detectors]
    found: list[list[AlarmRows]] = [[] for _ in detectors]
    for rows in parts:
        book_state, best = books.step(book_state, rows)
        order_state, told_orders = orders.step(order_state, rows, best.levels)
        event_state, flow = events.step(event_state, flow_input(rows, best.levels))
        k = (table.base[rows.lane] + rows.symbol).astype(np.int32)
        k[rows.symbol < 0] = NO_INSTRUMENT
        signal = SignalInput(rows, k, flow, told_orders)
        for j, detector in enumerate(detectors):
            states[j], told = detector.step(states[j], signal)
            found[j].append(told)
    return [concat(each) for each in found]
