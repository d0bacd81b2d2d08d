"""Great Expectations over recorded rows: the declared suites, their results, its Data Docs."""

import logging
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from console.quality.frames import POSITION
from schemas.expectations import Check, Expectation, MarketClass, suite
from schemas.kinds import Kind
from schemas.reasons import Reason, reason_name

FIRST = 5  # positions of failing rows that are told
INDEX = [POSITION, "source", "source_row"]  # what a failing row is called in the Data Docs
SITE = "trifecta"
REASONS = ("reason", "message_reason")  # columns that hold one
# The pages load their styles and signs from the web; these come first, so that they can be read
# where there is none, and give way to those that do come.
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 1rem 2rem; color: #1a1a1a; background: #fff }
table { border-collapse: collapse }
th, td { text-align: left; vertical-align: top; padding: 0.2rem 1rem 0.2rem 0 }
td { border-bottom: 1px solid #ddd }
.fa-check-circle::before { content: "\\2713"; color: #1b7f3b; font-style: normal }
.fa-times::before { content: "\\2717"; color: #b00020; font-style: normal }
"""
# Of rows, the numbers below those of decisions.
LEGEND = "what its number says: " + ", ".join(
    f"{reason.value} {reason.name}" for reason in Reason if Reason.OK < reason < Reason.WARMING_UP
)
LINE = "line"  # of a suite: what a result says it belongs to
_OF = {
    MarketClass.PLAIN: "",
    MarketClass.EVENT: " of an event contract",
    MarketClass.OPTION: " of an option",
    MarketClass.LOOSE: " where quotes may cross",
}


Value = float | int | str | None


class Failing(NamedTuple):
    """A row that fails an expectation."""

    source: int
    row: int  # of the source
    values: dict[str, Value]  # of the columns that are judged: reasons by name, null as None


@dataclass
class Finding:
    """What came of one expectation, over all slices."""

    kind: Kind
    group: MarketClass
    expectation: Expectation
    rows: int = 0  # evaluated: rows with a null where that passes are not
    unexpected: int = 0
    first: list[Failing] = field(default_factory=list)


class GreatExpectations:
    """Runs the suites of `schemas.expectations`.

    Parameters
    ----------
    name : str
        What is judged; stands in the Data Docs.

    Notes
    -----
    Nothing leaves the machine: its context lives in memory, and its telemetry is off. Errors: an
    expectation that cannot be evaluated is a RuntimeError, never a pass.
    """

    def __init__(self, name: str) -> None:
        self._context = _context()
        source = self._context.data_sources.add_pandas(name)
        self._asset = source.add_dataframe_asset("rows")
        self._definitions: dict[tuple[Kind, MarketClass], Any] = {}
        self._findings: dict[tuple[Kind, MarketClass], list[Finding]] = {}

    def judge(self, kind: Kind, group: MarketClass, frame: Any, *, run: str) -> None:
        """Run the kind's suite over a frame of `frames`; `run` names the slice in the Data Docs."""
        if (kind, group) not in self._definitions:
            lines = [Finding(kind, group, expectation) for expectation in suite(kind, group)]
            self._definitions[kind, group] = self._definition(kind, group)
            self._findings[kind, group] = lines
        from great_expectations.core.run_identifier import RunIdentifier

        found = self._definitions[kind, group].run(
            batch_parameters={"dataframe": frame},
            result_format={
                "result_format": "SUMMARY",
                "partial_unexpected_count": FIRST,
                "unexpected_index_column_names": INDEX,
            },
            run_id=RunIdentifier(run_name=run, run_time=datetime.now(UTC)),
        )
        for line, result in _results(found):
            finding = self._findings[kind, group][line]
            finding.rows += result["element_count"] - result.get("missing_count", 0)
            finding.unexpected += result["unexpected_count"]
            room = FIRST - len(finding.first)
            finding.first += [
                _failing(finding.expectation, row)
                for row in result.get("partial_unexpected_index_list", [])[:room]
            ]

    def findings(self) -> list[Finding]:
        """One per expectation of each suite that was run, in the order in which they are asked."""
        return [finding for lines in self._findings.values() for finding in lines]

    def write_docs(self, folder: Path) -> Path:
        """Write the Data Docs; gives their first page."""
        self._context.add_data_docs_site(
            SITE,
            {
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
                "store_backend": {
                    "class_name": "TupleFilesystemStoreBackend",
                    "base_directory": str(folder.resolve()),
                },
            },
        )
        self._context.build_data_docs([SITE])
        for page in folder.rglob("*.html"):
            text = page.read_text(encoding="utf-8")
            page.write_text(text.replace("<head>", f"<head><style>{STYLE}</style>", 1), "utf-8")
        return folder / "index.html"

    def _definition(self, kind: Kind, group: MarketClass) -> Any:
        from great_expectations import ValidationDefinition

        name = suite_name(kind, group)
        return self._context.validation_definitions.add(
            ValidationDefinition(
                name=name,
                data=self._asset.add_batch_definition_whole_dataframe(name),
                suite=self._context.suites.add(_gx_suite(kind, group)),
            )
        )


def suite_name(kind: Kind, group: MarketClass) -> str:
    """What a suite is called on pages and in tables."""
    return kind.name.lower() + _OF[group]


def failing_rows(kind: Kind, group: MarketClass, frame: Any) -> list[list[int]]:
    """Per expectation of the suite the positions of all rows that fail it."""
    asset = _context().data_sources.add_pandas("rows").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("rows").get_batch({"dataframe": frame})
    found = batch.validate(
        _gx_suite(kind, group),
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [POSITION]},
    )
    failing: list[list[int]] = [[] for _ in suite(kind, group)]
    for line, result in _results(found):
        failing[line] = [int(row[POSITION]) for row in result.get("unexpected_index_list") or []]
        assert len(failing[line]) == result["unexpected_count"]
    return failing


def gx_expectation(declared: Expectation, line: int) -> Any:
    """The same as one of Great Expectations' own."""
    import great_expectations.expectations as library

    gxe: Any = library  # which does not say what it exports
    reason = LEGEND if declared.reason is None else declared.reason.name
    plain: dict[str, Any] = {
        "column": declared.column,
        "meta": {LINE: line, "reason": reason},
        "description": f"{declared.words}, else {reason}",  # shown in the Data Docs
    }
    if declared.check is Check.NOT_NULL:
        return gxe.ExpectColumnValuesToNotBeNull(**plain)
    if declared.check is Check.NULL:
        return gxe.ExpectColumnValuesToBeNull(**plain)
    if declared.check is Check.IN_SET:
        return gxe.ExpectColumnValuesToBeInSet(
            **plain, value_set=[int(value) for value in declared.values]
        )
    if declared.check is Check.BETWEEN:
        return gxe.ExpectColumnValuesToBeBetween(
            **plain, min_value=declared.low, max_value=declared.high, strict_min=declared.above,
            strict_max=declared.below,
        )  # fmt: skip
    column = plain.pop("column")
    return gxe.ExpectColumnPairValuesAToBeGreaterThanB(
        **plain, column_A=column, column_B=declared.other, or_equal=True,
        ignore_row_if="either_value_is_missing",
    )  # fmt: skip


def _failing(expectation: Expectation, row: Mapping[str, Any]) -> Failing:
    names = [expectation.column, expectation.other] if expectation.other else [expectation.column]
    values = {name: _value(name, row[name]) for name in names}
    return Failing(int(row["source"]), int(row["source_row"]), values)


def _value(column: str, value: Any) -> Value:
    if pd.isna(value):
        return None if value is pd.NA else "nan"
    if column in REASONS:
        return reason_name(int(value))
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no infinity
    return float(value) if isinstance(value, float) else int(value)


def _results(found: Any) -> list[tuple[int, Mapping[str, Any]]]:
    """Line of the suite and result of each expectation; RuntimeError if one was not evaluated."""
    results = []
    for each in found.results:
        config = each.expectation_config
        if each.exception_info.get("raised_exception", True):
            raise RuntimeError(f"{config.type} {config.kwargs}: {each.exception_info}")
        results.append((int(config.meta[LINE]), each.result))
    return results


def _gx_suite(kind: Kind, group: MarketClass) -> Any:
    from great_expectations import ExpectationSuite

    lines = enumerate(suite(kind, group))
    made = [gx_expectation(declared, line) for line, declared in lines]
    return ExpectationSuite(name=suite_name(kind, group), expectations=made)


def _context() -> Any:
    """A context in memory: no folder of its own, no telemetry, no bars, no talk."""
    with warnings.catch_warnings():  # of the libraries that it brings, which nobody here can heed
        warnings.simplefilter("ignore")
        import great_expectations as gx
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
        )
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        analytics_enabled=False,
        progress_bars={"globally": False, "metric_calculations": False},  # type: ignore[arg-type]
    )
    return gx.get_context(mode="ephemeral", project_config=config)
