"""The model registry: one folder per version, and the checks that a model passes before it runs.

    models/registry/<name>/<version>/
        model.onnx   the graph: x [t, b, F], h0 [1, b, H] -> y [t, b, 6], h1 [1, b, H]; float32
        card.json    what it is (models.card)
        golden.npz   x, h0 and the y, h1 that they gave on the machine of the training

Training writes such a folder with `python -m models.train`. A version is never changed: another
model is another version.
"""

import hashlib
import io
import zipfile
from pathlib import Path
from time import perf_counter

import numpy as np

from models.card import Card, ModelRefused
from models.onnx_header import versions
from models.session import StreamModel, open_session, signature
from operators.sequence.inputs import INPUTS_SHA256, N_INPUTS
from operators.sequence.tier import N_OUTPUTS

SHIPPED = Path(__file__).parent / "registry" / "stream-gru16" / "1"
OPSET_MAX = 26  # onnxruntime 1.31.1 loads no newer operator set
IR_MAX = 13  # and no newer file format
GOLDEN_ATOL = 1e-5  # between CPUs exp and tanh differ in the last bits; recurrence keeps it small
LATENCY_ROWS = 512  # one full batch of the log


def load(folder: Path, *, check_latency: bool = False) -> StreamModel:
    """The model of a registry folder; ModelRefused with the first check that it does not pass.

    Checks, in this order: the card is complete; the model's SHA-256 is the card's; operator set and
    file format are not too new; the inputs are defined as here; names, types and shapes; golden
    output within 1e-5; if asked for, time per row within the card's budget (best of five batches of
    512). A run does not ask: which model decides must not depend on how busy the machine is.
    """
    card = Card.read(folder / "card.json")
    model = _read(folder / "model.onnx", sha256=card.sha256)
    golden = _read(folder / "golden.npz", sha256=card.golden_sha256)
    try:
        _check_versions(model)
        _check_inputs(card)
        session = open_session(model)
        _check_signature(card, session)
        loaded = StreamModel(card, session)
        _check_golden(loaded, golden)
        if check_latency:
            _check_latency(loaded)
    except ModelRefused as refused:
        raise ModelRefused(f"{folder / 'model.onnx'}: {refused}") from refused
    return loaded


def load_or_fallback(folder: Path = SHIPPED) -> tuple[StreamModel | None, str]:
    """The model and "", or None and a notice that must be shown: the desk then runs on momentum."""
    try:
        return load(folder), ""
    except ModelRefused as refused:
        return None, f"MODEL REFUSED, predictions come from momentum instead: {refused}"


def _read(path: Path, *, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelRefused(f"{path}: cannot be read ({error.strerror})") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ModelRefused(f"{path}: SHA-256 is {found}, the card says {sha256}")
    return content


def _check_versions(model: bytes) -> None:
    try:
        ir_version, opsets = versions(model)
    except ValueError as error:
        raise ModelRefused(f"is no ONNX file: {error}") from error
    if not 1 <= ir_version <= IR_MAX:
        raise ModelRefused(f"its IR version must be 1 to {IR_MAX}, was {ir_version}")
    if set(opsets) != {""}:
        raise ModelRefused(f"it must use ONNX's own operators only, has domains {sorted(opsets)}")
    if opsets[""] > OPSET_MAX:
        raise ModelRefused(f"its opset must be at most {OPSET_MAX}, was {opsets['']}")


def _check_inputs(card: Card) -> None:
    if card.inputs_sha256 != INPUTS_SHA256:
        raise ModelRefused(
            f"it was trained on inputs {card.inputs_sha256}, this program makes {INPUTS_SHA256}; "
            "train it again"
        )


def _check_signature(card: Card, session: object) -> None:
    vector = ("tensor(float)", [1, None, card.hidden])
    due = {
        "x": ("tensor(float)", [None, None, N_INPUTS]),
        "h0": vector,
        "y": ("tensor(float)", [None, None, N_OUTPUTS]),
        "h1": vector,
    }
    found = signature(session)
    for name in sorted(set(due) | set(found)):
        if found.get(name) != due.get(name):
            raise ModelRefused(f"{name} must be {due.get(name)}, was {found.get(name)}")


def _check_golden(model: StreamModel, golden: bytes) -> None:
    try:
        with np.load(io.BytesIO(golden), allow_pickle=False) as file:
            x, h0, y_due, h1_due = (file[name] for name in ("x", "h0", "y", "h1"))
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelRefused(f"golden.npz cannot be read: {error}") from error
    y, h1 = model.run(x, h0)
    for name, found, due in (("y", y, y_due), ("h1", h1, h1_due)):
        if found.shape != due.shape:
            raise ModelRefused(f"golden {name} must have shape {due.shape}, was {found.shape}")
        worst = float(np.max(np.abs(found - due)))
        if not worst <= GOLDEN_ATOL:
            raise ModelRefused(f"golden {name} differs by {worst:.2e}, at most {GOLDEN_ATOL:.0e}")


def _check_latency(model: StreamModel) -> None:
    x = np.zeros((LATENCY_ROWS, 1, N_INPUTS), np.float32)
    h = model.initial(1)[None]
    seconds = []
    for _ in range(5):
        start = perf_counter()
        model.run(x, h)
        seconds.append(perf_counter() - start)
    us_per_row = min(seconds) * 1e6 / LATENCY_ROWS
    if us_per_row > model.card.us_per_row_max:
        raise ModelRefused(
            f"it needs {us_per_row:.2f} us per row, its budget is {model.card.us_per_row_max} us"
        )
