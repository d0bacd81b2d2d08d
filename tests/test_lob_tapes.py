"""Promise: the simulated market can be written as tapes, which are read back row for row."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.main import app
from schemas.kinds import Kind
from schemas.rows import take
from tests.tape_files import read
from venues.lob import LobSimulator, Plant
from venues.lob.tapes import LABELS, write_tapes
from venues.tape import open_tapes

SIMULATOR = LobSimulator(seed=2, minutes=4.0, faults_per_hour=30.0)
COLUMNS = ("side", "price", "qty", "bid_px", "bid_qty", "ask_px", "ask_qty", "ts_event_ns")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_tapes(SIMULATOR, tmp_path_factory.mktemp("sim"))


def test_each_layout_has_the_rows(files: list[Path]) -> None:
    for path in files[:-1]:
        kind = {"trades": Kind.TRADE, "quotes": Kind.QUOTE, "book": Kind.BOOK}[path.parent.name]
        source = next(k for k, v in enumerate(SIMULATOR.venues) if path.name.startswith(v.venue))
        found = read(open_tapes([path]), batch_rows=100_000)
        rows = SIMULATOR.rows
        made = take(rows, (rows.kind == kind) & (rows.source == source))
        assert found.seq.size == made.seq.size > 100
        for name in COLUMNS:
            assert getattr(found, name).tobytes() == getattr(made, name).tobytes(), name
        assert np.array_equal(np.diff(found.ts_recv_ns), np.diff(made.ts_recv_ns))
        assert not found.reason.any()
        if kind == Kind.BOOK and SIMULATOR.venues[source].numbered:
            # Two messages of one number that follow each other are one to a reader of tapes.
            assert (found.flags != made.flags).sum() <= 2 * SIMULATOR.labels.kind.size


def test_files_say_that_they_are_simulated(files: list[Path]) -> None:
    for path in files:
        assert pq.read_schema(path).metadata[b"simulated"] == b"true"
    assert all(path.name.startswith("sim_") for path in files[:-1])
    assert open_tapes(files[:1]).simulated  # so says the report of a run on them


def test_labels_are_written_in_words(files: list[Path]) -> None:
    table = pq.read_table(files[-1])
    assert files[-1].name == LABELS
    assert table.num_rows == SIMULATOR.labels.kind.size > 0
    assert set(table["kind"].to_pylist()) <= {kind.name.lower() for kind in Plant}
    assert table["price"].null_count == np.isnan(SIMULATOR.labels.price).sum()


def test_command_writes_and_repeats_itself(tmp_path: Path) -> None:
    told = []
    for folder in ("one", "two"):
        arguments = ["simulate", "--seed", "4", "--minutes", "1", "--out", str(tmp_path / folder)]
        done = CliRunner().invoke(app, [*arguments, "--json"])
        assert done.exit_code == 0, done.output
        told.append(json.loads(done.stdout))
    assert told[0]["simulated"] is True
    assert told[0]["rows"] == told[1]["rows"] > 1_000
    for first, second in zip(told[0]["files"], told[1]["files"], strict=True):
        assert Path(first).read_bytes() == Path(second).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--minutes", "0"], "minutes must be in"),
        (["--strength", "9"], "strength must be in"),
        (["--faults", "-1"], "faults_per_hour must be in"),
    ],
)
def test_what_cannot_be_simulated_is_refused(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = CliRunner().invoke(app, ["simulate", "--out", str(tmp_path), *arguments])
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    done = CliRunner().invoke(app, ["simulate", "--out", str(tmp_path / "x")])
    assert done.exit_code == 2
    assert "not a folder" in done.stderr
