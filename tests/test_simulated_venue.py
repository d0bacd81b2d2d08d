"""Promise: an order meets the recorded market at the venue's own time, and pays what it would have.

Timelines are in milliseconds. O: the order is sent, A: it arrives at the venue, R: its report is
due at our side. Prices below the line are bid/ask at the venue.
"""

from typing import Any, NamedTuple

import pytest

from operators.execution.orders import ORDER_FIELDS, OrderType
from operators.execution.simulated_venue import (
    SETTLE_AGE_NS_MAX,
    VenueRules,
    drop_report,
    initial_venue,
    next_report,
    venue_row,
    venue_take_order,
)
from operators.records import instrument_records, record_fields
from schemas.instruments import Instrument, InstrumentKind
from schemas.kinds import Flag, ReportCode, Role, Side
from schemas.reasons import Reason
from schemas.rows import FeatureRows
from tests.desk_cases import (
    MS,
    NAN,
    START,
    heartbeat,
    lonely,
    quote,
    reason_of,
    record_of,
    table,
    trade,
)

BUY, SELL = Side.BUY, Side.SELL
MARKET, LIMIT, STOP, CONTRACT = OrderType
FILLED, MAKER, REJECTED = ReportCode.FILLED, ReportCode.FILLED_MAKER, ReportCode.REJECTED
WON, LOST, REFUNDED = ReportCode.SETTLED_WON, ReportCode.SETTLED_LOST, ReportCode.REFUNDED
ROW_FIELDS = {"seq": "<i8", **record_fields(FeatureRows)}
RULES = VenueRules(order_latency_ns=20 * MS, response_latency_ns=30 * MS)


class Answer(NamedTuple):
    """A report, times in ms after the start."""

    due: float
    code: ReportCode
    price: float
    role: Role
    reason: Reason
    event: float
    fee: float


class Venue:
    """The kernels of the venue, told in milliseconds."""

    def __init__(self, *instruments: Instrument) -> None:
        self.instruments = instrument_records(table(*instruments).arrays())
        self.state = initial_venue()

    def send(self, ms: float, **more: Any) -> "Venue":
        usual = {
            "lane": 0, "ref_id": 7, "role": Role.ENTRY, "order_type": MARKET, "row": 0,
            "side": BUY, "qty": 2.0, "price": NAN, "sent_ns": START + round(ms * MS),
        }  # fmt: skip
        order = record_of(ORDER_FIELDS, {**usual, **more})
        venue_take_order(RULES, self.instruments, self.state, order)
        return self

    def see(self, row: dict[str, Any]) -> list[Answer]:
        """The reports that a row causes."""
        before = int(self.state.n_reports[0])
        venue_row(RULES, self.instruments, self.state, record_of(ROW_FIELDS, row))
        return [self._answer(n) for n in range(before, int(self.state.n_reports[0]))]

    def _answer(self, n: int) -> Answer:
        report = self.state.reports[n]
        due, event = ((ns - START) / MS for ns in (report.due_ns, report.ts_event_ns))
        return Answer(
            due, ReportCode(report.code), float(report.price), Role(report.role),
            reason_of(report.reason), event, float(report.fee),
        )  # fmt: skip

    def bid_ask(self, ms: float, bid: float, ask: float, **more: Any) -> list[Answer]:
        return self.see(quote(START + round(ms * MS), bid, ask, **more))

    def trades(self, ms: float, price: float, **more: Any) -> list[Answer]:
        return self.see(trade(START + round(ms * MS), price, **more))

    def beat(self, ms: float, **more: Any) -> list[Answer]:
        return self.see(heartbeat(START + round(ms * MS), **more))


def codes(answers: list[Answer]) -> list[Any]:
    return [(answer.code, answer.price) for answer in answers]


# -- market orders --------------------------------------------------------------------------------


def test_a_market_order_meets_the_first_row_at_or_after_its_arrival() -> None:
    #  ms      0        10        19   20  25         55
    #          O                       A              R
    #  quote   100/101  102/103   104/105  106/107
    venue = Venue(lonely(0))
    assert venue.bid_ask(0, 100, 101) == []
    venue.send(0)
    assert venue.bid_ask(10, 102, 103) == []
    assert venue.bid_ask(19, 104, 105) == []
    (answer,) = venue.bid_ask(25, 106, 107)
    assert answer == Answer(55, FILLED, 107.0, Role.ENTRY, Reason.OK, 25, 0.0)
    assert venue.bid_ask(40, 1, 2) == [], "an order is filled once"


def test_exactly_at_its_arrival_is_not_too_late() -> None:
    assert codes(Venue(lonely(0)).send(0).bid_ask(20, 100, 101)) == [(FILLED, 101.0)]


def test_a_seller_gets_the_bid() -> None:
    assert codes(Venue(lonely(0)).send(0, side=SELL).bid_ask(20, 100, 101)) == [(FILLED, 100.0)]


def test_the_venues_clock_counts() -> None:
    # Our clock is 1,000 ms ahead: what we get at 1,005 happened at 5 there. An order sent at 1,000
    # of ours is there at 0 + 20; its report is back at 26 + 1,000 + 30.
    #  venue   0    5    15   20    26
    #  ours    1000 1005 1015 1020  1026        1056
    #          O              A                 R
    venue = Venue(lonely(0, clock_offset_ns=1000 * MS)).send(1000)
    for ms in (5, 15):
        assert venue.bid_ask(1000 + ms, 100, 101, ts_event_ns=START + ms * MS) == []
    (answer,) = venue.bid_ask(1026, 102, 103, ts_event_ns=START + 26 * MS)
    assert (answer.price, answer.event, answer.due) == (103.0, 26.0, 1056.0)


def test_a_row_that_reached_us_late_still_happened_before_the_order() -> None:
    #  venue   0    15   20   21
    #               x    A          the row of 15 reaches us at 60, long after the order left
    venue = Venue(lonely(0)).send(0)
    assert venue.bid_ask(60, 1, 2, ts_event_ns=START + 15 * MS) == []
    assert codes(venue.bid_ask(61, 100, 101, ts_event_ns=START + 21 * MS)) == [(FILLED, 101.0)]


def test_a_report_is_never_due_before_the_row_that_released_it() -> None:
    #  venue   25 happens        ours: it reaches us at 400; 25 + 30 = 55 has long passed
    (answer,) = Venue(lonely(0)).send(0).bid_ask(400, 100, 101, ts_event_ns=START + 25 * MS)
    assert (answer.event, answer.due) == (25.0, 400.0)


def test_rows_of_other_instruments_and_lanes_and_rows_without_a_mid_do_not_fill() -> None:
    venue = Venue(lonely(0), lonely(1), lonely(0, lane=2)).send(0)
    assert venue.bid_ask(30, 1, 2, symbol=1) == []
    assert venue.bid_ask(31, 1, 2, lane=2) == []
    assert venue.beat(32) == []
    assert venue.bid_ask(33, NAN, 101) == []
    assert codes(venue.bid_ask(34, 100, 101)) == [(FILLED, 101.0)]


def test_a_market_of_trades_fills_half_a_tick_worse_than_the_last() -> None:
    for side, price in ((BUY, 100.05), (SELL, 99.95)):
        venue = Venue(lonely(0, has_quotes=False, tick="0.1")).send(0, side=side)
        assert codes(venue.trades(20, 100.0)) == [(FILLED, pytest.approx(price))]


def test_a_market_without_a_price_rejects() -> None:
    (answer,) = Venue(lonely(0)).send(0).bid_ask(20, 100, NAN, mid=100.0)
    assert (answer.code, answer.reason) == (REJECTED, Reason.VENUE_NO_MARKET)


# -- stops ----------------------------------------------------------------------------------------

STOP_AT_95 = {"order_type": STOP, "side": SELL, "price": 95.0, "role": Role.STOP,
              "reason": Reason.STOP_HIT, "linked": 1}  # fmt: skip


def test_a_stop_is_touched_by_the_bid_and_pays_the_gap() -> None:
    #  stop 95  ------------------------------------
    #  bid      100    95.1     90
    #  ms       30     40       50: filled at 90, not at 95
    venue = Venue(lonely(0)).send(0, **STOP_AT_95)
    assert venue.bid_ask(30, 100, 101) == []
    assert venue.bid_ask(40, 95.1, 95.2) == []
    (answer,) = venue.bid_ask(50, 90, 91)
    assert (answer.code, answer.price, answer.reason) == (FILLED, 90.0, Reason.STOP_HIT)


# fmt: off
STOPS = [
    # what                                   side  stop   bid    ask     fills at
    ("a touch is enough",                    SELL, 95.0,  95.0,  96.0,   95.0),
    ("the ask alone does not sell",          SELL, 95.0,  95.5,  95.6,   None),
    ("a short is stopped by the ask",        BUY,  105.0, 104.0, 105.0,  105.0),
    ("the gap is paid upwards too",          BUY,  105.0, 110.0, 111.0,  111.0),
    ("the bid alone does not buy",           BUY,  105.0, 104.0, 104.9,  None),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "side", "stop", "bid", "ask", "fills"), STOPS, ids=[c[0] for c in STOPS]
)
def test_stops(
    what: str, side: Side, stop: float, bid: float, ask: float, fills: float | None
) -> None:
    venue = Venue(lonely(0)).send(0, order_type=STOP, side=side, price=stop, role=Role.STOP)
    found = codes(venue.bid_ask(30, bid, ask))
    assert found == ([] if fills is None else [(FILLED, fills)])


# -- limits ---------------------------------------------------------------------------------------

# fmt: off
LIMITS = [  # a sell limit at 110 rests since 30 ms; 100/101 before; what comes at 40
    # what                                       row                               fills
    ("the bid reaches it: not yet through",      ("q", 110.0, 111.0),              None),
    ("the bid is through",                       ("q", 110.1, 111.0),              (MAKER, 110.0)),
    ("far through: still its own price",         ("q", 150.0, 151.0),              (MAKER, 110.0)),
    ("a trade at its price: not yet through",    ("t", 110.0),                     None),
    ("a trade through it",                       ("t", 110.1),                     (MAKER, 110.0)),
    ("a trade below",                            ("t", 109.9),                     None),
]
# fmt: on
QUOTED = {"bid_px": 100.0, "ask_px": 101.0, "mid": 100.5}
SELL_110 = {"order_type": LIMIT, "side": SELL, "price": 110.0, "role": Role.TARGET,
            "reason": Reason.TARGET_HIT, "linked": 1}  # fmt: skip


@pytest.mark.parametrize(("what", "row", "fills"), LIMITS, ids=[c[0] for c in LIMITS])
def test_a_resting_limit(what: str, row: Any, fills: Any) -> None:
    venue = Venue(lonely(0)).send(0, **SELL_110)
    assert venue.bid_ask(30, 100, 101) == []
    found = venue.bid_ask(40, *row[1:]) if row[0] == "q" else venue.trades(40, row[1], **QUOTED)
    assert codes(found) == ([] if fills is None else [fills])
    assert all(answer.reason is Reason.TARGET_HIT for answer in found)


def test_a_resting_buy_limit_is_the_mirror() -> None:
    for bid, ask, fills in ((89.0, 90.0, False), (88.0, 89.9, True)):
        venue = Venue(lonely(0)).send(0, order_type=LIMIT, price=90.0)
        assert venue.bid_ask(30, 100, 101) == []
        assert codes(venue.bid_ask(40, bid, ask)) == ([(MAKER, 90.0)] if fills else [])


def test_a_limit_that_arrives_crossing_takes_the_market() -> None:
    #  sell at 110 arrives when the bid is 112: 112, as taker
    assert codes(Venue(lonely(0)).send(0, **SELL_110).bid_ask(30, 112, 113)) == [(FILLED, 112.0)]
    assert codes(Venue(lonely(0)).send(0, **SELL_110).bid_ask(30, 110, 113)) == [(FILLED, 110.0)]


def test_a_trade_from_before_the_arrival_does_not_fill_a_resting_limit() -> None:
    #  venue   15     20   25                    the trade of 15 reaches us after the quote of 25
    #          t120   A    100/101  ->  t120
    venue = Venue(lonely(0)).send(0, **SELL_110)
    assert venue.bid_ask(25, 100, 101) == []
    assert venue.trades(26, 120.0, ts_event_ns=START + 15 * MS, **QUOTED) == []
    assert codes(venue.trades(27, 120.0, **QUOTED)) == [(MAKER, 110.0)]


# -- stop, target and flattening: one fill ends all -----------------------------------------------

FLATTEN = {"order_type": MARKET, "side": SELL, "role": Role.FLATTEN, "linked": 1,
           "reason": Reason.HOLD_EXPIRED}  # fmt: skip


def protected() -> Venue:
    """A long position with its stop at 95 and its target at 110, both resting."""
    venue = Venue(lonely(0)).send(0, **STOP_AT_95).send(0, **SELL_110)
    assert venue.bid_ask(30, 100, 101) == []
    return venue


@pytest.mark.parametrize(
    ("what", "bid", "filled"),
    [
        ("the stop ends the target", 90.0, Role.STOP),
        ("the target ends the stop", 111.0, Role.TARGET),
    ],
)
def test_one_cancels_the_other(what: str, bid: float, filled: Role) -> None:
    venue = protected()
    (answer,) = venue.bid_ask(40, bid, bid + 1)
    assert answer.role is filled
    for other in (90.0, 111.0, 90.0):
        assert venue.bid_ask(50, other, other + 1) == [], "the other is cancelled"
    assert codes(venue.send(60).bid_ask(90, 100, 101)) == [(FILLED, 101.0)]
    assert venue.state.n_orders[0] == 0, "it is dropped when the next order is worked on"


def test_other_envelopes_are_not_cancelled() -> None:
    venue = protected().send(30, **{**STOP_AT_95, "ref_id": 8, "price": 80.0})
    assert [a.role for a in venue.bid_ask(60, 90, 91)] == [Role.STOP]
    assert codes(venue.bid_ask(70, 79, 80)) == [(FILLED, 79.0)]


def test_flattening_ends_stop_and_target() -> None:
    #  ms      40        60
    #          O (flat)  A: filled at the bid; stop and target are cancelled first
    venue = protected().send(40, **FLATTEN)
    (answer,) = venue.bid_ask(60, 99, 100)
    assert (answer.role, answer.price, answer.reason) == (Role.FLATTEN, 99.0, Reason.HOLD_EXPIRED)
    assert venue.bid_ask(70, 90, 91) == []
    assert venue.bid_ask(80, 111, 112) == []


def test_flattening_that_comes_second_is_rejected() -> None:
    #  ms      40        50           60
    #          O (flat)  stop fills   A: nothing is left
    venue = protected().send(40, **FLATTEN)
    assert [a.role for a in venue.bid_ask(50, 90, 91)] == [Role.STOP]
    (answer,) = venue.bid_ask(60, 90, 91)
    assert (answer.role, answer.code, answer.reason) == (
        Role.FLATTEN, REJECTED, Reason.VENUE_REDUCE_ONLY
    )  # fmt: skip


def test_stop_and_flattening_on_the_same_row_sell_once() -> None:
    #  ms      40        60
    #          O (flat)  A, and the bid is at 90: the stop is older and fills, the other is rejected
    answers = protected().send(40, **FLATTEN).bid_ask(60, 90, 91)
    assert [(a.role, a.code) for a in answers] == [(Role.STOP, FILLED), (Role.FLATTEN, REJECTED)]


@pytest.mark.parametrize(("bid", "filled"), [(90.0, Role.STOP), (111.0, Role.TARGET)])
def test_flattening_without_a_price_leaves_stop_and_target_working(
    bid: float, filled: Role
) -> None:
    #  ms      40        60                       70
    #          O (flat)  A: no bid, rejected      stop or target fills as ever
    venue = protected().send(40, **FLATTEN)
    (answer,) = venue.bid_ask(60, NAN, 101, mid=100.0)
    assert (answer.role, answer.code, answer.reason) == (
        Role.FLATTEN, REJECTED, Reason.VENUE_NO_MARKET
    )  # fmt: skip
    assert [(a.role, a.due) for a in venue.bid_ask(70, bid, bid + 1)] == [(filled, 100.0)]


def test_flattening_that_is_sent_again_sells_once() -> None:
    #  ms      40        60                  90        110
    #          O (flat)  A: no bid, rejected  O (flat)  A: filled; stop and target are cancelled
    venue = protected().send(40, **FLATTEN)
    venue.bid_ask(60, NAN, 101, mid=100.0)
    (answer,) = venue.send(90, **FLATTEN).bid_ask(110, 99, 100)
    assert (answer.role, answer.code, answer.price) == (Role.FLATTEN, FILLED, 99.0)
    assert venue.bid_ask(120, 90, 91) == []
    assert venue.bid_ask(130, 111, 112) == []


# -- binary contracts -----------------------------------------------------------------------------

LIFE = 1000
CALL = {"order_type": CONTRACT, "role": Role.BINARY, "qty": 100.0, "hold_ns": LIFE * MS}
PUT = {**CALL, "side": SELL}


def struck(order: dict[str, Any] = CALL, **facts: Any) -> Venue:
    """A contract struck at 100.5, the mid at 25 ms: 5 after it arrived. It expires at 1,025."""
    venue = Venue(lonely(0, **facts)).send(0, **order)
    (answer,) = venue.bid_ask(25, 100, 101)
    assert answer == Answer(55, FILLED, 100.5, Role.BINARY, Reason.OK, 25, 0.0)
    return venue


# fmt: off
CONTRACTS = [  # the last mid before expiry at 1,025, which the row at 1,026 passes
    # what                      order  mid     settles
    ("a call above",            CALL,  101.0,  (WON, 101.0)),
    ("a call below",            CALL,  100.0,  (LOST, 100.0)),
    ("a put above",             PUT,   101.0,  (LOST, 101.0)),
    ("a put below",             PUT,   100.0,  (WON, 100.0)),
    ("a tie refunds a call",    CALL,  100.5,  (REFUNDED, 100.5)),
    ("and a put",               PUT,   100.5,  (REFUNDED, 100.5)),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "order", "mid", "settles"), CONTRACTS, ids=[c[0] for c in CONTRACTS]
)
def test_settlement(what: str, order: dict[str, Any], mid: float, settles: Any) -> None:
    #  ms     25      1000  1025    1026    1055
    #         strike  mid   expiry  passed  R
    venue = struck(order)
    assert venue.bid_ask(1000, mid - 0.5, mid + 0.5) == []
    (answer,) = venue.bid_ask(1026, 1, 2)
    assert (answer.code, answer.price) == settles
    assert (answer.event, answer.due, answer.fee) == (1025.0, 1055.0, 0.0)
    assert (answer.reason is Reason.VENUE_REFUND_TIE) == (answer.code is REFUNDED)
    assert venue.bid_ask(2000, 1, 2) == []


def test_the_quote_exactly_at_expiry_counts_and_the_next_does_not() -> None:
    venue = struck()
    assert venue.bid_ask(1025, 109.5, 110.5) == []
    assert codes(venue.bid_ask(1025.001, 1, 2)) == [(WON, 110.0)]


def test_a_heartbeat_settles_it_too() -> None:
    venue = struck()
    assert venue.bid_ask(500, 109, 110) == []
    assert venue.beat(1025) == []
    (answer,) = venue.beat(2000)
    assert (answer.code, answer.event, answer.due) == (WON, 1025.0, 2000.0)


def test_another_lane_does_not_settle_it() -> None:
    venue = Venue(lonely(0), lonely(0, lane=2)).send(0, **CALL)
    venue.bid_ask(25, 100, 101)
    assert venue.beat(2000, lane=2) == []
    assert codes(venue.beat(2001)) == [(REFUNDED, 100.5)]


def test_the_end_of_a_lane_settles_nothing() -> None:
    # its report would have to stand behind the row that closes the lane
    assert struck().beat(2000, flags=Flag.MSG_LAST | Flag.END) == []


def test_expiry_is_told_by_the_venues_clock() -> None:
    # our clock is 500 ms ahead: 1,525 of ours is 1,025 there
    venue = Venue(lonely(0, clock_offset_ns=500 * MS)).send(500, **CALL)
    assert codes(venue.bid_ask(525, 100, 101, ts_event_ns=START + 25 * MS)) == [(FILLED, 100.5)]
    assert venue.beat(1525) == []
    (answer,) = venue.beat(1526)
    assert (answer.event, answer.due) == (1025.0, 1555.0)


def test_a_quote_that_reaches_us_late_counts_while_the_contract_is_open() -> None:
    #  venue   990            1010          the quote of 990 reaches us at 1,020, before the end
    venue = struck()
    assert venue.bid_ask(1020, 104, 105, ts_event_ns=START + 990 * MS) == []
    assert codes(venue.beat(1100)) == [(WON, 104.5)]


def test_a_late_trade_does_not_bring_a_quote_from_after_the_expiry() -> None:
    #  venue    1000      1030 (after expiry)    the trade of 1,010 reaches us behind that quote,
    #           90/91     110/111                and carries its mid
    venue = struck()
    assert venue.bid_ask(1000, 90, 91) == []
    assert venue.bid_ask(1024, 110, 111, ts_event_ns=START + 1030 * MS) == []
    late = {"bid_px": 110.0, "ask_px": 111.0, "mid": 110.5, "ts_event_ns": START + 1010 * MS}
    assert venue.trades(1025, 110.0, **late) == []
    assert codes(venue.beat(1100)) == [(LOST, 90.5)]


@pytest.mark.parametrize(("late_ms", "code"), [(0, LOST), (1, REFUNDED)])
def test_a_quote_older_than_a_minute_refunds(late_ms: int, code: ReportCode) -> None:
    #  the last quote, at 40, is 60 s before the expiry, or 1 ms more
    life_ns = SETTLE_AGE_NS_MAX + (15 + late_ms) * MS
    venue = struck({**CALL, "hold_ns": life_ns})
    assert venue.bid_ask(40, 99, 100) == []
    (answer,) = venue.beat(200_000)
    assert answer.code is code
    assert (answer.reason is Reason.VENUE_REFUND_STALE) == (code is REFUNDED)


def test_a_market_of_trades_settles_at_its_trades() -> None:
    venue = Venue(lonely(0, has_quotes=False)).send(0, **CALL)
    assert codes(venue.trades(25, 100.0)) == [(FILLED, pytest.approx(100.0))]
    assert venue.trades(1000, 103.0) == []
    assert codes(venue.beat(1100)) == [(WON, pytest.approx(103.0))]


# -- fees -----------------------------------------------------------------------------------------

FEES = {"fee_taker": "0.001", "fee_maker": "-0.0002"}
LINEAR = {"kind": InstrumentKind.LINEAR, "contract_size": "0.01"}
INVERSE = {"kind": InstrumentKind.INVERSE, "contract_size": "100"}
# fmt: off
FEE_CASES = [  # 3 units or contracts, bought at 101 as taker or at 90 as maker
    # what                       instrument  taker                  maker
    ("spot",                     {},         0.303,                 -0.054),
    ("linear, a hundredth each", LINEAR,     0.00303,               -0.00054),
    # 300 dollars are 2.97029703 base units at 101, and 3.33333333 at 90
    ("inverse: in base units",   INVERSE,    0.00297030,            -0.00066667),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "facts", "taker", "maker"), FEE_CASES, ids=[c[0] for c in FEE_CASES]
)
def test_fees_are_stated_to_8_digits(
    what: str, facts: dict[str, Any], taker: float, maker: float
) -> None:
    (answer,) = Venue(lonely(0, **FEES, **facts)).send(0, qty=3.0).bid_ask(20, 100, 101)
    assert (answer.code, answer.fee) == (FILLED, taker)
    venue = Venue(lonely(0, **FEES, **facts)).send(0, qty=3.0, order_type=LIMIT, price=90.0)
    venue.bid_ask(20, 100, 101)
    (answer,) = venue.bid_ask(30, 80, 81)
    assert (answer.code, answer.fee) == (MAKER, maker)


def test_rejections_and_contracts_cost_no_fee() -> None:
    (answer,) = Venue(lonely(0, **FEES)).send(0, **CALL).bid_ask(25, 100, 101)
    assert answer.fee == 0.0
    (answer,) = Venue(lonely(0, **FEES)).send(0).bid_ask(25, 100, NAN, mid=100.0)
    assert answer.fee == 0.0


# -- reports on their way -------------------------------------------------------------------------


def waiting(*reports: tuple[float, int]) -> Venue:
    """Reports by (due ms, lane); their ref_id is their place here."""
    venue = Venue(lonely(0))
    for n, (due, lane) in enumerate(reports):
        report = venue.state.reports[n]
        report.due_ns, report.lane, report.ref_id = START + round(due * MS), lane, n
    venue.state.n_reports[0] = len(reports)
    return venue


# fmt: off
ORDER = [  # what is delivered before a row at (100 ms, lane 1)
    # what                                   waiting (due, lane)                     delivered
    ("nothing waits",                        [],                                     []),
    ("not due yet",                          [(100.001, 0)],                         []),
    ("due before",                           [(99, 3)],                              [0]),
    ("due now, in a lane before",            [(100, 0)],                             [0]),
    ("due now, in its lane: before it",      [(100, 1)],                             [0]),
    ("due now, in a lane behind",            [(100, 2)],                             []),
    ("by time, then lane",                   [(90, 2), (80, 3), (90, 0), (100, 1)],  [1, 2, 0, 3]),
    ("at the same place: oldest first",      [(90, 1), (80, 0), (90, 1), (90, 1)],   [1, 0, 2, 3]),
]
# fmt: on


@pytest.mark.parametrize(("what", "reports", "delivered"), ORDER, ids=[c[0] for c in ORDER])
def test_the_order_of_reports(
    what: str, reports: list[tuple[float, int]], delivered: list[int]
) -> None:
    state, found = waiting(*reports).state, []
    while (n := next_report(state, START + 100 * MS, 1)) >= 0:
        found.append(int(state.reports[n].ref_id))
        drop_report(state, n)
    assert found == delivered
    assert state.n_reports[0] == len(reports) - len(delivered)
