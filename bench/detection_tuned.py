"""Thresholds tuned on seeds A of the simulator, by `python -m bench.detection_tune`.

Not for a real market as they are: its sizes, rates and ticks are others.
"""

from operators.features.detection.thresholds import (
    AbsorptionThresholds,
    IcebergThresholds,
    SpoofThresholds,
    Thresholds,
)

TUNED = Thresholds(
    iceberg=IcebergThresholds(
        refill_ns=100000000,
    ),
    spoof=SpoofThresholds(
        size_ratio_min=20.0,
        filled_share_max=0.3,
    ),
    absorption=AbsorptionThresholds(
        volume_quantile=0.98,
        volume_ratio_min=1.5,
        residual_max=-1.5,
    ),
)
