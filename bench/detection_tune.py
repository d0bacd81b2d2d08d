"""Thresholds for the simulated market, tuned on seeds A and written into a file beside this one.

    python -m bench.detection_tune

For each detector all combinations of a few values; the best is the one with the largest smaller of
precision and recall at the declared strength, then with the larger sum, then the first. The same
code gives the same file.
"""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.detection import MINUTES, SEEDS_A, scores_of
from bench.detection_match import Score
from operators.features.detection.alarms import AlarmKind
from operators.features.detection.thresholds import Thresholds

_MS = 1_000_000
GRIDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "iceberg": {
        "refill_ns": (70 * _MS, 100 * _MS),
        "refills_min": (4, 5, 6),
        "native_fresh_ns": (20 * _MS, 200 * _MS),
    },
    "spoof": {
        "size_ratio_min": (15.0, 20.0, 25.0),
        "score_min": (0.5, 0.6),
        "filled_share_max": (0.1, 0.3),
    },
    "absorption": {
        "volume_ratio_min": (1.75, 2.0, 2.25),
        "residual_max": (-2.0, -1.5),
        "moved_ticks_max": (1.0, 1.5),
    },
}
JUDGED_BY = {
    "iceberg": AlarmKind.ICEBERG, "spoof": AlarmKind.SPOOF, "absorption": AlarmKind.ABSORPTION,
}  # fmt: skip
FILE = Path(__file__).with_name("detection_tuned.py")


def main() -> None:
    """Tune all detectors and write the file."""
    FILE.write_text(written(tune(SEEDS_A, MINUTES)))
    print(f"wrote {FILE}", file=sys.stderr)


def tune(seeds: tuple[int, ...], minutes: float) -> Thresholds:
    """The best thresholds of the grids on these seeds."""
    parts = {name: list(_combinations(name)) for name in GRIDS}
    n = max(len(each) for each in parts.values())
    # Detectors do not know each other: one walk tries a combination of each.
    settings = [
        Thresholds(**{name: each[j % len(each)] for name, each in parts.items()}) for j in range(n)
    ]
    scores = scores_of(seeds, minutes, 1.0, settings)
    best = {}
    for name, each in parts.items():
        quality = [_quality(scores[j][JUDGED_BY[name]]) for j in range(len(each))]
        winner = max(range(len(each)), key=lambda k: (*quality[k], -k))
        print(f"{name}: {quality[winner]} {each[winner]}", file=sys.stderr)
        best[name] = each[winner]
    return Thresholds(**best)


def _quality(scores: list[Score]) -> tuple[float, float]:
    """The smaller of precision and recall, and their sum."""
    right = np.concatenate([one.right for one in scores])
    recall = float(np.concatenate([one.hit for one in scores]).mean())
    precision = float(right.mean()) if right.size else 0.0
    return round(min(precision, recall), 4), round(precision + recall, 4)


def written(thresholds: Thresholds) -> str:
    """The file that holds them."""
    usual, lines = Thresholds(), []
    for name in GRIDS:
        part = getattr(thresholds, name)
        changed = [
            f"        {field}={value!r},\n"
            for field, value, before in zip(
                part._fields, part, getattr(usual, name), strict=True
            )
            if value != before
        ]  # fmt: skip
        kind = type(part).__name__
        body = f"(\n{''.join(changed)}    )" if changed else "()"
        lines.append(f"    {name}={kind}{body},\n")
    return _HEAD + "TUNED = Thresholds(\n" + "".join(lines) + ")\n"


def _combinations(name: str) -> Iterator[Any]:
    """The thresholds of one detector with all values of its grid, the literature's elsewhere."""
    grid, usual = GRIDS[name], getattr(Thresholds(), name)
    for values in itertools.product(*grid.values()):
        yield usual._replace(**dict(zip(grid, values, strict=True)))


_HEAD = '''"""Thresholds tuned on seeds A of the simulator, by `python -m bench.detection_tune`.

Not for a real market as they are: its sizes, rates and ticks are others.
"""

from operators.features.detection.thresholds import (
    AbsorptionThresholds,
    IcebergThresholds,
    SpoofThresholds,
    Thresholds,
)

'''

if __name__ == "__main__":
    main()
