"""A desk of real workers in processes of their own, which a test may stop, freeze and kill."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from cli.errors import AGAIN
from cli.tether import tethered
from flows.log.api import Log
from flows.log.kafka import KafkaLog
from flows.log.kafka_topics import apply_topics, planned_topics
from flows.log.reader import LaneReader
from flows.recorded import recorded_run
from operators.execution.report_rows import is_drained, report_rows
from schemas.kinds import Flag, Kind
from schemas.reasons import Reason
from schemas.rows import MarketRows, concat, take
from schemas.topics import LEDGER, MARKET, ORDERS, QUARANTINE, REPORTS, Topic
from venues.feed import Feed

COMMAND = [sys.executable, "-c", "from cli.main import app; app()", "worker"]
FLOWS = ("ingest", "features", "decide", "execute", "account")


@dataclass
class Desk:
    """Five workers of one deployment on a broker.

    `options` are ingest's. Output of a worker goes to `folder`/FLOW.log.
    """

    servers: str
    deployment: str
    folder: Path
    options: Sequence[str]
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, flow: str) -> "subprocess.Popen[bytes]":
        options = ["--state", str(self.folder), *(self.options if flow == "ingest" else ())]
        with (self.folder / f"{flow}.log").open("ab") as log:
            process = subprocess.Popen(
                tethered([*COMMAND, flow, "--deployment", self.deployment, *options]),
                env=os.environ | {"TRIFECTA_KAFKA": self.servers},
                stdout=log,
                stderr=log,
            )
        self.processes[flow] = process
        return process

    def start_all(self) -> None:
        apply_topics(self.servers, self.deployment, planned_topics())
        for flow in FLOWS:
            self.start(flow)

    def kill(self, flow: str) -> bool:
        """kill -9; whether it was still running."""
        process = self.processes[flow]
        running = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        return running

    def wait(self, *, timeout_s: float) -> None:
        """Until every worker has finished; who found no broker is started again."""
        end = time.monotonic() + timeout_s
        while any(process.poll() in (None, AGAIN) for process in self.processes.values()):
            self.revive()
            assert time.monotonic() < end, f"still running; execute: {self.said('execute')}"
            time.sleep(0.1)

    def revive(self) -> None:
        """Start workers again that found no broker, as a supervisor does."""
        for flow, process in list(self.processes.items()):
            if process.poll() == AGAIN:
                self.start(flow)
        failed = [f for f, p in self.processes.items() if p.poll() not in (None, 0)]
        assert not failed, f"{failed} failed:\n{self.said(failed[0])}"

    def said(self, flow: str) -> str:
        """The end of a worker's output."""
        return (self.folder / f"{flow}.log").read_text()[-3000:]

    def end(self) -> None:
        """Nothing is left running."""
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()

    def log(self) -> KafkaLog:
        return KafkaLog(self.servers, deployment=self.deployment)


def wait_for_rows(
    log: Log,
    topic: Topic,
    lane: int,
    n: int,
    *,
    meanwhile: Callable[[], None] = lambda: None,
    timeout_s: float = 240.0,
) -> None:
    """Until a partition holds that many messages."""
    partition = (topic.name, lane)
    end = time.monotonic() + timeout_s
    while log.ends([partition])[partition] < n:
        meanwhile()
        assert time.monotonic() < end, f"{topic.name} lane {lane} has less than {n} messages"
        time.sleep(0.05)


def rows_of(log: Log, topic: Topic, lane: int) -> Any:
    """All rows of a partition by the reader's rule: a table, or a list of JSON rows."""
    partition = (topic.name, lane)
    reader = LaneReader(log, [partition], state=None, merge=False, ends=log.ends([partition]))
    parts: list[Any] = []
    while not reader.done():
        parts += reader.window(100_000).values()
    reader.close()
    if parts and not isinstance(parts[0], list):
        return concat(parts)
    return [row for part in parts for row in part]


@dataclass(frozen=True)
class Counted:
    """What a desk has done."""

    source_rows: int
    orders: int
    fills: int
    controls: int
    transactions: int


def check_desk(log: Log, feed: Feed) -> Counted:
    """Nothing is lost and nothing doubled, from the tape's rows to the ledger's last posting."""
    _, table = recorded_run(log)
    lanes = table.active_lanes()
    market = {lane: rows_of(log, MARKET, lane) for lane in lanes}
    _check_source_rows(log, feed, list(market.values()), table.lanes)
    orders = {lane: rows_of(log, ORDERS, lane) for lane in lanes}
    for lane in lanes:
        reports = rows_of(log, REPORTS, lane)
        assert [is_drained(row) for row in reports] == [False] * (len(reports) - 1) + [True]
        came = take(market[lane], market[lane].kind == Kind.REPORT)
        left = report_rows(reports, table)
        for name in ("symbol", "side", "code", "role", "reason", "ref_id", "price", "qty", "ref"):
            np.testing.assert_array_equal(getattr(came, name), getattr(left, name), err_msg=name)
        assert np.all(came.ts_recv_ns >= came.ts_event_ns - 10**9)  # venue clocks may be ahead
        sent = Counter(row["client_id"] for row in orders[lane])
        flattened = {each for each in sent if each.endswith("FLATTEN")}  # may be sent again
        assert {each for each, n in sent.items() if n > 1} <= flattened
        answered = {row["client_id"] for row in reports if not is_drained(row)}
        assert answered <= set(sent)
    transactions = _check_ledger(rows_of(log, LEDGER, 0))
    codes = Counter(row["code"] for lane in lanes for row in rows_of(log, REPORTS, lane))
    return Counted(
        source_rows=sum(int(np.count_nonzero(rows.source >= 0)) for rows in market.values()),
        orders=sum(len(each) for each in orders.values()),
        fills=codes["FILLED"] + codes["FILLED_MAKER"],
        controls=sum(int(np.count_nonzero(r.kind == Kind.CONTROL)) for r in market.values()),
        transactions=transactions,
    )


def _check_source_rows(log: Log, feed: Feed, market: list[MarketRows], lanes: int) -> None:
    """Every row of every source stands once, in the market or in quarantine, as it was."""
    quarantine = [rows_of(log, QUARANTINE, lane) for lane in range(lanes)]
    tables = [rows for rows in [*market, *quarantine] if not isinstance(rows, list)]
    logged = concat(tables)
    logged = take(logged, np.flatnonzero(logged.source >= 0))
    logged = take(logged, np.lexsort((logged.source_row, logged.source)))
    tape = concat(list(feed.read(0, 65_536)))
    tape = take(tape, np.lexsort((tape.source_row, tape.source)))
    crossed = (tape.kind == Kind.QUOTE) & (tape.bid_px > tape.ask_px) & (logged.reason == Reason.OK)
    tape.flags[crossed] |= np.uint8(Flag.CROSSED)  # so the gate marks those that it lets pass
    for name in MarketRows._fields:
        if name not in ("seq", "reason"):  # ingest's own
            np.testing.assert_array_equal(getattr(logged, name), getattr(tape, name), err_msg=name)


def _check_ledger(transactions: list[dict[str, Any]]) -> int:
    """Each transaction adds up to zero per asset, exactly."""
    for row in transactions:
        left: dict[str, Decimal] = {}
        for _, asset, amount in row["postings"]:
            left[asset] = left.get(asset, Decimal(0)) + Decimal(amount)
        assert not any(left.values()), row
    return len(transactions)
