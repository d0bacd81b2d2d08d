"""A fingerprint of this machine's arithmetic: where it differs, so may a decision's last bit."""

import hashlib
import math

import numpy as np

from models.session import StreamModel
from operators.sequence.inputs import N_INPUTS

PROBES = 4096


def fingerprint(model: StreamModel | None) -> str:
    """SHA-256 over math.exp, log, tanh and sqrt at fixed points, and one run of the model.

    `exp`, `log` and `tanh` differ in the last bit between C libraries and CPUs, and onnxruntime
    chooses its kernels by CPU. Golden digests are therefore kept per fingerprint.
    """
    digest = hashlib.sha256()
    x = [-20.0 + 40.0 * k / PROBES for k in range(PROBES)]
    for name, function in (("exp", math.exp), ("tanh", math.tanh)):
        digest.update(name.encode() + np.array([function(v) for v in x]).tobytes())
    for name, function in (("log", math.log), ("sqrt", math.sqrt)):
        digest.update(name.encode() + np.array([function(v + 20.5) for v in x]).tobytes())
    if model is not None:
        steps = np.linspace(-3.0, 3.0, 256 * N_INPUTS, dtype=np.float32).reshape(256, 1, N_INPUTS)
        y, h = model.run(steps, model.initial(1)[None])
        digest.update(y.tobytes() + h.tobytes())
    return digest.hexdigest()
