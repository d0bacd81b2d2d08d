"""Promise: a model runs only if it is the one that the card describes; else momentum, loudly."""

import dataclasses
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from models import registry
from models.card import ModelRefused
from models.onnx_header import versions
from models.registry import IR_MAX, OPSET_MAX, SHIPPED, load, load_or_fallback


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped model."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "1"))


def change_card(folder: Path, **fields: Any) -> None:
    path = folder / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def change_model(folder: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    """Change the graph and let the card vouch for it."""
    path = folder / "model.onnx"
    model = onnx.load(path)
    change(model)
    put_model(folder, model.SerializeToString())


def put(folder: Path, name: str, field: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    change_card(folder, **{field: hashlib.sha256(content).hexdigest()})


def put_model(folder: Path, content: bytes) -> None:
    put(folder, "model.onnx", "sha256", content)


def put_golden(folder: Path, content: bytes) -> None:
    put(folder, "golden.npz", "golden_sha256", content)


def change_golden(folder: Path, name: str, factor: float, *, first: int = 0) -> None:
    """Multiply one golden array and drop its first rows; the card vouches for it."""
    with np.load(folder / "golden.npz") as file:
        arrays = dict(file)
    arrays[name] = (arrays[name] * np.float32(factor))[first:]
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    put_golden(folder, buffer.getvalue())


def shipped() -> bytes:
    return (SHIPPED / "model.onnx").read_bytes()


def newer_operators(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = OPSET_MAX + 1


def newer_format(model: onnx.ModelProto) -> None:
    model.ir_version = IR_MAX + 1


def foreign_operators(model: onnx.ModelProto) -> None:
    model.opset_import.append(onnx.helper.make_opsetid("com.other", 1))


def without_squeeze(model: onnx.ModelProto) -> None:
    del model.graph.node[1]


def flip_a_weight(folder: Path) -> None:
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx").write_bytes(bytes(content))


def rename_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = model.graph.node[0].input[0] = "ticks"


def fix_the_time_axis(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 512


def another_output(model: onnx.ModelProto) -> None:
    model.graph.output.append(onnx.helper.make_tensor_value_info("steps", 1, ["t", 1, "b", 16]))


def another_activation(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Sigmoid").op_type = "Tanh"


# fmt: off
REFUSED: list[tuple[str, str, Callable[[Path], object]]] = [
    ("no folder",                "cannot be read",   shutil.rmtree),
    ("no model",                 "cannot be read",   lambda f: (f / "model.onnx").unlink()),
    ("one bit of the model",     "SHA-256 is",       flip_a_weight),
    ("no golden vector",         "cannot be read",   lambda f: (f / "golden.npz").unlink()),
    ("another golden file",      "SHA-256 is",       lambda f: (f / "golden.npz").write_text("")),
    ("golden is no archive",     "golden.npz",       lambda f: put_golden(f, b"x")),
    ("an operator set too new",  "opset must be",    lambda f: change_model(f, newer_operators)),
    ("a file format too new",    "IR version must",  lambda f: change_model(f, newer_format)),
    ("foreign operators",        "domains",          lambda f: change_model(f, foreign_operators)),
    ("no ONNX at all",           "is no ONNX",       lambda f: put_model(f, b"\x08")),
    ("not even a message",       "is no ONNX",       lambda f: put_model(f, b"%PDF-1.7")),
    ("a cut file",               "is no ONNX",       lambda f: put_model(f, shipped()[:-9])),
    ("nodes missing",            "cannot load it",   lambda f: change_model(f, without_squeeze)),
    ("another input name",       "ticks must be",    lambda f: change_model(f, rename_input)),
    ("a fixed time axis",        "x must be",        lambda f: change_model(f, fix_the_time_axis)),
    ("an output too many",       "steps must be",    lambda f: change_model(f, another_output)),
    ("another vector length",    "h0 must be",       lambda f: change_card(f, hidden=8)),
    ("other inputs defined",     "train it again",   lambda f: change_card(f, inputs_sha256="0")),
    ("other answers",            "golden y differs", lambda f: change_model(f, another_activation)),
    ("another golden output",    "golden y differs", lambda f: change_golden(f, "y", 1.001)),
    ("another golden vector",    "golden h1 differs", lambda f: change_golden(f, "h1", 1.001)),
    ("a golden NaN",             "golden y differs", lambda f: change_golden(f, "y", np.nan)),
    ("a golden row missing",     "must have shape",  lambda f: change_golden(f, "y", 1, first=1)),
    ("too slow",                 "its budget is",    lambda f: change_card(f, us_per_row_max=1e-4)),
]
# fmt: on


@pytest.mark.parametrize(("what", "reason", "damage"), REFUSED, ids=[r[0] for r in REFUSED])
def test_refused(folder: Path, what: str, damage: Callable[[Path], object], reason: str) -> None:
    load(folder)
    damage(folder)
    with pytest.raises(ModelRefused, match=reason):
        load(folder, check_latency=True)
    if what == "too slow":
        return  # a run does not ask: what decides must not depend on how busy the machine is
    model, notice = load_or_fallback(folder)
    assert model is None
    assert "momentum" in notice
    assert str(folder) in notice


def test_the_shipped_model_passes_every_check() -> None:
    model, notice = load_or_fallback()
    assert notice == ""
    assert model is not None
    content = shipped()
    assert model.card.sha256 == hashlib.sha256(content).hexdigest()
    assert model.digest == int.from_bytes(hashlib.sha256(content).digest()[:8], "big") != 0
    assert versions(content) == (model.card.ir_version, {"": model.card.opset})
    assert (SHIPPED.parent.name, SHIPPED.name) == (model.card.name, model.card.version)
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 100_000


def test_a_golden_difference_below_the_tolerance_is_another_cpu(folder: Path) -> None:
    change_golden(folder, "y", 1.0 + 1e-6)  # y is at most 20 but for a few rows below 3
    load(folder)


def test_versions_are_those_that_the_onnx_package_reads() -> None:
    model = onnx.load(SHIPPED / "model.onnx")
    model.producer_name, model.doc_string = "x" * 300, "long fields before and after"
    model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 3))
    expected = {o.domain: o.version for o in model.opset_import}
    assert versions(model.SerializeToString()) == (model.ir_version, expected)


def test_latency_is_the_best_of_several_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy for one call does not lose its model; each call below costs 1 s."""
    model = load(SHIPPED)
    clock = iter([0.0, 1e-3, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0])
    monkeypatch.setattr(registry, "perf_counter", lambda: next(clock))
    registry._check_latency(model)
    slow = dataclasses.replace(model.card, us_per_row_max=1.0)
    monkeypatch.setattr(registry, "perf_counter", iter(range(10)).__next__)
    model.card = slow
    with pytest.raises(ModelRefused, match=r"needs 1953\.12 us per row, its budget is 1\.0 us"):
        registry._check_latency(model)
