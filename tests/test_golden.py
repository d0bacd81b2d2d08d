"""Golden runs: the digests of whole recorded sessions, on the machines that they are known for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import golden


@pytest.mark.parametrize("name", golden.SAMPLES)
def test_sample_tapes(name: str, tmp_path: Path) -> None:
    assert golden.digests_of(golden.SAMPLES[name], tmp_path) == _due(name)


@pytest.mark.parametrize("name", golden.RECORDED)
def test_recorded_tapes(name: str, data_path: Callable[[str], Path], tmp_path: Path) -> None:
    paths = [data_path(each) for each in golden.RECORDED[name]]
    assert golden.digests_of(paths, tmp_path) == _due(name)


def _due(name: str) -> list[str]:
    known = golden.known()
    if not known:
        pytest.skip("ours: no golden digests for this CPU's arithmetic; run python -m tests.golden")
    return known[name]
