"""Promise: a run's report is read back from its log alone, complete, however it was batched."""

from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from console.report.collect import FINISHED, collect, exact_equity
from console.report.data import RunData
from console.report.summary import build_report
from console.report.timing import PARCELS_MOST, SAMPLE_MOST, Stopwatch, Timing
from flows.desk_run import first_record, run_desk
from flows.log.api import Log
from flows.log.errors import LogError
from flows.log.memory import MemoryLog
from flows.parcel import Parcel
from flows.settings import RunSettings
from operators.ledger.book import Book
from schemas.digest import DecisionDigest
from schemas.kinds import Kind
from schemas.rows import DecisionRows, MarketRows, empty
from tests.tape_files import quotes, write
from tests.test_report_synthetic import TABLE
from venues.feed import Feed
from venues.simulator import Simulator
from venues.tape import open_tapes

ROWS = 60_000  # twenty minutes: enough for trades of every kind of instrument
TIMING = Timing(wall_s=2.0, ticks=ROWS // 2, latency_us=np.array([10.0, 20.0, 30.0]))


@dataclass
class Seen:
    """What passed through a run, counted beside it."""

    decisions: list[DecisionRows]
    journal: list[dict[str, Any]]
    last_mid: dict[tuple[int, int], float]
    ticks: int = 0

    def take(self, parcel: Parcel, seconds: float) -> None:
        if parcel.decisions is not None:
            self.decisions.append(parcel.decisions)
        self.journal += parcel.journal
        rows = parcel.market
        self.ticks += int(np.isin(rows.kind, (Kind.QUOTE, Kind.TRADE)).sum())
        for i in np.flatnonzero(rows.kind == Kind.QUOTE).tolist():
            key = int(rows.lane[i]), int(rows.symbol[i])
            self.last_mid[key] = (rows.bid_px[i] + rows.ask_px[i]) / 2.0


def run(feed: Feed, *, batch_rows: int = 512) -> tuple[Log, Seen]:
    """A finished run in memory, by the momentum of the price: no model file is needed."""
    settings, log, seen = RunSettings(), MemoryLog(), Seen([], [], {})
    record = first_record(
        "a-run", settings, profile="memory", topology="fused", feed=feed, model=None, notice=""
    )
    ended = run_desk(
        log, feed, settings, record, model=None, run_dir=None, batch_rows=batch_rows, speed=None,
        progress=lambda rows: None, seen=seen.take,
    )  # fmt: skip
    assert ended == "finished"
    writer = log.writer()
    writer.append([], {FINISHED: TIMING.to_json()})
    writer.close()
    return log, seen


@pytest.fixture(scope="module")
def simulated() -> tuple[RunData, Seen]:
    log, seen = run(Simulator(seed=7, n_rows=ROWS))
    return collect(log), seen


def test_what_passed_through_the_run_is_what_is_read_back(simulated: tuple[RunData, Seen]) -> None:
    data, seen = simulated
    digest = DecisionDigest()
    kinds, approved = [], []
    for rows in seen.decisions:
        digest.update(rows)
        kinds += rows.kind.tolist()
        approved += rows.approved.tolist()
    report = build_report(data)
    assert data.decision_digest == digest.hexdigest()
    assert report["decisions"] == kinds.count(Kind.DECISION)
    assert report["trades"] == sum(approved) > 10
    assert data.journal == seen.journal
    assert report["decisions"] == report["trades"] + sum(report["non_trades"].values())
    assert report["warnings"][0].startswith("The market is simulated")
    assert len(report["warnings"]) == 1  # balanced, nothing lost, and the desk agrees with itself


def test_rows_are_those_of_the_source_alone(simulated: tuple[RunData, Seen]) -> None:
    data, seen = simulated
    assert (data.rows, data.rows_on_log, data.rows_quarantined) == (ROWS, ROWS, 0)
    assert data.ticks == seen.ticks > ROWS / 2
    assert data.reports.seq.size > 10  # on the log as well, and not counted


def test_prices_end_at_the_last_quote_of_each_instrument(simulated: tuple[RunData, Seen]) -> None:
    data, seen = simulated
    ends = {
        key: float(data.prices[row].mid[-1])
        for row, i in enumerate(data.instruments.instruments)
        if (key := (i.lane, i.symbol)) in seen.last_mid
    }
    assert ends == pytest.approx(seen.last_mid, rel=1e-12)
    assert len(ends) == 7


def test_exact_equity_is_the_desks_own_up_to_marks(simulated: tuple[RunData, Seen]) -> None:
    """Binaries and round trips are in both; what is open differs by a second of the market."""
    data, _ = simulated
    assert data.ledger is not None
    assert data.ledger.gap is not None
    assert abs(data.ledger.gap) < 5.0
    trips = sum(engine["pnl"] for engine in build_report(data)["engines"].values())
    assert data.equity_end == pytest.approx(data.balance + trips, abs=5.0)


@pytest.mark.parametrize("batch_rows", [97, 5000])
def test_batches_change_nothing(simulated: tuple[RunData, Seen], batch_rows: int) -> None:
    log, _ = run(Simulator(seed=7, n_rows=ROWS), batch_rows=batch_rows)
    assert build_report(collect(log)) == build_report(simulated[0])


def test_rows_in_quarantine_are_counted_by_reason_source_and_first_place(tmp_path: Path) -> None:
    n = 40
    bid, ask = [100.0] * n, [100.5] * n
    bid[7], bid[9], ask[20] = 101.0, 102.0, -1.0
    symbol = ["BTCUSDT"] * n
    symbol[30] = "???"
    tape = write(
        tmp_path / "quotes" / "q.parquet",
        quotes(n, bid_px=bid, ask_px=ask, symbol=pa.array(symbol)),
    )
    log, _ = run(open_tapes([tape]))
    data = collect(log)
    name = "quotes/q.parquet"
    assert data.quarantine == {
        "CROSSED_QUOTE": {name: 2}, "NOT_POSITIVE": {name: 1}, "UNKNOWN_SYMBOL": {name: 1},
    }  # fmt: skip
    assert data.quarantine_first == {
        "CROSSED_QUOTE": {name: 7}, "NOT_POSITIVE": {name: 20}, "UNKNOWN_SYMBOL": {name: 30},
    }  # fmt: skip
    assert (data.rows, data.rows_on_log, data.rows_quarantined) == (n, n - 4, 4)
    assert data.sources[0].startswith(f"{name}: quotes, 40 rows, 2023-11-14, sha256 ")


def test_a_run_that_has_not_ended_says_so_and_has_no_times() -> None:
    log, _ = run(Simulator(seed=7, n_rows=2000))
    whole = collect(log)
    texts = log.texts()
    del texts[FINISHED]
    log.texts = lambda: texts  # type: ignore[method-assign]
    data = collect(log)
    report = build_report(data)
    assert (data.finished, whole.finished) == (False, True)
    assert (report["wall_s"], report["ticks_per_s"], report["latency_us"]["p50"]) == (None,) * 3
    assert report["warnings"][0].startswith("The run has not ended")
    assert data.rows == 2000  # of what is there


def test_speed_is_that_of_the_rows_in_the_measured_time(simulated: tuple[RunData, Seen]) -> None:
    assert build_report(simulated[0])["ticks_per_s"] == TIMING.ticks / TIMING.wall_s


def test_log_without_a_run_is_refused() -> None:
    with pytest.raises(LogError, match="holds no run"):
        collect(MemoryLog())


# fmt: off
OVERLAPS = [  # what is asked, first and last day of the tape, whether the card's spans meet it
    ("a day between two trainings", 1_580_000_000, False),
    ("a moment of the training",    1_582_329_700, True),
]
# fmt: on


@pytest.mark.parametrize(("what", "start_s", "overlap"), OVERLAPS, ids=[c[0] for c in OVERLAPS])
def test_overlap_with_the_training_is_told(
    tmp_path: Path, what: str, start_s: int, overlap: bool
) -> None:
    del what
    from models.card import Card
    from models.registry import SHIPPED

    times = [start_s * 1_000_000_000 + k for k in range(4)]
    tape = write(tmp_path / "quotes" / "q.parquet", quotes(4, ts_ns=times, recv_ns=times))
    log, _ = run(open_tapes([tape]))
    texts = log.texts()
    card = Card.read(SHIPPED / "card.json")
    texts["run"] = texts["run"].replace('"sha256": ""', f'"sha256": "{card.sha256}"')
    log.texts = lambda: texts  # type: ignore[method-assign]
    assert collect(log).model.overlap is overlap


def test_equity_converts_every_asset_or_is_unknown() -> None:
    """Table: EURUSD spot, BTCUSDT spot, BTCUSD inverse; desk in USD."""
    book = Book(balances={("assets:desk", "USD"): Decimal(100), ("assets:desk", "BTC"): Decimal(2)})
    mids = np.array([1.5, 50_000.0, 50_100.0])
    assert exact_equity(TABLE, book, mids) == Decimal(100_100)
    book.balances[("assets:desk", "EUR")] = Decimal(-10)
    assert exact_equity(TABLE, book, mids) == Decimal(100_085)
    assert exact_equity(TABLE, book, np.array([np.nan, 50_000.0, np.nan])) is None  # no EUR rate
    book.balances[("assets:desk", "JPY")] = Decimal(1)
    assert exact_equity(TABLE, book, mids) is None
    assert exact_equity(TABLE, book, np.empty(0)) is None


def parcel(decisions: int, ticks: int) -> Parcel:
    rows, made = empty(MarketRows, ticks + 1), empty(DecisionRows, decisions)
    rows.kind[:], rows.kind[-1], made.kind[:] = Kind.QUOTE, Kind.HEARTBEAT, Kind.DECISION
    return Parcel(rows, 0, False, 0.0, decisions=made)


def test_stopwatch_weighs_batches_by_their_decisions() -> None:
    watch = Stopwatch()
    for seconds, decisions in ((0.003, 1), (0.001, 97), (0.002, 2), (9.0, 0)):
        watch.seen(parcel(decisions, 10), seconds)
    timing = watch.timing(1.5)
    assert (timing.wall_s, timing.ticks) == (1.5, 40)
    assert timing.latency_us.tolist() == pytest.approx([1000.0] * 97 + [2000.0] * 2 + [3000.0])
    again = Timing.from_json(timing.to_json())
    assert again.latency_us.tolist() == pytest.approx(timing.latency_us.tolist())
    assert replace(again, latency_us=timing.latency_us) == timing


def test_stopwatch_stays_small_and_keeps_the_slowest_quantile() -> None:
    watch, one = Stopwatch(), parcel(1, 0)
    for k in range(2 * PARCELS_MOST + 5):
        watch.seen(one, float(k))
    latency = watch.timing(1.0).latency_us
    assert latency.size == SAMPLE_MOST
    assert (np.diff(latency) > 0).all()
    assert latency[-1] == pytest.approx(2e6 * PARCELS_MOST, rel=0.01)


def test_stopwatch_without_a_decision_has_no_latency() -> None:
    watch = Stopwatch()
    watch.seen(parcel(0, 3), 1.0)
    assert watch.timing(2.0).latency_us.size == 0
