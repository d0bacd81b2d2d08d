"""Writes a trained network as an ONNX graph, with all that belongs to it inside."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, ValueInfoProto, helper, numpy_helper

OPSET = 21  # onnx defaults to sets that onnxruntime does not load yet; always say which
IR_VERSION = 10
VOL_RATIO_MIN, VOL_RATIO_MAX = 0.05, 20.0

F4 = NDArray[np.float32]


class Weights(NamedTuple):
    """A GRU layer and a linear head. Gates in ONNX order: update z, reset r, candidate h.

    The candidate is tanh(W x + b_w + r * (R h + b_r)), that is linear_before_reset = 1.
    """

    w: F4  # (3 H, F) input
    r: F4  # (3 H, H) recurrence
    b_w: F4  # (3 H,)
    b_r: F4  # (3 H,)
    head: F4  # (H, 6): logit of p_up, ln(vol_ratio), four regime logits
    head_bias: F4  # (6,)


def stream_graph(weights: Weights) -> bytes:
    """The model file: x [t, b, F], h0 [1, b, H] -> y [t, b, 6], h1 [1, b, H]; all float32.

    y holds p_up (sigmoid), vol_ratio (exp, within 0.05..20) and four regime probabilities
    (softmax): trend up, trend down, range, volatile.
    """
    n_inputs, hidden = weights.w.shape[1], weights.r.shape[1]
    constants = {
        "W": weights.w[None],
        "R": weights.r[None],
        "B": np.concatenate([weights.b_w, weights.b_r])[None],
        "head": weights.head,
        "head_bias": weights.head_bias,
        "axis": np.array([1], np.int64),
        "parts": np.array([1, 1, 4], np.int64),
        "low": np.array(np.log(VOL_RATIO_MIN), np.float32),
        "high": np.array(np.log(VOL_RATIO_MAX), np.float32),
    }
    nodes = [
        helper.make_node(
            "GRU",
            ["x", "W", "R", "B", "", "h0"],
            ["steps", "h1"],
            hidden_size=hidden,
            linear_before_reset=1,
        ),
        helper.make_node("Squeeze", ["steps", "axis"], ["states"]),
        helper.make_node("MatMul", ["states", "head"], ["products"]),
        helper.make_node("Add", ["products", "head_bias"], ["logits"]),
        helper.make_node("Split", ["logits", "parts"], ["z_up", "z_vol", "z_regime"], axis=2),
        helper.make_node("Sigmoid", ["z_up"], ["p_up"]),
        helper.make_node("Clip", ["z_vol", "low", "high"], ["ln_vol_ratio"]),
        helper.make_node("Exp", ["ln_vol_ratio"], ["vol_ratio"]),
        helper.make_node("Softmax", ["z_regime"], ["p_regime"], axis=2),
        helper.make_node("Concat", ["p_up", "vol_ratio", "p_regime"], ["y"], axis=2),
    ]

    def tensor(name: str, *shape: int | str) -> ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))

    graph = helper.make_graph(
        nodes,
        "stream",
        [tensor("x", "t", "b", n_inputs), tensor("h0", 1, "b", hidden)],
        [tensor("y", "t", "b", weights.head.shape[1]), tensor("h1", 1, "b", hidden)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    return bytes(model.SerializeToString())
