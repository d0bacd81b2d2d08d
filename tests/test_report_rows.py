"""Promise: a report read back from `reports.v1` is the row that the venue put out, bit for bit."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.desk import Desk
from operators.execution.executor import Executor
from operators.execution.journal import JsonRow, OrderJournal
from operators.execution.orders import ORDER_FIELDS
from operators.execution.report_rows import is_drained, report_rows
from operators.risk.worth import round_money
from schemas.digest import first_difference
from schemas.kinds import NO_SYMBOL, Kind, ReportCode, Role
from schemas.reasons import Reason
from schemas.rows import MarketRows, concat, take
from tests.desk_cases import NAN, START, market, records_like, report
from tests.desk_tape import desk_table, desk_tape
from tests.test_desk import RULES

TABLE = desk_table()
FILLED, DRAINED = ReportCode.FILLED, ReportCode.DRAINED


def filled(**more: Any) -> MarketRows:
    """One report as the desk writes it; what is not told is a fill of two at 100.5."""
    plain = report(START, 7, Role.ENTRY, FILLED, 1, 2.0, 100.5, venue_seq=-1)
    return market({**plain, **more})


def there(reports: MarketRows) -> list[JsonRow]:
    """The rows of `reports.v1`, as another process reads them."""
    journal = OrderJournal(TABLE)
    rows = journal.step(journal.initial(), (records_like(ORDER_FIELDS, 0), reports))[1][1]
    found: list[JsonRow] = json.loads(json.dumps(rows))
    return found


def same_bits(found: MarketRows, reports: MarketRows) -> None:
    """Bit for bit but for `seq`, which the log gives."""
    again = reports._replace(seq=np.zeros_like(reports.seq))
    assert first_difference(again, found) is None
    for name in MarketRows._fields:
        assert getattr(found, name).tobytes() == getattr(again, name).tobytes(), name


def test_there_and_back_for_every_report_of_a_busy_venue() -> None:
    # among them half ticks of a market of trades, mids of contracts, stakes, inverse contracts
    desk = Desk(TABLE.arrays(), RULES)
    out = desk.step(desk.initial(), desk_tape(4000, seed=1))[1]
    worker = Executor(TABLE.arrays(), RULES.venue)
    left = worker.step(worker.initial(), (out.features, out.decisions))[1].reports
    same_bits(report_rows(there(left), TABLE), left)
    logged = take(out.market, out.market.kind == Kind.REPORT)
    same_bits(report_rows(there(logged), TABLE), logged)
    assert set(left.role.tolist()) >= {Role.ENTRY, Role.STOP, Role.BINARY, Role.SECOND_LEG}
    assert np.isnan(left.price).any() or left.seq.size > 300


POSITIVE = st.floats(min_value=0, exclude_min=True, allow_infinity=False)


@given(POSITIVE, POSITIVE, st.integers(-(10**14), 10**14))
def test_there_and_back_for_any_number(price: float, qty: float, cents: int) -> None:
    fee = round_money(cents * 1e-9)
    rows = filled(qty=qty, price=price, ref=fee)
    same_bits(report_rows(there(rows), TABLE), rows)


def test_a_rebate_too_small_to_state_is_a_zero_without_sign() -> None:
    assert str(round_money(-4e-9)) == "0.0"


# fmt: off
TOLD = [
    # what                          report
    ("a rejection has no price",    {"code": ReportCode.REJECTED, "price": NAN}),
    ("a seller",                    {"side": -1}),
    ("a lane of its own symbols",   {"lane": 2, "symbol": 1}),
    ("times that differ",           {"ts_event_ns": START - 123_456_789}),
    ("a reason",                    {"reason": Reason.VENUE_NO_MARKET}),
    ("the largest envelope",        {"ref_id": 2**62}),
]
# fmt: on


@pytest.mark.parametrize(("what", "told"), TOLD, ids=[c[0] for c in TOLD])
def test_there_and_back(what: str, told: dict[str, Any]) -> None:
    rows = filled(**told)
    same_bits(report_rows(there(rows), TABLE), rows)


def test_a_drained_lane_is_no_row_of_the_market() -> None:
    one, drained = filled(), filled(code=DRAINED, symbol=NO_SYMBOL)
    rows = there(concat([one, drained, one]))
    assert [is_drained(row) for row in rows] == [False, True, False]
    same_bits(report_rows(rows, TABLE), concat([one, one]))
    assert report_rows(rows[1:2], TABLE).seq.size == 0
    assert report_rows([], TABLE).seq.size == 0


# fmt: off
MALFORMED = [  # of lane 0, seq 0; None: the field is missing
    # field          value               says
    ("seq",          "0",                "seq must be a 64-bit integer, was '0'"),
    ("lane",         3,                  "lane has no instruments"),
    ("lane",         True,               "lane must be a 64-bit integer, was True"),
    ("ts_event_ns",  1.5,                "ts_event_ns must be a 64-bit integer, was 1.5"),
    ("ts_recv_ns",   None,               "ts_recv_ns is missing"),
    ("ts_recv_ns",   2**63,              "ts_recv_ns must be a 64-bit integer, was 92233720"),
    ("ref_id",       8,                  "client_id must be one of 0-8-ENTRY, was '0-7-ENTRY'"),
    ("client_id",    "0-7-STOP",         "client_id must be one of 0-7-ENTRY, was '0-7-STOP'"),
    ("instrument",   "v20:EURUSD",       "instrument must be one of v00:EURUSD, v01:EURUSD"),
    ("role",         "ENTER",            "role must be one of NONE, ENTRY"),
    ("role",         ["ENTRY"],          "role must be one of NONE, ENTRY"),
    ("code",         "FULL",             "code must be one of .* known names, was 'FULL'"),
    ("side",         1,                  "side must be one of SELL, UNKNOWN, BUY, was 1"),
    ("reason",       "WHY",              "reason must be one of .* known names, was 'WHY'"),
    ("price",        100.5,              "price must be a decimal number in a text, was 100.5"),
    ("price",        "nan",              "price must be a decimal number in a text, was 'nan'"),
    ("qty",          "1e3",              "qty must be a decimal number in a text, was '1e3'"),
    ("qty",          "9" * 400,          "qty must be a float64"),
    ("fee",          "",                 "fee must be a decimal number in a text, was ''"),
    ("fee",          None,               "fee is missing"),
]
# fmt: on


@pytest.mark.parametrize(("field", "value", "says"), MALFORMED)
def test_a_malformed_row_is_named(field: str, value: Any, says: str) -> None:
    (row,) = there(filled())
    row = {**row, field: value}
    if value is None:
        del row[field]
    place = f"reports.v1, lane {row.get('lane')!r}, seq {row.get('seq')!r}: "
    with pytest.raises(ValueError, match=place + says):
        report_rows([row], TABLE)
