"""Reason codes: why a row was rejected, or why a decision did not trade. Append-only."""

from enum import IntEnum


class Reason(IntEnum):
    """One number per cause, in the order in which the gates ask; the text is for people."""

    text: str

    def __new__(cls, value: int, text: str = "") -> "Reason":
        member = int.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member

    OK = 0, "nothing is wrong"
    # rows: 1 to 49
    NULL_PRICE = 1, "a price that the row's kind needs is missing"
    NOT_FINITE = 2, "a price or size is NaN or infinite"
    NOT_POSITIVE = 3, "a price is zero or negative, or a size is negative"
    CROSSED_QUOTE = 4, "the bid is above the ask"
    RECV_REGRESSED = 5, "the receive time goes backwards within its source"
    EVENT_REGRESSED = 6, "the venue time goes backwards within its symbol and kind"
    UNKNOWN_SYMBOL = 7, "the symbol is not in the instrument table"
    NULL_TIME = 8, "the row has no time"
    OUT_OF_RANGE = 9, "a value lies outside the bounds of its kind"
    BAD_SIDE = 10, "the side is not -1, 0 or +1"
    SUPERSEDED = 11, "the book contains this message already"
    MESSAGE_REFUSED = 12, "another row of its book message was refused"
    MESSAGE_UNFINISHED = 13, "the last row of its book message, or one in between, did not come"
    # the lane, any engine: 50 to 79
    WARMING_UP = 50, "too few rows yet for the features of this instrument"
    STALE_QUOTE = 51, "the instrument's last quote is older than its limit"
    NO_TWO_SIDED_QUOTE = 52, "the instrument has no valid bid and ask"
    BOOK_UNHEALTHY = 53, "the venue's order book is not synced, or was wrong too often lately"
    # binary engine: 80 to 99
    BINARY_NOT_OFFERED = 80, "no binary contracts are offered on this instrument"
    BINARY_NO_SWING = 81, "no confirmed swing to draw retracements from"
    BINARY_OUT_OF_ZONE = 82, "the price is in no retracement zone"
    BINARY_EDGE_BELOW_COST = 83, "the chance to win does not pay for the loss at this payout"
    # spot engine: 100 to 119
    SPOT_NOT_TRADABLE = 100, "it cannot be held: an option, or nothing converts what it quotes"
    SPOT_NO_SWING = 101, "no confirmed swing to draw retracements from"
    SPOT_OUT_OF_ZONE = 102, "the price is not near the 61.8 % retracement"
    SPOT_NO_SHORT = 103, "its venue lends none of it for a short sale"
    SPOT_REWARD_RISK = 104, "the take-profit is too near for the stop"
    SPOT_EDGE_BELOW_COST = 105, "the take-profit does not pay for spread and fees"
    SPOT_AGAINST_MODEL = 106, "the model expects the other direction"
    # arbitrage engine: 120 to 139
    ARB_NO_SECOND_VENUE = 120, "the asset trades on no second venue of this lane"
    ARB_SECOND_STALE = 121, "the other venue's last quote is older than its limit"
    ARB_WARMING_UP = 122, "too few rows yet for the spread between the venues"
    ARB_NOT_STRETCHED = 123, "the spread is near its mean"
    ARB_NOT_COMPRESSED = 124, "the spread has not been quiet before it moved"
    ARB_EDGE_BELOW_COST = 125, "the spread does not pay for both legs' costs"
    ARB_SECOND_UNHEALTHY = 126, "the other venue's order book is not to be trusted"
    # portfolio and safety: 150 to 189
    NO_ENGINE = 150, "no engine can serve this instrument"
    HALTED = 151, "an operator's halt is in force"
    DRAWDOWN_STOP = 152, "equity fell 10 % below its peak; an operator must resume"
    DAILY_LOSS = 153, "the day's loss reached its limit"
    LOSS_STREAK = 154, "too many losses in a row; cooling down until an operator resumes"
    DAILY_TRADES = 155, "the day's number of trades reached its limit"
    CONFIDENCE_TOO_LOW = 156, "the confidence is below the constitution's minimum"
    ORDER_IN_FLIGHT = 157, "an envelope of this engine and instrument has no answer yet"
    POSITION_OPEN = 158, "this engine already holds a position in this instrument"
    ENVELOPES_FULL = 159, "the table of open envelopes is full"
    POSITION_LIMIT = 160, "the position would pass its share of equity"
    EXPOSURE_LIMIT = 161, "all positions together would pass their share of equity"
    BELOW_MIN_SIZE = 162, "the size is below the instrument's minimum lot"
    NO_RATE = 163, "no rate from the instrument's currency to the desk's"
    SHADOW_MODE = 164, "the desk runs in shadow mode and sends no orders"
    # venue and orders: 200 to 229
    VENUE_NO_MARKET = 200, "the venue had no price to fill against"
    VENUE_REDUCE_ONLY = 201, "nothing was left to reduce"
    VENUE_REFUND_TIE = 202, "the contract ended at its strike"
    VENUE_REFUND_STALE = 203, "no valid quote near the contract's expiry"
    STOP_HIT = 204, "the stop was reached"
    TARGET_HIT = 205, "the take-profit was reached"
    HOLD_EXPIRED = 206, "the longest holding time was over"
    SPREAD_CONVERGED = 207, "the spread between the venues came back"
    LEG_FAILED = 208, "the other leg was rejected"


def reason_name(number: int) -> str:
    """The name of a reason; a number that none has is itself, as of a log that somebody else wrote.

    >>> reason_name(4), reason_name(48)
    ('CROSSED_QUOTE', '48')
    """
    return Reason(number).name if number in Reason.__members__.values() else str(number)
