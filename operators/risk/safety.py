"""SafetyManager: the caps on losses, and the latches that a breach leaves behind."""

from typing import NamedTuple

from operators.arrays import kernel
from operators.records import Record
from schemas.reasons import Reason

OK = int(Reason.OK)
LATCHED = (Reason.HALTED, Reason.DRAWDOWN_STOP, Reason.LOSS_STREAK)  # until an operator resumes
STOPS = (  # what `safety_gate` may say, in its order
    Reason.HALTED,
    Reason.DRAWDOWN_STOP,
    Reason.DAILY_LOSS,
    Reason.LOSS_STREAK,
    Reason.DAILY_TRADES,
)
DAY_NS = 86_400_000_000_000
BOOK_FIELDS = {
    "balance": "<f8",  # desk currency, booked
    "peak": "<f8",  # highest marked equity since the last resume
    "day_start": "<f8",  # marked equity at the session's first row
    "seq": "<i8",  # next seq of decisions.v1
    "day": "<i8",  # days since 1970, UTC
    "trades_today": "<i8",
    "streak": "<i8",  # losing trades in a row
    "halted": "<i8",  # latches: 1 until released
    "drawdown": "<i8",
    "daily_loss": "<i8",
    "cooldown": "<i8",
    "resumes": "<i8",  # operator's resume records so far
    "pending": "<i8",  # 1 while a proposal of the evaluation being read is kept
}
NO_DAY = -1


class Constitution(NamedTuple):
    """Limits that nobody changes while the desk runs; fractions of equity."""

    drawdown_max: float = 0.10
    daily_loss_max: float = 0.03
    position_max: float = 0.05
    confidence_min: float = 0.40


class SafetyRules(NamedTuple):
    """Caps that a deployment chooses."""

    exposure_max: float = 0.20  # of equity, all positions together
    loss_streak_max: int = 8
    daily_trades_max: int = 500


@kernel
def advance_day(book: Record, ts_recv_ns: int, equity: float) -> None:
    """A session is a calendar day, UTC: the daily loss lapses with it, nothing else does."""
    day = ts_recv_ns // DAY_NS
    if day != book.day:
        book.day, book.trades_today, book.daily_loss = day, 0, 0
        book.day_start = equity


@kernel
def mark_limits(constitution: Constitution, book: Record, equity: float) -> None:
    """Set the latches of the marked limits; from this row on no order may increase exposure."""
    book.peak = max(book.peak, equity)
    if equity <= (1.0 - constitution.drawdown_max) * book.peak:
        book.drawdown = 1
    if equity <= (1.0 - constitution.daily_loss_max) * book.day_start:
        book.daily_loss = 1


@kernel
def safety_gate(rules: SafetyRules, book: Record) -> int:
    """The first safety cap that forbids a new trade, or OK."""
    if book.halted:
        return Reason.HALTED.value
    if book.drawdown:
        return Reason.DRAWDOWN_STOP.value
    if book.daily_loss:
        return Reason.DAILY_LOSS.value
    if book.cooldown:
        return Reason.LOSS_STREAK.value
    if book.trades_today >= rules.daily_trades_max:
        return Reason.DAILY_TRADES.value
    return OK


@kernel
def count_outcome(rules: SafetyRules, book: Record, pnl: float) -> None:
    """Take a closed trade in; a streak of losses starts a cooldown that waits for an operator."""
    if pnl < 0.0:
        book.streak += 1
    elif pnl > 0.0:
        book.streak = 0
    if book.streak >= rules.loss_streak_max:
        book.cooldown = 1


@kernel
def operator_resume(book: Record, equity: float) -> None:
    """An operator's resume record: releases halt, cooldown and the drawdown stop.

    Only a released drawdown stop counts its 10 % anew; else resumes would add up to any loss.
    """
    if book.drawdown:
        book.peak = equity
    book.halted, book.drawdown, book.cooldown, book.streak = 0, 0, 0, 0
    book.resumes += 1


@kernel
def resume_due(book: Record, ts_recv_ns: int) -> bool:
    """Whether `--operator next-session` writes its resume now: a cooldown, and a later day.

    Never for the drawdown stop or a halt: those wait for a person.
    """
    return bool(
        book.cooldown and not book.drawdown and not book.halted and ts_recv_ns // DAY_NS > book.day
    )
