"""Promise: what the portfolio refuses is told by the first gate that refused."""

from typing import Any

import pytest

from operators.risk.exposure import ENVELOPES
from operators.risk.safety import Constitution, SafetyRules
from schemas.kinds import Control
from schemas.reasons import Reason
from tests.desk_cases import (
    NAN,
    START,
    binary,
    control,
    heartbeat,
    instrument,
    lonely,
    pair,
    spot,
    table,
)
from tests.portfolio_cases import BINARY, SPOT, Desk, T, halted, holding, reason, with_book


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
