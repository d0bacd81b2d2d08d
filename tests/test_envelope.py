"""Promise: what an envelope sends is a function of itself, its reports and its market.

Timelines are in milliseconds; the market is told as bid/ask or mid, the orders by their roles.
"""

from typing import Any

import pytest

from operators.execution.orders import ORDER_FIELDS, OrderType
from operators.records import instrument_records, record_fields
from operators.risk.envelope import (
    OPEN_MAX,
    ORDERS_PER_ROW_MAX,
    envelope_row,
    initial_envelopes,
    open_envelope,
)
from schemas.instruments import InstrumentTable
from schemas.kinds import Engine, Kind, ReportCode, Role, Side
from schemas.reasons import Reason
from schemas.rows import DecisionRows, FeatureRows
from tests.desk_cases import (
    MS,
    NAN,
    SECOND,
    START,
    heartbeat,
    instrument,
    lonely,
    quote,
    reason_of,
    record_of,
    records_like,
    report,
    table,
)

BUY, SELL = Side.BUY, Side.SELL
FILLED, MAKER, REJECTED = ReportCode.FILLED, ReportCode.FILLED_MAKER, ReportCode.REJECTED
WON, LOST, REFUNDED = ReportCode.SETTLED_WON, ReportCode.SETTLED_LOST, ReportCode.REFUNDED
MARKET, LIMIT, STOP_ORDER, CONTRACT = OrderType
ENTRY, STOP, TARGET, FLATTEN = Role.ENTRY, Role.STOP, Role.TARGET, Role.FLATTEN
LEG, LEG_FLATTEN = Role.SECOND_LEG, Role.SECOND_FLATTEN
ROW_FIELDS = {"seq": "<i8", **record_fields(FeatureRows)}
HOLD = 1000  # ms
TWO = table(instrument(0), instrument(1), lonely(0, lane=2))

Sent = tuple[Role, OrderType, Side, float]


class Envelopes:
    """The kernels of the envelopes, told in milliseconds."""

    def __init__(self, instruments: InstrumentTable = TWO) -> None:
        self.instruments = instrument_records(instruments.arrays())
        self.state = initial_envelopes(len(instruments.instruments))
        self.out = records_like(ORDER_FIELDS, ORDERS_PER_ROW_MAX)

    def approve(self, ms: float, engine: Engine, side: Side = BUY, **more: Any) -> list[Sent]:
        usual = {
            "seq": 5, "kind": Kind.DECISION, "engine": engine, "approved": 1, "side": side,
            "side_second": -side if engine == Engine.ARBITRAGE else 0, "symbol_second": 1,
            "ts_recv_ns": START + round(ms * MS), "market_seq": 77, "qty": 2.0, "qty_second": 3.0,
            "stake": 100.0, "stop_px": 95.0, "target_px": 110.0, "hold_ns": HOLD * MS,
        }  # fmt: skip
        decision = record_of(record_fields(DecisionRows), {**usual, **more})
        return self._sent(open_envelope(self.instruments, self.state, decision, self.out, 0))

    def see(self, row: dict[str, Any]) -> list[Sent]:
        record = record_of(ROW_FIELDS, {"seq": 88, **row})
        return self._sent(envelope_row(self.instruments, self.state, record, self.out, 0))

    def mid(self, ms: float, mid: float, symbol: int = 0, **more: Any) -> list[Sent]:
        return self.see(quote(START + round(ms * MS), mid - 1, mid + 1, symbol=symbol, **more))

    def beat(self, ms: float, **more: Any) -> list[Sent]:
        return self.see(heartbeat(START + round(ms * MS), **more))

    def hear(
        self, ms: float, role: Role, code: ReportCode, side: Side = BUY, qty: float = 2.0,
        ref_id: int = 5, **more: Any,
    ) -> list[Sent]:  # fmt: skip
        price = NAN if code == REJECTED else 100.0
        return self.see(
            report(START + round(ms * MS), ref_id, role, code, side, qty, price, **more)
        )

    def _sent(self, n: int) -> list[Sent]:
        return [
            (Role(o.role), OrderType(o.order_type), Side(o.side), float(o.qty))
            for o in self.out[:n]
        ]

    @property
    def reasons(self) -> list[Reason]:
        return [reason_of(o.reason) for o in self.out[:2]]

    @property
    def is_open(self) -> bool:
        return bool(self.state.n_open[0])


# -- what an approval sends -----------------------------------------------------------------------

# fmt: off
APPROVALS = [
    # engine             sends at once
    (Engine.BINARY,      [(Role.BINARY, CONTRACT, BUY, 100.0)]),
    (Engine.SPOT,        [(ENTRY, MARKET, BUY, 2.0)]),
    (Engine.ARBITRAGE,   [(ENTRY, MARKET, BUY, 2.0), (LEG, MARKET, SELL, 3.0)]),
]
# fmt: on


@pytest.mark.parametrize(("engine", "sent"), APPROVALS, ids=[c[0].name for c in APPROVALS])
def test_an_approval_sends_its_entries(engine: Engine, sent: list[Sent]) -> None:
    desk = Envelopes()
    assert desk.approve(0, engine) == sent
    order = desk.out[0]
    assert (order.ref_id, order.sent_ns, order.market_seq, order.row) == (5, START, 77, 0)
    assert order.hold_ns == (HOLD * MS if engine == Engine.BINARY else 0)
    assert desk.is_open


def test_an_envelope_of_another_lane_has_rows_of_that_lane() -> None:
    desk = Envelopes()
    desk.approve(0, Engine.SPOT, lane=2)
    assert (desk.out[0].lane, desk.out[0].row) == (2, 2)


# -- spot -----------------------------------------------------------------------------------------


def long() -> Envelopes:
    """Two units bought, the fill reported at 50 ms; stop and target are out."""
    #  ms   0      50                         1050
    #       entry  filled: stop, target       the holding time is over
    desk = Envelopes()
    desk.approve(0, Engine.SPOT)
    assert desk.hear(50, ENTRY, FILLED) == [
        (STOP, STOP_ORDER, SELL, 2.0), (TARGET, LIMIT, SELL, 2.0)
    ]  # fmt: skip
    return desk


def test_a_fill_is_protected_by_a_linked_stop_and_target() -> None:
    desk = long()
    stop, target = desk.out[0], desk.out[1]
    assert (stop.price, target.price, stop.linked, target.linked) == (95.0, 110.0, 1, 1)
    assert desk.reasons == [Reason.STOP_HIT, Reason.TARGET_HIT]
    assert (stop.sent_ns, stop.market_seq) == (START + 50 * MS, 88)


def test_a_short_is_protected_from_the_other_side() -> None:
    desk = Envelopes()
    desk.approve(0, Engine.SPOT, SELL)
    assert desk.hear(50, ENTRY, FILLED, SELL) == [
        (STOP, STOP_ORDER, BUY, 2.0), (TARGET, LIMIT, BUY, 2.0)
    ]  # fmt: skip


def test_a_rejected_entry_closes_the_envelope() -> None:
    desk = Envelopes()
    desk.approve(0, Engine.SPOT)
    assert desk.hear(50, ENTRY, REJECTED) == []
    assert not desk.is_open


def test_an_acceptance_is_no_answer() -> None:
    desk = Envelopes()
    desk.approve(0, Engine.SPOT)
    assert desk.hear(50, ENTRY, ReportCode.ACCEPTED) == []
    assert desk.hear(60, ENTRY, FILLED) != []


@pytest.mark.parametrize(("role", "code"), [(STOP, FILLED), (TARGET, MAKER)])
def test_stop_or_target_closes_it(role: Role, code: ReportCode) -> None:
    desk = long()
    assert desk.hear(200, role, code, SELL) == []
    assert not desk.is_open
    assert desk.beat(5000) == [], "what is closed does not expire"


def test_the_holding_time_ends_at_the_first_row_at_or_after_it() -> None:
    #  ms   50      1049.9    1050
    #       filled  nothing   flatten
    desk = long()
    assert desk.beat(1049.9) == []
    assert desk.beat(1050, lane=2) == [], "another lane's clock does not count"
    assert desk.beat(1050) == [(FLATTEN, MARKET, SELL, 2.0)]
    assert (desk.out[0].linked, desk.reasons[0]) == (1, Reason.HOLD_EXPIRED)
    assert desk.beat(1060) == [], "it is sent once"


def test_flattening_that_lost_the_race_changes_nothing() -> None:
    #  ms   1050     1060           1080
    #       flatten  stop: filled   flatten: rejected
    desk = long()
    desk.beat(1050)
    assert desk.hear(1060, STOP, FILLED, SELL) == []
    assert not desk.is_open
    assert desk.hear(1080, FLATTEN, REJECTED, SELL) == []


def test_flattening_that_won_closes_it() -> None:
    desk = long()
    desk.beat(1050)
    assert desk.hear(1080, FLATTEN, FILLED, SELL) == []
    assert not desk.is_open


NO_PRICE = {"reason": Reason.VENUE_NO_MARKET}


def test_flattening_that_found_no_price_is_sent_again_with_the_next_row() -> None:
    #  ms   1050     1060..70   1080                1081     1090   1110
    #       flatten  waits      rejected, no price  flatten  waits  filled: closed
    desk = long()
    assert desk.beat(1050) == [(FLATTEN, MARKET, SELL, 2.0)]
    assert desk.beat(1060) == desk.mid(1070, 100.0) == []
    assert desk.hear(1080, FLATTEN, REJECTED, SELL, **NO_PRICE) == []
    assert desk.is_open, "stop and target are still working"
    assert desk.beat(1080.5, lane=2) == [], "another lane's clock does not count"
    assert desk.beat(1081) == [(FLATTEN, MARKET, SELL, 2.0)]
    assert (desk.out[0].linked, desk.reasons[0]) == (1, Reason.HOLD_EXPIRED)
    assert desk.beat(1090) == [], "one at a time"
    assert desk.hear(1110, FLATTEN, FILLED, SELL) == []
    assert not desk.is_open


def test_it_is_sent_again_as_often_as_it_is_rejected() -> None:
    desk = long()
    for ms in range(1050, 1090, 10):
        assert desk.beat(ms) == [(FLATTEN, MARKET, SELL, 2.0)]
        assert desk.hear(ms + 5, FLATTEN, REJECTED, SELL, **NO_PRICE) == []


@pytest.mark.parametrize(("role", "code"), [(STOP, FILLED), (TARGET, MAKER)])
def test_a_stop_or_target_that_fills_after_the_rejection_is_the_only_sale(
    role: Role, code: ReportCode
) -> None:
    #  ms   1050     1080      1085             1090     |  or: 1085     1090          1095
    #       flatten  rejected  stop or target   nothing  |      flatten  stop, target  rejected
    desk = long()
    desk.beat(1050)
    desk.hear(1080, FLATTEN, REJECTED, SELL, **NO_PRICE)
    assert desk.hear(1085, role, code, SELL) == []
    assert not desk.is_open
    assert desk.beat(1090) == []

    desk = long()
    desk.beat(1050)
    desk.hear(1080, FLATTEN, REJECTED, SELL, **NO_PRICE)
    assert desk.beat(1085) == [(FLATTEN, MARKET, SELL, 2.0)]
    assert desk.hear(1090, role, code, SELL) == []
    assert desk.hear(1095, FLATTEN, REJECTED, SELL, reason=Reason.VENUE_REDUCE_ONLY) == []
    assert not desk.is_open
    assert desk.beat(1100) == []


def test_the_holding_time_counts_from_the_answer_and_not_from_the_approval() -> None:
    desk = Envelopes()
    desk.approve(0, Engine.SPOT)
    assert desk.beat(1500) == [], "no answer yet: nothing to leave"
    desk.hear(2000, ENTRY, FILLED)
    assert desk.beat(2999) == []
    assert desk.beat(3000) == [(FLATTEN, MARKET, SELL, 2.0)]


# -- binary ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [WON, LOST, REFUNDED])
def test_a_contract_ends_with_its_settlement(code: ReportCode) -> None:
    desk = Envelopes()
    desk.approve(0, Engine.BINARY)
    assert desk.hear(50, Role.BINARY, FILLED) == []
    assert desk.is_open
    assert desk.beat(99_999) == [], "a contract is never flattened"
    assert desk.hear(100_000, Role.BINARY, code) == []
    assert not desk.is_open


def test_a_rejected_contract_is_over() -> None:
    desk = Envelopes()
    desk.approve(0, Engine.BINARY)
    desk.hear(50, Role.BINARY, REJECTED)
    assert not desk.is_open


# -- arbitrage ------------------------------------------------------------------------------------


def paired(side: Side = SELL) -> Envelopes:
    """Dear here, cheap there: sold here at 102, bought there at 100; left where they are equal."""
    desk = Envelopes()
    desk.mid(0, 102.0 if side == SELL else 98.0)
    desk.mid(0, 100.0, symbol=1)
    desk.approve(0, Engine.ARBITRAGE, side, target_px=0.0)
    assert desk.hear(50, ENTRY, FILLED, side) == []
    assert desk.hear(60, LEG, FILLED, Side(-side), 3.0, symbol=1) == []
    return desk


FLAT_BOTH = [(FLATTEN, MARKET, BUY, 2.0), (LEG_FLATTEN, MARKET, SELL, 3.0)]


def test_a_pair_leaves_when_the_spread_is_back() -> None:
    #  ms       100   200   300
    #  here     101   100.5       (102 at first)
    #  there                100.5 (100 at first): both are equal, leave
    desk = paired()
    assert desk.mid(100, 101.0) == []
    assert desk.mid(200, 100.5) == []
    assert desk.mid(300, 100.5, symbol=1) == FLAT_BOTH
    assert desk.reasons == [Reason.SPREAD_CONVERGED] * 2
    assert [int(o.linked) for o in desk.out[:2]] == [0, 0]
    assert desk.mid(310, 90.0) == [], "it is left once"
    assert desk.hear(400, FLATTEN, FILLED, BUY) == []
    assert desk.is_open, "one leg is still there"
    assert desk.hear(401, LEG_FLATTEN, FILLED, SELL, 3.0, symbol=1) == []
    assert not desk.is_open


def test_the_mirror_pair_leaves_from_below() -> None:
    desk = paired(BUY)
    assert desk.mid(100, 99.9) == []
    assert desk.mid(200, 100.1) == [(FLATTEN, MARKET, SELL, 2.0), (LEG_FLATTEN, MARKET, BUY, 3.0)]


def test_a_spread_further_apart_is_held_until_its_time_is_over() -> None:
    #  ms     60                  100         1060
    #         both are answered   further     the holding time is over
    desk = paired()
    assert desk.mid(100, 150.0) == []
    assert desk.beat(1059) == []
    assert desk.beat(1060) == FLAT_BOTH
    assert desk.reasons == [Reason.HOLD_EXPIRED] * 2


def test_a_pair_waits_for_both_answers_before_it_leaves() -> None:
    desk = Envelopes()
    desk.mid(0, 102.0)
    desk.mid(0, 100.0, symbol=1)
    desk.approve(0, Engine.ARBITRAGE, SELL, target_px=0.0)
    desk.hear(50, ENTRY, FILLED, SELL)
    assert desk.mid(55, 99.0) == [], "converged, but the second leg has no answer"
    desk.hear(60, LEG, FILLED, BUY, 3.0, symbol=1)
    assert desk.mid(70, 99.0) == FLAT_BOTH


A_HERE, A_THERE = (FLATTEN, BUY, 2.0, 0), (LEG_FLATTEN, SELL, 3.0, 1)  # answers of a pair's legs
# fmt: off
RETRIES = [
    # what                                 answers, in this order                       sent again
    ("the leg here, answered first",
        [(A_HERE, REJECTED), (A_THERE, FILLED)],   [(FLATTEN, MARKET, BUY, 2.0)]),
    ("the leg here, answered last",
        [(A_THERE, FILLED), (A_HERE, REJECTED)],   [(FLATTEN, MARKET, BUY, 2.0)]),
    ("the leg there, answered first",
        [(A_THERE, REJECTED), (A_HERE, FILLED)],   [(LEG_FLATTEN, MARKET, SELL, 3.0)]),
    ("the leg there, answered last",
        [(A_HERE, FILLED), (A_THERE, REJECTED)],   [(LEG_FLATTEN, MARKET, SELL, 3.0)]),
    ("both",
        [(A_HERE, REJECTED), (A_THERE, REJECTED)], FLAT_BOTH),
]
# fmt: on


@pytest.mark.parametrize(("what", "answers", "again"), RETRIES, ids=[c[0] for c in RETRIES])
def test_only_the_leg_that_found_no_price_is_flattened_again(
    what: str, answers: list[Any], again: list[Sent]
) -> None:
    #  ms   1060        1100          1110      1120           1130      1140 on
    #       both flatten  an answer   nothing   the other one  again     filled: closed
    desk = paired()
    assert desk.beat(1060) == FLAT_BOTH
    for ms, ((role, side, qty, symbol), code) in zip((1100, 1120), answers, strict=True):
        assert desk.mid(ms - 10, 100.0) == [], "not while an answer is on its way"
        more = NO_PRICE if code == REJECTED else {}
        assert desk.hear(ms, role, code, side, qty, symbol=symbol, **more) == []
        assert desk.is_open
    assert desk.beat(1130) == again
    assert desk.mid(1135, 100.0) == desk.beat(1136) == [], "it is sent once"
    for i, (role, _, side, qty) in enumerate(again):
        desk.hear(1140 + i, role, FILLED, side, qty, symbol=int(role == LEG_FLATTEN))
    assert not desk.is_open
    assert desk.beat(1200) == []


def test_a_lone_leg_that_found_no_price_is_flattened_again() -> None:
    #  ms   50      60: the second is missing   80        90
    #       filled  flatten                     rejected  flatten
    desk = Envelopes()
    desk.approve(0, Engine.ARBITRAGE, SELL)
    desk.hear(50, ENTRY, FILLED, SELL)
    assert desk.hear(60, LEG, REJECTED, BUY, 3.0, symbol=1) == [(FLATTEN, MARKET, BUY, 2.0)]
    assert desk.hear(80, FLATTEN, REJECTED, BUY, **NO_PRICE) == []
    assert desk.beat(90) == [(FLATTEN, MARKET, BUY, 2.0)]


# fmt: off
LEGS = [
    # what                                        first     second    flattens
    ("the second is missing", FILLED,   REJECTED, [(FLATTEN, MARKET, BUY, 2.0)]),
    ("the first is missing",  REJECTED, FILLED,   [(LEG_FLATTEN, MARKET, SELL, 3.0)]),
    ("both are missing",      REJECTED, REJECTED, []),
]
# fmt: on


@pytest.mark.parametrize(("what", "first", "second", "sent"), LEGS, ids=[c[0] for c in LEGS])
@pytest.mark.parametrize("second_answers_first", [False, True])
def test_a_leg_alone_is_flattened(
    what: str, first: ReportCode, second: ReportCode, sent: list[Sent], second_answers_first: bool
) -> None:
    #  ms   0       50          60: every leg has its answer
    desk = Envelopes()
    desk.approve(0, Engine.ARBITRAGE, SELL)
    answers = [(ENTRY, first, SELL, 2.0, 0), (LEG, second, BUY, 3.0, 1)]
    if second_answers_first:
        answers.reverse()
    for ms, (role, code, side, qty, symbol) in zip((50, 60), answers, strict=True):
        found = desk.hear(ms, role, code, side, qty, symbol=symbol)
        assert found == (sent if ms == 60 else [])
    assert desk.is_open == bool(sent)
    if sent:
        assert desk.reasons[0] is Reason.LEG_FAILED
        role, _, side, qty = sent[0]
        desk.hear(100, role, FILLED, side, qty, symbol=int(role == LEG_FLATTEN))
        assert not desk.is_open


# -- many at once ---------------------------------------------------------------------------------


def test_as_many_as_the_portfolio_opens_can_leave_on_one_row() -> None:
    desk = Envelopes()
    desk.mid(0, 102.0)
    desk.mid(0, 100.0, symbol=1)
    for e in range(OPEN_MAX):
        desk.approve(0, Engine.ARBITRAGE, SELL, seq=e)
        desk.hear(1, ENTRY, FILLED, SELL, ref_id=e)
        desk.hear(1, LEG, FILLED, BUY, 3.0, ref_id=e, symbol=1)
    assert len(desk.mid(2000, 102.0)) == 2 * OPEN_MAX <= ORDERS_PER_ROW_MAX


def test_the_oldest_is_first_after_one_in_the_middle_has_closed() -> None:
    desk = Envelopes()
    for e in range(4):
        desk.approve(e, Engine.SPOT, seq=e, qty=1.0 + e)
        desk.hear(10 + e, ENTRY, FILLED, qty=1.0 + e, ref_id=e)
    desk.hear(20, STOP, FILLED, SELL, 2.0, ref_id=1)
    assert [qty for *_, qty in desk.beat(round(5 * SECOND / MS))] == [1.0, 3.0, 4.0]


def test_an_answer_to_nobody_changes_nothing() -> None:
    desk = long()
    assert desk.hear(60, FLATTEN, FILLED, SELL, ref_id=404) == []
    assert desk.beat(1050) == [(FLATTEN, MARKET, SELL, 2.0)]
