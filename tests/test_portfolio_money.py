"""Promise: what a portfolio is worth follows each answer of a venue and each mark, and stops it."""

from typing import Any

import pytest

from schemas.instruments import InstrumentKind
from schemas.kinds import NO_ID, Control, ReportCode, Role
from schemas.reasons import Reason
from tests.desk_cases import (
    DAY,
    NAN,
    START,
    binary,
    control,
    heartbeat,
    lonely,
    pair,
    spot,
    table,
)
from tests.portfolio_cases import (
    ENTRY,
    FILLED,
    LEG,
    LOST,
    MAKER,
    REFUNDED,
    REJECTED,
    STOP,
    WON,
    Desk,
    halted,
    holding,
    reason,
)

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
