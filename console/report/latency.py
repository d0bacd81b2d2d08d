"""Percentiles of a latency sample."""

import numpy as np

from schemas.rows import F8


def percentiles(latency_us: F8) -> dict[str, float | None]:
    """p50, p99 and max of an ascending sample; each is a value that occurred, None if empty."""
    if not latency_us.size:
        return {"p50": None, "p99": None, "max": None}
    found = np.percentile(latency_us, (50, 99, 100), method="higher")
    return dict(zip(("p50", "p99", "max"), (float(x) for x in found), strict=True))
