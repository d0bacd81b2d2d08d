"""The words of the log: what a row is, which side, which engine, which state of an order.

Every enum here is append-only: its numbers stay on the log for ever.
"""

from enum import IntEnum, IntFlag

NO_SYMBOL = -1  # the row belongs to a lane, not to an instrument (heartbeat, control)
NO_ID = -1  # the row refers to no envelope


class Kind(IntEnum):
    """What a row of `market.v1` is."""

    TRADE = 1
    QUOTE = 2
    BOOK = 3  # one level of a book delta or snapshot; size 0 removes the level
    BAR = 4
    FUNDING = 5
    OPEN_INTEREST = 6
    MARK = 7
    BOOK_STATUS = 8
    REPORT = 9  # an execution report, `code` is a ReportCode
    CONTROL = 10  # an operator's command, `code` is a Control
    HEARTBEAT = 11
    PROPOSAL = 12  # `proposals.v1` only: one engine's proposal
    DECISION = 13  # `decisions.v1` only
    PROGRESS = 14  # `decisions.v1` only: every decision up to this row is out


class Flag(IntFlag):
    """Bits of the column `flags`."""

    MSG_LAST = 1  # the last row of one venue message
    SNAPSHOT = 2  # the row is part of a book snapshot
    END = 4  # the row closes its lane: nothing follows
    LAST_CALL = 8  # the lane's sources have ended; orders may still be answered until its END row
    CROSSED = 16  # a quote whose bid is above its ask, in a market where that happens: no price


class Side(IntEnum):
    """Buyer or seller; 0 where the feed does not say."""

    SELL = -1
    UNKNOWN = 0
    BUY = 1


class Engine(IntEnum):
    """The three engines, in written order."""

    BINARY = 0
    SPOT = 1
    ARBITRAGE = 2


class Role(IntEnum):
    """Why an order exists inside its envelope."""

    NONE = 0
    ENTRY = 1
    STOP = 2
    TARGET = 3
    FLATTEN = 4  # holding time over, or the pair has converged
    SECOND_LEG = 5
    SECOND_FLATTEN = 6
    BINARY = 7


class ReportCode(IntEnum):
    """What an execution report says."""

    NONE = 0
    ACCEPTED = 1
    FILLED = 2  # complete fill as taker
    FILLED_MAKER = 3  # complete fill as maker
    REJECTED = 4
    CANCELLED = 5
    SETTLED_WON = 6
    SETTLED_LOST = 7
    REFUNDED = 8
    DRAINED = 9  # `reports.v1` only: the lane's last call was heard, and no report follows


class Control(IntEnum):
    """Commands that an operator writes into the log."""

    NONE = 0
    HALT = 1
    RESUME = 2
    SWAP_MODEL = 3
    HALT_BOOK = 4  # `ref_id`: the row of the instrument table whose book it is about
    RESUME_BOOK = 5
