"""How good a model is on ticks that it was not fitted on, beside what knows less than it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from models.labels import RANGE, TREND_DOWN, TREND_UP, VOLATILE
from models.material import Parts, Series
from models.metrics import (
    BLOCK_ROWS,
    BLOCKS_MIN,
    brier,
    calibration_error,
    log_losses,
    mean_and_error,
)
from operators.sequence.inputs import F4

TREND_BASE_RATES = {
    "random_walk_trend_strength_p95_of_256_ticks": 3.84,
    "straight_line_trend_strength_of_256_ticks": 3.45,
}


def measure(
    predicted: list[F4], series: list[Series], split: list[Parts], groups: list[str]
) -> dict[str, Any]:
    """Scores on the test parts of the groups, beside those of the base rate and of momentum."""
    chosen = [k for k, one in enumerate(series) if one.group in groups]

    def gather(pick: Callable[[int], Any], mask: Callable[[int], Any]) -> Any:
        return np.concatenate([pick(k)[mask(k)] for k in chosen])

    def moved(k: int) -> Any:
        return split[k].test & series[k].labels.moved

    def test(k: int) -> Any:
        return split[k].test

    def trained(k: int) -> Any:
        return split[k].train

    up = gather(lambda k: series[k].labels.up, moved)
    block = np.concatenate([k * 10**6 + np.flatnonzero(moved(k)) // BLOCK_ROWS for k in chosen])
    base = float(np.mean(gather(lambda k: series[k].labels.up,
                                lambda k: trained(k) & series[k].labels.moved)))  # fmt: skip
    forecasts = {
        "model": gather(lambda k: predicted[k][:, 0], moved).astype(np.float64),
        "base_rate": np.full(up.size, base),
        "momentum": gather(lambda k: series[k].p_up_momentum, moved),
    }
    scores: dict[str, Any] = {
        name: {
            "log_loss": _round(np.mean(log_losses(p, up))),
            "brier": _round(brier(p, up)),
            "calibration_error": _round(calibration_error(p, up)),
            "accuracy": _round(np.mean((p > 0.5) == (up > 0.5))),
        }
        for name, p in forecasts.items()
    }
    losses = {name: log_losses(p, up) for name, p in forecasts.items()}
    gain, error = mean_and_error(losses["base_rate"] - losses["model"], block)
    n_blocks = int(np.unique(block).size)
    ln_ratio = gather(lambda k: series[k].labels.ln_ratio, test)
    ln_found = np.log(gather(lambda k: predicted[k][:, 1], test).astype(np.float64))
    ln_base = float(np.mean(gather(lambda k: series[k].labels.ln_ratio, trained)))
    regime = gather(lambda k: series[k].labels.regime, test)
    shares = np.bincount(gather(lambda k: series[k].labels.regime, trained), minlength=4)
    p_regime = gather(lambda k: predicted[k][:, 2:], test).astype(np.float64)
    hit = p_regime[np.arange(regime.size), regime]
    return {
        "test_rows": int(ln_ratio.size),
        "test_rows_moved": int(up.size),
        "share_up": _round(np.mean(up)),
        "direction": scores,
        "log_loss_gain_over_base_rate": _round(gain),
        "log_loss_gain_standard_error": _round(error),
        "log_loss_gain_blocks": n_blocks,
        "beats_base_rate": bool(gain > 2.0 * error and n_blocks >= BLOCKS_MIN),
        "ln_vol_ratio_rmse": _round(np.sqrt(np.mean((ln_found - ln_ratio) ** 2))),
        "ln_vol_ratio_rmse_base_rate": _round(np.sqrt(np.mean((ln_base - ln_ratio) ** 2))),
        "ln_vol_ratio_rmse_of_no_change": _round(np.sqrt(np.mean(ln_ratio**2))),
        "regime_log_loss": _round(np.mean(-np.log(np.maximum(hit, 1e-6)))),
        "regime_log_loss_base_rate": _round(np.mean(-np.log(shares[regime] / shares.sum()))),
    }


def base_rates(series: list[Series], split: list[Parts], groups: list[str]) -> dict[str, float]:
    """What is common in the training parts, and what trend strength is worth."""
    found = dict(TREND_BASE_RATES)
    for group in groups:
        mine = [(one, use) for one, use in zip(series, split, strict=True) if one.group == group]
        regime = np.concatenate([one.labels.regime[use.train] for one, use in mine])
        moved = np.concatenate([one.labels.moved[use.train] for one, use in mine])
        up = np.concatenate([one.labels.up[use.train & one.labels.moved] for one, use in mine])
        found[f"{group}_moved"] = _round(np.mean(moved))
        found[f"{group}_up_of_moved"] = _round(np.mean(up))
        for name, code in (
            ("trend_up", TREND_UP),
            ("trend_down", TREND_DOWN),
            ("range", RANGE),
            ("volatile", VOLATILE),
        ):
            found[f"{group}_{name}"] = _round(np.mean(regime == code))
    return found


def verdict(group: str, found: dict[str, Any]) -> str:
    lines = [f"{group}: {found['test_rows_moved']:,} test ticks that move"]
    for name, score in found["direction"].items():
        lines.append(
            f"  {name:10s} log loss {score['log_loss']:.5f}  Brier {score['brier']:.5f}  "
            f"calibration error {score['calibration_error']:.4f}  accuracy {score['accuracy']:.4f}"
        )
    gain, error = found["log_loss_gain_over_base_rate"], found["log_loss_gain_standard_error"]
    blocks = found["log_loss_gain_blocks"]
    beats = "beats" if found["beats_base_rate"] else "DOES NOT PROVABLY BEAT"
    lines.append(
        f"  direction {beats} the base rate: gain {gain:.5f} +- {error:.5f}, {blocks} blocks"
    )
    lines.append(
        f"  volatility error {found['ln_vol_ratio_rmse']:.4f}, base rate "
        f"{found['ln_vol_ratio_rmse_base_rate']:.4f}; regime log loss "
        f"{found['regime_log_loss']:.4f}, base rate {found['regime_log_loss_base_rate']:.4f}"
    )
    return "\n".join(lines)


def _round(value: Any) -> float:
    return round(float(value), 6)
