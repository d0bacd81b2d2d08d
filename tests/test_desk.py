"""Promise: the fused desk is its parts in order, row by row; replay and split workers need it."""

from collections import namedtuple
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

import operators.desk
from operators.desk import Desk, DeskRows, DeskRules, DeskState
from operators.execution.orders import ORDER_FIELDS
from operators.execution.simulated_venue import VenueRules, venue_take_order
from operators.governor.lane import Lane, LaneRules
from operators.governor.portfolio import Portfolio
from operators.records import record_fields
from operators.risk.envelope import open_envelope
from operators.risk.safety import SafetyRules
from schemas.digest import canonical_bytes, first_difference
from schemas.kinds import NO_SYMBOL, Control, Engine, Flag, Kind, ReportCode, Role
from schemas.reasons import Reason
from schemas.rows import (
    DecisionRows,
    FeatureRows,
    MarketRows,
    ProposalRows,
    concat,
    take,
)
from tests.check_operator import check_operator
from tests.desk_cases import (
    DAY,
    EXPOSED,
    MS,
    SECOND,
    START,
    features,
    lonely,
    market,
    quote,
    reason_of,
    record_of,
    records_like,
    table,
)
from tests.desk_tape import across_midnights, desk_table, desk_tape

TABLE = desk_table()
LANES = (0, 2)
QUICK = LaneRules(
    cadence_ns=0, binary_expiry_ns=4 * SECOND, spot_hold_ns=6 * SECOND, arb_hold_ns=3 * SECOND,
    arb_stretch_min=1.0, spot_stop_atr=0.5,
)  # fmt: skip
RULES = DeskRules(
    lane=QUICK,
    portfolio=EXPOSED._replace(safety=SafetyRules(loss_streak_max=1000, daily_trades_max=10**6)),
    venue=VenueRules(),
    resume_next_session=1,
)
EACH_SECOND = RULES._replace(lane=QUICK._replace(cadence_ns=SECOND))
Tape = tuple[MarketRows, FeatureRows]


def cut(tape: Tape, first: int | None, last: int | None) -> Tape:
    return take(tape[0], slice(first, last)), take(tape[1], slice(first, last))


def run(tape: Tape, rules: DeskRules = RULES) -> DeskRows:
    desk = Desk(TABLE.arrays(), rules)
    return desk.step(desk.initial(), tape)[1]


@cache
def made(seed: int) -> tuple[Tape, DeskRows]:
    tape = desk_tape(4000, seed)
    return tape, run(tape)


# -- the shared check -----------------------------------------------------------------------------

# One table in and named tables out: what `check_operator` cuts and joins.
_BOTH = [*(f"m_{n}" for n in MarketRows._fields), *(f"f_{n}" for n in FeatureRows._fields)]
_table: Any = namedtuple
Flat = _table("Flat", _BOTH)
Orders = _table("Orders", list(ORDER_FIELDS))


class FlatDesk:
    """The desk with its two tables as one, and its orders as columns."""

    def __init__(self, rules: DeskRules) -> None:
        self.desk = Desk(TABLE.arrays(), rules)

    def initial(self) -> DeskState:
        return self.desk.initial()

    def step(self, state: DeskState, rows: Any) -> tuple[DeskState, Any]:
        n = len(MarketRows._fields)
        state, out = self.desk.step(state, (MarketRows(*rows[:n]), FeatureRows(*rows[n:])))
        orders = Orders(*(out.orders[name].copy() for name in ORDER_FIELDS))
        return state, (out.market, out.features, out.proposals, out.decisions, orders)

    def dump(self, state: DeskState) -> bytes:
        return self.desk.dump(state)

    def load(self, saved: bytes) -> DeskState:
        return self.desk.load(saved)


@pytest.mark.parametrize("rules", [RULES, EACH_SECOND], ids=["each tick", "each second"])
def test_promises_of_an_operator(rules: DeskRules) -> None:
    market, features = desk_tape(900, seed=11)
    check_operator(FlatDesk(rules), Flat(*market, *features), without_numba=rules is RULES)


def test_the_tape_keeps_every_part_busy() -> None:
    _, out = made(1)
    decided = take(out.decisions, out.decisions.kind == Kind.DECISION)
    approved = take(decided, decided.approved == 1)
    assert {Engine(int(e)) for e in approved.engine} == set(Engine)
    assert approved.seq.size > 100
    reports = take(out.market, out.market.kind == Kind.REPORT)
    told = {
        (Role(int(r)), ReportCode(int(c))) for r, c in zip(reports.role, reports.code, strict=True)
    }
    assert {
        (Role.ENTRY, ReportCode.FILLED), (Role.STOP, ReportCode.FILLED),
        (Role.FLATTEN, ReportCode.FILLED), (Role.SECOND_FLATTEN, ReportCode.FILLED),
        (Role.BINARY, ReportCode.SETTLED_WON), (Role.BINARY, ReportCode.SETTLED_LOST),
    } <= told  # fmt: skip
    assert len({reason_of(int(r)) for r in decided.reason}) > 10


# -- the log that it writes -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_its_rows_stand_in_the_total_order_without_a_hole(seed: int) -> None:
    (market, _), out = made(seed)
    rows = out.market
    keys = list(zip(rows.ts_recv_ns.tolist(), rows.lane.tolist(), rows.seq.tolist(), strict=True))
    assert keys == sorted(keys)
    for lane in LANES:
        assert rows.seq[rows.lane == lane].tolist() == list(range((rows.lane == lane).sum()))
    for name in ("seq", "lane", "kind", "symbol", "ts_event_ns", "ts_recv_ns", "price", "ref_id"):
        np.testing.assert_array_equal(getattr(out.features, name), getattr(rows, name))
    source = rows.source_row >= 0
    assert canonical_bytes(take(rows, source)._replace(seq=market.seq)) == canonical_bytes(market)
    assert set(rows.kind[~source].tolist()) == {Kind.REPORT}
    assert (~source).sum() > 50


@pytest.mark.parametrize("seed", [1, 2])
def test_a_report_comes_after_its_order_and_not_before_its_time(seed: int) -> None:
    out = made(seed)[1]
    sent = {(int(o.lane), int(o.ref_id), int(o.role)): int(o.sent_ns) for o in out.orders}
    assert len(sent) == out.orders.size, "client ids are unique"
    reports = take(out.market, out.market.kind == Kind.REPORT)
    assert reports.seq.size > 100
    for i in range(reports.seq.size):
        key = (int(reports.lane[i]), int(reports.ref_id[i]), int(reports.role[i]))
        k = TABLE.row(int(reports.lane[i]), int(reports.symbol[i]))
        offset = TABLE.instruments[k].clock_offset_ns
        assert reports.ts_event_ns[i] >= sent[key] - offset + 20 * MS
        assert reports.ts_recv_ns[i] >= reports.ts_event_ns[i] + offset + 20 * MS


@pytest.mark.parametrize("seed", [1, 2])
def test_each_evaluation_is_decided_once(seed: int) -> None:
    out = made(seed)[1]
    last = (out.proposals.kind == Kind.PROPOSAL) & (out.proposals.flags == Flag.MSG_LAST)
    decided = take(out.decisions, out.decisions.kind == Kind.DECISION)
    for name in ("lane", "market_seq", "symbol", "ts_recv_ns"):
        np.testing.assert_array_equal(getattr(decided, name), getattr(out.proposals, name)[last])
    assert out.decisions.seq.tolist() == list(range(out.decisions.seq.size))
    beats = (out.market.kind == Kind.HEARTBEAT) & (out.market.lane == 0)
    assert (out.decisions.kind == Kind.PROGRESS).sum() == beats.sum()


def test_every_order_belongs_to_an_approved_envelope() -> None:
    out = made(1)[1]
    approved = out.decisions.seq[out.decisions.approved == 1]
    entries = np.isin(out.orders["role"], [Role.ENTRY, Role.BINARY])
    assert sorted(out.orders["ref_id"][entries].tolist()) == sorted(approved.tolist())
    assert np.isin(out.orders["ref_id"], approved).all()


# -- the same as its parts, one after the other ---------------------------------------------------


def split(out: DeskRows, rules: DeskRules, seed: int) -> tuple[ProposalRows, DecisionRows]:
    """Lane workers over the recorded features, in batches; then a portfolio over all of them."""
    random = np.random.default_rng(seed)
    arrays, parts = TABLE.arrays(), []
    for lane in LANES:
        mine = take(out.features, out.features.lane == lane)
        worker = Lane(arrays, rules.lane)
        state, at = worker.initial(), 0
        while at < mine.seq.size:
            size = int(random.integers(1, 700))
            state, found = worker.step(state, take(mine, slice(at, at + size)))
            parts.append(found)
            at += size
    every = concat(parts)
    merged = take(every, np.lexsort((every.seq, every.lane, every.ts_recv_ns)))
    portfolio = Portfolio(arrays, rules.portfolio)
    return merged, portfolio.step(portfolio.initial(), merged)[1]


@pytest.mark.parametrize("rules", [RULES, EACH_SECOND], ids=["each tick", "each second"])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_split_workers_decide_the_same(seed: int, rules: DeskRules) -> None:
    tape, out = made(seed)
    if rules is not RULES:
        out = run(tape, rules)
    found = split(out, rules, seed)
    assert first_difference(out.proposals, found[0]) is None
    assert first_difference(out.decisions, found[1]) is None
    assert out.decisions.approved.sum() > 20


def test_split_workers_decide_the_same_across_resumes_and_sessions() -> None:
    streaks = RULES._replace(portfolio=EXPOSED._replace(safety=SafetyRules(loss_streak_max=2)))
    out = run(across_midnights(3000, 5, days=4), streaks)
    assert (out.market.kind == Kind.CONTROL).sum() > 1
    found = split(out, streaks, 5)
    assert first_difference(out.proposals, found[0]) is None
    assert first_difference(out.decisions, found[1]) is None


# -- leaving where there is no price --------------------------------------------------------------

# fmt: off
EXITS = [  # bought at 101, stop at 95, target at 110; what is bid once there is a bid again
    # what                          bid    sells
    ("the second order sells",      99.0,  (Role.FLATTEN, 99.0)),
    ("the stop is faster",          90.0,  (Role.STOP, 90.0)),
    ("the target is faster",        111.0, (Role.TARGET, 110.0)),
]
# fmt: on


@pytest.mark.parametrize(("what", "bid", "sells"), EXITS, ids=[c[0] for c in EXITS])
def test_a_position_is_sold_once_where_no_price_was_there_to_leave_at(
    what: str, bid: float, sells: tuple[Role, float]
) -> None:
    #  ms   0      30      100           1100     1130            1200     1230
    #       entry  filled  stop, target  flatten  no bid there:   flatten  it sells, unless stop
    #                                             rejected                 or target did at 1200
    desk = Desk(table(lonely(0)).arrays(), RULES)
    state, sent = desk.initial(), records_like(ORDER_FIELDS, 2)
    approved = {
        "seq": 5, "engine": Engine.SPOT, "side": 1, "qty": 2.0, "stop_px": 95.0,
        "target_px": 110.0, "hold_ns": SECOND, "ts_recv_ns": START,
    }  # fmt: skip
    decision = record_of(record_fields(DecisionRows), approved)
    assert open_envelope(desk.instruments, state.envelopes, decision, sent, 0) == 1
    venue_take_order(RULES.venue, desk.instruments, state.venue, sent[0])
    prices = [(30, 100.0), (100, 100.0), (1100, 100.0), (1130, np.nan), (1200, bid), (1230, bid),
              (1300, 99.0), (1400, 90.0), (1500, 111.0)]  # fmt: skip
    rows = [quote(START + ms * MS, at, at + 1.0, mid=100.0, n_ticks=0.0) for ms, at in prices]
    out = desk.step(state, (market(*rows), features(*rows)))[1]
    said = take(out.market, out.market.kind == Kind.REPORT)
    answers = [
        (Role(int(said.role[i])), ReportCode(int(said.code[i])), reason_of(int(said.reason[i])))
        for i in range(said.seq.size)
    ]
    rejected = (Role.FLATTEN, ReportCode.REJECTED, Reason.VENUE_NO_MARKET)
    assert answers[:2] == [(Role.ENTRY, ReportCode.FILLED, Reason.OK), rejected]
    filled = (said.code == ReportCode.FILLED) | (said.code == ReportCode.FILLED_MAKER)
    sold = take(said, filled & (said.side < 0))
    assert [(Role(int(r)), float(p)) for r, p in zip(sold.role, sold.price, strict=True)] == [sells]
    assert np.count_nonzero(out.orders["role"] == Role.FLATTEN) == 2
    assert state.envelopes.n_open[0] == 0
    assert (
        state.venue.n_orders[0] == 0 or (state.venue.watched[: state.venue.n_orders[0]] < 0).all()
    )


# -- outputs that are larger than the scratch of one call -----------------------------------------


@pytest.mark.parametrize("room", [1, 2, 7, 100])
def test_a_full_scratch_is_continued(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tape, whole = made(2)
    monkeypatch.setattr(operators.desk, "SCRATCH_ROWS", room)
    found = run(tape)
    for name in ("market", "features", "proposals", "decisions"):
        assert first_difference(getattr(whole, name), getattr(found, name)) is None, name
    assert whole.orders.tobytes() == found.orders.tobytes()


def test_no_rows_in_no_rows_out() -> None:
    out = run(cut(made(1)[0], 0, 0))
    assert [table[0].size for table in out[:4]] == [0, 0, 0, 0]
    assert out.orders.size == 0


# -- the operator of a backtest -------------------------------------------------------------------


class Session(NamedTuple):
    """What the log says of one day."""

    first: list[int]  # kinds of its first rows
    resumes: int
    cooling_before: bool  # the day before ended in a cooldown
    stopped_before: bool  # or in the 10 % stop


def sessions(out: DeskRows, rules: DeskRules) -> list[Session]:
    """Day by day, with the latches as a portfolio of its own finds them."""
    portfolio = Portfolio(TABLE.arrays(), rules.portfolio)
    state, found = portfolio.initial(), []
    days = out.market.ts_recv_ns // DAY
    for day in np.unique(days):
        rows = take(out.market, days == day)
        book = state.book[0]
        resumes = int(((rows.kind == Kind.CONTROL) & (rows.code == Control.RESUME)).sum())
        latches = bool(book.cooldown), bool(book.drawdown)
        found.append(Session(rows.kind[:3].tolist(), resumes, *latches))
        state, _ = portfolio.step(
            state, take(out.proposals, out.proposals.ts_recv_ns // DAY == day)
        )
    return found


CAUTIOUS = RULES._replace(
    portfolio=EXPOSED._replace(safety=SafetyRules(loss_streak_max=1, daily_trades_max=10**6))
)


def around_midnight(seed: int) -> Tape:
    return desk_tape(2500, seed, step_ns=10 * MS, start_ns=START + DAY - 5 * SECOND)


@pytest.mark.parametrize("seed", range(6))
def test_it_resumes_with_the_first_row_of_the_next_session_and_only_then(seed: int) -> None:
    for tape in (across_midnights(2000, seed, days=4), around_midnight(seed)):
        days = sessions(run(tape, CAUTIOUS), CAUTIOUS)
        assert any(day.cooling_before for day in days)
        for day in days:
            due = day.cooling_before and not day.stopped_before
            assert day.resumes == due
            assert (day.first[0] == Kind.CONTROL) == due


def test_a_report_that_opens_the_session_does_not_put_the_resume_off() -> None:
    #  ms after midnight   10             20
    #                      report is due  first market row
    #  log                 RESUME REPORT  QUOTE
    desk = Desk(TABLE.arrays(), RULES)
    state, midnight = desk.initial(), START + DAY
    book, report = state.portfolio.book[0], state.venue.reports[0]
    book.day, book.cooldown = START // DAY, 1
    report.due_ns, report.ts_event_ns, report.lane = midnight + 10 * MS, midnight, 2
    report.row, report.ref_id, report.code = 3, 404, ReportCode.FILLED
    state.venue.n_reports[0] = 1
    out = desk.step(state, desk_tape(1, seed=1, start_ns=midnight + 20 * MS))[1].market
    assert out.kind[:2].tolist() == [Kind.CONTROL, Kind.REPORT]
    assert out.lane[:2].tolist() == [2, 2]
    assert out.ts_recv_ns[:2].tolist() == [midnight + 10 * MS] * 2
    assert out.seq[:2].tolist() == [0, 1]


def test_nobody_resumes_where_nobody_is_to() -> None:
    alone = CAUTIOUS._replace(resume_next_session=0)
    out = run(across_midnights(2000, 1, days=4), alone)
    assert (out.market.kind != Kind.CONTROL).all()
    assert out.decisions.reason[-1] == Reason.LOSS_STREAK


# -- the end --------------------------------------------------------------------------------------


def closed(rows: Any) -> Any:
    """The rows, and behind them, once every contract of QUICK has expired, each lane's end."""
    ends = take(rows, slice(0, len(LANES)))
    ends.lane[:], ends.kind[:], ends.symbol[:] = LANES, Kind.HEARTBEAT, NO_SYMBOL
    ends.ts_event_ns[:] = ends.ts_recv_ns[:] = ends.ts_recv_ns[-1] + 10**6 * SECOND
    ends.flags[:] = Flag.MSG_LAST | Flag.END
    return concat([rows, ends])


@pytest.mark.parametrize("seed", range(4))
def test_nothing_stands_behind_the_row_that_closes_a_lane(seed: int) -> None:
    market, features = desk_tape(1500, seed)
    rows = run((closed(market), closed(features))).market
    for lane in LANES:
        mine = take(rows, rows.lane == lane)
        assert np.flatnonzero(mine.flags & Flag.END).tolist() == [mine.seq.size - 1]


@pytest.mark.parametrize("progress_lane", LANES)
def test_the_last_row_of_decisions_says_that_it_is(progress_lane: int) -> None:
    rules = RULES._replace(portfolio=RULES.portfolio._replace(progress_lane=progress_lane))
    market, features = desk_tape(1500, seed=1)
    decisions = run((closed(market), closed(features)), rules).decisions
    ends = np.flatnonzero(decisions.flags & Flag.END)
    assert ends.tolist() == [decisions.seq.size - 1]
    assert (decisions.kind[-1], decisions.lane[-1]) == (Kind.PROGRESS, LANES[-1])
    assert (decisions.kind == Kind.DECISION).sum() > 100
