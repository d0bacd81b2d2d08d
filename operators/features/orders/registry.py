"""Every feature of queues of single orders: when it is warm, when it is null, unit and source."""

from operators.features.feature import ORDERS, Feature, Terms
from operators.features.flow.windows import WINDOW_NS
from operators.features.orders import queue
from operators.features.orders.books import BEGUN_EMPTY_NS
from operators.features.orders.queue import QueuePosition
from operators.features.orders.rates import OrderRates
from operators.features.orders.tops import BestOrders


def _tops(terms: Terms) -> BestOrders:
    return BestOrders(terms.instruments.lane.size)


def _rates(terms: Terms) -> OrderRates:
    return OrderRates(terms.instruments.lane.size)


def _queue(terms: Terms) -> QueuePosition:
    return QueuePosition(terms.instruments.lane.size)


_QTY, _QUOTE, _SHARE, _PER_S = "instrument's units", "quote units", "0 to 1", "orders per second"
_FROM = (ORDERS,)
_BOOK = f"1 snapshot, or {BEGUN_EMPTY_NS // 60_000_000_000} min of a book that had none"
_NO_SIDE = "the book is gapped or crossed, or has no order there"
_WINDOW_S = f"{WINDOW_NS // 1_000_000_000} s of orders, no break"
_GAP = f"the first {WINDOW_NS // 1_000_000_000} s after a gap or a snapshot"
_NOT_TOLD = "or the feed does not say what was filled"
_SHOWN = f"{_BOOK}, and {queue.SHOWN_NS // 1_000_000_000} s"
_NOBODY = f"no imagined order of {queue.SHOWN_NS // 1_000_000_000} s or more waits"
_ENDED = f"{queue.ENDED_MIN} imagined orders, one a second, followed for 10 s each"
_HP, _HS = "Harris, Panchapagesan 2005", "Hasbrouck, Saar 2009"
_LMZ, _CST, _MY = "Lo, MacKinlay, Zhang 2002", "Cont, Stoikov, Talreja 2010", "Moallemi, Yuan 2017"

# fmt: off
FEATURES: tuple[Feature, ...] = (
    *(
        Feature(f"order_{side}_{what}", _tops, _FROM, unit, 0, _BOOK, _NO_SIDE, _HP)
        for what, unit in (("px", _QUOTE), ("qty", _QTY), ("count", "orders"))
        for side in ("bid", "ask")
    ),
    Feature("order_count_imbalance", _tops, _FROM, "-1 to 1", 0, _BOOK, _NO_SIDE, _HP),
    Feature("order_bid_age", _tops, _FROM, "seconds", 0, _BOOK, _NO_SIDE, _LMZ),
    Feature("order_ask_age", _tops, _FROM, "seconds", 0, _BOOK, _NO_SIDE, _LMZ),
    *(
        Feature(f"order_{side}_{what}", _rates, _FROM, _PER_S, WINDOW_NS, _WINDOW_S, _GAP, _CST)
        for what in ("arrivals", "cancels")
        for side in ("bid", "ask")
    ),
    Feature("order_cancel_share", _rates, _FROM, _SHARE, WINDOW_NS, _WINDOW_S,
            f"nothing left for 10 s, {_NOT_TOLD}; {_GAP}", _HS),
    *(
        Feature(f"queue_{side}_{what}", _queue, _FROM, unit, queue.SHOWN_NS, _SHOWN, _NOBODY, _MY)
        for side in ("bid", "ask")
        for what, unit in (
            ("ahead_qty", _QTY), ("ahead_count", "orders"), ("ahead_share", _SHARE),
        )
    ),
    Feature("queue_bid_fill_share", _queue, _FROM, _SHARE, queue.FOLLOWED_NS, _ENDED,
            f"never once warm, {_NOT_TOLD}", _LMZ),
    Feature("queue_ask_fill_share", _queue, _FROM, _SHARE, queue.FOLLOWED_NS, _ENDED,
            f"never once warm, {_NOT_TOLD}", _LMZ),
)
# fmt: on
