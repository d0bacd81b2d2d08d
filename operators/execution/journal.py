"""Orders and reports as JSON rows: decimals as texts, numbered per lane."""

from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from operators.arrays import I8, ArrayOperator
from operators.execution.orders import OrderType
from operators.ledger.money import exact, exact_money, text
from operators.market.sequencer import Sequencer, SequencerState
from operators.records import Records
from schemas.instruments import Instrument, InstrumentTable
from schemas.kinds import ReportCode, Role, Side
from schemas.reasons import Reason
from schemas.rows import MarketRows

JsonRow = dict[str, Any]
REASONS = {int(reason): reason.name for reason in Reason}


class OrderJournalState(NamedTuple):
    """The next numbers of both topics."""

    orders: SequencerState
    reports: SequencerState


class OrderJournal(ArrayOperator[OrderJournalState]):
    """One JSON row per order sent and per report received.

    Parameters
    ----------
    table : InstrumentTable

    Notes
    -----
    In: orders (ORDER_FIELDS records, in sending order) and MarketRows of kind REPORT. Out: rows of
    `orders.v1` and of `reports.v1`, with `seq` contiguous per lane. A report that is not on the log
    yet (its seq is negative) has no `market_seq`, and one of code DRAINED says that alone.
    Prices and quantities are decimal texts: those of orders whole ticks and lots, as a venue takes
    them; those of reports the shortest that read back as the very float, for a report in another
    process must be the same row. The client id `lane-envelope-ROLE` is the same whenever the row is
    derived again, and for the order that follows a rejected one.
    """

    def __init__(self, table: InstrumentTable) -> None:
        self.table = table
        self._rows = table.arrays()
        self._sequencer = Sequencer(table.lanes)

    def initial(self) -> OrderJournalState:
        return OrderJournalState(self._sequencer.initial(), self._sequencer.initial())

    def step(
        self, state: OrderJournalState, rows: tuple[Records, MarketRows]
    ) -> tuple[OrderJournalState, tuple[list[JsonRow], list[JsonRow]]]:
        orders, reports = rows
        _, order_seq = self._sequencer.number(state.orders, np.asarray(orders["lane"]))
        _, report_seq = self._sequencer.number(state.reports, reports.lane)
        return state, (
            [self._order(order, int(seq)) for order, seq in zip(orders, order_seq, strict=True)],
            self._report_rows(reports, report_seq),
        )

    def _order(self, order: Any, seq: int) -> JsonRow:
        instrument = self.table.instruments[int(order["row"])]
        kind = OrderType(int(order["order_type"]))
        row = {
            "seq": seq,
            "lane": int(order["lane"]),
            "ts_recv_ns": int(order["sent_ns"]),
            "market_seq": int(order["market_seq"]),
            "ref_id": int(order["ref_id"]),
            "client_id": client_id(int(order["lane"]), int(order["ref_id"]), int(order["role"])),
            "instrument": instrument.id,
            "role": Role(int(order["role"])).name,
            "order_type": kind.name,
            "side": Side(int(order["side"])).name,
            "qty": _qty(instrument, float(order["qty"]), kind is OrderType.BINARY),
            "reason": REASONS[int(order["reason"])],
        }
        if not np.isnan(order["price"]):
            row["price"] = text(exact(float(order["price"]), Decimal(instrument.tick)))
        if order["hold_ns"]:
            row["hold_ns"] = int(order["hold_ns"])
        return row

    def _report_rows(self, reports: MarketRows, seqs: I8) -> list[JsonRow]:
        return [self._report(reports, i, int(seq)) for i, seq in enumerate(seqs)]

    def _report(self, reports: MarketRows, i: int, seq: int) -> JsonRow:
        lane, role, code = int(reports.lane[i]), int(reports.role[i]), int(reports.code[i])
        place = {
            "seq": seq,
            "lane": lane,
            "ts_event_ns": int(reports.ts_event_ns[i]),
            "ts_recv_ns": int(reports.ts_recv_ns[i]),
        }
        if code == ReportCode.DRAINED:
            return place | {"code": ReportCode.DRAINED.name}
        if reports.seq[i] >= 0:
            place["market_seq"] = int(reports.seq[i])
        k = int(self._rows.base[lane]) + int(reports.symbol[i])
        price = float(reports.price[i])
        return place | {
            "ref_id": int(reports.ref_id[i]),
            "client_id": client_id(lane, int(reports.ref_id[i]), role),
            "instrument": self.table.instruments[k].id,
            "role": Role(role).name,
            "code": ReportCode(code).name,
            "side": Side(int(reports.side[i])).name,
            "qty": text(exact_money(float(reports.qty[i]))),
            "price": None if np.isnan(price) else text(exact_money(price)),
            "fee": text(exact_money(float(reports.ref[i]))),
            "reason": REASONS[int(reports.reason[i])],
        }


def client_id(lane: int, ref_id: int, role: int) -> str:
    """The id under which a venue knows an order, made before sending and reused on retry."""
    return f"{lane}-{ref_id}-{Role(role).name}"


def _qty(instrument: Instrument, qty: float, is_stake: bool) -> str:
    if is_stake:
        return text(exact_money(qty))
    return text(exact(qty, Decimal(instrument.lot)))
