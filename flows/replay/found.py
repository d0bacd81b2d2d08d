"""What a replay found, and how it says so."""

from dataclasses import dataclass, field
from typing import Any

from flows.log.errors import PoisonMessageError
from schemas.digest import Difference
from schemas.topics import Topic

FIRST_NS, LAST_NS = -(2**63), 2**63 - 1
REDECIDED = ("recorded", "decided again")


@dataclass(frozen=True)
class Span:
    """Rows that are compared: `from_ns` <= `ts_recv_ns` < `to_ns`."""

    from_ns: int = FIRST_NS
    to_ns: int = LAST_NS

    @property
    def bounded(self) -> bool:
        """It ends before the log may end."""
        return self.to_ns < LAST_NS


@dataclass
class Verification:
    """What a replay found.

    Attributes
    ----------
    decisions, journal_rows : int
        Compared and equal so far.
    compared : dict of str to int
        The same for the rows of each topic.
    first_ns, last_ns : int or None
        `ts_recv_ns` of the first and the last market row that was decided again inside the span.
    ended : bool
        The log has come to its end; else it was compared as far as it was written at the start.
    difference : dict or None
        The first row that differs: topic, row, columns, sides (what the two are), recorded,
        redecided.
    numeric_matches : bool
        False: this machine's exp, log or model differ in the last bit from the recording one's.
    notes : list of str
    """

    decisions: int = 0
    journal_rows: int = 0
    compared: dict[str, int] = field(default_factory=dict)
    first_ns: int | None = None
    last_ns: int | None = None
    ended: bool = True
    difference: dict[str, Any] | None = None
    numeric_matches: bool = True
    notes: list[str] = field(default_factory=list)

    def add(self, topic: Topic, n: int) -> None:
        """So many rows more are equal."""
        self.compared[topic.name] = self.compared.get(topic.name, 0) + n

    def passed(self, first_ns: int, last_ns: int) -> None:
        """Market rows from one time to the other have been decided again."""
        self.first_ns = first_ns if self.first_ns is None else min(self.first_ns, first_ns)
        self.last_ns = last_ns if self.last_ns is None else max(self.last_ns, last_ns)

    def join(self, part: "Verification") -> None:
        """Add what another process found about other lanes."""
        for name, n in part.compared.items():
            self.compared[name] = self.compared.get(name, 0) + n
        self.decisions += part.decisions
        self.journal_rows += part.journal_rows
        if part.first_ns is not None and part.last_ns is not None:
            self.passed(part.first_ns, part.last_ns)
        self.difference = self.difference or part.difference


class DifferentError(Exception):
    """Ends a replay at its first difference."""

    def __init__(
        self,
        topic: Topic,
        row: int,
        difference: Difference,
        sides: tuple[str, str] = REDECIDED,
    ) -> None:
        super().__init__(topic.name)
        self.told: dict[str, Any] = {
            "topic": topic.name,
            "row": row,
            "columns": list(difference.columns),
            "sides": list(sides),
            "recorded": difference.recorded,
            "redecided": difference.redecided,
        }


def unreadable(poison: PoisonMessageError) -> dict[str, Any]:
    """The difference that a message is which cannot be read back."""
    return {
        "topic": poison.topic,
        "row": poison.seq,
        "columns": ["unreadable"],
        "sides": list(REDECIDED),
        "recorded": {"lane": poison.lane, "seq": poison.seq, "unreadable": str(poison)},
        "redecided": None,
    }
