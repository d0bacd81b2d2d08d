"""Promise: what a worker says of itself is what it counted, in both forms, while it goes on."""

import math
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from flows.meter import METRICS, POLL_S_MAX, RATE_S, START_S_MAX, STEP_ROWS, STEP_S, Meter
from operators.market.books.words import BookState
from schemas.reasons import Reason

OWN = {"flow": "features", "lanes": "0-3"}
T0 = 1_399_032_000_000_000_000  # ns


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> Meter:
    return Meter("features", "0-3", clock=clock)


def scraped(meter: Meter) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """(name, labels but flow and lanes) to value, read back by the library's parser."""
    found = {}
    for family in text_string_to_metric_families(generate_latest(meter.registry).decode()):
        for sample in family.samples:
            if sample.name.startswith("trifecta_"):
                assert OWN.items() <= sample.labels.items()
            labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k not in OWN))
            found[sample.name, labels] = sample.value
    return found


def test_a_stop_is_told_by_its_name_and_is_no_trouble(meter: Meter) -> None:
    def told() -> dict[str, float]:
        found = scraped(meter)
        return {labels[0][1]: n for (name, labels), n in found.items() if name.endswith("_stopped")}

    assert (meter.snapshot()["stopped"], told()) == (None, {})  # of a worker that does not decide
    names = {"HALTED", "DRAWDOWN_STOP", "DAILY_LOSS", "LOSS_STREAK", "DAILY_TRADES"}
    for reason in (Reason.HALTED, Reason.LOSS_STREAK):
        meter.stopped(reason)
        said = meter.snapshot()
        assert (said["stopped"], said["healthy"]) == ([reason.name], True)
        assert told() == {name: float(name == reason.name) for name in names}
    meter.stopped(Reason.OK)
    assert (meter.snapshot()["stopped"], told()) == ([], dict.fromkeys(names, 0.0))


def test_books_are_told_by_name_and_state(meter: Meter) -> None:
    meter.booked("a:X", BookState.GAP)
    meter.booked("a:X", BookState.HALTED)
    meter.booked("b:Y", BookState.UNPROVABLE)
    assert meter.snapshot()["books"] == {"a:X": "HALTED"}  # those that nobody may use
    found = {
        (dict(labels)["instrument"], dict(labels)["state"])
        for (name, labels), value in scraped(meter).items()
        if name == "trifecta_book_state" and value == 1.0
    }
    assert found == {("a:X", "HALTED"), ("b:Y", "UNPROVABLE")}


def test_snapshot_and_scrape_hold_what_was_counted(meter: Meter, clock: Clock) -> None:
    meter.state("running")
    meter.read(100, T0)
    meter.read(50, T0 - 1)  # another lane is behind: event time stays
    meter.wrote("features.v1", 0, 90, 89)
    meter.wrote("features.v1", 0, 10, 99)
    meter.wrote("features.v1", 3, 50, 49)
    meter.lagging({("market.v1", 0): 7, ("market.v1", 3): 2})
    meter.lagging({("market.v1", 3): 0})
    meter.beat()
    clock.now_s += 2.5
    said = meter.snapshot()
    assert said == {
        "flow": "features", "lanes": "0-3", "pid": os.getpid(), "state": "running",
        "healthy": True, "trouble": None, "stopped": None, "books": {}, "uptime_s": 2.5,
        "poll_age_s": 2.5,
        "rows_read": 150, "rows_written": 150, "rows_per_s": 75.0,
        "lag": 7, "lag_by_lane": {"market.v1/0": 7, "market.v1/3": 0},
        "last_seq": {"features.v1/0": 99, "features.v1/3": 49},
        "event_time_ns": T0, "errors": 0, "last_error": None,
    }  # fmt: skip
    found = scraped(meter)
    first, fourth = (
        (("lane", "0"), ("topic", "features.v1")),
        (("lane", "3"), ("topic", "features.v1")),
    )
    assert found["trifecta_rows_read_total", ()] == 150
    assert found["trifecta_rows_written_total", first] == 100
    assert found["trifecta_rows_written_total", fourth] == 50
    assert found["trifecta_last_seq", first] == 99
    assert found["trifecta_lag_messages", (("lane", "0"), ("topic", "market.v1"))] == 7
    assert found["trifecta_event_time_seconds", ()] == T0 / 1e9
    assert found["trifecta_poll_age_seconds", ()] == 2.5
    assert found["trifecta_errors_total", ()] == 0


def test_nothing_is_invented_before_the_first_row(meter: Meter) -> None:
    said = meter.snapshot()
    assert (said["lag"], said["event_time_ns"], said["last_seq"]) == (None, None, {})
    assert not any(name == "trifecta_event_time_seconds" for name, _ in scraped(meter))


def test_the_table_of_metrics_is_what_a_scrape_holds(meter: Meter) -> None:
    meter.read(1, T0)
    meter.booked("a:X", BookState.SYNCED)
    meter.wrote("features.v1", 0, 1, 0)
    meter.lagging({("market.v1", 0): 0})
    meter.clocked("kraken", 1, 0.0, 0)
    meter.stopped(Reason.OK)
    meter.feed = lambda: {("kraken", "gaps"): 0}
    families = {
        family.name: family
        for family in text_string_to_metric_families(generate_latest(meter.registry).decode())
        if family.name.startswith("trifecta_")
    }
    assert len(families) == len(METRICS)
    for described in METRICS:
        family = families[described.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (described.kind, described.text)
        assert {*OWN, *described.labels} == {*family.samples[0].labels} - {"le"}


def test_cpu_and_memory_of_the_process_are_there(meter: Meter) -> None:
    found = scraped(meter)
    assert found["process_resident_memory_bytes", ()] > 1e6
    assert found["process_cpu_seconds_total", ()] > 0


def test_a_histogram_counts_each_batch_once_up_to_its_bound(meter: Meter) -> None:
    steps = [(0.0001, 1), (0.00011, 2), (0.3, 64), (99.0, 10**6)]
    for seconds, rows in steps:
        meter.stepped(seconds, rows)
    found = scraped(meter)
    for name, bounds, values in (
        ("trifecta_step_seconds", STEP_S, [s for s, _ in steps]),
        ("trifecta_step_rows", STEP_ROWS, [r for _, r in steps]),
    ):
        buckets = {
            float(dict(labels)["le"]): n
            for (each, labels), n in found.items()
            if each == f"{name}_bucket"
        }
        assert set(buckets) == {*bounds, math.inf}
        for bound, n in buckets.items():
            assert n == sum(value <= bound for value in values)
        assert found[f"{name}_count", ()] == len(values)
        assert found[f"{name}_sum", ()] == pytest.approx(sum(values))


# fmt: off
RATES = [  # what happens, rows at seconds since the start, asked at, rows per second
    ("nothing was read",         [],                              3.0,  0.0),
    ("the first second",         [(0.1, 50)],                     0.9,  0.0),
    ("a second later",           [(0.1, 50)],                     1.1,  50.0),
    ("evenly",                   [(s, 20) for s in range(30)],    30.0, 20.0),
    ("many in one second",       [(0.1, 5), (0.2, 5), (0.9, 5)],  1.0,  15.0),
    ("now does not count yet",   [(0.0, 10), (1.0, 99)],          1.5,  10.0),
    ("over the last seconds",    [(0.0, 10), (9.0, 10)],          10.0, 2.0),
    ("it has stopped",           [(0.0, 10)],                     60.0, 0.0),
]
# fmt: on


@pytest.mark.parametrize(("what", "rows", "at_s", "rate"), RATES, ids=[r[0] for r in RATES])
def test_rows_per_second(
    what: str, rows: list[tuple[float, int]], at_s: float, rate: float, meter: Meter, clock: Clock
) -> None:
    assert RATE_S == 5
    for second, n in rows:
        clock.now_s = 1000.0 + second
        meter.read(n, T0)
    clock.now_s = 1000.0 + at_s
    assert meter.snapshot()["rows_per_s"] == rate


# fmt: off
HEALTH = [  # what happens, in order (a number lets seconds pass), what is wrong then; "" is well
    ("it has just begun",          [],                                         ""),
    ("kernels compile",            [40],                                       ""),
    ("it never gets anywhere",     [START_S_MAX + 1],                          "polled for 181 s"),
    ("the first batch compiles",   ["running", "beat", 40],                    ""),
    ("the first batch hangs",      ["running", "beat", START_S_MAX + 1],       "polled for 181 s"),
    ("it polls",                   ["running", "beat", "step", 9],             ""),
    ("just in time",               ["running", "beat", "step", POLL_S_MAX],    ""),
    ("the loop hangs",             ["running", "beat", "step", 11],            "polled for 11 s"),
    ("and goes on",                ["running", "step", 11, "beat"],            ""),
    ("hangs while draining",       ["running", "step", "draining", 11],        "polled for 11 s"),
    ("it waits and says so",       ["step", "waiting for it", 8, "beat", 8],   ""),
    ("it waits and hangs",         ["step", "waiting for it", 11],             "polled for 11 s"),
    ("starting after a wait",      ["step", "waiting for it", "starting", 40], ""),
    ("an error",                   ["running", "beat", "!disk full"],          "disk full"),
    ("an error it survived",       ["running", "beat", "!disk full", "beat"],  ""),
    ("finished long ago",          ["running", "step", "finished", 999],       ""),
]
# fmt: on


@pytest.mark.parametrize(("what", "steps", "said"), HEALTH, ids=[h[0] for h in HEALTH])
def test_health(what: str, steps: list[Any], said: str, meter: Meter, clock: Clock) -> None:
    for step in steps:
        if isinstance(step, int | float):
            clock.now_s += step
        elif step == "beat":
            meter.beat()
        elif step == "step":
            meter.stepped(0.1, 10)
        elif step.startswith("!"):
            meter.failed(step[1:])
        else:
            meter.state(step)
    trouble = meter.trouble()
    assert trouble is None if not said else said in str(trouble)
    assert meter.snapshot()["healthy"] == (not said)


def test_errors_are_counted_and_the_last_is_kept(meter: Meter) -> None:
    meter.failed("one")
    meter.failed("two")
    meter.beat()
    said = meter.snapshot()
    assert (said["errors"], said["last_error"], said["healthy"]) == (2, "two", True)
    assert scraped(meter)["trifecta_errors_total", ()] == 2


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("waiting for ingest", "waiting"),
        ("draining: the last reports of lanes 1, 2", "draining"),
        ("running", "running"),
    ],
)
def test_one_state_is_on(meter: Meter, text: str, state: str) -> None:
    meter.state(text)
    on = [labels for (name, labels), n in scraped(meter).items() if name == "trifecta_state" and n]
    assert on == [(("state", state),)]
    assert meter.snapshot()["state"] == text


def test_an_unknown_state_is_refused(meter: Meter) -> None:
    with pytest.raises(ValueError, match=r"must begin with one of starting, .* was 'asleep'"):
        meter.state("asleep")


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_scrapes_while_the_flow_counts_see_one_moment_each(restless: None) -> None:
    meter = Meter("features", "0-3")
    done = threading.Event()
    failures: list[BaseException] = []

    def scrape() -> None:
        try:
            while not done.is_set():
                families = {family.name: family.samples for family in meter.collect()}
                written = sum(sample.value for sample in families["trifecta_rows_written"])
                read = families["trifecta_rows_read"][0].value
                assert read - 2 <= written <= read  # rows are written after they are read
                said = meter.snapshot()
                assert said["rows_read"] - 2 <= said["rows_written"] <= said["rows_read"]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=scrape) for _ in range(2)]
    for thread in threads:
        thread.start()
    for n in range(2000):
        meter.read(2, T0 + n)
        meter.wrote("features.v1", n, 2, n)  # partitions are added under the scrape
        meter.stepped(0.001, 2)
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    said = meter.snapshot()
    assert said["rows_read"] == said["rows_written"] == 4000
    assert scraped(meter)["trifecta_step_rows_count", ()] == 2000


def test_clocks_of_venues_are_told_and_rows_of_negative_latency_add_up(meter: Meter) -> None:
    meter.clocked("kraken", -1_270_000_000, math.nan, 3)
    meter.clocked("bitstamp", 250_000, 12.5, 0)
    assert ("trifecta_venue_clock_drift_ppb", (("venue", "kraken"),)) not in scraped(meter)
    meter.clocked("kraken", -1_269_500_000, -40.0, 4)
    found = scraped(meter)
    told = {
        (name, venue): found[f"trifecta_venue_{name}", (("venue", venue),)]
        for name in ("clock_offset_seconds", "clock_drift_ppb", "negative_latency_rows_total")
        for venue in ("kraken", "bitstamp")
    }
    assert told == {
        ("clock_offset_seconds", "kraken"): -1.2695, ("clock_offset_seconds", "bitstamp"): 0.00025,
        ("clock_drift_ppb", "kraken"): -40.0, ("clock_drift_ppb", "bitstamp"): 12.5,
        ("negative_latency_rows_total", "kraken"): 7.0,
        ("negative_latency_rows_total", "bitstamp"): 0.0,
    }  # fmt: skip
