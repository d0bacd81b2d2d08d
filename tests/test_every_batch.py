"""Long form: the whole sample session with batches of 1, 7, 512 and 5,000, on both profiles."""

from pathlib import Path

import pytest

from tests.runs import eurusd, run

pytestmark = pytest.mark.slow


def test_one_digest(tmp_path: Path) -> None:
    found = set()
    for profile, batch_rows in (
        ("memory", 1), ("memory", 7), ("memory", 512), ("memory", 5000),
        ("embedded", 7), ("embedded", 512), ("embedded", 5000),
    ):  # fmt: skip
        folder = tmp_path / f"{profile}-{batch_rows}"
        ran = run(eurusd(), profile=profile, batch_rows=batch_rows, folder=folder)
        found.add((ran.decision_digest, ran.ledger_digest))
        ran.log.close()
    assert len(found) == 1
