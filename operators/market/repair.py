"""What can honestly be mended in rows that the gate has refused, and how."""

import numpy as np

from schemas.kinds import Kind, Side
from schemas.reasons import Reason
from schemas.rows import I8, MarketRows

VARIES = -1  # the delay of a source whose rows took differently long

# Per reason what is done with its rows. Those of other reasons stay as they are, reason and all: a
# time that is missing or was not one stands at another row's, an unknown symbol has lost its name,
# and a row that was late by its venue's clock would be known before it came if it were put earlier.
REPAIRS = {
    Reason.NULL_PRICE: "judged again, as what may be missing was declared since",
    Reason.NOT_POSITIVE: "judged again, as bounds were declared since",
    Reason.CROSSED_QUOTE: "judged again: kept with a flag where quotes may cross",
    Reason.NOT_FINITE: "a size that is no number becomes null, if all prices are numbers",
    Reason.BAD_SIDE: "a trade's side becomes unknown",
    Reason.MESSAGE_REFUSED: "judged again, together with its message",
    Reason.RECV_REGRESSED: "put where it belongs, if receive times are venue times plus a latency",
}
_AGAIN = tuple(
    int(reason)
    for reason in (
        Reason.NULL_PRICE,
        Reason.NOT_POSITIVE,
        Reason.CROSSED_QUOTE,
        Reason.MESSAGE_REFUSED,
    )
)
_PRICES = {
    Kind.TRADE: ("price",),
    Kind.QUOTE: ("bid_px", "ask_px"),
    Kind.BAR: ("open", "high", "low", "price"),
}
_SIZES = ("qty", "bid_qty", "ask_qty")


def repaired(rows: MarketRows, delay_ns: I8) -> MarketRows:
    """Refused rows with what could be mended, for the gate to judge again.

    Parameters
    ----------
    rows : MarketRows
        With the reason of each; they stay as they are.
    delay_ns : int64, shape (sources,)
        What the accepted rows of each source took, `ts_recv_ns - ts_event_ns`, VARIES where that
        was not the same for all.

    Returns
    -------
    MarketRows
        In the same order. `reason` is OK where `REPAIRS` has something for it, which does not say
        that the row is good now: the gate says that.
    """
    reason, side, ts_recv_ns = rows.reason.copy(), rows.side.copy(), rows.ts_recv_ns.copy()
    sizes = {name: getattr(rows, name).copy() for name in _SIZES}
    reason[np.isin(reason, _AGAIN)] = Reason.OK

    wrong = rows.reason == Reason.BAD_SIDE
    wrong &= rows.kind == Kind.TRADE
    side[wrong], reason[wrong] = Side.UNKNOWN, Reason.OK

    for kind, prices in _PRICES.items():
        wrong = (rows.reason == Reason.NOT_FINITE) & (rows.kind == kind)
        for name in prices:
            wrong &= np.isfinite(getattr(rows, name))
        for column in sizes.values():
            column[wrong & ~np.isfinite(column)] = np.nan
        reason[wrong] = Reason.OK

    delay = delay_ns[rows.source]
    wrong = (rows.reason == Reason.RECV_REGRESSED) & (delay != VARIES)
    ts_recv_ns[wrong] = (rows.ts_event_ns + delay)[wrong]
    reason[wrong] = Reason.OK
    return rows._replace(reason=reason, side=side, ts_recv_ns=ts_recv_ns, **sizes)
