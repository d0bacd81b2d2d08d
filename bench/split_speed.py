"""Full speed through real workers: what ingest, features and decide do with all there is to read.

When a worker wrote its first and its last message is read from the messages' own times, so start
and end of its process do not count, and nothing watches while it works.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.split_bare import Held, consume, produce
from bench.split_desk import Workers
from flows.log.codec import decode, encode_json
from flows.log.kafka import KafkaLog
from flows.log.kafka_topics import full_name
from flows.recorded import recorded_run
from schemas.kinds import Kind, ReportCode
from schemas.rows import I8, MarketRows
from schemas.topics import DECISIONS, FEATURES, MARKET, PROPOSALS, REPORTS, Topic

SEED = 1
RATE_HZ = 200.0  # ticks per simulated second, as in `bench chain`
OUTPUTS = {  # of each worker; the first says by lane how far it is
    "ingest": (MARKET,),
    "features": (FEATURES,),
    "decide": (PROPOSALS, DECISIONS),
}

Times = Mapping[int, I8]  # receive times of a lane's rows, rising


def ingest_alone(workers: Workers, n_rows: int) -> None:
    """Write a tape to `market.v1`, up to its end.

    An end waits until execute says that no report can follow. Nothing executes here, so none can,
    and the bench says it.
    """
    options = ["--seed", str(SEED), "--rows", str(n_rows), "--rate", str(RATE_HZ), "--speed", "0"]
    workers.start("ingest", "--simulate", *options)
    workers.wait_until("ingest", lambda health: health["state"].startswith("draining"))
    log = workers.open_log()
    try:
        writer = log.writer()
        for lane in _lanes(log):
            drained = {"seq": 0, "lane": lane, "ts_event_ns": 0, "ts_recv_ns": 0}
            row = drained | {"code": ReportCode.DRAINED.name}
            writer.append(encode_json(REPORTS, lane=lane, rows=[row], code_version="bench"))
        writer.close()
    finally:
        log.close()
    workers.wait("ingest")


def stages_alone(workers: Workers) -> None:
    """Features over `market.v1`, then decide over `features.v1`."""
    for flow in ("features", "decide"):
        workers.start(flow)
        workers.wait(flow)


def stages_together(workers: Workers) -> None:
    """Both at once: decide is ready and waits when features begins."""
    workers.start("decide")
    workers.wait_until("decide", lambda health: health["state"] == "running")
    workers.start("features")
    workers.wait("features", "decide")


def copy_market(source: Workers, target: Workers) -> dict[str, Any]:
    """The same `market.v1`, and the texts beside it, in another deployment, by bare librdkafka.

    Returns what producing and consuming it has cost.
    """
    log, other = source.open_log(), target.open_log()
    try:
        writer = other.writer()
        writer.append([], log.texts())
        writer.close()
        messages, _ = _read(source, log, MARKET)
        made = produce(source.servers, full_name(target.deployment, MARKET.name), messages)
        _, consumed = _read(target, other, MARKET)
    finally:
        log.close()
        other.close()
    return {"produce": made, "consume": consumed}


def figures(workers: Workers, flows: Sequence[str]) -> dict[str, Any]:
    """Ticks per second of workers from first to last write, by worker."""
    log = workers.open_log()
    try:
        rows, ticks = _tape(_read(workers, log, MARKET)[0])
        last_ns = max(int(times[-1]) for times in ticks.values())
        written = {flow: _written(workers, log, flow, last_ns) for flow in flows}
    finally:
        log.close()
    return {flow: _figures(workers, flow, each, rows, ticks) for flow, each in written.items()}


def _figures(
    workers: Workers, flow: str, written: list[tuple[int, int, int]], rows: Times, ticks: Times
) -> dict[str, Any]:
    first_ms, last_ms = min(ms for ms, _, _ in written), max(ms for ms, _, _ in written)
    wall_s = (last_ms - first_ms) / 1e3
    # What the first write held was done before it, so it does not count.
    before = dict.fromkeys(ticks, -1) | {k: ts for ms, k, ts in written if ms == first_ms}
    n_ticks = {k: int(np.count_nonzero(times > before[k])) for k, times in ticks.items()}
    n_rows = sum(int(np.count_nonzero(times > before[k])) for k, times in rows.items())
    return {
        "ticks_per_s": _per_s(sum(n_ticks.values()), wall_s),
        "ticks_per_s_by_lane": {str(k): _per_s(n, wall_s) for k, n in sorted(n_ticks.items())},
        "rows_per_s": _per_s(n_rows, wall_s),
        "ticks": sum(n_ticks.values()),
        "wall_s": wall_s,
        "cpu_s": workers.cpu_s(flow, first_ms / 1e3, last_ms / 1e3),
        "cpu_s_with_start": workers.cpu_s(flow, 0.0, last_ms / 1e3 + 3600.0),
    }


def _written(
    workers: Workers, log: KafkaLog, flow: str, last_ns: int
) -> list[tuple[int, int, int]]:
    """When a worker wrote what the tape's ticks gave: ms since 1970, lane, newest market time.

    What follows the last tick is the handshake of the end, which takes its time.
    """
    return [
        (each.created_ms, each.lane if topic.partitions == "lane" else -1, message.ts_max_ns)
        for topic in OUTPUTS[flow]
        for each in _read(workers, log, topic)[0]
        if (message := each.message(topic.name)).ts_min_ns <= last_ns
    ]


def _read(workers: Workers, log: KafkaLog, topic: Topic) -> tuple[list[Held], dict[str, float]]:
    """All messages of a topic, and what reading them has cost."""
    lanes = _lanes(log) if topic.partitions == "lane" else [0]
    name = full_name(workers.deployment, topic.name)
    ends = log.ends([(topic.name, lane) for lane in lanes])
    return consume(workers.servers, {(name, lane): end for (_, lane), end in ends.items()})


def _lanes(log: KafkaLog) -> list[int]:
    """Those that hold instruments."""
    return recorded_run(log)[1].active_lanes()


def _tape(messages: Sequence[Held]) -> tuple[Times, Times]:
    """Times of the tape's rows, and of those that are ticks."""
    rows: dict[int, list[I8]] = {}
    ticks: dict[int, list[I8]] = {}
    for each in messages:
        market: MarketRows = decode(each.message(MARKET.name))
        mine = market.source >= 0
        tick = mine & ((market.kind == Kind.TRADE) | (market.kind == Kind.QUOTE))
        rows.setdefault(each.lane, []).append(market.ts_recv_ns[mine])
        ticks.setdefault(each.lane, []).append(market.ts_recv_ns[tick])
    return (
        {lane: np.concatenate(parts) for lane, parts in rows.items()},
        {lane: np.concatenate(parts) for lane, parts in ticks.items()},
    )


def _per_s(n: int, wall_s: float) -> float | None:
    """None where it took less than a clock of 1 ms can tell."""
    return n / wall_s if wall_s > 0 else None
