"""A whole desk of workers at a steady pace, watched from outside; and one with nothing to do."""

import time
from dataclasses import dataclass
from typing import Any

from bench.split_bare import Arrivals
from bench.split_desk import Health, Workers
from bench.split_trail import Seen, Trail, trail_of
from cli.errors import Refused
from cli.worker import FLOWS
from flows.log.kafka_topics import full_name, planned_topics
from schemas.topics import DECISIONS, FEATURES, MARKET, ORDERS

TICKS_PER_S = 1_000.0
SPEED = 20.0  # of a market of 50 ticks/s: in real time it moves too little to be traded in seconds
ROWS_PER_TICK = 1.25  # the simulator's book rows stand beside its ticks
SEED = 1
MARKET_BEGINS = "market time begins"  # ingest's line that pairs market time with this machine's
STAGES = tuple(flow for flow in FLOWS if flow != "ingest")
WATCHED = (MARKET, FEATURES, DECISIONS, ORDERS)
START_S_MAX = 60.0  # of the workers, while ingest is running already
REACHED_S = 2.0  # beyond the last tick's due time, until its order has come
SETTLED_S = 3.0  # until a worker that has begun does what it does for hours
IDLE_RATE_HZ = 0.01
ABREAST_NS = 20_000_000_000  # of market time: one second of the paced desk


@dataclass(frozen=True)
class Paced:
    """What a desk did within the measured time.

    Attributes
    ----------
    trail : Trail
    market : sequence of (int, Held)
        Messages of `market.v1` that came, with the time of their arrival in ns.
    cores : dict of str to float
        Processor time of each worker per second.
    """

    trail: Trail
    market: Seen
    cores: dict[str, float]


def paced_desk(workers: Workers, *, warm_s: float, seconds: float) -> Paced:
    """Run a desk at 1,000 ticks/s; what it does in its first `warm_s` does not count."""
    partitions = {plan.name: plan.partitions for plan in planned_topics()}
    places = [
        (full_name(workers.deployment, topic.name), lane)
        for topic in WATCHED
        for lane in range(partitions[topic.name])
    ]
    most_s = START_S_MAX + warm_s + seconds + REACHED_S
    n_rows = int(most_s * TICKS_PER_S * ROWS_PER_TICK)  # nobody waits for its end
    with Arrivals(workers.servers, places) as arrivals:
        _start(workers, rows=n_rows, rate_hz=TICKS_PER_S / SPEED, speed=SPEED)
        clock = workers.event("ingest", MARKET_BEGINS)
        _wait_until_abreast(workers)
        begin_s = time.monotonic() + warm_s
        end_s = begin_s + seconds
        if begin_s - clock["monotonic_s"] > START_S_MAX + warm_s:
            raise Refused("the workers took too long to start; measure when less else is going on")
        time.sleep(max(0.0, end_s + REACHED_S - time.monotonic()))
    since_1970_s = time.time() - time.monotonic()
    span_ns = int(begin_s * 1e9), int(end_s * 1e9)
    return Paced(
        trail_of(arrivals.found, _Due(clock), span_ns),
        [
            (at_ns, held)
            for at_ns, held in arrivals.found
            if held.topic.endswith(MARKET.name) and span_ns[0] <= at_ns < span_ns[1]
        ],
        _cores(workers, begin_s + since_1970_s, end_s + since_1970_s),
    )


def idle_desk(workers: Workers, *, seconds: float) -> dict[str, float]:
    """Processor time per second of each worker of a desk that has nothing to do."""
    _start(workers, rows=100, rate_hz=IDLE_RATE_HZ, speed=1.0)
    _wait_until_abreast(workers)
    time.sleep(SETTLED_S)
    begin_s = time.time()
    time.sleep(seconds)
    return _cores(workers, begin_s, time.time())


class _Due:
    """When a row of the tape was due, on the monotonic clock of this machine."""

    def __init__(self, clock: dict[str, Any]) -> None:
        self._origin_ns, self._first_ns = int(clock["monotonic_s"] * 1e9), int(clock["market_ns"])

    def __call__(self, ts_recv_ns: int) -> int:
        return self._origin_ns + int((ts_recv_ns - self._first_ns) / SPEED)


def _start(workers: Workers, *, rows: int, rate_hz: float, speed: float) -> None:
    for flow in STAGES:
        workers.start(flow)
    for flow in STAGES:
        workers.wait_until(flow, lambda health: health["state"].startswith("waiting"))
    options = {"--seed": SEED, "--rows": rows, "--rate": rate_hz, "--speed": speed}
    given = [part for name, value in options.items() for part in (name, str(value))]
    workers.start("ingest", "--simulate", *given)


def _wait_until_abreast(workers: Workers) -> None:
    """All workers are where ingest is, and nobody is loading kernels any more."""

    def abreast(health: Health) -> bool:
        ingest = workers.health("ingest") or health
        at_ns, ahead_ns = health["event_time_ns"], ingest["event_time_ns"]
        return None not in (at_ns, ahead_ns) and bool(ahead_ns - at_ns < ABREAST_NS)

    for flow in FLOWS:
        workers.wait_until(flow, abreast)


def _cores(workers: Workers, begin_s: float, end_s: float) -> dict[str, float]:
    return {flow: workers.cpu_s(flow, begin_s, end_s) / (end_s - begin_s) for flow in FLOWS}
