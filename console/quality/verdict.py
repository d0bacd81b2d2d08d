"""Whether what was judged is good enough, and in which words it is not."""

from collections.abc import Sequence
from dataclasses import dataclass

from console.quality.great import Finding
from operators.market.completeness import Stream, shortfall
from schemas.expectations import COMPLETE_FOR_BACKTEST
from schemas.instruments import InstrumentTable


@dataclass(frozen=True)
class Demands:
    """What a recording must meet to pass."""

    completeness: float = COMPLETE_FOR_BACKTEST  # least covered share of each stream's session
    refused: float = 0.0  # share of all rows that may be refused, or be in quarantine


@dataclass(frozen=True)
class Judged:
    """What came of the rows of a feed and of its quarantine."""

    rows: int  # of the feed
    refused: int  # of them by the gate
    quarantined: int  # rows that the feed does not have, because a gate refused them before
    findings: Sequence[Finding]
    streams: Sequence[Stream]  # none of a made-up market: it lacks nothing

    @property
    def share_refused(self) -> float:
        """Of all rows; no engine's count is taken for less than the other's."""
        found = max([self.refused, *(each.unexpected for each in self.findings)])
        return (found + self.quarantined) / max(self.rows + self.quarantined, 1)


def failures(
    judged: Judged, demands: Demands, table: InstrumentTable, names: Sequence[str]
) -> list[str]:
    """What is not met, a sentence each; none if the recording passes."""
    found = []
    if judged.share_refused > demands.refused:
        total = judged.rows + judged.quarantined
        n = round(judged.share_refused * total)
        where = " or in quarantine" if judged.quarantined else ""
        most = f"at most {100.0 * demands.refused:g} % may be"
        found.append(f"{n:,} of {total:,} rows are refused{where}, {most}")
    lacking = shortfall(judged.streams, table, names, demands.completeness)
    return [*found, lacking] if lacking else found
