"""RegimeSwitching's documented heuristic: which engine suits the regime."""

from operators.arrays import kernel
from schemas.kinds import Engine

BINARY, SPOT, ARBITRAGE = int(Engine.BINARY), int(Engine.SPOT), int(Engine.ARBITRAGE)


@kernel
def preferred_engine(
    vol_score: float, trend_strength: float, vol_score_min: float, trend_strength_min: float
) -> int:
    """Binary where it is volatile, else spot where it trends, else arbitrage (Omni, DOC 3, 5.3)."""
    if vol_score > vol_score_min:
        return BINARY
    if trend_strength > trend_strength_min:
        return SPOT
    return ARBITRAGE


@kernel
def rank_of(engine: int, first: int) -> int:
    """0 for the preferred engine; the others follow in written order."""
    if engine == first:
        return 0
    return engine + 1 if engine < first else engine
