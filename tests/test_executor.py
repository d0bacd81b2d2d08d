"""Promise: execute as a worker of its own sends what the fused desk sends, and its venue answers
the same; after its last call a lane hears nothing more.

Timelines are in milliseconds; an order takes 20 to the venue, its report 20 back.
"""

from collections import namedtuple
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators.desk import Desk
from operators.execution import executor
from operators.execution.executor import Executed, Executor, ExecutorState
from operators.execution.journal import OrderJournal
from operators.execution.orders import ORDER_FIELDS
from operators.execution.simulated_venue import VenueRules
from operators.risk.envelope import OPEN_MAX
from schemas.digest import first_difference
from schemas.kinds import NO_SYMBOL, Engine, Flag, Kind, ReportCode, Role
from schemas.rows import DecisionRows, FeatureRows, MarketRows, take
from schemas.topics import DECISIONS, FEATURES, MARKET, ORDERS
from tests.check_operator import check_operator
from tests.desk_cases import (
    MS,
    SECOND,
    START,
    features,
    heartbeat,
    lonely,
    quote,
    report,
    row_at,
    rows_of,
    table,
)
from tests.desk_tape import across_midnights, desk_table, desk_tape
from tests.runs import eurusd, run, tables
from tests.runs import table as recorded
from tests.test_desk import CAUTIOUS, EACH_SECOND, RULES, closed

TABLE = desk_table()
START_OF_EURUSD = 1_398_902_400 * SECOND
FILLED, WON, DRAINED = ReportCode.FILLED, ReportCode.SETTLED_WON, ReportCode.DRAINED


def executed(rows: FeatureRows, decisions: DecisionRows) -> Executed:
    worker = Executor(TABLE.arrays(), RULES.venue)
    return worker.step(worker.initial(), (rows, decisions))[1]


def same_reports(made: MarketRows, market: MarketRows) -> None:
    """What left the venue is what the fused desk put on the log, in its order."""
    logged = take(market, market.kind == Kind.REPORT)
    assert first_difference(logged._replace(seq=made.seq), made) is None


# -- the same as the fused desk -------------------------------------------------------------------


@cache
def fused(seed: int) -> Any:
    desk = Desk(TABLE.arrays(), RULES)
    return desk.step(desk.initial(), desk_tape(4000, seed))[1]


@pytest.mark.parametrize("rules", [RULES, EACH_SECOND], ids=["each tick", "each second"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_sends_and_answers_as_the_fused_desk(seed: int, rules: Any) -> None:
    desk = Desk(TABLE.arrays(), rules)
    market, rows = desk_tape(4000, seed)
    out = desk.step(desk.initial(), (closed(market), closed(rows)))[1]
    found = executed(out.features, out.decisions)
    assert found.orders.tobytes() == out.orders.tobytes()
    same_reports(found.reports, out.market)
    assert found.reports.seq.size > 100
    assert found.orders.size > 100


def test_it_does_so_across_sessions_that_an_operator_resumes() -> None:
    desk = Desk(TABLE.arrays(), CAUTIOUS)
    market, rows = across_midnights(3000, 5, days=4)
    out = desk.step(desk.initial(), (closed(market), closed(rows)))[1]
    assert (out.market.kind == Kind.CONTROL).any()
    found = executed(out.features, out.decisions)
    assert found.orders.tobytes() == out.orders.tobytes()
    same_reports(found.reports, out.market)


def test_a_recorded_run_of_real_quotes(tmp_path: Path) -> None:
    feed = eurusd(START_OF_EURUSD + 6 * 3600 * SECOND)
    ran = run(feed, profile="memory", batch_rows=1000, folder=tmp_path)
    lanes = feed.table.active_lanes()
    worker = Executor(feed.table.arrays(), VenueRules())
    rows, decisions = recorded(ran.log, FEATURES, lanes), recorded(ran.log, DECISIONS, [0])
    _, out = worker.step(worker.initial(), (rows, decisions))
    (lane,) = lanes
    sent = [row for rows in tables(ran.log, ORDERS, lane) for row in rows]
    journal = OrderJournal(feed.table)
    assert len(sent) > 5
    assert journal.step(journal.initial(), out)[1][0] == sent
    same_reports(out.reports, recorded(ran.log, MARKET, lanes))


# -- any split ------------------------------------------------------------------------------------

_table: Any = namedtuple
Orders = _table("Orders", list(ORDER_FIELDS))


class FlatExecutor:
    """The executor with each decision handed in beside its row, and its orders as columns."""

    def __init__(self, decisions: DecisionRows) -> None:
        self.worker = Executor(TABLE.arrays(), RULES.venue)
        self.decisions = decisions

    def initial(self) -> ExecutorState:
        return self.worker.initial()

    def step(self, state: ExecutorState, rows: FeatureRows) -> tuple[ExecutorState, Any]:
        here = set(zip(rows.lane.tolist(), rows.seq.tolist(), strict=True))
        causes = zip(self.decisions.lane.tolist(), self.decisions.market_seq.tolist(), strict=True)
        mine = take(self.decisions, np.array([cause in here for cause in causes], np.bool_))
        state, out = self.worker.step(state, (rows, mine))
        orders = Orders(*(out.orders[name].copy() for name in ORDER_FIELDS))
        return state, (orders, out.reports)

    def dump(self, state: ExecutorState) -> bytes:
        return self.worker.dump(state)

    def load(self, saved: bytes) -> ExecutorState:
        return self.worker.load(saved)


def test_promises_of_an_operator() -> None:
    out = fused(1)
    rows = take(out.features, slice(0, 1000))
    rows.flags[np.flatnonzero(rows.lane == 2)[200]] |= Flag.LAST_CALL
    worker = FlatExecutor(out.decisions)
    check_operator(worker, rows, without_numba=True)
    orders, reports = worker.step(worker.initial(), rows)[1]
    assert (reports.code == DRAINED).sum() == 1
    assert min(orders.lane.size, reports.seq.size) > 50, "the tape is too tame to prove anything"


@pytest.mark.parametrize("room", [1, 2, 7, 100])
def test_a_full_scratch_is_continued(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    out = fused(2)
    whole = executed(out.features, out.decisions)
    monkeypatch.setattr(executor, "SCRATCH_ROWS", room)
    found = executed(out.features, out.decisions)
    assert whole.orders.tobytes() == found.orders.tobytes()
    assert first_difference(whole.reports, found.reports) is None


def test_no_rows_in_no_rows_out() -> None:
    found = executed(features(), rows_of(DecisionRows, []))
    assert (found.orders.size, found.reports.seq.size) == (0, 0)


# -- the last call --------------------------------------------------------------------------------

BOTH = table(lonely(0), lonely(0, lane=2, binary_payout="0.8"))


def at(ms: float, lane: int = 0, **more: Any) -> dict[str, Any]:
    return quote(START + round(ms * MS), 100.0, 100.2, lane=lane, **more)


def called(ms: float, lane: int = 0) -> dict[str, Any]:
    flags = Flag.MSG_LAST | Flag.LAST_CALL
    return heartbeat(START + round(ms * MS), lane=lane, flags=flags)


def approved(market_seq: int, ms: float, lane: int = 0, **more: Any) -> dict[str, Any]:
    usual = {
        "seq": market_seq, "lane": lane, "market_seq": market_seq, "kind": Kind.DECISION,
        "approved": 1, "engine": Engine.SPOT, "side": 1, "qty": 2.0, "stop_px": 95.0,
        "target_px": 110.0, "hold_ns": SECOND, "ts_recv_ns": START + round(ms * MS),
        "symbol_second": NO_SYMBOL,
    }  # fmt: skip
    return {**usual, **more}


def answers(rows: list[dict[str, Any]], *decisions: dict[str, Any]) -> tuple[Executed, list[Any]]:
    """What is executed; and of each report when it left, in ms, its lane and its code."""
    rows = sorted(rows, key=lambda row: (row["ts_recv_ns"], row["lane"]))
    worker = Executor(BOTH.arrays(), VenueRules())
    out = worker.step(worker.initial(), (features(*rows), rows_of(DecisionRows, decisions)))[1]
    told = out.reports
    due = ((told.ts_recv_ns - START) / MS).tolist()
    return out, list(zip(due, told.lane.tolist(), told.code.tolist(), strict=True))


F, D = FILLED, DRAINED
# fmt: off
CALLS = [  # lane 0 buys behind its row at 0; its row at 30 fills it; the report is due at 50
    # what                                      calls: (ms, lane)       (due, lane, code)
    ("nobody calls",                            [],                     [(50, 0, F)]),
    ("before the order is at the venue",        [(10, 0)],              [(10, 0, D)]),
    ("before the report is due",                [(40, 0)],              [(40, 0, D)]),
    ("when it is due",                          [(50, 0)],              [(50, 0, F), (50, 0, D)]),
    ("after it was due",                        [(60, 0)],              [(50, 0, F), (60, 0, D)]),
    ("called twice, as after a restart",        [(60, 0), (70, 0)],     [(50, 0, F), (60, 0, D)]),
    ("twice, and the report was dropped",       [(40, 0), (70, 0)],     [(40, 0, D)]),
    ("another lane is called first",            [(40, 2)],              [(40, 2, D), (50, 0, F)]),
    ("another lane when it is due",             [(50, 2)],              [(50, 0, F), (50, 2, D)]),
    ("both lanes",                              [(40, 2), (40, 0)],     [(40, 0, D), (40, 2, D)]),
]
# fmt: on


@pytest.mark.parametrize(("what", "calls", "told"), CALLS, ids=[c[0] for c in CALLS])
def test_the_last_call_of_a_lane(what: str, calls: list[tuple[float, int]], told: Any) -> None:
    rows = [at(0), at(30), at(100), heartbeat(START + SECOND // 2), at(100, lane=2)]
    out, found = answers(rows + [called(ms, lane) for ms, lane in calls], approved(0, 0))
    assert found == told
    assert out.orders["role"].tolist() == [Role.ENTRY]


def test_the_row_that_calls_reaches_the_venue_no_more() -> None:
    last = at(30, flags=Flag.MSG_LAST | Flag.LAST_CALL)
    assert answers([at(0), last, at(100)], approved(0, 0))[1] == [(30, 0, DRAINED)]


@pytest.mark.parametrize("behind", [1, 2], ids=["behind the call", "behind a later row"])
def test_a_late_order_is_sent_and_not_answered(behind: int) -> None:
    rows = [at(0), called(10), at(20), at(100), at(200)]
    out, found = answers(rows, approved(behind, 10.0 * behind))
    assert found == [(10, 0, DRAINED)]
    assert out.orders["market_seq"].tolist() == [behind]


def test_orders_of_other_lanes_go_on_working() -> None:
    contract = {"engine": Engine.BINARY, "stake": 5.0, "hold_ns": SECOND}
    rows = [at(0), at(0, lane=2), called(25), at(30, lane=2), at(60, lane=2)]
    rows += [at(1000, lane=2, mid=100.3, bid_px=100.2, ask_px=100.4), at(1040, lane=2)]
    rows += [heartbeat(START + 2 * SECOND), heartbeat(START + 2 * SECOND, lane=2)]
    both = approved(0, 0), approved(0, 0, lane=2, seq=1, **contract)
    # struck at 30, expires at 1030; the first row behind it, at 1040, tells the venue so
    assert answers(rows, *both)[1] == [(25, 0, DRAINED), (50, 2, FILLED), (1050, 2, WON)]


def test_the_last_record_of_a_lane() -> None:
    out, _ = answers([at(0), at(30), called(60), at(100)], approved(0, 0))
    row = row_at(out.reports, 1)
    assert (row["kind"], row["symbol"], row["seq"]) == (Kind.REPORT, NO_SYMBOL, -1)
    journal = OrderJournal(BOTH)
    assert journal.step(journal.initial(), out)[1][1][1] == {
        "seq": 1, "lane": 0, "ts_event_ns": START + 60 * MS, "ts_recv_ns": START + 60 * MS,
        "code": "DRAINED",
    }  # fmt: skip


# -- decisions and their rows ---------------------------------------------------------------------

# fmt: off
MISSING = [  # rows 0 and 1 of lane 0 and row 0 of lane 2 are there
    # what                          decisions                                       names
    ("a row that comes later",      [approved(2, 0)],                               (2, 2, 0)),
    ("a row of another lane",       [approved(1, 0, lane=2)],                       (1, 1, 2)),
    ("refused ones too",            [approved(7, 0, approved=0)],                   (7, 7, 0)),
    ("the first that is missing",   [approved(0, 0), approved(5, 0), approved(1, 0)], (5, 5, 0)),
    ("not in the rows' order",      [approved(1, 0), approved(0, 0)],               (0, 0, 0)),
]
# fmt: on


@pytest.mark.parametrize(("what", "decisions", "names"), MISSING, ids=[c[0] for c in MISSING])
def test_a_decision_whose_row_is_not_there(
    what: str, decisions: list[Any], names: tuple[int, int, int]
) -> None:
    seq, row, lane = names
    words = f"decision {seq} acts behind row {row} of lane {lane}, which is not among the rows"
    with pytest.raises(ValueError, match=words):
        answers([at(0), at(30), at(0, lane=2)], *decisions)


def test_refused_decisions_and_progress_do_nothing() -> None:
    refused, progress = approved(0, 0, approved=0), approved(9, 0, kind=Kind.PROGRESS, approved=0)
    out, found = answers([at(0), at(30), at(100)], refused, progress)
    assert (out.orders.size, found) == (0, [])


def test_more_envelopes_than_a_portfolio_may_open_are_refused() -> None:
    many = [approved(0, 0, seq=n) for n in range(OPEN_MAX + 1)]
    assert answers([at(0)], *many[:-1])[0].orders.size == OPEN_MAX
    with pytest.raises(RuntimeError, match="more are approved than a portfolio may have open"):
        answers([at(0)], *many)


def test_decisions_act_in_their_order_behind_what_the_row_causes() -> None:
    # the envelope of row 0 is filled at 50 and over at 1050, behind whose row two more are opened
    filled = report(START + 50 * MS, 0, Role.ENTRY, FILLED, 1, 2.0, 100.2)
    rows = [at(0), at(30), filled, at(1050), at(1100)]
    out, _ = answers(rows, approved(0, 0), approved(3, 1050), approved(3, 1050, seq=4))
    sent = list(zip(out.orders["ref_id"].tolist(), out.orders["role"].tolist(), strict=True))
    first = [(0, Role.ENTRY), (0, Role.STOP), (0, Role.TARGET)]
    assert sent == [*first, (0, Role.FLATTEN), (3, Role.ENTRY), (4, Role.ENTRY)]
