"""The one place that calls onnxruntime: a stream model as a predictor of the sequence tier."""

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.card import Card, ModelRefused

F4 = NDArray[np.float32]


class StreamModel:
    """A loaded recurrent model; see `operators.sequence.tier.Predictor`.

    It holds no state of a stream: vectors come in and go out with every call, and one thread does
    the work, so equal inputs give equal bits. Attributes: `card` and `digest`, the first 8 bytes
    of the file's SHA-256.
    """

    def __init__(self, card: Card, session: Any) -> None:
        self.card = card
        self.digest = int(card.sha256[:16], 16)
        self._session = session

    def initial(self, n: int) -> F4:
        return np.zeros((n, self.card.hidden), np.float32)

    def run(self, x: F4, h: F4) -> tuple[F4, F4]:
        """Inputs (t, 1, F) and vector (1, 1, H) to outputs (t, 1, 6) and next vector; t >= 1."""
        y, h1 = self._session.run(["y", "h1"], {"x": x, "h0": h})
        return y, h1


def open_session(model: bytes) -> Any:
    """An onnxruntime session on one CPU thread; ModelRefused if onnxruntime cannot load it.

    From bytes, not from a path: what was hashed is what runs, and the model can read no other file.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; a refusal is told by its exception
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a dozen kinds without a common parent
        raise ModelRefused(f"onnxruntime cannot load it: {error}") from error


def signature(session: Any) -> dict[str, tuple[str, list[Any]]]:
    """Inputs and outputs of a session: name to (type, shape); free axes are None."""
    found = {}
    for node in (*session.get_inputs(), *session.get_outputs()):
        shape = [axis if isinstance(axis, int) else None for axis in node.shape]
        found[node.name] = (node.type, shape)
    return found
