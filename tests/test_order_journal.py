"""Promise: orders and reports are JSON rows of decimal texts, found again by one client id."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from operators.execution.journal import JsonRow, OrderJournal, client_id
from operators.execution.orders import ORDER_FIELDS, OrderType
from operators.records import Records
from schemas.kinds import NO_SYMBOL, ReportCode, Role, Side
from schemas.reasons import Reason
from schemas.rows import MarketRows, concat, take
from tests.desk_cases import MINUTE, NAN, START, instrument, market, records_like, report, table

TABLE = table(
    instrument(0, tick="0.00001", lot="1"),
    instrument(1, tick="0.1", lot="0.001", name="BTCUSDT", base="BTC", quote="USDT"),
    instrument(0, lane=2, tick="0.5", lot="1"),
)
JOURNAL = OrderJournal(TABLE)
EUR, BTC, OTHER_LANE = 0, 1, 2  # rows of the table


def sent(**more: Any) -> dict[str, Any]:
    usual = {
        "lane": 0, "ref_id": 7, "role": Role.ENTRY, "order_type": OrderType.MARKET, "row": EUR,
        "side": Side.BUY, "qty": 3.0, "price": NAN, "hold_ns": 0, "sent_ns": START,
        "market_seq": 41, "linked": 0, "reason": Reason.OK,
    }  # fmt: skip
    return {**usual, **more}


def orders(*rows: dict[str, Any]) -> Records:
    made = records_like(ORDER_FIELDS, len(rows))
    for i, row in enumerate(rows):
        made[i] = tuple(row[name] for name in ORDER_FIELDS)
    return made


def journal(order_rows: Records, report_rows: MarketRows) -> tuple[list[JsonRow], list[JsonRow]]:
    return JOURNAL.step(JOURNAL.initial(), (order_rows, report_rows))[1]


NOTHING = orders()


def answered(symbol: int, code: ReportCode, price: float, **more: Any) -> MarketRows:
    told: dict[str, Any] = {"role": Role.ENTRY, "side": 1, "qty": 0.003, "symbol": symbol, **more}
    ref_id, role, side, qty = 7, told.pop("role"), told.pop("side"), told.pop("qty")
    return market(report(START, ref_id, role, code, side, qty, price, **told))


def test_a_whole_order_row() -> None:
    stop = sent(
        role=Role.STOP, order_type=OrderType.STOP, side=Side.SELL, price=1.38617,
        reason=Reason.STOP_HIT,
    )  # fmt: skip
    assert journal(orders(stop), market())[0] == [
        {
            "seq": 0, "lane": 0, "ts_recv_ns": START, "market_seq": 41, "ref_id": 7,
            "client_id": "0-7-STOP", "instrument": "v00:EURUSD", "role": "STOP",
            "order_type": "STOP", "side": "SELL", "qty": "3", "price": "1.38617",
            "reason": "STOP_HIT",
        }
    ]  # fmt: skip


def test_a_whole_report_row() -> None:
    rows = answered(1, ReportCode.FILLED, 60_000.1, ref=0.12000001, ts_event_ns=START - 5)
    assert journal(NOTHING, rows)[1] == [
        {
            "seq": 0, "lane": 0, "ts_event_ns": START - 5, "ts_recv_ns": START, "market_seq": 0,
            "ref_id": 7, "client_id": "0-7-ENTRY", "instrument": "v01:BTCUSDT", "role": "ENTRY",
            "code": "FILLED", "side": "BUY", "qty": "0.003", "price": "60000.1",
            "fee": "0.12000001", "reason": "OK",
        }
    ]  # fmt: skip


def test_a_report_that_is_not_on_the_log_yet_names_no_row_of_it() -> None:
    rows = answered(1, ReportCode.FILLED, 60_000.1)
    logged, waiting = (journal(NOTHING, r)[1][0] for r in (rows, rows._replace(seq=rows.seq - 1)))
    assert logged.pop("market_seq") == 0
    assert list(waiting.items()) == list(logged.items())


def test_a_drained_lane_says_that_alone() -> None:
    rows = answered(NO_SYMBOL, ReportCode.DRAINED, NAN, lane=2, ts_event_ns=START - 5)
    assert journal(NOTHING, rows)[1] == [
        {"seq": 0, "lane": 2, "ts_event_ns": START - 5, "ts_recv_ns": START, "code": "DRAINED"}
    ]


# fmt: off
ORDERS = [
    # what                                 order                                        shows
    ("a market order has no price",
        {}, {"price": None}),
    ("lots that floats miss",
        {"row": BTC, "qty": 9 * 0.001}, {"qty": "0.009"}),
    ("ticks that floats miss",
        {"row": BTC, "price": 3 * 0.1}, {"price": "0.3"}),
    ("many ticks",
        {"price": round(1.38617 / 1e-5) * 1e-5}, {"price": "1.38617"}),
    ("a stake is money, not lots",
        {"role": Role.BINARY, "qty": 97.53, "row": BTC, "order_type": OrderType.BINARY,
         "hold_ns": 5 * MINUTE},
        {"qty": "97.53", "hold_ns": 5 * MINUTE, "client_id": "0-7-BINARY"}),
    ("the second leg has its own id",
        {"role": Role.SECOND_LEG}, {"client_id": "0-7-SECOND_LEG"}),
    ("another lane",
        {"lane": 2, "row": OTHER_LANE, "price": 1.5},
        {"client_id": "2-7-ENTRY", "instrument": "v20:EURUSD", "price": "1.5"}),
]
REPORTS = [
    # what                                 report                                       shows
    ("a rejection has no price",
        (0, ReportCode.REJECTED, NAN, {"reason": Reason.VENUE_NO_MARKET}),
        {"price": None, "reason": "VENUE_NO_MARKET"}),
    ("a mid keeps its float, so that another process reads the very same",
        (0, ReportCode.SETTLED_WON, 0.5 * (1.38627 + 1.38626), {}),
        {"price": "1.3862649999999999"}),
    ("and so do lots that floats miss",
        (1, ReportCode.FILLED, 60_000.1, {"qty": 9 * 0.001}), {"qty": "0.009000000000000001"}),
    ("half a tick, of a market of trades",
        (1, ReportCode.FILLED, 60_000.15, {}), {"price": "60000.15"}),
    ("fees keep 8 digits",
        (1, ReportCode.FILLED, 1.0, {"ref": 1e-8}), {"fee": "0.00000001"}),
    ("a rebate",
        (1, ReportCode.FILLED_MAKER, 1.0, {"ref": -0.5}), {"fee": "-0.5"}),
    ("a settled stake",
        (0, ReportCode.SETTLED_WON, 1.386175, {"role": Role.BINARY, "qty": 97.53}),
        {"qty": "97.53", "price": "1.386175", "client_id": "0-7-BINARY", "code": "SETTLED_WON"}),
]
# fmt: on


@pytest.mark.parametrize(("what", "order", "shows"), ORDERS, ids=[c[0] for c in ORDERS])
def test_orders(what: str, order: dict[str, Any], shows: dict[str, Any]) -> None:
    (row,) = journal(orders(sent(**order)), market())[0]
    assert {name: row.get(name) for name in shows} == shows


@pytest.mark.parametrize(("what", "told", "shows"), REPORTS, ids=[c[0] for c in REPORTS])
def test_reports(what: str, told: tuple[Any, ...], shows: dict[str, Any]) -> None:
    symbol, code, price, more = told
    (row,) = journal(NOTHING, answered(symbol, code, price, **more))[1]
    assert {name: row.get(name) for name in shows} == shows


def test_both_topics_are_numbered_per_lane_and_alone() -> None:
    order_rows = orders(sent(), sent(lane=2, row=OTHER_LANE), sent(), sent())
    report_rows = concat([answered(0, ReportCode.FILLED, 1.5)] * 3)
    made = journal(order_rows, report_rows)
    assert [(row["lane"], row["seq"]) for row in made[0]] == [(0, 0), (2, 0), (0, 1), (0, 2)]
    assert [(row["lane"], row["seq"]) for row in made[1]] == [(0, 0), (0, 1), (0, 2)]


def test_any_split_gives_the_same_rows() -> None:
    order_rows = orders(*(sent(lane=[0, 2][i % 2], row=[BTC, OTHER_LANE][i % 2]) for i in range(9)))
    report_rows = concat([answered(i % 2, ReportCode.FILLED, 1.5) for i in range(7)])
    whole = journal(order_rows, report_rows)
    for cut in range(8):
        state, first = JOURNAL.step(
            JOURNAL.initial(), (order_rows[:cut], take(report_rows, slice(0, cut)))
        )
        state = JOURNAL.load(JOURNAL.dump(state))
        _, rest = JOURNAL.step(state, (order_rows[cut:], take(report_rows, slice(cut, None))))
        assert (first[0] + rest[0], first[1] + rest[1]) == whole


def test_client_ids_are_unique_by_construction() -> None:
    ids = {client_id(lane, ref, role) for lane in range(3) for ref in range(20) for role in Role}
    assert len(ids) == 3 * 20 * len(Role)


def test_every_decimal_reads_back_as_its_float() -> None:
    random = np.random.default_rng(4)
    for ticks in random.integers(1, 10**7, 300).tolist():
        price = ticks * 0.1
        (row,) = journal(orders(sent(row=BTC, price=price)), market())[0]
        assert Decimal(row["price"]) == Decimal(ticks) / 10
