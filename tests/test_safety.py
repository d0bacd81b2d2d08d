"""Promise: caps close at their limit, only an operator opens a latch, no resume hides a loss."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.records import Record
from operators.risk.safety import (
    BOOK_FIELDS,
    Constitution,
    SafetyRules,
    advance_day,
    count_outcome,
    mark_limits,
    operator_resume,
    resume_due,
    safety_gate,
)
from schemas.reasons import Reason
from tests.desk_cases import DAY, START, record_of

LAW, CAPS = Constitution(), SafetyRules()


def book(**facts: Any) -> Record:
    """A desk of 100,000 on day 16,000 that has done nothing yet."""
    usual = {"balance": 1e5, "peak": 1e5, "day_start": 1e5, "day": START // DAY}
    return record_of(BOOK_FIELDS, {**usual, **facts})


OK = Reason.OK
# fmt: off
GATES = [
    # what  book  first refusal
    ("nothing is wrong",
        {},                                          OK),
    ("halted",
        {"halted": 1},                               Reason.HALTED),
    ("drawdown stop",
        {"drawdown": 1},                             Reason.DRAWDOWN_STOP),
    ("daily loss",
        {"daily_loss": 1},                           Reason.DAILY_LOSS),
    ("cooling down",
        {"cooldown": 1},                             Reason.LOSS_STREAK),
    ("one trade below the cap",
        {"trades_today": CAPS.daily_trades_max - 1}, OK),
    ("at the cap",
        {"trades_today": CAPS.daily_trades_max},     Reason.DAILY_TRADES),
    ("a halt is told before a stop",
        {"halted": 1, "drawdown": 1, "cooldown": 1}, Reason.HALTED),
    ("a stop before the day's loss",
        {"drawdown": 1, "daily_loss": 1},            Reason.DRAWDOWN_STOP),
    ("the day's loss before a cooldown",
        {"daily_loss": 1, "cooldown": 1},            Reason.DAILY_LOSS),
    ("a cooldown before the count",
        {"cooldown": 1, "trades_today": 10**6},      Reason.LOSS_STREAK),
]
MARKS = [
    # what  book  equity  drawdown daily_loss  peak
    ("all is well",
        {},                               100_000.0, 0, 0, 100_000.0),
    ("a new peak",
        {},                               120_000.0, 0, 0, 120_000.0),
    ("a hair above 3 % of the day",
        {},                               97_000.01, 0, 0, 100_000.0),
    ("3 % of the day",
        {},                               97_000.0,  0, 1, 100_000.0),
    ("3 % of another morning",
        {"day_start": 95e3},              92_150.0,  0, 1, 100_000.0),
    ("a hair above 10 % of the peak",
        {"day_start": 91e3},              90_000.01, 0, 0, 100_000.0),
    ("10 % of the peak",
        {"day_start": 91e3},              90_000.0,  1, 0, 100_000.0),
    ("10 % of a higher peak",
        {"peak": 110e3},                  99_000.0,  1, 0, 110_000.0),
    ("both",
        {},                               80_000.0,  1, 1, 100_000.0),
    ("a latch stays when equity recovers",
        {"drawdown": 1, "daily_loss": 1}, 1e5,       1, 1, 100_000.0),
]
# fmt: on


@pytest.mark.parametrize(("what", "facts", "reason"), GATES, ids=[c[0] for c in GATES])
def test_gate(what: str, facts: dict[str, Any], reason: Reason) -> None:
    assert safety_gate(CAPS, book(**facts)) == reason


@pytest.mark.parametrize(
    ("what", "facts", "equity", "drawdown", "daily_loss", "peak"), MARKS, ids=[c[0] for c in MARKS]
)
def test_marked_limits(
    what: str, facts: dict[str, Any], equity: float, drawdown: int, daily_loss: int, peak: float
) -> None:
    page = book(**facts)
    mark_limits(LAW, page, equity)
    assert (page.drawdown, page.daily_loss, page.peak) == (drawdown, daily_loss, peak)


def test_a_new_day_forgets_the_day_and_nothing_else() -> None:
    page = book(daily_loss=1, drawdown=1, cooldown=1, halted=1, streak=5, trades_today=7)
    advance_day(page, START + DAY - 1, 90e3)  # the last nanosecond of the same day
    assert (page.daily_loss, page.trades_today, page.day_start) == (1, 7, 1e5)
    advance_day(page, START + DAY, 90e3)
    assert (page.daily_loss, page.trades_today, page.day_start) == (0, 0, 90e3)
    assert (page.drawdown, page.cooldown, page.halted, page.streak) == (1, 1, 1, 5)
    assert page.peak == 1e5, "a new day does not count the drawdown anew"


# fmt: off
STREAKS = [
    # what                               pnl of the trades                 streak  cooling
    ("no trade",                         [],                               0,      0),
    ("one loss short",                   [-1.0] * 7,                       7,      0),
    ("the eighth in a row",              [-1.0] * 8,                       8,      1),
    ("a win between",                    [-1.0] * 7 + [0.01] + [-1.0] * 7, 7,      0),
    ("nothing won or lost: no change",   [-1.0] * 7 + [0.0],               7,      0),
    ("a scratch does not save it",       [-1.0] * 7 + [0.0, -1.0],         8,      1),
    ("a win does not end a cooldown",    [-1.0] * 8 + [1.0],               0,      1),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "pnls", "streak", "cooling"), STREAKS, ids=[c[0] for c in STREAKS]
)
def test_loss_streak(what: str, pnls: list[float], streak: int, cooling: int) -> None:
    page = book()
    for pnl in pnls:
        count_outcome(CAPS, page, pnl)
    assert (page.streak, page.cooldown) == (streak, cooling)


def test_a_resume_releases_the_latches_but_not_the_day() -> None:
    page = book(halted=1, cooldown=1, streak=8, daily_loss=1, trades_today=500)
    operator_resume(page, 97e3)
    assert (page.halted, page.cooldown, page.streak, page.resumes) == (0, 0, 0, 1)
    assert (page.daily_loss, page.trades_today) == (1, 500), "the day's limits lapse with their day"
    assert page.peak == 1e5, "what was lost since the peak still counts"


def test_only_a_released_stop_counts_its_drawdown_anew() -> None:
    page = book(drawdown=1)
    operator_resume(page, 89e3)
    assert (page.drawdown, page.peak) == (0, 89e3)
    mark_limits(LAW, page, 89e3)
    assert page.drawdown == 0


LOSSES = st.lists(st.floats(0.0, 0.02), min_size=10, max_size=60)


@given(LOSSES)
def test_resumes_of_cooldowns_never_add_up_to_more_than_the_stop(losses: list[float]) -> None:
    page, equity = book(), 1e5
    for loss in losses:
        if page.drawdown:
            break
        equity -= loss * equity
        count_outcome(CAPS, page, -loss)
        mark_limits(LAW, page, equity)
        if page.cooldown and not page.drawdown:
            operator_resume(page, equity)
    assert page.drawdown == (equity <= 0.9 * 1e5)


# fmt: off
DUE = [
    # what                                     book                            days later  due
    ("no cooldown",                            {},                             1,          False),
    ("the same day",                           {"cooldown": 1},                0,          False),
    ("the next day",                           {"cooldown": 1},                1,          True),
    ("after a weekend",                        {"cooldown": 1},                3,          True),
    ("never for the stop",                     {"cooldown": 1, "drawdown": 1}, 1,          False),
    ("never over a halt",                      {"cooldown": 1, "halted": 1},   1,          False),
    ("a stop alone",                           {"drawdown": 1},                1,          False),
    ("a halt alone",                           {"halted": 1},                  1,          False),
]
# fmt: on


@pytest.mark.parametrize(("what", "facts", "days", "due"), DUE, ids=[c[0] for c in DUE])
def test_the_backtest_operator(what: str, facts: dict[str, Any], days: int, due: bool) -> None:
    assert resume_due(book(**facts), START + days * DAY) == due
    assert not resume_due(book(**facts), START + days * DAY - 1) or days > 1
