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
        refill_ns=70000000,
        refills_min=5,
    ),
    spoof=SpoofThresholds(
        size_ratio_min=25.0,
        filled_share_max=0.3,
    ),
    absorption=AbsorptionThresholds(
        volume_ratio_min=2.25,
        residual_max=-1.5,
    ),
)
