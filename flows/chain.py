"""What the tiers of one run or deployment are made of."""

from dataclasses import dataclass

from operators.desk import DeskRules
from operators.features.signal_log import SignalLog
from operators.sequence.tier import Predictor
from schemas.instruments import InstrumentTable


@dataclass(frozen=True)
class Chain:
    """The same in every process of a deployment, whichever lanes it has."""

    table: InstrumentTable
    n_sources: int
    predictor: Predictor | None
    rules: DeskRules
    balance: str
    code_version: str
    signals: SignalLog | None = None  # the enabled features; None: not one
