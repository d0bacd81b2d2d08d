"""Promise: the portfolio alone knows money; it approves within its limits, whatever it hears."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.governor.portfolio import Portfolio, PortfolioRules
from operators.risk.safety import STOPS, SafetyRules
from schemas.instruments import InstrumentKind
from schemas.kinds import NO_ID, NO_SYMBOL, Control, Engine, Flag, Kind, Role
from schemas.reasons import Reason
from schemas.rows import ProposalRows
from tests.check_operator import check_operator
from tests.desk_cases import (
    DAY,
    EXPOSED,
    SECOND,
    binary,
    control,
    evaluation,
    heartbeat,
    instrument,
    lonely,
    pair,
    proposals,
    reason_of,
    report,
    spot,
    table,
)
from tests.portfolio_cases import (
    ARBITRAGE,
    BINARY,
    ENTRY,
    FILLED,
    FOUR,
    LEG,
    LOST,
    REJECTED,
    SPOT,
    TWO,
    WON,
    Desk,
    T,
    reason,
    with_book,
)

# -- what is approved -----------------------------------------------------------------------------


def test_a_spot_envelope() -> None:
    # 250 at risk over the 5 dollars between 100.2 and the stop at 95.2 would be 50 units, 5,010
    # dollars; a position may be 5,000, and 5,000 / 100.2 is 49.9002 units of a lot of 0.01
    to = Desk().decide(spot())
    assert (reason(to), to["engine"], to["side"], to["symbol_second"]) == (
        Reason.OK, SPOT, 1, NO_SYMBOL
    )  # fmt: skip
    assert to["qty"] == pytest.approx(49.90)
    assert to["worst_loss"] == pytest.approx(49.90 * 5.0)
    assert (to["stop_px"], to["target_px"], to["confidence"]) == (95.2, 110.0, 0.6)
    assert (to["equity"], to["model"], to["features"]) == (1e5, 2**63 + 11, 22)
    assert np.isnan(to["stake"])
    assert np.isnan(to["qty_second"])


def test_size_follows_the_risk_where_the_cap_is_far() -> None:
    to = Desk().decide(spot(stop_px=90.2))  # 10 dollars: 25 units
    assert to["qty"] == pytest.approx(25.0)
    assert to["worst_loss"] == pytest.approx(250.0)


def test_fees_in_and_out_belong_to_the_worst_loss() -> None:
    paid = table(lonely(0, fee_taker="0.001"))
    to = Desk(paid).decide(spot(stop_px=90.2))
    assert to["worst_loss"] == pytest.approx(25.0 * 10.0 + 2 * 0.001 * 25.0 * 100.2)


def test_a_binary_envelope_is_its_stake() -> None:
    to = Desk().decide(binary(size_fraction=0.00123456))
    assert (to["engine"], to["stake"], to["worst_loss"]) == (BINARY, 123.45, 123.45)
    assert np.isnan(to["qty"])


def test_a_pair_has_legs_of_equal_base_units() -> None:
    # sell 4,000 dollars at 100: 40 units; buy 40 units there
    to = Desk().decide(pair())
    assert (to["side"], to["side_second"], to["symbol_second"]) == (-1, 1, 1)
    assert (to["qty"], to["qty_second"]) == pytest.approx((40.0, 40.0))
    assert to["worst_loss"] == pytest.approx(0.02 * 40.0 * 100.0)  # of the larger leg


def test_a_pair_with_an_inverse_leg_is_equal_in_base_units() -> None:
    mixed = table(
        instrument(0, base="BTC"),
        instrument(1, base="BTC", kind=InstrumentKind.INVERSE, contract_size="10", lot="1"),
    )
    to = Desk(mixed).decide(pair())
    # 40 units at 99.2 are 3,968 dollars: 396.8 contracts of 10, to the nearest lot
    assert (to["qty"], to["qty_second"]) == pytest.approx((40.0, 397.0))


# -- which proposal counts ------------------------------------------------------------------------

# fmt: off
CHOICES = [  # what is served, in order of rank
    # what  served  engine
    ("the first",
        [spot(), binary(), pair()],                      SPOT),
    ("the first, though it refuses",
        [pair(reason=Reason.ARB_NOT_STRETCHED), spot()], ARBITRAGE),
    ("the next, where the first is unserved",
        [binary()],                                      BINARY),
]
# fmt: on


@pytest.mark.parametrize(("what", "served", "engine"), CHOICES, ids=[c[0] for c in CHOICES])
def test_the_served_proposal_of_lowest_rank_counts(
    what: str, served: list[dict[str, Any]], engine: Engine
) -> None:
    assert Desk().decide(*served)["engine"] == engine


def test_one_decision_per_evaluation_and_nothing_else() -> None:
    rows: list[Any] = []
    for i in range(20):
        rows.append(evaluation(T + i * SECOND, *[[spot()], [binary()], []][i % 3], symbol=i % 2))
        rows.append(heartbeat(T + i * SECOND, lane=2))
        rows.append(report(T + i * SECOND, 999, ENTRY, FILLED, 1, 1.0, 100.0))
    flat = proposals(*rows)
    portfolio = Portfolio(TWO.arrays(), EXPOSED)
    out = portfolio.step(portfolio.initial(), flat)[1]
    last = (flat.kind == Kind.PROPOSAL) & (flat.flags == 1)
    assert out.kind.tolist() == [Kind.DECISION] * 20
    assert out.market_seq.tolist() == flat.market_seq[last].tolist()
    assert out.seq.tolist() == list(range(20))


def test_progress_follows_the_heartbeats_of_one_lane() -> None:
    desk = Desk(progress_lane=2)
    assert desk.told(heartbeat(T, lane=0)).seq.size == 0
    out = desk.told(heartbeat(T, lane=2))
    assert (out.kind.tolist(), out.lane.tolist(), out.approved.tolist()) == (
        [Kind.PROGRESS],
        [2],
        [0],
    )
    assert desk.decide(spot())["seq"] == 1


# fmt: off
STOPPED = [  # what is in force, the desk's book, what progress says, and after an operator's resume
    ("nothing",        {},                               Reason.OK,            Reason.OK),
    ("a halt",         {"halted": 1, "drawdown": 1},     Reason.HALTED,        Reason.OK),
    ("the drawdown",   {"drawdown": 1, "daily_loss": 1}, Reason.DRAWDOWN_STOP, Reason.DAILY_LOSS),
    ("the day's loss", {"daily_loss": 1, "cooldown": 1}, Reason.DAILY_LOSS,    Reason.DAILY_LOSS),
    ("a streak",       {"cooldown": 1},                  Reason.LOSS_STREAK,   Reason.OK),
    ("its last trade", {"trades_today": 500},            Reason.DAILY_TRADES,  Reason.DAILY_TRADES),
]
# fmt: on


@pytest.mark.parametrize(("what", "book", "now", "resumed"), STOPPED, ids=[c[0] for c in STOPPED])
def test_progress_says_which_stop_is_in_force(
    what: str, book: dict[str, float], now: Reason, resumed: Reason
) -> None:
    del what
    desk = with_book(**book)

    def said(ts_ns: int) -> Reason:
        return reason_of(int(desk.told(heartbeat(ts_ns, lane=0)).reason[0]))

    assert said(T) is now
    assert now is Reason.OK or now in STOPS
    desk.told(control(T + SECOND, Control.RESUME))
    assert said(T + 2 * SECOND) is resumed
    assert said(T + DAY) is Reason.OK


@pytest.mark.parametrize("progress_lane", [0, 2], ids=["another's", "its own heartbeats"])
def test_the_end_of_the_last_lane_ends_the_decisions(progress_lane: int) -> None:
    desk = Desk(progress_lane=progress_lane, last_lane=2)
    end = Flag.MSG_LAST | Flag.END
    told = [desk.told(heartbeat(T, lane=lane)) for lane in (0, 2)]
    desk.decide(spot())
    told += [desk.told(heartbeat(T + SECOND, lane=lane, flags=end)) for lane in (0, 2)]
    progress = [(int(o.lane[0]), int(o.flags[0])) for o in told if o.seq.size]
    assert (
        progress == {0: [(0, 0), (0, 0), (2, Flag.END)], 2: [(2, 0), (2, Flag.END)]}[progress_lane]
    )
    assert {int(kind) for o in told for kind in o.kind} == {Kind.PROGRESS}
    assert told[-1].seq.tolist() == [len(progress)], "behind every decision"


# -- any sequence ---------------------------------------------------------------------------------


@dataclass
class Page:
    """One envelope, kept by the test with its own arithmetic."""

    decision: dict[str, Any]
    cash: float = 0.0
    legs: dict[int, float] = field(default_factory=dict)  # symbol: signed units
    waiting: set[Role] = field(default_factory=set)


class Oracle:
    """What should be true of the desk after any proposals and any answers; spot markets only."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.pages, self.closed = desk, dict[int, Page](), 0.0

    def page(self, to: dict[str, Any]) -> Page:
        entries = {BINARY: {Role.BINARY}, SPOT: {ENTRY}, ARBITRAGE: {ENTRY, LEG}}
        return Page(to, waiting=entries[Engine(to["engine"])])

    def approved(self, to: dict[str, Any]) -> None:
        self.pages[int(to["seq"])] = self.page(to)
        exposure, reserved = 0.0, 0.0
        staked, net = dict[int, float](), dict[int, float]()
        for page in self.pages.values():
            held = self.held(page.decision)
            exposure += max(abs(each) for each in held.values())
            reserved += page.decision["worst_loss"]
            totals = staked if page.decision["engine"] == BINARY else net
            for symbol, each in held.items():
                totals[symbol] = totals.get(symbol, 0.0) + each
        equity = to["equity"]
        assert exposure <= 0.20 * equity * (1 + 1e-12)
        for symbol, added in self.held(to).items():
            stake, position = staked.get(symbol, 0.0), net.get(symbol, 0.0)
            grows = to["engine"] == BINARY or abs(position) > abs(position - added)
            assert not grows or stake + abs(position) <= 0.05 * equity * (1 + 1e-12)
        assert equity - reserved > 0.97 * self.desk.book.day_start
        assert equity > 0.90 * self.desk.book.peak

    def held(self, to: dict[str, Any]) -> dict[int, float]:
        """Dollars by symbol: a stake, or a signed position."""
        symbol = int(to["symbol"])
        if to["engine"] == BINARY:
            return {symbol: to["stake"]}
        price = to["ask_px"] if to["side"] > 0 else to["bid_px"]
        held = {symbol: to["side"] * to["qty"] * price}
        if to["engine"] == ARBITRAGE:
            price = to["ask_px_second"] if to["side_second"] > 0 else to["bid_px_second"]
            held[int(to["symbol_second"])] = to["side_second"] * to["qty_second"] * price
        return held

    def answer(self, ref_id: int, accepted: bool, price: float, fee: float) -> None:
        """The venue fills or rejects the next thing that this envelope waits for."""
        page = self.pages[ref_id]
        to = page.decision
        if to["engine"] == BINARY:
            if Role.BINARY in page.waiting and accepted:
                page.waiting.clear()
                self.desk.hear(ref_id, Role.BINARY, FILLED, 1, to["stake"], price)
                return
            code = REJECTED if page.waiting else (WON if accepted else LOST)
            self.desk.hear(ref_id, Role.BINARY, code, 1, to["stake"], price)
            page.cash = {REJECTED: 0.0, WON: 0.8, LOST: -1.0}[code] * to["stake"]
            self.close(ref_id)
            return
        symbols = {ENTRY: int(to["symbol"]), LEG: int(to["symbol_second"])}
        if page.waiting:
            role = min(page.waiting)
            page.waiting.remove(role)
            side = to["side"] if role is ENTRY else to["side_second"]
            qty = to["qty"] if role is ENTRY else to["qty_second"]
            if not accepted:
                self.desk.hear(ref_id, role, REJECTED, side, qty, symbol=symbols[role])
            else:
                self.fill(page, ref_id, role, symbols[role], float(side * qty), price, fee)
        else:
            symbol, units = next(iter(page.legs.items()))
            role = Role.FLATTEN if symbol == symbols[ENTRY] else Role.SECOND_FLATTEN
            self.fill(page, ref_id, role, symbol, -units, price, fee)
        if not page.waiting and not page.legs:
            self.close(ref_id)

    def fill(
        self,
        page: Page,
        ref_id: int,
        role: Role,
        symbol: int,
        signed: float,
        price: float,
        fee: float,
    ) -> None:
        side = 1 if signed > 0 else -1
        self.desk.hear(ref_id, role, FILLED, side, abs(signed), price, fee, symbol=symbol)
        page.cash += -signed * price - fee
        page.legs[symbol] = page.legs.get(symbol, 0.0) + signed
        if page.legs[symbol] == 0.0:
            del page.legs[symbol]

    def close(self, ref_id: int) -> None:
        self.closed += self.pages.pop(ref_id).cash

    def check(self) -> None:
        state = self.desk.state
        assert sorted(state.envelopes.id[state.envelopes.id != NO_ID]) == sorted(self.pages)
        assert self.desk.book.balance == pytest.approx(1e5 + self.closed, rel=1e-12)


SERVED = st.sampled_from([
    binary(), binary(size_fraction=0.01), spot(), spot(side=-1, stop_px=105.0), spot(stop_px=99.2),
    pair(), pair(side=1, side_second=-1), pair(size_fraction=0.05), spot(confidence=0.2),
])  # fmt: skip
ACCEPTS = st.sampled_from([True, True, False])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), SERVED, st.integers(0, 2)),
        st.tuples(
            st.just("answer"), st.integers(0, 9),
            st.tuples(ACCEPTS, st.floats(80.0, 120.0), st.floats(0.0, 5.0)),
        ),
    ),
    min_size=30, max_size=60,
)  # fmt: skip


@given(STEPS)
@settings(max_examples=25)
def test_approved_exposure_keeps_its_limits_and_closed_pnl_is_the_balance(steps: list[Any]) -> None:
    desk = Desk(
        table(*(instrument(i) for i in range(4))), safety=SafetyRules(loss_streak_max=10**6)
    )
    oracle = Oracle(desk)
    for what, first, second in steps:
        if what == "ask":
            to = desk.decide({**first, "symbol_second": second + 1}, symbol=second)
            if to["approved"]:
                oracle.approved(to)
        elif oracle.pages:
            ids = sorted(oracle.pages)
            oracle.answer(ids[first % len(ids)], *second)
        oracle.check()


# -- the whole ------------------------------------------------------------------------------------


def made_proposals(n: int, seed: int) -> ProposalRows:
    """What a busy desk hears: evaluations, answers, controls and heartbeats of two lanes."""
    random = np.random.default_rng(seed)
    desk = Desk(FOUR)
    oracle = Oracle(desk)
    asked = [spot(), binary(), pair(), spot(side=-1, stop_px=105.0), pair(side=1, side_second=-1)]
    for _ in range(n):
        kind, ids = random.random(), sorted(oracle.pages)
        desk.now_ns += int(random.integers(900)) * SECOND
        if kind < 0.4:
            bid, symbol = 100.0 + 0.1 * random.normal(), int(random.integers(3))
            served = {**asked[random.integers(len(asked))], "symbol_second": symbol + 1}
            to = desk.decide(served, symbol=symbol, bid_px=bid, ask_px=bid + 0.2)
            if to["approved"]:
                oracle.pages[int(to["seq"])] = oracle.page(to)
        elif kind < 0.9 and ids:
            price = 100.0 + 0.1 * float(random.normal())
            oracle.answer(ids[random.integers(len(ids))], bool(random.random() < 0.8), price, 0.1)
        elif kind < 0.98:
            desk.told(heartbeat(desk.now_ns, lane=int(random.integers(2)) * 2))
        else:
            halt = random.random() < 0.3
            desk.told(control(desk.now_ns, Control.HALT if halt else Control.RESUME))
    return proposals(*desk.heard)


def test_promises_of_an_operator() -> None:
    rows = made_proposals(700, seed=4)
    portfolio = Portfolio(FOUR.arrays(), EXPOSED)
    check_operator(portfolio, rows, without_numba=True)
    out = portfolio.step(portfolio.initial(), rows)[1]
    assert 50 < out.approved.sum() < out.seq.size - 50, "the tape is too tame to prove anything"


def test_the_rules_of_a_deployment_are_the_constitution() -> None:
    rules: PortfolioRules = EXPOSED
    assert rules.constitution == (0.10, 0.03, 0.05, 0.40)
