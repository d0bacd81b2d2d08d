"""How sure a proposal is: the model's probability and the geometry's evidence, as one number."""

import math

from operators.arrays import kernel

P_EDGE = 0.01  # probabilities are kept this far from 0 and 1, so that no single voice decides


@kernel
def pooled(p_side: float, evidence: float) -> float:
    """Logarithmic opinion pool (Genest and Zidek 1986) of a probability and log odds."""
    p = min(max(p_side, P_EDGE), 1.0 - P_EDGE)
    return 1.0 / (1.0 + math.exp(-(math.log(p / (1.0 - p)) + evidence)))


@kernel
def reversion_confidence(stretch: float) -> float:
    """Cantelli: at most 1 / (1 + z^2) of any distribution lies z deviations out on one side."""
    return stretch * stretch / (1.0 + stretch * stretch)


@kernel
def kelly_binary(p_win: float, payout: float) -> float:
    """Kelly's (1956) fraction of a bet that pays `payout` per unit or loses it; below 0: no bet."""
    return p_win - (1.0 - p_win) / payout
