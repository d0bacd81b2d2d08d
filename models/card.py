"""A model's card: what it reads, what it was trained on, how good it was on data it had not seen.

The card is `card.json` beside the model. It is written by training and checked by loading; the run
report quotes it and says when a run reads a tape from the time that the model was trained on.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any


class ModelRefused(Exception):  # noqa: N818  it is an answer, not a defect of the program
    """The model must not run; the text says which check failed, what was found and what is due."""


@dataclass(frozen=True)
class TrainingFile:
    """A recording that the weights, their calibration or their selection have seen."""

    path: str  # below the data folder
    sha256: str
    rows: int
    first_ns: int  # log time: ts_recv_ns, UTC
    last_ns: int


@dataclass(frozen=True)
class Card:
    """One version of one model. Times are int64 nanoseconds UTC, ticks count one symbol's rows."""

    name: str
    version: str
    created_by: str  # the command, run from the repository root
    sha256: str  # of model.onnx
    golden_sha256: str  # of golden.npz: inputs x and h0 with the outputs y and h1 they gave
    opset: int
    ir_version: int
    hidden: int  # H, length of the recurrent vector
    inputs: tuple[str, ...]
    inputs_sha256: str  # of the inputs' definitions, operators.sequence.inputs
    outputs: tuple[str, ...]
    us_per_row_max: float  # loading refuses a model that is slower than this, microseconds
    horizon_ticks: int
    labels: dict[str, str]  # output to the definition of what it was trained to predict
    training: tuple[TrainingFile, ...]
    split: dict[str, Any]  # where training, calibration and test part from each other
    metrics: dict[str, Any]  # on the test part, which nothing was fitted or selected on
    base_rates: dict[str, float]
    limits: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "Card":
        """The card of a file; ModelRefused if it is missing, no JSON or lacks a field."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ModelRefused(f"{path}: cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise ModelRefused(f"{path}: is no JSON ({error})") from error
        return cls.from_dict(found, where=str(path))

    @classmethod
    def from_dict(cls, found: Any, *, where: str) -> "Card":
        names = {field.name for field in fields(cls)}
        if not isinstance(found, dict) or set(found) != names:
            odd = sorted(names ^ set(found)) if isinstance(found, dict) else "no object"
            raise ModelRefused(f"{where}: these fields are missing or unknown: {odd}")
        try:
            training = tuple(TrainingFile(**file) for file in found["training"])
        except TypeError as error:
            raise ModelRefused(f"{where}: training files are not as they should be: {error}") from (
                error
            )
        tuples = {name: tuple(found[name]) for name in ("inputs", "outputs", "limits")}
        return cls(**{**found, **tuples, "training": training})

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"


def overlaps(card: Card, start_ns: int, end_ns: int) -> list[TrainingFile]:
    """Training files whose time meets the span, both ends included: results there prove nothing."""
    return [file for file in card.training if file.first_ns <= end_ns and file.last_ns >= start_ns]
