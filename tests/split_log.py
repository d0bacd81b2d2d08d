"""A log as workers leave it behind: reports arrive a round late, and topics end at other places.

The operators of the workers, one round after the other in this process; no Bytewax and no broker.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flows.desk_run import RECORD, TABLE, first_record
from flows.encode import encode
from flows.log.api import Log
from flows.settings import RunSettings
from models.registry import SHIPPED, load
from operators.execution.executor import Executor
from operators.execution.journal import OrderJournal
from operators.execution.report_rows import is_drained, report_rows
from operators.features.tier import Features
from operators.governor.lane import Lane
from operators.governor.portfolio import Portfolio
from operators.ledger.journal import Journal
from operators.market.gate import Gate
from operators.market.sequencer import Sequencer
from operators.sequence.tier import Sequence as Prediction
from schemas.kinds import NO_ID, NO_SYMBOL, Flag, Kind
from schemas.rows import MarketRows, concat, empty, take
from schemas.topics import (
    DECISIONS,
    FEATURES,
    LEDGER,
    MARKET,
    ORDERS,
    PROPOSALS,
    QUARANTINE,
    REPORTS,
    Topic,
)
from venues.feed import Feed

ROUND_ROWS = 400
CODE = "test"
Write = Callable[[Topic, Any], None]


def write_split_log(log: Log, feed: Feed, *, rounds: int | None = None) -> None:
    """Run a desk of workers over a feed, to its end or for so many rounds."""
    settings = RunSettings(mode="paper", cadence="500ms")
    model = load(SHIPPED)
    record = first_record(
        "split", settings, profile="embedded", topology="split", feed=feed, model=model, notice=""
    )
    writer = log.writer()
    writer.append([], {TABLE: feed.table.to_json(), RECORD: record.to_json()})
    desk = _Desk.of(feed, settings, model)
    reports: list[dict[str, Any]] = []
    drained: set[int] = set()
    batches = feed.read(0, ROUND_ROWS)
    n, ended = 0, False
    while not ended and (rounds is None or n < rounds):
        batch = next(batches, None)
        n += 1
        ended = batch is None and drained == set(feed.table.active_lanes())
        flag = Flag(0) if batch is not None else Flag.END if ended else Flag.LAST_CALL
        drained |= {row["lane"] for row in reports if is_drained(row)}
        arrived = [row for row in reports if not is_drained(row)]
        made = desk.round(batch if batch is not None else empty(MarketRows), arrived, flag)
        reports = made[REPORTS]
        for topic, rows in made.items():
            positions = {"positions": lambda lane: b"x"} if topic is MARKET else {}
            writer.append(encode(topic, rows, CODE, **positions))
    writer.flush()
    writer.close()


@dataclass
class _Desk:
    """Every worker's operator with its state."""

    feed: Feed
    table: Any
    steps: dict[str, Any]
    states: dict[str, Any]
    last_ns: int = 0

    @classmethod
    def of(cls, feed: Feed, settings: RunSettings, model: Any) -> "_Desk":
        arrays, rules = feed.table.arrays(), settings.rules(feed.table, model.digest)
        steps: dict[str, Any] = {
            "gate": Gate(arrays, len(feed.names)),
            "market": Sequencer(feed.table.lanes),
            "quarantine": Sequencer(feed.table.lanes),
            "features": Features(arrays),
            "prediction": Prediction(arrays, model),
            "lane": Lane(arrays, rules.lane),
            "portfolio": Portfolio(arrays, rules.portfolio),
            "execute": Executor(arrays, rules.venue),
            "journal": OrderJournal(feed.table),
            "account": Journal(feed.table, settings.balance),
        }
        return cls(feed, feed.table, steps, {name: each.initial() for name, each in steps.items()})

    def round(
        self, batch: MarketRows, arrived: list[dict[str, Any]], flag: Flag
    ) -> dict[Topic, Any]:
        """What ingest lets in, and what every worker makes of it."""
        accepted, refused = self._step("gate", batch)
        market = concat([accepted, report_rows(arrived, self.table), self._beats(flag)])
        market.ts_recv_ns[:] = self._stamps(market.ts_recv_ns, accepted.seq.size)
        market = self._step("market", market)
        features = self._step("prediction", self._step("features", market))
        proposals = self._step("lane", features)
        decisions = self._step("portfolio", proposals)
        orders, reports = self._step("journal", self._step("execute", (features, decisions)))
        return {
            QUARANTINE: self._step("quarantine", refused),
            MARKET: market,
            FEATURES: features,
            PROPOSALS: proposals,
            DECISIONS: decisions,
            ORDERS: orders,
            REPORTS: reports,
            LEDGER: self._step("account", market),
        }

    def _step(self, name: str, rows: Any) -> Any:
        self.states[name], out = self.steps[name].step(self.states[name], rows)
        return out

    def _stamps(self, ts_ns: Any, n_source: int) -> Any:
        """Strictly rising: those of the sources, and behind them what is our own."""
        own = ts_ns.copy()
        own[n_source:] = 0
        order = np.arange(own.size)
        own[0] = max(int(own[0]), self.last_ns + 1)
        stamps = np.maximum.accumulate(own - order) + order
        self.last_ns = int(stamps[-1])
        return stamps

    def _beats(self, flag: Flag) -> MarketRows:
        lanes = self.table.active_lanes()
        beats = empty(MarketRows, len(lanes))
        beats.lane[:], beats.kind[:] = lanes, Kind.HEARTBEAT
        beats.flags[:] = Flag.MSG_LAST | flag
        beats.symbol[:], beats.ref_id[:] = NO_SYMBOL, NO_ID
        beats.venue_seq[:] = beats.source[:] = beats.source_row[:] = -1
        return beats


def changed(
    log: Log, into: Log, changes: dict[tuple[str, int], Callable[[Any], Any]], lanes: Sequence[int]
) -> None:
    """Copy a log with the rows of some partitions changed, and sound checksums."""
    from tests.runs import tables

    writer = into.writer()
    texts = {key: text for key, text in log.texts().items() if not key.startswith("schema/")}
    writer.append([], texts)
    for topic in (
        QUARANTINE, MARKET, FEATURES, PROPOSALS, DECISIONS, ORDERS, REPORTS, LEDGER,
    ):  # fmt: skip
        for lane in [0] if topic.partitions == "single" else lanes:
            found = tables(log, topic, lane)
            if not found:
                continue
            change = changes.get((topic.name, lane), lambda rows: rows)
            is_json = isinstance(found[0], list)
            whole = [row for part in found for row in part] if is_json else concat(found)
            positions = {"positions": lambda lane: b"x"} if topic is MARKET else {}
            writer.append(encode(topic, change(whole), CODE, **positions))
    writer.flush()
    writer.close()


def without(rows: Any, index: int) -> Any:
    """The rows but one, numbered anew."""
    if isinstance(rows, list):
        kept = [row for i, row in enumerate(rows) if i != index]
        return [row | {"seq": i} for i, row in enumerate(kept)]
    kept = take(rows, np.arange(rows.seq.size) != index)
    return kept._replace(seq=np.arange(kept.seq.size))
