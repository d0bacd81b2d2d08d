"""How strong planted events are: numbers that were fixed before any detector was tuned.

`scaled` makes them weaker; strength 1 is what is declared here. What an iceberg shows is a multiple
of the median ordinary limit order, a spoof's size one of the median of what the best five levels of
a side show, absorbed volume one of the 95 % quantile of the ordinary signed volume of 3 s.
"""

from dataclasses import dataclass, replace

MS_NS = 1_000_000
S_NS = 1_000_000_000
DECOYS_PER_PLANT = 10


@dataclass(frozen=True)
class IcebergStrength:
    """An order that shows a little and holds more behind it."""

    hidden_ratio: float = 10.0  # hidden over displayed lots
    displayed: float = 1.0  # median orders
    refill_delay_ns: int = 50 * MS_NS  # synthetic ones; the venue refills native ones at once
    native_share: float = 0.5
    taken_gap_ns: int = 500 * MS_NS  # mean time between those who take from it


@dataclass(frozen=True)
class SpoofStrength:
    """A large order that is taken back before it can be filled, with a fill opposite."""

    size_ratio: float = 8.0  # median levels
    distance_ticks: int = 4  # from the best price of its side
    life_ns: int = 1_000 * MS_NS
    layers: int = 3  # of layering: one more tick away each
    layering_share: float = 0.25


@dataclass(frozen=True)
class AbsorptionStrength:
    """One-sided volume against a large resting order, and the price stays."""

    volume_ratio: float = 3.0  # of the 95 % quantile of 3 s; at 2 a third missed the residual
    residual: float = -2.0  # that the price stays behind usual impact at least, deviations
    life_ns: int = 7 * S_NS


@dataclass(frozen=True)
class PushStrength:
    """Orders that take whatever is best until the price is some ticks away, and a way back."""

    ticks: int
    gap_ns: int
    back_share: float  # of the way
    back_gap_ns: int
    life_ns: int  # of each way at most


STOP_RUN = PushStrength(20, 20 * MS_NS, 0.7, 60 * MS_NS, 8 * S_NS)
FLASH_CRASH = PushStrength(100, 5 * MS_NS, 0.5, 20 * MS_NS, 20 * S_NS)


@dataclass(frozen=True)
class Strength:
    """Of all planted events of a market.

    Decoys at `DECOYS_PER_PLANT` a plant are no plants of less strength: an ordinary refill comes
    once or twice with other sizes and delays; an ordinary cancel is of a small order, or of a large
    one that stood for long; a market maker's flicker is small, short and at the best price.
    """

    iceberg: IcebergStrength = IcebergStrength()
    spoof: SpoofStrength = SpoofStrength()
    absorption: AbsorptionStrength = AbsorptionStrength()


DECLARED = Strength()
WEAKER = (0.8, 0.6, 0.4)  # of the curve


def scaled(strength: float) -> Strength:
    """Events that are harder to find, or easier above 1.

    The hidden ratio, the spoof's size and the absorbed volume and residual shrink with `strength`;
    the refill's delay and the spoof's life grow.

    Raises
    ------
    ValueError
        If `strength` is not in 0.05 to 2.
    """
    if not 0.05 <= strength <= 2.0:
        raise ValueError(f"strength must be in 0.05..2, was {strength}")
    ice, spoof, absorbed = DECLARED.iceberg, DECLARED.spoof, DECLARED.absorption
    return Strength(
        replace(
            ice,
            hidden_ratio=ice.hidden_ratio * strength,
            refill_delay_ns=int(ice.refill_delay_ns / strength),
        ),
        replace(
            spoof,
            size_ratio=spoof.size_ratio * strength,
            life_ns=int(spoof.life_ns / strength),
        ),
        replace(
            absorbed,
            volume_ratio=absorbed.volume_ratio * strength,
            residual=absorbed.residual * strength,
        ),
    )  # fmt: skip
