"""What every test may use: Hypothesis profiles, and the recorded data."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.kafka_server import (  # noqa: F401 - fixtures
    deployment,
    kafka_servers,
    own_broker,
    own_cluster,
)

ROOT = Path(__file__).resolve().parent.parent

# No deadline: the first call of a kernel compiles it. `fast` draws the same examples every time.
settings.register_profile(
    "fast", derandomize=True, deadline=None, max_examples=30, database=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
settings.register_profile(
    "slow", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(scope="session")
def data_path() -> Callable[[str], Path]:
    """`data_path("quotes/x.parquet")`: a recording's path, or the test is skipped."""
    folder = Path(os.environ.get("TRIFECTA_DATA") or ROOT.parent / "shared" / "data")

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"ours: recorded data {name} not in {folder}; set TRIFECTA_DATA to it")
        return path

    return find
