"""The benchmark of the flow features: it reads what it says, and says what it needs."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.features import main
from cli.main import app
from venues.tape import TapeError


def test_without_recordings_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIFECTA_DATA", str(tmp_path))
    with pytest.raises(TapeError, match=r"not there\. Set TRIFECTA_DATA"):
        main(json_output=True)
    done = CliRunner().invoke(app, ["bench", "features", "--json"])
    assert done.exit_code == 2
    assert "TRIFECTA_DATA" in done.stderr


def test_it_is_called_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("bench.features.main", asked.append)
    for arguments in (["bench", "features", "--json"], ["bench", "features"]):
        assert CliRunner().invoke(app, arguments).exit_code == 0
    assert asked == [True, False]
