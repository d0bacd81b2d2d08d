"""The desk's settings: a file, the environment, and what the command line says on top of them.

`trifecta.toml` in the working folder, or the file of `--config`:

    cadence = "500ms"
    usd_at_par = ["USDT"]
    [safety]
    loss_streak_max = 12
    [features]
    sets = ["flow", "depth"]
    daily_qty = {"binance:BTCUSDT" = 250000}
    calendar_file = "macro.parquet"

A relative path in the file starts at the file's own folder, one in the environment at the working
folder. The environment says the same as TRIFECTA_DESK_CADENCE or
TRIFECTA_DESK_SAFETY__LOSS_STREAK_MAX and wins over the file; an option of the command wins over
both.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from flows.settings import RunSettings, SettingsError
from operators.execution.simulated_venue import VenueRules
from operators.governor.lane import LaneRules
from operators.risk.safety import SafetyRules
from venues.calendar import read_calendar
from venues.fund_flows import read_fund_flows

FILE = Path("trifecta.toml")
PREFIX = "TRIFECTA_DESK_"
_PLAIN = ("mode", "cadence", "balance", "usd_at_par", "operator")
CADENCE = "cadence_ns"  # a lane's rule that is set as `cadence`
_FILES = ("calendar_file", "fund_flows_file")  # of [features]


def _overrides(rules: type[Any]) -> type[BaseModel]:
    """A model of a rule tuple whose fields may all be left out."""
    fields: dict[str, Any] = {
        name: (hint | None, None) for name, hint in get_type_hints(rules).items() if name != CADENCE
    }
    return create_model(rules.__name__, __config__=ConfigDict(extra="forbid"), **fields)


_Lane: Any = _overrides(LaneRules)
_Safety: Any = _overrides(SafetyRules)
_Venue: Any = _overrides(VenueRules)


class _Features(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sets: list[str] | None = None
    daily_qty: dict[str, float] | None = None
    happenings: list[tuple[str, int]] | None = None
    fund_flows: list[tuple[str, str, float]] | None = None
    calendar_file: Path | None = None  # of which happenings are read
    fund_flows_file: Path | None = None


class _Config(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", strict=False
    )

    mode: str | None = None
    cadence: str | None = None
    balance: str | None = None
    usd_at_par: list[str] | None = None
    operator: str | None = None
    lane: _Lane = _Lane()
    safety: _Safety = _Safety()
    venue: _Venue = _Venue()
    features: _Features = _Features()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings


def settings_of(file: Path | None, options: Mapping[str, Any]) -> RunSettings:
    """The settings of a run or a desk.

    Parameters
    ----------
    file : Path or None
        None takes trifecta.toml, if there is one.
    options : mapping
        Fields of `RunSettings` that the command line sets; None is not set.

    Raises
    ------
    SettingsError
        Naming file or variable, the setting, and what it may be.
    """
    if file is None and FILE.exists():
        file = FILE
    where = f"{file} or {PREFIX}*" if file else f"{PREFIX}*"
    for name in os.environ:
        field = name.upper().removeprefix(PREFIX).split("__")[0].lower()
        if name.upper().startswith(PREFIX) and field not in _Config.model_fields:
            raise SettingsError(f"{name}: there is no such setting; see docs/operations.md")
    try:
        found = _Config(**(_read(file) if file else {}))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        why = f"{first['msg']}, was {first['input']!r}"
        why = "there is no such setting" if first["type"] == "extra_forbidden" else why
        raise SettingsError(f"{where}: {name}: {why}; see docs/operations.md") from None
    known = found.model_dump(mode="json", exclude_none=True)  # as the first record has it
    _read_files(known.get("features", {}))
    said = {name: value for name, value in options.items() if value is not None}
    if "features" in said:  # a list of sets: the quantities stay the file's
        said["features"] = {**known.get("features", {}), "sets": said["features"]}
    return RunSettings(**{**known, **said})


def settings_toml(settings: RunSettings) -> str:
    """The same settings as a file for `settings_of`; the seed is an option of the market alone."""
    lines = [f"{name} = {json.dumps(getattr(settings, name))}" for name in _PLAIN
             if getattr(settings, name) is not None]  # fmt: skip
    for table in ("lane", "safety", "venue"):
        lines += [f"[{table}]"]
        lines += [f"{name} = {value!r}" for name, value in getattr(settings, table).items()]
    if settings.features:
        lines += ["[features]"]
        told = dict(settings.features)  # what is not said stays unsaid: it is another digest
        daily_qty = told.pop("daily_qty", None)
        lines += [f"{name} = {json.dumps(value)}" for name, value in told.items()]
        if daily_qty is not None:
            lines += ["[features.daily_qty]"]
            lines += [f"{json.dumps(name)} = {qty!r}" for name, qty in daily_qty.items()]
    return "\n".join(lines) + "\n"


def _read_files(features: dict[str, Any]) -> None:
    """Put what named files hold in their place: a run must not depend on files that may change."""
    calendar, flows = features.pop("calendar_file", None), features.pop("fund_flows_file", None)
    for name, file in (("happenings", calendar), ("fund_flows", flows)):
        if file is not None and name in features:
            raise SettingsError(f"features: {name} are given, and {file} too; leave one out")
    if calendar is not None:
        found = read_calendar(Path(calendar))
        times, weights = found.ts_ns.tolist(), found.weight.tolist()
        features["happenings"] = [[_utc(ns), w] for ns, w in zip(times, weights, strict=True)]
    if flows is not None:
        told = read_fund_flows(Path(flows))
        rows = zip(told.asset.tolist(), told.known_ns.tolist(), told.net_usd.tolist(), strict=True)
        features["fund_flows"] = [[told.assets[k], _utc(ns), usd] for k, ns, usd in rows]


def _utc(ns: int) -> str:
    """Whole seconds: no calendar is finer."""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).isoformat()


def _read(file: Path) -> dict[str, Any]:
    if not file.exists():
        raise SettingsError(f"{file}: there is no such file; name one that is there by --config")
    try:
        found = dict(TomlConfigSettingsSource(_Config, file).toml_data)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: not TOML: {error}") from error
    features = found.get("features")
    if isinstance(features, dict):
        here = {
            name: str(file.parent / features[name])  # an absolute one stays
            for name in _FILES
            if isinstance(features.get(name), str)
        }
        found["features"] = features | here
    return found
