"""What one worker knows about itself: counted while the flow runs, read by /metrics and /healthz.

No Bytewax, no Kafka. One lock and plain numbers; the Prometheus families are made at a scrape.
"""

import os
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from operators.market.books.words import GOOD, BookState
from operators.risk.safety import STOPS
from schemas.reasons import Reason

POLL_S_MAX = 10.0  # a loop that has not polled for longer hangs
START_S_MAX = (
    180.0  # the same until the first batch is through: kernels compile, logs are read back
)
RATE_S = 5  # rows per second are those of the last five whole seconds
STATES = ("starting", "waiting", "running", "draining", "finished")
STEP_S = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # upper bounds
STEP_ROWS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)

_OWN = ("flow", "lanes")  # labels of every metric
_PLACE = ("topic", "lane")
_VENUE = ("venue",)
_COUNTER, _GAUGE, _HISTOGRAM = "counter", "gauge", "histogram"


@dataclass(frozen=True)
class Described:
    """One metric as /metrics shows it; `labels` stand beside flow and lanes."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


METRICS = (
    Described("trifecta_rows_read_total", _COUNTER, (), "Rows that the flow has taken in."),
    Described(
        "trifecta_rows_written_total", _COUNTER, _PLACE, "Rows that it has handed to the log."
    ),
    Described("trifecta_last_seq", _GAUGE, _PLACE, "The seq of the last row it has written."),
    Described(
        "trifecta_lag_messages", _GAUGE, _PLACE, "Messages on the log that it has not read yet."
    ),
    Described(
        "trifecta_event_time_seconds",
        _GAUGE,
        (),
        "The largest receive time (ts_recv) of the rows taken in, since 1970 UTC.",
    ),
    Described("trifecta_step_seconds", _HISTOGRAM, (), "Time that one batch took."),
    Described("trifecta_step_rows", _HISTOGRAM, (), "Rows of one batch."),
    Described("trifecta_poll_age_seconds", _GAUGE, (), "Time since its loop last asked for rows."),
    Described("trifecta_state", _GAUGE, ("state",), "1 for what it is doing now, else 0."),
    Described(
        "trifecta_stopped",
        _GAUGE,
        ("reason",),
        "Of decide: 1 for what forbids new trades (the first cap that does), else 0.",
    ),
    Described("trifecta_errors_total", _COUNTER, (), "Errors; /healthz has the last one's text."),
    Described(
        "trifecta_venue_clock_offset_seconds",
        _GAUGE,
        _VENUE,
        "Our clock minus a live venue's, the fastest row counting as 1 ms on its way.",
    ),
    Described(
        "trifecta_venue_clock_drift_ppb",
        _GAUGE,
        _VENUE,
        "By how much that grows, ns per second; from half a minute on.",
    ),
    Described(
        "trifecta_venue_negative_latency_rows_total",
        _COUNTER,
        _VENUE,
        "Rows that a venue stamped later than we did.",
    ),
    Described(
        "trifecta_book_state",
        _GAUGE,
        ("instrument", "state"),
        "Of ingest: 1 for the state that an order book is in, else 0.",
    ),
    Described(
        "trifecta_feed_total",
        _COUNTER,
        ("venue", "what"),
        "What happened to a live feed, such as gaps, lost_connections, trades_lost.",
    ),
)


class Meter(Collector):
    """Counts for one worker, cheap per batch; safe to read while the flow writes.

    Parameters
    ----------
    flow : str
    lanes : str
        As the user wrote them, such as "0-3".
    clock : callable
        Seconds of a monotonic clock.

    Attributes
    ----------
    registry : CollectorRegistry
        Of this meter alone, with the CPU and memory of this process where /proc has them.
    feed : callable
        What happened to a live feed so far, by venue and what; asked at each scrape.
    """

    def __init__(
        self, flow: str, lanes: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._own, self._clock = (flow, lanes), clock
        self._lock = threading.Lock()
        self._begun_s = self._polled_s = clock()
        self._has_stepped = False  # since it was starting
        self._state = "starting"
        self._failure: str | None = None  # since the last poll
        self._stopped: Reason | None = None  # OK: it may trade; None: not known
        self._last_error: str | None = None
        self._n_errors = self._n_read = 0
        self._event_time_ns: int | None = None
        self._rate = _Rate()
        self._written: dict[tuple[str, int], tuple[int, int]] = {}  # rows, last seq
        self._lag: dict[tuple[str, int], int] = {}
        self._clocks: dict[str, tuple[int, float, int]] = {}  # offset ns, drift ppb, negative rows
        self._books: dict[str, BookState] = {}
        self._step_s, self._step_rows = _Buckets(STEP_S), _Buckets(STEP_ROWS)
        self.feed: Callable[[], dict[tuple[str, ...], float]] = dict
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def beat(self) -> None:
        """The loop has polled. An error before it did not end the loop, and is past."""
        self._polled_s = self._clock()
        self._failure = None

    def read(self, n_rows: int, latest_ts_recv_ns: int) -> None:
        """Rows were taken in, and event time has reached that moment (ns since 1970 UTC)."""
        with self._lock:
            self._n_read += n_rows
            self._rate.add(n_rows, self._clock())
            if self._event_time_ns is None or latest_ts_recv_ns > self._event_time_ns:
                self._event_time_ns = latest_ts_recv_ns

    def wrote(self, topic: str, lane: int, n_rows: int, last_seq: int) -> None:
        """Rows were handed to the log, the last of them with that seq."""
        with self._lock:
            before, _ = self._written.get((topic, lane), (0, 0))
            self._written[topic, lane] = before + n_rows, last_seq

    def stepped(self, seconds: float, n_rows: int) -> None:
        """A batch went through."""
        with self._lock:
            self._has_stepped = True
            self._step_s.add(seconds)
            self._step_rows.add(n_rows)

    def lagging(self, messages: Mapping[tuple[str, int], int]) -> None:
        """Messages on the log that were not read yet; partitions not named stay as they were."""
        with self._lock:
            self._lag.update(messages)

    def clocked(self, venue: str, offset_ns: int, drift_ppb: float, n_negative: int) -> None:
        """A venue's clock was measured; rows of negative latency add up."""
        with self._lock:
            before = self._clocks.get(venue, (0, 0.0, 0))[2]
            self._clocks[venue] = offset_ns, drift_ppb, before + n_negative

    def booked(self, instrument: str, state: BookState) -> None:
        """An order book is in this state now."""
        with self._lock:
            self._books[instrument] = state

    def failed(self, what: str) -> None:
        """An error is counted. Until the loop polls again the worker is not healthy."""
        with self._lock:
            self._n_errors += 1
            self._last_error = self._failure = what

    def state(self, text: str) -> None:
        """What the worker is doing: one of STATES, and more words after a blank or colon.

        "starting" again takes as long as at first.
        """
        if _first_word(text) not in STATES:
            raise ValueError(f"a state must begin with one of {', '.join(STATES)}, was {text!r}")
        with self._lock:
            self._state = text
            self._polled_s = self._clock()
            self._has_stepped = self._has_stepped and text != "starting"

    def stopped(self, reason: Reason) -> None:
        """The safety cap that forbids new trades now, one of STOPS; OK if none does."""
        with self._lock:
            self._stopped = reason

    def trouble(self) -> str | None:
        """Why the worker is not healthy; None if it is."""
        with self._lock:
            if self._failure is not None:
                return self._failure
            if self._state == "finished":
                return None
            silent_s = self._clock() - self._polled_s
            if silent_s > (POLL_S_MAX if self._has_stepped else START_S_MAX):
                return f"the flow's loop has not polled for {silent_s:.0f} s"
            return None

    def snapshot(self) -> dict[str, Any]:
        """The same as JSON: what /healthz answers, and a supervisor shows.

        Keys: flow, lanes, pid, state, healthy, trouble, stopped (reasons that forbid new trades;
        null if unknown, and of all but decide), books (of ingest: states of those that nobody may
        use now, by instrument), uptime_s, poll_age_s, rows_read, rows_written,
        rows_per_s (over the last seconds), lag (messages in all; null if unknown), lag_by_lane and
        last_seq (by "topic/lane"), event_time_ns (null before the first row), errors, last_error.
        """
        trouble = self.trouble()
        with self._lock:
            now_s = self._clock()
            return {
                "flow": self._own[0],
                "lanes": self._own[1],
                "pid": os.getpid(),
                "state": self._state,
                "healthy": trouble is None,
                "trouble": trouble,
                "stopped": self._stops(),
                "books": {
                    name: state.name for name, state in self._books.items() if state not in GOOD
                },
                "uptime_s": round(now_s - self._begun_s, 3),
                "poll_age_s": round(now_s - self._polled_s, 3),
                "rows_read": self._n_read,
                "rows_written": sum(n for n, _ in self._written.values()),
                "rows_per_s": round(self._rate.per_second(now_s), 1),
                "lag": sum(self._lag.values()) if self._lag else None,
                "lag_by_lane": {_joined(place): n for place, n in sorted(self._lag.items())},
                "last_seq": {
                    _joined(place): last for place, (_, last) in sorted(self._written.items())
                },
                "event_time_ns": self._event_time_ns,
                "errors": self._n_errors,
                "last_error": self._last_error,
            }

    def collect(self) -> Iterator[Metric]:
        """The families of a scrape, in the order of METRICS."""
        with self._lock:  # made as a whole, so that one scrape shows one moment
            families = [self._family(described) for described in METRICS]
        yield from families

    def _stops(self) -> list[str] | None:
        if self._stopped is None:
            return None
        return [self._stopped.name] if self._stopped is not Reason.OK else []

    def _family(self, described: Described) -> Metric:
        name, text, labels = described.name, described.text, (*_OWN, *described.labels)
        if described.kind == _HISTOGRAM:
            histogram = HistogramMetricFamily(name, text, labels=labels)
            buckets = {"trifecta_step_seconds": self._step_s, "trifecta_step_rows": self._step_rows}
            histogram.add_metric(self._own, buckets[name].cumulative(), buckets[name].total)
            return histogram
        kind = CounterMetricFamily if described.kind == _COUNTER else GaugeMetricFamily
        family = kind(name, text, labels=labels)
        for values, number in self._values(name).items():
            family.add_metric((*self._own, *values), number)
        return family

    def _values(self, name: str) -> Mapping[tuple[str, ...], float]:
        """Values of the labels to the number."""
        written = {(topic, str(lane)): each for (topic, lane), each in self._written.items()}
        event_ns, doing = self._event_time_ns, _first_word(self._state)
        values: dict[str, Mapping[tuple[str, ...], float]] = {
            "trifecta_rows_read_total": {(): self._n_read},
            "trifecta_rows_written_total": {place: n for place, (n, _) in written.items()},
            "trifecta_last_seq": {place: last for place, (_, last) in written.items()},
            "trifecta_lag_messages": {(t, str(lane)): n for (t, lane), n in self._lag.items()},
            "trifecta_event_time_seconds": {} if event_ns is None else {(): event_ns / 1e9},
            "trifecta_poll_age_seconds": {(): self._clock() - self._polled_s},
            "trifecta_state": {(state,): float(state == doing) for state in STATES},
            "trifecta_stopped": {
                (reason.name,): float(reason is self._stopped)
                for reason in (STOPS if self._stopped is not None else ())
            },
            "trifecta_errors_total": {(): self._n_errors},
            "trifecta_venue_clock_offset_seconds": {
                (venue,): offset_ns / 1e9 for venue, (offset_ns, _, _) in self._clocks.items()
            },
            "trifecta_venue_clock_drift_ppb": {
                (venue,): drift for venue, (_, drift, _) in self._clocks.items() if drift == drift
            },
            "trifecta_venue_negative_latency_rows_total": {
                (venue,): n for venue, (_, _, n) in self._clocks.items()
            },
            "trifecta_book_state": {
                (name, state.name): float(state is now)
                for name, now in self._books.items()
                for state in BookState
            },
            "trifecta_feed_total": self.feed(),
        }
        return values[name]


class _Rate:
    """Rows per second over the last RATE_S whole seconds."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int]] = deque(maxlen=RATE_S + 1)  # second, rows in it
        self._first: int | None = None

    def add(self, n_rows: int, now_s: float) -> None:
        second = int(now_s)
        self._first = second if self._first is None else self._first
        before = 0
        if self._seconds and self._seconds[-1][0] == second:
            before = self._seconds.pop()[1]
        self._seconds.append((second, before + n_rows))

    def per_second(self, now_s: float) -> float:
        now = int(now_s)
        if self._first is None or self._first == now:
            return 0.0
        n = sum(rows for second, rows in self._seconds if now - RATE_S <= second < now)
        return n / min(RATE_S, now - self._first)  # the first seconds count alone


class _Buckets:
    """A histogram with fixed upper bounds."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds, self._counts = bounds, [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        names = [*(f"{float(bound):g}" for bound in self._bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self._counts)), strict=True))


def _first_word(state: str) -> str:
    return state.split(" ", 1)[0].rstrip(":")


def _joined(place: tuple[str, int]) -> str:
    return f"{place[0]}/{place[1]}"
