"""Promise: the portfolio alone knows money; it approves within its limits, or tells the first gate
that refused.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.governor.portfolio import Portfolio, PortfolioRules, PortfolioState
from operators.risk.exposure import ENVELOPES
from operators.risk.safety import STOPS, Constitution, SafetyRules
from schemas.instruments import InstrumentKind, InstrumentTable
from schemas.kinds import NO_ID, NO_SYMBOL, Control, Engine, Flag, Kind, ReportCode, Role
from schemas.reasons import Reason
from schemas.rows import DecisionRows, ProposalRows
from tests.check_operator import check_operator
from tests.desk_cases import (
    DAY,
    EXPOSED,
    NAN,
    SECOND,
    START,
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
    row_at,
    spot,
    table,
)

BINARY, SPOT, ARBITRAGE = Engine
FILLED, MAKER, REJECTED = ReportCode.FILLED, ReportCode.FILLED_MAKER, ReportCode.REJECTED
WON, LOST, REFUNDED = ReportCode.SETTLED_WON, ReportCode.SETTLED_LOST, ReportCode.REFUNDED
ENTRY, STOP, LEG = Role.ENTRY, Role.STOP, Role.SECOND_LEG
T = START + SECOND
TWO = table(instrument(0), instrument(1), lonely(0, lane=2))
FOUR = table(*(instrument(i) for i in range(4)))


class Desk:
    """A portfolio fed row by row, each a second after the last."""

    def __init__(self, instruments: InstrumentTable = TWO, **rules: Any) -> None:
        self.portfolio = Portfolio(instruments.arrays(), EXPOSED._replace(**rules))
        self.state: PortfolioState = self.portfolio.initial()
        self.now_ns = START
        self.heard: list[Any] = []

    def feed(self, rows: Any) -> DecisionRows:
        self.heard.append(rows)
        made = proposals(rows)
        self.state, out = self.portfolio.step(self.state, made)
        return out

    def decide(self, *served: dict[str, Any], **common: Any) -> dict[str, Any]:
        """One evaluation; its decision."""
        self.now_ns = max(self.now_ns + SECOND, common.pop("ts_ns", 0))
        out = self.feed(evaluation(self.now_ns, *served, **common))
        assert out.kind.tolist() == [Kind.DECISION]
        return row_at(out, 0)

    def hear(
        self, ref_id: int, role: Role, code: ReportCode, side: int = 1, qty: float = NAN,
        price: float = NAN, fee: float = 0.0, **more: Any,
    ) -> None:  # fmt: skip
        self.now_ns += SECOND
        told = report(self.now_ns, ref_id, role, code, side, qty, price, ref=fee, **more)
        assert self.feed(told).seq.size == 0, "a report is no decision"

    def told(self, row: dict[str, Any]) -> DecisionRows:
        self.now_ns = max(self.now_ns, row["ts_recv_ns"])
        return self.feed(row)

    @property
    def book(self) -> Any:
        return self.state.book[0]


def reason(decision: dict[str, Any]) -> Reason:
    assert decision["approved"] == (decision["reason"] == Reason.OK)
    return reason_of(int(decision["reason"]))


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


# -- each gate, once ------------------------------------------------------------------------------


def halted() -> Desk:
    desk = Desk()
    desk.told(control(T, Control.HALT))
    return desk


def with_book(**facts: float) -> Desk:
    desk = Desk()
    desk.told(heartbeat(START))  # the day has begun
    for name, value in facts.items():
        setattr(desk.book, name, value)
    return desk


def holding(*served: dict[str, Any], answer: bool = True, **common: Any) -> Desk:
    """One envelope is approved, and with `answer` filled."""
    desk = Desk()
    to = desk.decide(*served, **common)
    assert reason(to) is Reason.OK
    if answer and to["engine"] == SPOT:
        desk.hear(0, ENTRY, FILLED, to["side"], to["qty"], 100.2)
    elif answer and to["engine"] == BINARY:
        desk.hear(0, Role.BINARY, FILLED, 1, to["stake"], 100.1)
    elif answer:
        desk.hear(0, ENTRY, FILLED, -1, to["qty"], 100.0)
        desk.hear(0, LEG, FILLED, 1, to["qty_second"], 99.2, symbol=1)
    return desk


def full() -> Desk:
    desk = Desk(table(*(lonely(i) for i in range(ENVELOPES + 1))), safety=SafetyRules(1e9))
    for symbol in range(ENVELOPES):
        assert reason(desk.decide(spot(size_fraction=1e-5), symbol=symbol)) is Reason.OK
    return desk


def exposed_to(*held: float) -> Desk:
    """Envelopes of these notionals are open, each in an instrument of its own."""
    desk = Desk(table(*(lonely(i) for i in range(8))))
    desk.told(heartbeat(START))
    for e, each in enumerate(held):
        place = desk.state.envelopes[e]
        place.id, place.engine, place.row, place.row_second, place.held = 900 + e, SPOT, e, -1, each
    return desk


def reserving(worst: float) -> Desk:
    desk = exposed_to(100.0)
    desk.state.envelopes[0].worst = worst
    return desk


POLISH = table(lonely(0, quote="PLN"), instrument(1, base="EUR", quote="JPY"),
               instrument(2, base="USD", quote="JPY"))  # fmt: skip
COARSE = table(instrument(0, lot="100"), instrument(1, lot="100"))
# fmt: off
GATES = [
    # what  desk  asks for  answer
    ("an operator's halt",
        halted, spot(), Reason.HALTED),
    ("10 % below the peak",
        lambda: with_book(peak=1e5 / 0.9 + 1), spot(), Reason.DRAWDOWN_STOP),
    ("a dollar less than 10 % below",
        lambda: with_book(peak=1e5 / 0.9 - 1), spot(), Reason.OK),
    ("3 % below the morning",
        lambda: with_book(day_start=1e5 / 0.97 + 1), spot(), Reason.DAILY_LOSS),
    ("cooling down",
        lambda: with_book(cooldown=1), spot(), Reason.LOSS_STREAK),
    ("the day's last trade was made",
        lambda: with_book(trades_today=500), spot(), Reason.DAILY_TRADES),
    ("one trade is left",
        lambda: with_book(trades_today=499), spot(), Reason.OK),
    ("no engine serves it",
        Desk, {}, Reason.NO_ENGINE),
    ("the lane's own reason",
        Desk, spot(reason=Reason.SPOT_OUT_OF_ZONE), Reason.SPOT_OUT_OF_ZONE),
    ("not sure enough",
        Desk, spot(confidence=0.3999), Reason.CONFIDENCE_TOO_LOW),
    ("just sure enough",
        Desk, spot(confidence=0.40), Reason.OK),
    ("no answer yet",
        lambda: holding(spot(), answer=False), spot(), Reason.ORDER_IN_FLIGHT),
    ("no answer to the binary yet",
        lambda: holding(binary(), answer=False), binary(), Reason.ORDER_IN_FLIGHT),
    ("another engine is not in the way",
        lambda: holding(binary(), answer=False), spot(), Reason.OK),
    ("a position is open",
        lambda: holding(spot()), spot(), Reason.POSITION_OPEN),
    ("a contract is open",
        lambda: holding(binary()), binary(), Reason.POSITION_OPEN),
    ("a pair is open",
        lambda: holding(pair()), pair(), Reason.POSITION_OPEN),
    ("the table is full",
        full, spot(symbol=ENVELOPES), Reason.ENVELOPES_FULL),
    ("nothing converts zloty",
        lambda: Desk(POLISH), binary(), Reason.NO_RATE),
    ("the yen has no mark yet",
        lambda: Desk(POLISH), spot(symbol=1), Reason.NO_RATE),
    ("less than a lot",
        lambda: Desk(COARSE), spot(), Reason.BELOW_MIN_SIZE),
    ("less than a lot there",
        lambda: Desk(table(instrument(0), instrument(1, lot="100"))), pair(),
        Reason.BELOW_MIN_SIZE),
    ("less than a cent",
        Desk, binary(size_fraction=9e-8), Reason.BELOW_MIN_SIZE),
    ("exposure up to its limit",
        lambda: exposed_to(*[4_999.0] * 3), spot(symbol=4), Reason.OK),
    ("exposure past its limit",
        lambda: exposed_to(*[5_001.0] * 3), spot(symbol=4), Reason.EXPOSURE_LIMIT),
    ("short exposure counts like long",
        lambda: exposed_to(-5_001.0, 5_001.0, -5_001.0), spot(symbol=4), Reason.EXPOSURE_LIMIT),
    ("the worst case would pass the day's loss",
        lambda: reserving(2_750.0), binary(symbol=4, size_fraction=0.0026), Reason.DAILY_LOSS),
    ("the worst case would reach it",
        lambda: reserving(2_750.0), binary(symbol=4, size_fraction=0.0025), Reason.DAILY_LOSS),
    ("the worst case stays above it",
        lambda: reserving(2_750.0), binary(symbol=4, size_fraction=0.0024), Reason.OK),
    ("shadow mode sends nothing",
        lambda: Desk(shadow=1), spot(), Reason.SHADOW_MODE),
    ("shadow mode tells the gates before",
        lambda: Desk(shadow=1), spot(confidence=0.1), Reason.CONFIDENCE_TOO_LOW),
]
# fmt: on


@pytest.mark.parametrize(("what", "desk", "asked", "expected"), GATES, ids=[c[0] for c in GATES])
def test_gates(what: str, desk: Any, asked: dict[str, Any], expected: Reason) -> None:
    common = {"symbol": asked["symbol"]} if "symbol" in asked else {}
    assert reason(desk().decide(*([asked] if asked else []), **common)) is expected


def test_every_reason_of_the_portfolio_is_provoked_here() -> None:
    of_the_portfolio = {each for each in Reason if 150 <= each < 190}
    assert of_the_portfolio - {case[3] for case in GATES} == {Reason.POSITION_LIMIT}  # just below


# fmt: off
POSITIONS = [  # symbol 0 holds 5,000 dollars of spot, bought; the desk's cap
    # what  held  asks for  answer  quantity
    ("all of its share is taken",
        5_000.0, pair(side=1, side_second=-1), Reason.POSITION_LIMIT, NAN),
    ("what is left of it is taken",
        4_000.0, pair(side=1, side_second=-1), Reason.OK,             9.98),
    ("selling reduces it",
        5_000.0, pair(),                       Reason.OK,             40.0),
    ("more than its share is no room",
        6_000.0, pair(side=1, side_second=-1), Reason.POSITION_LIMIT, NAN),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "held", "asked", "expected", "qty"), POSITIONS, ids=[c[0] for c in POSITIONS]
)
def test_a_position_is_the_net_over_all_engines(
    what: str, held: float, asked: dict[str, Any], expected: Reason, qty: float
) -> None:
    desk = Desk(safety=SafetyRules(1e9))
    desk.told(heartbeat(START))
    place = desk.state.envelopes[0]
    place.id, place.engine, place.row, place.row_second, place.held = 900, SPOT, 0, -1, held
    to = desk.decide(asked)
    assert reason(to) is expected
    if expected is Reason.OK:
        assert to["qty"] == pytest.approx(qty)


def test_the_other_leg_has_its_own_share() -> None:
    desk = Desk(safety=SafetyRules(1e9))
    desk.told(heartbeat(START))
    place = desk.state.envelopes[0]
    place.id, place.engine, place.row, place.row_second, place.held = 900, SPOT, 1, -1, 1_100.0
    assert reason(desk.decide(pair())) is Reason.POSITION_LIMIT  # 1,100 and 3,968 there
    place.held = 1_000.0
    assert reason(desk.decide(pair())) is Reason.OK


def test_stakes_on_one_instrument_share_a_cap() -> None:
    desk = Desk(constitution=Constitution(daily_loss_max=0.5))  # else that is reached before
    desk.decide(binary(size_fraction=0.04))
    desk.state.holds[:] = 0  # as if a second engine of that kind could ask
    assert desk.decide(binary(size_fraction=0.04))["stake"] == pytest.approx(1000.0)
    desk.state.holds[:] = 0
    assert reason(desk.decide(binary(size_fraction=0.04))) is Reason.POSITION_LIMIT


# fmt: off
SHARES = [  # of 5,000 dollars in symbol 0, where a stake and a position are held already
    # what  stake  position  asks for  answer  size
    ("a stake beside a position, to exactly the cap",
        0.0,     1_000.0,  binary(size_fraction=0.04),   Reason.OK,             4_000.0),
    ("a cent more is held, a cent less is staked",
        0.0,     1_000.01, binary(size_fraction=0.04),   Reason.OK,             3_999.99),
    ("a position that was sold takes as much",
        0.0,    -1_500.0,  binary(size_fraction=0.04),   Reason.OK,             3_500.0),
    ("a stake beside a stake and a position",
        1_000.0, 1_500.0,  binary(size_fraction=0.04),   Reason.OK,             2_500.0),
    ("no room for a stake beside a position",
        0.0,     5_000.0,  binary(),                     Reason.POSITION_LIMIT, NAN),
    ("no room for a stake beside both",
        2_000.0, -3_000.0, binary(),                     Reason.POSITION_LIMIT, NAN),
    ("a position beside a stake, to exactly the cap",
        4_000.0, 0.0,      spot(side=-1, stop_px=105.0), Reason.OK,             1_000.0),
    ("no room for a position beside a stake",
        5_000.0, 0.0,      spot(side=-1, stop_px=105.0), Reason.POSITION_LIMIT, NAN),
    ("a pair beside a stake",
        3_000.0, 0.0,      pair(),                       Reason.OK,             2_000.0),
    ("selling makes no room: what it offsets may end",
        3_000.0, 500.0,    pair(),                       Reason.OK,             2_000.0),
    ("no room for a pair beside a stake",
        5_000.0, 0.0,      pair(),                       Reason.POSITION_LIMIT, NAN),
]
# fmt: on


def sharing(stake: float, position: float, row: int = 0) -> Desk:
    """A stake and a position are open in one instrument; only their sum stands in the way."""
    desk = Desk(safety=SafetyRules(1e9), constitution=Constitution(daily_loss_max=0.5))
    desk.told(heartbeat(START))
    for e, (engine, held) in enumerate(((BINARY, stake), (SPOT, position))):
        place = desk.state.envelopes[e]
        place.id, place.engine, place.row, place.row_second = 900 + e, engine, row, -1
        place.held = held
    return desk


@pytest.mark.parametrize(
    ("what", "stake", "position", "asked", "expected", "size"), SHARES, ids=[c[0] for c in SHARES]
)
def test_stakes_and_positions_on_one_instrument_share_a_cap(
    what: str, stake: float, position: float, asked: dict[str, Any], expected: Reason, size: float
) -> None:
    to = sharing(stake, position).decide(asked)
    assert reason(to) is expected
    found = to["stake"] if to["engine"] == BINARY else to["qty"] * 100.0  # sold at 100
    assert found == pytest.approx(size, nan_ok=True)


def test_the_other_leg_shares_its_cap_with_stakes_there() -> None:
    # 40 units at 99.2 are 3,968 there
    assert reason(sharing(1_032.0, 0.0, row=1).decide(pair())) is Reason.OK
    assert reason(sharing(1_032.1, 0.0, row=1).decide(pair())) is Reason.POSITION_LIMIT
    assert reason(sharing(1_532.0, -500.0, row=1).decide(pair())) is Reason.POSITION_LIMIT


@pytest.mark.parametrize("stake_first", [True, False])
def test_a_stake_and_a_position_are_approved_to_exactly_the_cap(stake_first: bool) -> None:
    # 4,000 staked; 10 units sold at 100
    desk = sharing(0.0, 0.0)
    stake, sale = binary(size_fraction=0.04), spot(side=-1, stop_px=105.0, size_fraction=0.0005)
    if stake_first:
        assert desk.decide(stake)["stake"] == pytest.approx(4_000.0)
        assert desk.decide(spot(side=-1, stop_px=105.0))["qty"] == pytest.approx(10.0)
    else:
        assert desk.decide(sale)["qty"] == pytest.approx(10.0)
        assert desk.decide(binary(size_fraction=0.05))["stake"] == pytest.approx(4_000.0)
    desk.state.holds[:] = 0  # as if a second engine of each kind could ask
    assert reason(desk.decide(stake)) is Reason.POSITION_LIMIT
    assert reason(desk.decide(sale)) is Reason.POSITION_LIMIT
    assert reason(desk.decide(spot(stop_px=95.0))) is Reason.OK, "buying reduces it"


def test_the_first_gate_in_written_order_is_told() -> None:
    # halted, cooling down, unsure and too small, all at once: each is told once those before go
    desk = Desk(COARSE)
    desk.told(control(T, Control.HALT))
    unsure = spot(confidence=0.1)
    desk.book.cooldown = 1
    assert reason(desk.decide(unsure)) is Reason.HALTED
    desk.book.halted = 0
    assert reason(desk.decide(unsure)) is Reason.LOSS_STREAK
    desk.book.cooldown = 0
    assert reason(desk.decide(unsure)) is Reason.CONFIDENCE_TOO_LOW
    assert reason(desk.decide(spot())) is Reason.BELOW_MIN_SIZE


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


# -- money ----------------------------------------------------------------------------------------


def equity_of(desk: Desk, bid: float, ask: float, **common: Any) -> float:
    """What a decision at these prices says; the mark is the mid."""
    return float(desk.decide(bid_px=bid, ask_px=ask, **common)["equity"])


def test_equity_of_a_spot_position() -> None:
    desk = holding(spot(stop_px=90.2))  # 25 units bought at 100.2
    assert equity_of(desk, 101.1, 101.3) == pytest.approx(1e5 + 25.0 * (101.2 - 100.2))
    desk.hear(0, STOP, FILLED, -1, 25.0, 90.0, fee=2.0)
    assert desk.book.balance == pytest.approx(1e5 - 25.0 * 10.2 - 2.0)
    assert equity_of(desk, 200.0, 200.2) == pytest.approx(1e5 - 257.0), "flat: marks do not matter"


def test_equity_of_a_short_position_with_fees() -> None:
    desk = Desk()
    to = desk.decide(spot(side=-1, stop_px=110.0))
    assert to["qty"] == pytest.approx(25.0)
    desk.hear(0, ENTRY, FILLED, -1, 25.0, 100.0, fee=1.25)
    assert equity_of(desk, 98.9, 99.1) == pytest.approx(1e5 + 25.0 - 1.25)
    desk.hear(0, Role.TARGET, MAKER, 1, 25.0, 90.0, fee=-0.5)
    assert desk.book.balance == pytest.approx(1e5 + 250.0 - 1.25 + 0.5)
    assert desk.book.streak == 0


def test_equity_of_linear_contracts() -> None:
    linear = table(lonely(0, kind=InstrumentKind.LINEAR, contract_size="0.1", lot="1"))
    desk = Desk(linear)
    to = desk.decide(spot(stop_px=90.2))  # 250 units of 0.1
    assert to["qty"] == pytest.approx(250.0)
    desk.hear(0, ENTRY, FILLED, 1, 250.0, 100.2)
    assert equity_of(desk, 103.1, 103.3) == pytest.approx(1e5 + 250.0 * 0.1 * 3.0)


def test_equity_of_inverse_contracts() -> None:
    inverse = table(
        lonely(
            0, kind=InstrumentKind.INVERSE, base="BTC", contract_size="10", lot="1", settle="BTC"
        )
    )
    desk = Desk(inverse)
    # 250 dollars over 10 of 100.2 are 2,505 dollars of notional: 250 contracts
    to = desk.decide(spot(stop_px=90.2))
    assert to["qty"] == pytest.approx(250.0)
    desk.hear(0, ENTRY, FILLED, 1, 250.0, 100.0, fee=0.01)  # fee in base
    won_base = 2500.0 / 100.0 - 2500.0 / 125.0  # 5
    assert equity_of(desk, 124.9, 125.1) == pytest.approx(1e5 + won_base * 125.0 - 0.01 * 100.0)
    desk.hear(0, Role.TARGET, MAKER, -1, 250.0, 125.0)
    assert desk.book.balance == pytest.approx(1e5 + won_base * 125.0 - 1.0)


def test_equity_in_another_currency() -> None:
    yen = table(lonely(0, base="EUR", quote="JPY"), lonely(1, base="USD", quote="JPY", lot="1"))
    desk = Desk(yen)
    desk.decide(bid_px=159.0, ask_px=161.0, symbol=1)
    to = desk.decide(spot(stop_px=90.2))
    assert to["qty"] == pytest.approx(250.0 * 160.0 / 10.0, abs=0.01), "250 dollars are 40,000 yen"
    desk.hear(to["seq"], ENTRY, FILLED, 1, to["qty"], 100.2)
    expected = 1e5 + to["qty"] * (102.2 - 100.2) / 160.0
    assert equity_of(desk, 102.1, 102.3) == pytest.approx(expected)


# fmt: off
BINARIES = [  # 100 staked at a payout of 0.8
    # what                      answer      balance
    ("won",                     WON,        100_080.0),
    ("lost",                    LOST,        99_900.0),
    ("refunded",                REFUNDED,   100_000.0),
    ("rejected",                REJECTED,   100_000.0),
]
# fmt: on


@pytest.mark.parametrize(("what", "answer", "balance"), BINARIES, ids=[c[0] for c in BINARIES])
def test_a_binary_is_money_when_it_settles(what: str, answer: ReportCode, balance: float) -> None:
    desk = Desk()
    desk.decide(binary())
    if answer is not REJECTED:
        desk.hear(0, Role.BINARY, FILLED, 1, 100.0, 100.1)
    assert equity_of(desk, 150.0, 150.2) == pytest.approx(1e5), (
        "an open stake is neither won nor lost"
    )
    desk.hear(0, Role.BINARY, answer, 1, 100.0, 101.0)
    assert desk.book.balance == pytest.approx(balance)
    assert reason(desk.decide(binary())) is Reason.OK, "the instrument is free again"


def test_equity_of_a_pair() -> None:
    desk = holding(pair())  # 40 sold at 100, 40 bought at 99.2
    to = desk.decide(pair(bid_px_second=100.9, ask_px_second=101.1), bid_px=100.4, ask_px=100.6)
    assert to["equity"] == pytest.approx(1e5 - 40.0 * 0.5 + 40.0 * (101.0 - 99.2))
    desk.hear(0, Role.FLATTEN, FILLED, 1, 40.0, 100.6, fee=1.0)
    assert desk.book.balance == 1e5, "one leg is still there"
    desk.hear(0, Role.SECOND_FLATTEN, FILLED, -1, 40.0, 100.9, fee=1.0, symbol=1)
    assert desk.book.balance == pytest.approx(1e5 - 40.0 * 0.6 + 40.0 * 1.7 - 2.0)
    assert reason(desk.decide(pair())) is Reason.OK


# fmt: off
LEGS = [  # what the venue says to a pair of 40 at 100 and 99.2       balance
    ("both are rejected",
        [(ENTRY, REJECTED, -1, NAN), (LEG, REJECTED, 1, NAN)], 100_000.0),
    ("the second is rejected, the first flattened",
        [(ENTRY, FILLED, -1, 100.0), (LEG, REJECTED, 1, NAN), (Role.FLATTEN, FILLED, 1, 101.0)],
        99_960.0),
    ("the first is rejected, the second flattened",
        [(ENTRY, REJECTED, -1, NAN), (LEG, FILLED, 1, 99.2),
         (Role.SECOND_FLATTEN, FILLED, -1, 99.0)],
        99_992.0),
]
# fmt: on


@pytest.mark.parametrize(("what", "answers", "balance"), LEGS, ids=[c[0] for c in LEGS])
def test_a_pair_ends_when_both_legs_are_answered_and_flat(
    what: str, answers: list[Any], balance: float
) -> None:
    desk = Desk()
    desk.decide(pair())
    for i, (role, code, side, price) in enumerate(answers):
        assert desk.state.envelopes[0].id == 0, f"closed before answer {i}"
        second = role in (LEG, Role.SECOND_FLATTEN)
        desk.hear(0, role, code, side, 40.0, price, symbol=int(second))
    assert desk.state.envelopes[0].id == NO_ID
    assert desk.book.balance == pytest.approx(balance)


def test_a_late_answer_to_a_closed_envelope_changes_nothing() -> None:
    desk = holding(spot())
    desk.hear(0, STOP, FILLED, -1, 49.9, 95.0)
    before = desk.portfolio.dump(desk.state)
    desk.hear(0, Role.FLATTEN, REJECTED, -1, 49.9)
    assert desk.portfolio.dump(desk.state) == before


def test_a_loss_is_counted_once_it_is_closed() -> None:
    desk = holding(spot())
    desk.decide(bid_px=99.9, ask_px=100.1)
    assert desk.book.streak == 0
    desk.hear(0, STOP, FILLED, -1, 49.9, 95.0)
    assert desk.book.streak == 1


# -- what a mark does -----------------------------------------------------------------------------


def losing(units: float, price: float) -> Desk:
    """A desk that holds `units` bought at `price`, far beyond what it would approve."""
    desk = Desk()
    desk.decide(spot())
    desk.hear(0, ENTRY, FILLED, 1, units, price)
    return desk


def test_a_marked_loss_stops_the_desk_without_a_sale() -> None:
    desk = losing(100.0, 200.0)
    assert reason(desk.decide(spot(), symbol=1, lane=0)) is Reason.OK
    to = desk.decide(spot(), bid_px=169.9, ask_px=170.1)  # 3,000 of 100,000
    assert (reason(to), to["equity"]) == (Reason.DAILY_LOSS, pytest.approx(97_000.0))
    to = desk.decide(spot(), bid_px=199.9, ask_px=200.1)
    assert reason(to) is Reason.DAILY_LOSS, "it recovered, the latch stays for the day"


def test_a_crossing_between_two_decisions_is_not_missed() -> None:
    #  equity   100,000            97,000 by a fill         99,500 by the next mark
    #  rows     ....................report...................decision
    desk = losing(100.0, 200.0)
    desk.hear(0, STOP, FILLED, -1, 50.0, 170.0)  # half is sold; the rest is marked at 170
    to = desk.decide(spot(), bid_px=219.9, ask_px=220.1)
    assert to["equity"] == pytest.approx(99_500.0)
    assert reason(to) is Reason.DAILY_LOSS


def test_the_days_loss_lapses_with_its_day_and_the_stop_does_not() -> None:
    desk = losing(100.0, 200.0)
    assert reason(desk.decide(spot(), bid_px=169.9, ask_px=170.1)) is Reason.DAILY_LOSS
    desk.now_ns = START + DAY
    to = desk.decide(spot(), symbol=1, bid_px=50.0, ask_px=50.1)
    assert reason(to) is not Reason.DAILY_LOSS
    assert desk.book.day_start == pytest.approx(97_000.0), "the new day starts with what is left"
    assert reason(desk.decide(spot(), bid_px=99.9, ask_px=100.1)) is Reason.DRAWDOWN_STOP
    desk.now_ns = START + 2 * DAY
    assert reason(desk.decide(spot(), bid_px=99.9, ask_px=100.1)) is Reason.DRAWDOWN_STOP
    desk.told(control(desk.now_ns, Control.RESUME))
    assert desk.book.peak == pytest.approx(90_000.0)
    assert reason(desk.decide(spot(), lane=2, bid_px=99.9, ask_px=100.1)) is Reason.OK


def test_a_resume_after_a_cooldown_keeps_the_peak() -> None:
    desk = losing(100.0, 200.0)
    desk.told(heartbeat(desk.now_ns))
    assert reason(desk.decide(spot(), bid_px=179.9, ask_px=180.1)) is not Reason.DAILY_LOSS
    desk.told(control(desk.now_ns, Control.RESUME))
    assert (desk.book.peak, desk.book.resumes) == (1e5, 1)


def test_a_halt_holds_until_a_resume() -> None:
    desk = halted()
    desk.now_ns = START + 3 * DAY
    assert reason(desk.decide(spot())) is Reason.HALTED
    desk.told(control(desk.now_ns, Control.RESUME))
    assert reason(desk.decide(spot())) is Reason.OK


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
