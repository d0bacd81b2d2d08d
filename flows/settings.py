"""What a user sets for a run, and the rules of the operators that follow from it."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from operators.desk import DeskRules
from operators.execution.simulated_venue import VenueRules
from operators.governor.lane import LaneRules
from operators.governor.portfolio import PortfolioRules
from operators.risk.safety import SafetyRules
from operators.sequence.inputs import INPUTS_SHA256
from schemas.instruments import InstrumentTable

CADENCE_NS_MAX = 86_400_000_000_000
MODES = ("backtest", "shadow", "paper")


class SettingsError(ValueError):
    """A setting has no meaning; the text says which, what it was and what is allowed."""


@dataclass(frozen=True)
class RunSettings:
    """One run. Times are ns, money is in the desk's currency."""

    mode: str = "backtest"
    cadence: str = "1s"
    balance: str = "100000"
    seed: int = 0
    operator: str | None = None  # "next-session" or "none"; None: next-session in a backtest
    lane: dict[str, Any] = field(default_factory=dict)  # overrides of LaneRules
    safety: dict[str, Any] = field(default_factory=dict)  # overrides of SafetyRules
    venue: dict[str, Any] = field(default_factory=dict)  # overrides of VenueRules

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise SettingsError(f"mode must be one of {', '.join(MODES)}, was {self.mode!r}")
        cadence_ns(self.cadence)
        if self.operator not in (None, "next-session", "none"):
            raise SettingsError(f"operator must be next-session or none, was {self.operator!r}")
        if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]+)?", self.balance) or not float(self.balance):
            raise SettingsError(
                f"balance must be an amount such as 100000 or 2500.50, was {self.balance!r}"
            )

    def digest(self) -> str:
        """SHA-256 over everything that shapes a decision."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def rules(self, table: InstrumentTable, model_digest: int) -> DeskRules:
        """The operators' rules for an instrument table and a model."""
        operator = self.operator or ("next-session" if self.mode == "backtest" else "none")
        return DeskRules(
            lane=LaneRules(**{"cadence_ns": cadence_ns(self.cadence), **self.lane}),
            portfolio=PortfolioRules(
                balance=float(self.balance),
                shadow=int(self.mode == "shadow"),
                progress_lane=min(table.active_lanes(), default=0),
                last_lane=max(table.active_lanes(), default=0),
                model=np.uint64(model_digest),
                features=np.uint64(int(INPUTS_SHA256[:16], 16)),
                safety=SafetyRules(**self.safety),
            ),
            venue=VenueRules(**self.venue),
            resume_next_session=int(operator == "next-session"),
        )


def cadence_ns(text: str) -> int:
    """`tick`, or a time such as 500ms, 1s, 2m. SettingsError otherwise."""
    if text == "tick":
        return 0
    units = {"ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000}
    for unit in ("ms", "s", "m"):
        if text.endswith(unit) and text.removesuffix(unit).isdecimal():
            ns = int(text.removesuffix(unit)) * units[unit]
            if 0 < ns <= CADENCE_NS_MAX:
                return ns
    raise SettingsError(
        f"cadence must be tick or a time up to a day such as 500ms, 1s or 2m, was {text!r}"
    )
