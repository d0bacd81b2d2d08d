"""What the state of a book is called, what happens to it, and why. Append-only: they are logged."""

from enum import IntEnum


class BookState(IntEnum):
    """How far the book of one venue's symbol can be trusted."""

    NONE = 0  # no snapshot yet
    SYNCED = 1  # every change since the snapshot is proven to be in it
    GAP = 2  # a change is missing
    RESYNC = 3  # a new snapshot has been asked for
    CHECKSUM_FAIL = 4  # the venue's checksum says that it is wrong
    CROSSED = 5  # the bid is above the ask
    STALE = 6  # the venue has been silent for longer than the feed's budget
    HALTED = 7  # taken out of use until it is resumed
    UNPROVABLE = 8  # as far as anyone knows: its feed gives no way to prove it, audits bound that


GOOD = (BookState.SYNCED, BookState.UNPROVABLE)  # those in which a book may be used


class BookEvent(IntEnum):
    """What can happen to a book."""

    SNAPSHOT = 0  # a whole snapshot is in it
    MESSAGE = 1  # a whole message is in it, and it is not crossed
    ALIVE = 2  # the venue showed that the feed is alive: a heartbeat
    GAP = 3  # a message is missing, broken or cut short
    CHECKSUM_FAIL = 4
    CROSSED = 5  # after a whole message its bid is not below its ask
    STALE = 6  # silent beyond its budget; the operator `BookStatus` says so itself
    RESYNC = 7  # a snapshot was asked for
    HALT = 8
    RESUME = 9


class BookReason(IntEnum):
    """Why; the numbers are free ones of `schemas.reasons`, so that they fit its column."""

    text: str

    def __new__(cls, value: int, text: str = "") -> "BookReason":
        member = int.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member

    OK = 0, "nothing is wrong"
    NO_SNAPSHOT = 230, "the book has had no snapshot yet"
    UNFINISHED = 231, "the last row of a message did not come"
    BAD_ROW = 232, "a row of a message cannot be a book level"
    SEQUENCE_GAP = 233, "the venue's numbers say that a message is missing"
    CHECKSUM = 234, "the venue's checksum does not fit the book"
    CROSSED = 235, "the best bid is not below the best ask"
    STALE = 236, "nothing came from the venue for longer than its budget"
    DISCONNECTED = 237, "the connection to the venue was lost"
    AUDIT = 238, "the book differs from the venue's own snapshot"
    OPERATOR = 239, "an operator halted or resumed the venue"
    RESTARTED = 240, "the program was restarted inside a message"
    CLOCK_JUMP = 241, "this computer's clock was set; the book is as it was before"
    EVICTED = 242, "levels were dropped for want of room; the book is as it was before"
    REORGANISED = 243, "the chain replaced blocks that were read; what they said is void"
    UNAUDITED = 244, "two audits in a row came to no result"


class OrderAction(IntEnum):
    """What one row of an order-by-order feed does."""

    ADD = 1  # a new order
    CHANGE = 2  # an order now has this price and this quantity left
    REDUCE = 3  # so much of an order was cancelled
    DELETE = 4
    EXECUTE = 5  # so much of a resting order was filled
    EXECUTE_HIDDEN = 6  # an order that was never shown was filled: the book stays
    SET = 7  # ADD or CHANGE: the feed does not say which, and an order may come back
    FILL = 8  # so much of a resting order was filled; another row, soon, takes it off
