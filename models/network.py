"""The network behind the stream model: a GRU with three linear heads, fitted with torch.

Torch is needed for training only; it is imported when a network is fitted.
"""

import importlib
from typing import Any, NamedTuple

import numpy as np

from models.export import Weights
from models.labels import TREND_DOWN, TREND_UP
from models.material import Series
from operators.sequence.inputs import F4, N_INPUTS
from operators.sequence.tier import N_OUTPUTS
from schemas.rows import F8, I8

HIDDEN = 16  # 4 M ticks/s on one core; 32 is half as fast and was no better on held-out ticks
PIECE_TICKS = 4096  # a piece starts with an empty vector, as a symbol does when the desk starts
WINDOW_TICKS = 256  # gradients reach back to the start of the window, the vector further
PIECES_PER_STEP = 48
LEARNING_RATE = 4e-3  # falls to 0 along a cosine
SIDE_LOSSES = 0.3  # weight of volatility and regime beside direction
ODD_INPUTS = (0, 1, 2)  # change sign with the price: return, momentum and its gradient


class Pieces(NamedTuple):
    """Stretches of series, padded to PIECE_TICKS; shape (pieces, ticks, ...)."""

    x: F4  # scaled inputs
    up: F4
    ln_ratio: F4
    regime: I8
    use: F4  # 1 where the tick's labels count
    moved: F4  # 1 where its direction counts


def cut_pieces(series: list[Series], use: list[Any], mean: F8, std: F8) -> Pieces:
    """Pieces of the ticks up to the last one that is used; stretches without use are left out."""
    found: list[list[Any]] = []
    for one, used in zip(series, use, strict=True):
        for start in range(0, used.size, PIECE_TICKS):
            span = slice(start, start + PIECE_TICKS)
            if not used[span].any():
                continue
            x = ((one.x[span] - mean) / std).astype(np.float32)
            labels = one.labels
            counts = used[span].astype(np.float32)
            piece = (
                x,
                labels.up[span].astype(np.float32),
                labels.ln_ratio[span].astype(np.float32),
                labels.regime[span],
                counts,
                counts * labels.moved[span],
            )
            found.append([_pad(column) for column in piece])
    columns = [np.stack(column) for column in zip(*found, strict=True)]
    return Pieces._make(columns)


def fit(train: Pieces, check: Pieces, *, seed: int, epochs: int, log: Any) -> Weights:
    """Fit on `train`; the epoch with the least loss on `check` is kept. One thread, seeded.

    Pieces are mirrored at random (prices upside down, directions exchanged): the recordings are
    too few to say which way markets drift, and the network should not learn it from them.
    """
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    gru = torch.nn.GRU(N_INPUTS, HIDDEN)
    head = torch.nn.Linear(HIDDEN, N_OUTPUTS)
    trained = [*gru.parameters(), *head.parameters()]
    optimiser = torch.optim.Adam(trained, lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    best, kept = np.inf, _weights(gru, head)
    for epoch in range(epochs):
        order = random.permutation(len(train.x))
        for start in range(0, order.size, PIECES_PER_STEP):
            chosen = order[start : start + PIECES_PER_STEP]
            batch = Pieces._make(column[chosen] for column in train)
            _mirror(batch, random.random(len(batch.x)) < 0.5)
            for loss in _losses(torch, gru, head, batch):
                optimiser.zero_grad()
                loss.sum().backward()
                torch.nn.utils.clip_grad_norm_(trained, 1.0)
                optimiser.step()
        schedule.step()
        with torch.no_grad():
            steps = list(_losses(torch, gru, head, check))
            parts = np.mean([loss.numpy() for loss in steps], axis=0)
        total = float(parts.sum())
        log(f"epoch {epoch + 1:2d}  loss {total:.5f}  direction {parts[0]:.5f}")
        if total < best:
            best, kept = total, _weights(gru, head)
    return kept


def _losses(torch: Any, gru: Any, head: Any, pieces: Pieces) -> Any:
    """The three losses of each window, in order; the vector goes from window to window."""
    functional = torch.nn.functional
    tensors = [torch.from_numpy(np.moveaxis(column, 0, 1).copy()) for column in pieces]
    h = torch.zeros(1, len(pieces.x), HIDDEN)
    for start in range(0, PIECE_TICKS, WINDOW_TICKS):
        x, up, ln_ratio, regime, use, moved = (t[start : start + WINDOW_TICKS] for t in tensors)
        states, h = gru(x, h.detach())
        z = head(states)
        direction = functional.binary_cross_entropy_with_logits(z[..., 0], up, reduction="none")
        volatility = (z[..., 1] - ln_ratio) ** 2
        regimes = functional.cross_entropy(
            z[..., 2:].flatten(0, 1), regime.flatten(), reduction="none"
        ).view_as(use)
        n_use, n_moved = use.sum().clamp(min=1.0), moved.sum().clamp(min=1.0)
        yield torch.stack(
            [
                (direction * moved).sum() / n_moved,
                SIDE_LOSSES * (volatility * use).sum() / n_use,
                SIDE_LOSSES * (regimes * use).sum() / n_use,
            ]
        )


def _mirror(batch: Pieces, which: Any) -> None:
    """Turn some pieces upside down, in place."""
    for column in ODD_INPUTS:
        batch.x[which, :, column] *= -1.0
    batch.up[which] = 1.0 - batch.up[which]
    regime = batch.regime[which]
    up, down = regime == TREND_UP, regime == TREND_DOWN
    regime[up], regime[down] = TREND_DOWN, TREND_UP
    batch.regime[which] = regime


def _weights(gru: Any, head: Any) -> Weights:
    """The parameters in ONNX's order of gates; torch has reset, update, candidate."""

    def onnx_order(parameter: Any) -> F4:
        reset, update, candidate = np.split(parameter.detach().numpy(), 3)
        return np.concatenate([update, reset, candidate])

    return Weights(
        w=onnx_order(gru.weight_ih_l0),
        r=onnx_order(gru.weight_hh_l0),
        b_w=onnx_order(gru.bias_ih_l0),
        b_r=onnx_order(gru.bias_hh_l0),
        head=head.weight.detach().numpy().T.copy(),
        head_bias=head.bias.detach().numpy().copy(),
    )


def _pad(column: Any) -> Any:
    missing = PIECE_TICKS - len(column)
    return np.pad(column, [(0, missing)] + [(0, 0)] * (column.ndim - 1))
