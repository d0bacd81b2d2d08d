"""Promise: a model is scored on the test part alone, against a base rate from the training part."""

import dataclasses
import math

import numpy as np
import pytest

from models.card import TrainingFile
from models.evaluate import measure, verdict
from models.labels import RANGE, VOLATILE, Labels
from models.material import Parts, Series
from models.metrics import BLOCK_ROWS, BLOCKS_MIN

N_TEST = BLOCK_ROWS * (BLOCKS_MIN + 2)
TRAIN, TEST = slice(0, 1000), slice(1000, 1000 + N_TEST)


def one_series() -> tuple[Series, Parts]:
    """Training ticks: 3 of 4 go up. Test ticks: every second goes up, every fifth stays."""
    n = 1000 + N_TEST
    index = np.arange(n)
    up = np.where(index < 1000, index % 4 < 3, index % 2 == 0).astype(float)
    moved = (index < 1000) | (index % 5 > 0)
    up[~moved] = 0.5
    labels = Labels(
        known=np.ones(n, np.bool_),
        moved=moved,
        up=up,
        ln_ratio=np.where(index < 1000, 0.0, 1.0),
        regime=np.where(index % 10 == 0, VOLATILE, RANGE).astype(np.int64),
    )
    file = TrainingFile(path="a", sha256="", rows=n, first_ns=0, last_ns=n)
    series = Series(file, "g", index, np.zeros((n, 6), np.float32), labels, np.full(n, 0.6))
    use = [np.zeros(n, np.bool_) for _ in range(3)]
    use[0][TRAIN], use[2][TEST] = True, True
    return series, Parts(*use)


def predicted(series: Series, trust: float) -> np.ndarray:
    """Direction right with probability `trust` on every tick; volatility e^0.5; regimes even."""
    y = np.full((series.ts_ns.size, 6), 0.25, np.float32)
    y[:, 0] = np.where(series.labels.up == 1.0, trust, 1.0 - trust)
    y[:, 1] = math.exp(0.5)
    return y


def test_scores_of_a_known_forecast() -> None:
    series, use = one_series()
    found = measure([predicted(series, 0.8)], [series], [use], ["g"])
    assert (found["test_rows"], found["test_rows_moved"]) == (N_TEST, int(N_TEST * 0.8))
    assert found["share_up"] == pytest.approx(0.5, abs=1e-4)
    direction = found["direction"]
    assert direction["model"]["log_loss"] == pytest.approx(-math.log(0.8), abs=1e-5)
    assert direction["model"]["brier"] == pytest.approx(0.04, abs=1e-5)
    assert direction["model"]["accuracy"] == 1.0
    base = -(math.log(0.75) + math.log(0.25)) / 2  # three of four: the training part's share
    assert direction["base_rate"]["log_loss"] == pytest.approx(base, abs=1e-4)
    assert direction["base_rate"]["calibration_error"] == pytest.approx(0.25, abs=1e-4)
    assert direction["momentum"]["brier"] == pytest.approx((0.16 + 0.36) / 2, abs=1e-4)
    assert found["log_loss_gain_over_base_rate"] == pytest.approx(base + math.log(0.8), abs=1e-4)
    assert found["ln_vol_ratio_rmse"] == pytest.approx(0.5, abs=1e-5)
    assert found["ln_vol_ratio_rmse_base_rate"] == pytest.approx(1.0)
    assert found["regime_log_loss"] == pytest.approx(math.log(4.0), abs=1e-5)
    shares = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert found["regime_log_loss_base_rate"] == pytest.approx(shares, abs=1e-4)


# fmt: off
VERDICTS = [  #                                    trust  test ticks    beats
    ("a good forecast",                            0.8,   N_TEST,       True),
    ("a wrong forecast",                           0.2,   N_TEST,       False),
    ("a good forecast, too few blocks to say so",  0.8,   N_TEST // 2,  False),
]
# fmt: on


@pytest.mark.parametrize(("what", "trust", "n", "beats"), VERDICTS, ids=[v[0] for v in VERDICTS])
def test_whether_it_beats_the_base_rate(what: str, trust: float, n: int, beats: bool) -> None:
    series, use = one_series()
    use.test[1000 + n :] = False
    found = measure([predicted(series, trust)], [series], [use], ["g"])
    assert found["beats_base_rate"] is beats
    said = "direction beats the base rate" if beats else "DOES NOT PROVABLY BEAT"
    assert said in verdict("g", found)


def test_other_groups_have_no_say() -> None:
    series, use = one_series()
    other = dataclasses.replace(series, group="other")
    forecasts = [predicted(series, 0.8), predicted(series, 0.1)]
    alone = measure(forecasts[:1], [series], [use], ["g"])
    assert measure(forecasts, [series, other], [use, use], ["g"]) == alone
    assert measure(forecasts, [series, other], [use, use], ["g", "other"]) != alone
