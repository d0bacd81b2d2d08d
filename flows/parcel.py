"""What travels through the fused flow: one batch of source rows and what each tier made of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from bytewax.operators import StatefulBatchLogic

from flows.lane_step import LaneStep
from flows.log.codec import JsonRow
from flows.log.stop import hushed
from flows.place import Place
from operators.arrays import Operator
from operators.execution.orders import ORDER_FIELDS
from operators.records import blank_records
from schemas.rows import I8, DecisionRows, FeatureRows, MarketRows, ProposalRows
from schemas.signal_rows import SignalRows, no_signals


@dataclass(frozen=True)
class Parcel:
    """One batch on its way down the chain; every tier returns it with its own part filled in."""

    market: MarketRows
    position: int  # source rows read, this batch included
    last: bool  # the source has nothing after it
    born_s: float  # when the source released it, on a monotonic clock; for latency figures only
    control: MarketRows | None = None  # rows of the desk's own that stand behind the batch
    places: Mapping[int, Place] = field(default_factory=dict)  # of ingest behind it, by lane
    quarantine: MarketRows | None = None
    held: int = 0  # of the source rows read, those whose message has not ended yet
    lost: I8 | None = None  # instruments whose live feed has to bring a snapshot of its book
    resumed: I8 | None = None  # the same because an operator resumed it
    features: FeatureRows | None = None
    signals: SignalRows = field(default_factory=no_signals)
    proposals: ProposalRows | None = None
    decisions: DecisionRows | None = None
    orders: Any = field(default_factory=partial(blank_records, ORDER_FIELDS, 0))  # then JSON rows
    reports: list[JsonRow] = field(default_factory=list)
    journal: list[JsonRow] = field(default_factory=list)


class ParcelStep(LaneStep):
    """Hosts an operator: `read` takes its rows from the parcel, `write` puts back what it made."""

    def __init__(
        self,
        operator: Operator[Any, Any, Any],
        saved: bytes | None,
        *,
        read: Callable[[Parcel], Any],
        write: Callable[[Parcel, Any], Parcel],
    ) -> None:
        super().__init__(operator, saved)
        self._read, self._write = read, write

    @hushed
    def on_batch(self, values: list[Parcel]) -> tuple[list[Parcel], bool]:
        made = []
        for parcel in values:
            self._state, out = self._operator.step(self._state, self._read(parcel))
            made.append(self._write(parcel, out))
        return made, StatefulBatchLogic.RETAIN


def fill(**parts: Any) -> Callable[[Parcel, Any], Parcel]:
    """A `write` that puts parts of the operator's output into fields: name=getter."""

    def write(parcel: Parcel, out: Any) -> Parcel:
        return replace(parcel, **{name: get(out) for name, get in parts.items()})

    return write


def whole(out: Any) -> Any:
    """The operator's output as it is."""
    return out
