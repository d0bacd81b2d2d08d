"""How fast the desk is as workers on Kafka, and how long a tick takes to become an order.

    trifecta bench split [--json]

On a broker of its own, or the one of TRIFECTA_KAFKA, warmed by a small desk first: full speed of
ingest, features and decide; the waits of each hop at 1,000 ticks/s; what workers cost that have
nothing to do; and bare librdkafka on the same messages. Three to four minutes.
"""

import json
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import confluent_kafka
import numpy as np
from rich.console import Console
from rich.table import Table

from bench import split_bare, split_hops, split_speed
from bench.chain import cpu_name
from bench.split_desk import Say, Workers, broker, deployment
from bench.split_trail import HOPS
from cli.errors import talk
from flows.log.kafka_topics import full_name
from schemas.rows import F8
from schemas.topics import MARKET

NOTE = (
    "Full speed is a plumbing figure: a tape at full speed outruns its own reports, so that is no "
    "backtest and no figure of a desk that trades."
)
WARM_ROWS = 20_000
# Short round trips and easy entries, so that there are hundreds of orders in twenty seconds.
SETTINGS = """\
cadence = "{cadence}"
[lane]
ticks_min = 100
zone_atr = 5.0
vol_score_min = 1.0
arb_stretch_min = 0.5
binary_size_max = 0.0001
binary_expiry_ns = 1000000000
spot_hold_ns = 1000000000
arb_hold_ns = 1000000000
[safety]
loss_streak_max = 1000000
daily_trades_max = 1000000
"""
FULL_SPEED_CADENCE = "1s"  # as in `bench chain`
PACED_CADENCE = "tick"  # every tick is decided about, so every one has all its hops


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    rows: int = 1_000_000  # at full speed
    warm_s: float = 8.0  # of the paced desk, before it counts
    paced_s: float = 20.0
    idle_s: float = 10.0
    bare_s: float = 10.0


def main(json_output: bool) -> None:
    """Run all measurements and print them; as JSON on standard output if asked for."""
    console = talk()
    found = measure(Sizes(), lambda text: console.print(text, style="dim"))
    if json_output:
        print(json.dumps(found, indent=2))
        return
    show(found, Console(highlight=False))


def measure(sizes: Sizes, say: Say) -> dict[str, Any]:
    """All figures, with their units in the keys' names."""
    with ExitStack() as stack:
        servers = stack.enter_context(broker(say))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="trifecta-bench-")))
        bench = _Bench(servers, folder)
        say("warming the broker, and the kernels where they are not compiled yet")
        with bench.workers("warm", FULL_SPEED_CADENCE) as workers:
            warm(workers)
        say("full speed")
        speed, bare = _speed(bench, sizes)
        say(f"tick to order at {split_hops.TICKS_PER_S:,.0f} ticks/s")
        with bench.workers("paced", PACED_CADENCE) as workers:
            paced = split_hops.paced_desk(workers, warm_s=sizes.warm_s, seconds=sizes.paced_s)
        say("the same messages through bare librdkafka")
        with bench.workers("bare", PACED_CADENCE) as workers:
            bare["hop"] = _bare_hop(workers, paced, sizes.bare_s)
        say("workers that have nothing to do")
        with bench.workers("idle", PACED_CADENCE) as workers:
            idle = split_hops.idle_desk(workers, seconds=sizes.idle_s)
    return {
        "note": NOTE,
        "full_speed": speed,
        "paced": _paced_figures(paced, sizes),
        "idle_cores": idle,
        "bare": bare,
        "ratios": _ratios(speed, bare, paced),
        "machine": {
            "cpu": cpu_name(),
            "python": platform.python_version(),
            "librdkafka": confluent_kafka.libversion()[0],
            "confluent_kafka": version("confluent-kafka"),
        },
    }


def show(found: dict[str, Any], console: Console) -> None:
    """The figures as tables."""
    speed, bare, paced, ratios = (found[k] for k in ("full_speed", "bare", "paced", "ratios"))
    table = _table("full speed (plumbing)", "ticks/s", "by lane", "rows/s", "CPU s of s")
    for how in ("alone", "together"):
        for flow, each in speed[how].items():
            lanes = "  ".join(f"{k}: {_n(n)}" for k, n in each["ticks_per_s_by_lane"].items())
            cpu = f"{each['cpu_s']:.2f} of {each['wall_s']:.2f}"
            rates = _n(each["ticks_per_s"]), lanes, _n(each["rows_per_s"])
            table.add_row(f"{flow}, {how}", *rates, cpu)
    for what in ("produce", "consume"):
        each = bare[what]
        cpu = f"{each['cpu_s']:.2f} of {each['wall_s']:.2f}"
        table.add_row(f"bare {what}", "", "", _n(each["rows_per_s"]), cpu)
    console.print(table)
    table = _table(f"{paced['ticks_per_s']:,.0f} ticks/s", "n", "p50 ms", "p99 ms")
    for name, each in [*paced["hops"].items(), ("bare librdkafka, one hop", bare["hop"])]:
        table.add_row(name, f"{each['n']:,}", _ms(each["p50_ms"]), _ms(each["p99_ms"]))
    console.print(table)
    table = _table("cores", "at that rate", "with nothing to do")
    for flow, cores in paced["cores"].items():
        table.add_row(flow, f"{cores:.3f}", f"{found['idle_cores'][flow]:.3f}")
    console.print(table)
    table = _table("in this run", "times")
    for name, ratio in ratios.items():
        table.add_row(name.replace("_", " "), "" if ratio is None else f"{ratio:.2f}")
    console.print(table)
    console.print(
        f"orders on a tick's decision: {paced['orders']}, for other causes: "
        f"{paced['orders_for_reports_or_time']}"
    )
    console.print(found["note"], soft_wrap=True)


class _Bench:
    """Deployments with workers on one broker, with folders of their own."""

    def __init__(self, servers: str, folder: Path) -> None:
        self._servers, self._folder = servers, folder

    @contextmanager
    def workers(self, what: str, cadence: str) -> Iterator[Workers]:
        config = self._folder / f"{what}.toml"
        config.write_text(SETTINGS.format(cadence=cadence), encoding="utf-8")
        with (
            deployment(self._servers, what) as name,
            Workers(self._servers, name, self._folder / what, config) as workers,
        ):
            yield workers


def warm(workers: Workers) -> None:
    """A whole desk over a short tape: what compiles, loads or connects for the first time."""
    for flow in split_hops.STAGES:
        workers.start(flow)
    workers.start("ingest", "--simulate", "--rows", str(WARM_ROWS), "--speed", "0")
    workers.wait("ingest", *split_hops.STAGES)


def _speed(bench: _Bench, sizes: Sizes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Each worker alone, then two at once on a copy of the same messages; and what copying cost."""
    with (
        bench.workers("alone", FULL_SPEED_CADENCE) as alone,
        bench.workers("together", FULL_SPEED_CADENCE) as together,
    ):
        split_speed.ingest_alone(alone, sizes.rows)
        split_speed.stages_alone(alone)
        bare = split_speed.copy_market(alone, together)
        split_speed.stages_together(together)
        found = {
            "note": NOTE,
            "tape": {
                "simulated": True,
                "seed": split_speed.SEED,
                "rows": sizes.rows,
                "rate_hz": split_speed.RATE_HZ,
                "cadence": FULL_SPEED_CADENCE,
            },
            "alone": split_speed.figures(alone, ("ingest", "features", "decide")),
            "together": split_speed.figures(together, ("features", "decide")),
        }
    return found, bare


def _bare_hop(workers: Workers, paced: split_hops.Paced, seconds: float) -> dict[str, float]:
    """The paced desk's `market.v1` again, at the moments at which its messages came."""
    first_ns = paced.market[0][0]
    messages = [each for each in paced.market if each[0] - first_ns < seconds * 1e9]
    span_s = (messages[-1][0] - first_ns) / 1e9
    waits_ns = split_bare.replay(
        workers.servers, full_name(workers.deployment, MARKET.name), messages
    )
    return {"messages_per_s": len(messages) / span_s if span_s else 0.0, **_quantiles(waits_ns)}


def _paced_figures(paced: split_hops.Paced, sizes: Sizes) -> dict[str, Any]:
    hops = paced.trail.waits_ns
    return {
        "ticks_per_s": hops[HOPS[0]].size / sizes.paced_s,
        "market_speed": split_hops.SPEED,
        "cadence": PACED_CADENCE,
        "seconds": sizes.paced_s,
        "hops": {name: _quantiles(waits_ns) for name, waits_ns in hops.items()},
        "orders": hops[HOPS[-1]].size,
        "orders_for_reports_or_time": paced.trail.orders_else,
        "cores": paced.cores,
    }


def _ratios(
    speed: dict[str, Any], bare: dict[str, Any], paced: split_hops.Paced
) -> dict[str, float | None]:
    """How many times faster bare librdkafka is: at what ingest, and at what features has to do."""
    alone = speed["alone"]
    write, read = bare["produce"]["rows_per_s"], bare["consume"]["rows_per_s"]
    both = 1.0 / (1.0 / write + 1.0 / read)
    hop_ms, order_ns = bare["hop"]["p50_ms"], paced.trail.waits_ns[HOPS[-1]]
    return {
        "bare_produce_over_ingest": _over(write, alone["ingest"]["rows_per_s"]),
        "bare_consume_and_produce_over_features": _over(both, alone["features"]["rows_per_s"]),
        "bare_consume_over_decide": _over(read, alone["decide"]["rows_per_s"]),
        "tick_to_order_p50_over_bare_hop_p50": _over(_quantiles(order_ns)["p50_ms"], hop_ms),
    }


def _over(above: float | None, below: float | None) -> float | None:
    return above / below if above and below else None


def _quantiles(waits_ns: F8) -> dict[str, Any]:
    """Milliseconds; null where nothing came."""
    if not waits_ns.size:
        return {"n": 0, "p50_ms": None, "p99_ms": None}
    p50, p99 = np.percentile(waits_ns, [50, 99]) / 1e6
    return {"n": int(waits_ns.size), "p50_ms": float(p50), "p99_ms": float(p99)}


def _table(title: str, *columns: str) -> Table:
    table = Table(title, box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _n(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
