"""Parsed frames as one line of text, for case tables that read as what the venue said."""

from operators.market.books.words import OrderAction
from schemas.kinds import Flag, Kind, Side
from venues.frames import FrameClass, Parsed

RECV_NS = 9_000_000_000_000  # when the frames of case tables are received
SIDES = {Side.BUY: "buy", Side.SELL: "sell", Side.UNKNOWN: "trade"}


def said(parsed: Parsed) -> str:
    """Data: the rows in words; anything else: the class and the reason.

    `S` marks a snapshot's row, `|` the last row of a venue message.
    """
    if parsed.kind != FrameClass.DATA:
        return f"{parsed.kind.name.lower()} {parsed.stream}: {parsed.reason}".removesuffix(": ")
    rows = parsed.rows()
    words = [_row(rows, k) for k in range(rows.seq.size)]
    words += [f"refused {n}: {reason}" for n, reason in parsed.refused]
    return " ".join(words)


def times(parsed: Parsed) -> set[int]:
    """The event times of a frame's rows."""
    return set(parsed.rows().ts_event_ns.tolist())


def _row(rows, k: int) -> str:
    price, qty, ref = (f"{column[k]:.12g}" for column in (rows.price, rows.qty, rows.ref))
    bid, bid_qty, ask, ask_qty = (
        f"{column[k]:.12g}" for column in (rows.bid_px, rows.bid_qty, rows.ask_px, rows.ask_qty)
    )
    words = {
        Kind.BOOK: f"{'bid' if rows.side[k] == Side.BUY else 'ask'} {price} x {qty}",
        Kind.TRADE: f"{SIDES[Side(rows.side[k])]} {price} x {qty}",
        Kind.QUOTE: f"quote {bid} x {bid_qty} / {ask} x {ask_qty}",
        Kind.BAR: f"bar {rows.open[k]:g} {rows.high[k]:g} {rows.low[k]:g} {price} v {qty} {ref}s",
        Kind.MARK: f"mark {price} index {ref}",
        Kind.FUNDING: f"funding {price} every {ref}s",
        Kind.OPEN_INTEREST: f"oi {qty}",
    }[Kind(rows.kind[k])]
    if rows.code[k]:
        words = f"{OrderAction(rows.code[k]).name.lower()} #{rows.ref_id[k]} {words}"
    snapshot = "S " if rows.flags[k] & Flag.SNAPSHOT else ""
    return snapshot + words + (" |" if rows.flags[k] & Flag.MSG_LAST else "")
