"""Every number that decides when a detector speaks, in one place.

Times are of the venue's clock. What is called a tick is the instrument's price step.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

_MS, _S = 1_000_000, 1_000_000_000


class IcebergThresholds(NamedTuple):
    """When size that comes back at a price is one order's."""

    refill_ns: int = 150 * _MS  # size is back so soon after a trade at its price
    refills_min: int = 3  # of one size, before an iceberg is named
    size_tolerance: float = 0.02  # by which refills differ from their mean, as a share of it
    alike_share: float = 0.03  # of ordinary orders have the size of another by chance
    chance_max: float = 0.001  # that so many of them do is at most so likely, for an iceberg
    shown_share_min: float = 0.05  # a refill is at least this share of what the level then shows
    native_ratio_min: float = 2.0  # trades of so many times what their price showed: hidden size
    native_fresh_ns: int = 20 * _MS  # what it showed is not older than this
    settle_ns: int = 10 * _MS  # a message without the price counts so long after the last trade
    late_ns: int = 100 * _MS  # a trade may come so long after the change of the book that it made
    idle_ns: int = 30 * _S  # without a refill the episode is over


class SpoofThresholds(NamedTuple):
    """When a large order was not meant to be filled."""

    size_ratio_min: float = 5.0  # times the running median of what is added to a level at once
    distance_max_ticks: float = 50.0  # from the best price of its side, when it came
    life_max_ns: int = 2 * _S  # until it was cancelled
    gone_share: float = 0.8  # of it has left its level: the order is gone
    filled_share_max: float = 0.1  # of it was traded: more is not unfilled
    benefit_ns: int = 5 * _S  # from its placement, for a trade on the other side
    benefit_share_min: float = 0.0  # of its size, traded on the other side; more than this
    idle_score: float = 0.4  # what the score is multiplied with where no such trade came
    score_min: float = 0.5  # for an alarm
    layers_min: int = 3  # prices of one side at once, for layering
    layer_ns: int = 1 * _S  # within which they are cancelled
    late_ns: int = 100 * _MS  # a trade may come so long after the change of the book that it made
    episode_ticks: float = 5.0  # nearer alarms of one side within benefit_ns are one episode


class AbsorptionThresholds(NamedTuple):
    """When one-sided volume should have moved the price and did not."""

    volume_quantile: float = 0.95  # of |signed volume| in 3 s so far
    volume_ratio_min: float = 1.0  # times that quantile
    residual_max: float = -2.0  # standard deviations that the price stays behind the regression
    moved_ticks_max: float = 1.0
    windows_min: int = 60  # of 3 s with trades, every half second, before one is judged


@dataclass(frozen=True)
class Thresholds:
    """The defaults are the literature's where it has any; a desk tunes them on labelled events."""

    iceberg: IcebergThresholds = field(default_factory=IcebergThresholds)
    spoof: SpoofThresholds = field(default_factory=SpoofThresholds)
    absorption: AbsorptionThresholds = field(default_factory=AbsorptionThresholds)
