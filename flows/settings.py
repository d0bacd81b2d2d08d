"""What a user sets for a run, and the rules of the operators that follow from it."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from operators.desk import DeskRules
from operators.execution.simulated_venue import VenueRules
from operators.features.cross.registry import HOURS
from operators.features.feature import NO_SESSIONS, FundFlows, Happenings, Terms
from operators.features.levels import cut_books
from operators.features.registry import chosen
from operators.features.signal_log import SignalLog
from operators.features.signals import Signals
from operators.governor.lane import LaneRules
from operators.governor.portfolio import PortfolioRules
from operators.risk.safety import SafetyRules
from operators.sequence.inputs import INPUTS_SHA256
from schemas.instruments import USD_AT_PAR, InstrumentTable
from schemas.rows import F8
from venues.sessions import exchange_sessions

CADENCE_NS_MAX = 86_400_000_000_000
FEATURE_SETTINGS = ("sets", "daily_qty", "happenings", "fund_flows")
SESSIONS_KNOWN = date(2000, 1, 1), date(2040, 1, 1)  # of every run the same
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
    usd_at_par: Sequence[str] | None = None  # assets that count as one USD each; None: USD_AT_PAR
    operator: str | None = None  # "next-session" or "none"; None: next-session in a backtest
    lane: dict[str, Any] = field(default_factory=dict)  # overrides of LaneRules
    safety: dict[str, Any] = field(default_factory=dict)  # overrides of SafetyRules
    venue: dict[str, Any] = field(default_factory=dict)  # overrides of VenueRules
    # "sets": names of sets and features (operators.features.registry), none is computed without;
    # "daily_qty": by instrument, what usually trades in a day, in its own units;
    # "happenings": scheduled events of the world, [UTC, weight of 1 to 3], sorted by time;
    # "fund_flows": money into the funds of an asset, [asset, UTC from which it is known, USD]
    features: dict[str, Any] = field(default_factory=dict)

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
        self._check_rules()
        self._check_par()
        self._check_features()

    @property
    def at_par(self) -> tuple[str, ...]:
        """The assets that count as one USD each, sorted."""
        return USD_AT_PAR if self.usd_at_par is None else tuple(sorted(self.usd_at_par))

    def digest(self) -> str:
        """SHA-256 over everything that shapes a row."""
        found = asdict(self)
        if not self.features:  # as before there were any
            del found["features"]
        if self.usd_at_par is None:
            del found["usd_at_par"]
        return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()

    def signal_names(self) -> tuple[str, ...]:
        """The enabled features, in the order of the columns of `signals.v1`."""
        words = self.features.get("sets")
        return tuple(feature.name for feature in chosen(words)) if words else ()

    def signals(
        self, table: InstrumentTable, sources: Sequence[Mapping[str, Any]]
    ) -> SignalLog | None:
        """The operator of the enabled features; None where there are none.

        `sources` are those of the run's first record; some show a part of their books only.
        SettingsError if a daily quantity is one of an instrument that is not in the table.
        """
        names = self.signal_names()
        if not names:
            return None
        has_sessions = any(HOURS in feature.inputs for feature in chosen(names))
        terms = Terms.of(
            table,
            daily_qty=self._daily_qty(table),
            happenings=self._happenings(),
            sessions=exchange_sessions(*SESSIONS_KNOWN) if has_sessions else NO_SESSIONS,
            fund_flows=self._fund_flows(),
        )
        depth_of = {source["name"]: source.get("book_depth", 0) for source in sources}
        depth = [depth_of.get(each.venue, 0) for each in table.instruments]
        return SignalLog(terms.instruments, Signals(terms, names, books=cut_books(depth)))

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

    def _check_rules(self) -> None:
        """No rule has a meaning below 0; an answer before its order would be the future."""
        for table in ("lane", "safety", "venue"):
            for name, value in getattr(self, table).items():
                if not 0.0 <= value < float("inf"):
                    raise SettingsError(f"{table}.{name} must be a number from 0 on, was {value}")

    def _check_par(self) -> None:
        for asset in self.usd_at_par or ():
            if not re.fullmatch(r"[A-Z0-9.]{2,12}", asset) or asset == "USD":
                raise SettingsError(
                    "usd_at_par must be assets other than USD, such as USDT, in capitals, had "
                    f"{asset!r}"
                )
        if len(set(self.at_par)) < len(self.at_par):
            raise SettingsError(f"usd_at_par names an asset twice: {', '.join(self.at_par)}")

    def _check_features(self) -> None:
        unknown = sorted(set(self.features) - set(FEATURE_SETTINGS))
        if unknown:
            known = ", ".join(FEATURE_SETTINGS)
            raise SettingsError(f"features has {known}, not {unknown[0]!r}")
        try:
            self.signal_names()
        except ValueError as error:
            raise SettingsError(f"features: {error}") from None
        for name, qty in self.features.get("daily_qty", {}).items():
            if not 0.0 < qty < float("inf"):
                raise SettingsError(f"features: daily_qty of {name} must be positive, was {qty}")
        happenings = self._happenings()
        if (np.diff(happenings.ts_ns) < 0).any():
            raise SettingsError("features: happenings must be sorted by time")
        self._fund_flows()

    def _happenings(self) -> Happenings:
        told = self.features.get("happenings", [])
        for _, weight in told:
            if weight not in (1, 2, 3):
                raise SettingsError(f"features: a happening weighs 1, 2 or 3, not {weight!r}")
        times = [_utc_ns(text) for text, _ in told]
        return Happenings(np.array(times, np.int64), np.array([w for _, w in told], np.int8))

    def _fund_flows(self) -> FundFlows:
        told = self.features.get("fund_flows", [])
        names = tuple(sorted({asset for asset, _, _ in told}))
        place = [names.index(asset) for asset, _, _ in told]
        known = [_utc_ns(text) for _, text, _ in told]
        if list(zip(place, known, strict=True)) != sorted(zip(place, known, strict=True)):
            raise SettingsError("features: fund_flows must be sorted by asset and time")
        usd = np.array([usd for _, _, usd in told], np.float64)
        if not np.isfinite(usd).all():
            raise SettingsError("features: fund_flows must be finite amounts of USD")
        return FundFlows(names, np.array(place, np.int32), np.array(known, np.int64), usd)

    def _daily_qty(self, table: InstrumentTable) -> F8:
        found = np.full(len(table.instruments), np.nan)
        for name, qty in self.features.get("daily_qty", {}).items():
            mine = [k for k, each in enumerate(table.instruments) if name in (each.id, each.name)]
            if not mine:
                known = ", ".join(each.id for each in table.instruments[:5])
                raise SettingsError(
                    f"features: daily_qty is given for {name!r}, which is no instrument of this "
                    f"run; there are: {known}"
                )
            found[mine] = qty
        return found


def _utc_ns(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"features: a time must be written as 2024-08-14T12:30:00Z, was {text!r}"
        ) from None
    passed = moment.replace(tzinfo=moment.tzinfo or UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return passed // timedelta(microseconds=1) * 1_000


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
