"""A portfolio that is fed row by row, for tests of what it approves."""

from typing import Any

from operators.governor.portfolio import Portfolio, PortfolioState
from schemas.instruments import InstrumentTable
from schemas.kinds import Control, Engine, Kind, ReportCode, Role
from schemas.reasons import Reason
from schemas.rows import DecisionRows
from tests.desk_cases import (
    EXPOSED,
    NAN,
    SECOND,
    START,
    control,
    evaluation,
    heartbeat,
    instrument,
    lonely,
    proposals,
    reason_of,
    report,
    row_at,
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
