"""How well detectors find what was planted, and how often they speak where nothing is known.

    trifecta bench detection [--json]

Planted icebergs, spoofs, layers and absorption of the simulated market of limit order books: seeds
B, which no threshold was tuned on (`bench.detection_tune` uses seeds A), at the declared strength
and weaker ones; icebergs also where every order is told. Then alarms per hour on a recorded
perpetual, where nobody knows what is true, beside a surrogate of the same rows with permuted times
and signs of trades; and icebergs per hour on recordings of single orders, beside one with permuted
sizes.
"""

import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.detection_input import CHUNK_ROWS, alarms_of
from bench.detection_match import LATE_NS, Score, interval, score
from bench.detection_orders import measure_orders, scores_by_order
from bench.detection_recorded import data_folder, measure_recorded
from bench.detection_tuned import TUNED
from operators.features.detection.alarms import AlarmKind
from operators.features.detection.thresholds import Thresholds
from venues.lob import LobSimulator
from venues.lob.strength import WEAKER

SEEDS_A = (101, 102, 103, 104)
SEEDS_B = (201, 202, 203, 204, 205, 206)
MINUTES = 60.0  # of each
AIM = 0.9  # precision and recall at the declared strength


@dataclass(frozen=True)
class Asked:
    """What to measure; less of it in a test."""

    seeds: tuple[int, ...] = SEEDS_B
    minutes: float = MINUTES
    strengths: tuple[float, ...] = (1.0, *WEAKER)


def main(json_output: bool) -> None:
    """Measure and print it; as JSON on standard output if asked for.

    TapeError where the recording is not there.
    """
    recorded = measure_recorded(Thresholds())  # first: it says at once where it is not
    orders = measure_orders(data_folder(), Thresholds())
    found = measure(Asked())
    found["recorded"], found["recorded_orders"] = recorded, orders
    if json_output:
        print(json.dumps(found, indent=2))
        return
    for name, by_strength in found["thresholds"].items():
        print(f"thresholds {name}, seeds {', '.join(map(str, found['seeds']))}, "
              f"{found['minutes']:g} minutes each")  # fmt: skip
        for told in by_strength:
            _print(told)
    for line in recorded["lines"]:
        print(line)
    for one in orders:
        print(
            f"{one['recording']}, {one['hours'] * 60:.1f} minutes, order by order: icebergs per "
            f"hour by refills {one['refills']:.1f}, in the surrogate "
            f"{one['refills_surrogate']:.1f}; by the venue's ids {one['native']:.1f}; hidden "
            f"executions {one['hidden']:.1f}"
        )


def measure(asked: Asked) -> dict[str, Any]:
    """Precision, recall and latency by thresholds, strength and kind."""
    settings = {"literature": Thresholds(), "tuned": TUNED}
    by_name: dict[str, list[dict[str, Any]]] = {name: [] for name in settings}
    for strength in asked.strengths:
        scores = scores_of(asked.seeds, asked.minutes, strength, list(settings.values()))
        by_order = iter(
            scores_by_order(asked.seeds, asked.minutes, strength, list(settings.values()))
        )
        for (name, _), of_setting in zip(settings.items(), scores, strict=True):
            kinds = {kind.name.lower(): _told(each) for kind, each in of_setting.items()}
            kinds["iceberg, by order"] = _told(next(by_order))
            by_name[name].append({"strength": strength, "kinds": kinds})
    return {
        "seeds": list(asked.seeds), "minutes": asked.minutes, "aim": AIM, "thresholds": by_name,
        "late_s": {kind.name.lower(): late / 1e9 for kind, late in LATE_NS.items()},
    }  # fmt: skip


def scores_of(
    seeds: tuple[int, ...], minutes: float, strength: float, settings: list[Thresholds]
) -> list[dict[AlarmKind, list[Score]]]:
    """For each setting and kind the score on each seed."""
    found: list[dict[AlarmKind, list[Score]]] = [{kind: [] for kind in LATE_NS} for _ in settings]
    for seed in seeds:
        simulator = LobSimulator(seed=seed, minutes=minutes, strength=strength)
        table = simulator.table.arrays()
        every = alarms_of(simulator.read(0, CHUNK_ROWS), table, settings)
        for alarms, of_setting in zip(every, found, strict=True):
            for kind, scores in of_setting.items():
                scores.append(score(alarms, simulator.labels, kind, table.tick))
    return found


def _told(scores: list[Score]) -> dict[str, Any]:
    hit = np.concatenate([one.hit for one in scores])
    right = np.concatenate([one.right for one in scores])
    latency_ns = np.concatenate([one.latency_ns for one in scores])
    wrong: dict[str, int] = {}
    for one in scores:
        for what, n in one.wrong_at.items():
            wrong[what] = wrong.get(what, 0) + n
    precision, recall = interval(right), interval(hit)
    return {
        "planted": int(hit.size),
        "alarms": int(right.size),
        "precision": precision and asdict(precision),
        "recall": recall and asdict(recall),
        "latency_ms": {
            f"p{share}": float(np.percentile(latency_ns, share)) / 1e6 for share in (10, 50, 90, 99)
        } if latency_ns.size else None,
        "wrong_at": wrong,
    }  # fmt: skip


def _print(told: dict[str, Any]) -> None:
    print(f"  strength {told['strength']:g}")
    for kind, one in told["kinds"].items():
        late = one["latency_ms"]
        shown = f"p50 {late['p50']:,.0f} p90 {late['p90']:,.0f} ms" if late else "none found"
        wrong = ", ".join(f"{n} {what}" for what, n in one["wrong_at"].items()) or "nothing"
        print(
            f"    {kind:<17} precision {_said(one['precision'])} recall {_said(one['recall'])}; "
            f"{one['planted']} planted, {one['alarms']} alarms; {shown}; wrong at: {wrong}"
        )


def _said(share: dict[str, float] | None) -> str:
    if share is None:
        return "  none              "
    return f"{share['value']:.3f} ({share['low']:.3f} to {share['high']:.3f})"


if __name__ == "__main__":
    main("--json" in sys.argv)
