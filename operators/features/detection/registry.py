"""Every detector's feature: what it reads, when it is warm, when it is null, unit and source."""

from operators.features.detection.book_shape import DEPTH as SHAPE_LEVELS
from operators.features.detection.book_shape import WARM_NS, BookShape
from operators.features.detection.hidden import HiddenOrders
from operators.features.detection.icebergs import Icebergs
from operators.features.detection.order_icebergs import OrderIcebergs
from operators.features.detection.refills import ENDED_MIN
from operators.features.detection.spoofs import SIZES_MIN, Spoofs
from operators.features.feature import ORDERS, Feature, Terms
from operators.features.flow.depth import DEPTH

BOOK, TRADES = f"book, {DEPTH} levels", "trades"


def _icebergs(terms: Terms) -> Icebergs:
    return Icebergs(terms.instruments, excluded=terms.instruments.conflated)


def _spoofs(terms: Terms) -> Spoofs:
    return Spoofs(terms.instruments, excluded=terms.instruments.conflated)


def _shape(terms: Terms) -> BookShape:
    return BookShape(terms.instruments)


def _hidden(terms: Terms) -> HiddenOrders:
    return HiddenOrders(terms.instruments)


def _order_icebergs(terms: Terms) -> OrderIcebergs:
    return OrderIcebergs(terms.instruments, excluded=terms.instruments.conflated)


_BOTH, _QTY, _QUOTE = (BOOK, TRADES), "instrument's units", "quote units"
_SNAPSHOT, _LOST = "1 whole snapshot", "the book is not known, or its feed conflated"
_NONE = f"{_LOST}, or no iceberg is seen"
_FEW = f"{_NONE}, or fewer than {ENDED_MIN} have ended"
_SIZES = f"{_SNAPSHOT}, then {SIZES_MIN} orders near the best"
_LEVEL = f"one of {2 * SHAPE_LEVELS} levels is not known"
_ORDER = "1 row about an order"
_ZA, _TDLD = "Zotikov, Antonov 2021", "Tao, Day, Ling, Drapeau 2020"
_KM = f"{_ZA}; Kaplan, Meier 1958"
_GAPPED = "the book is gapped"
_NO_CHAIN = f"{_GAPPED}, or no iceberg is seen"
_FEW_CHAINS = f"{_NO_CHAIN}, or fewer than {ENDED_MIN} have ended"
_FLAT = f"{_LEVEL}, or nothing has varied"

# fmt: off
FEATURES: tuple[Feature, ...] = (
    *(
        Feature(f"iceberg_{side}_{what}", _icebergs, _BOTH, unit, 0, _SNAPSHOT, null, source)
        for side in ("bid", "ask")
        for what, unit, null, source in (
            ("refills", "refills", _LOST, _ZA), ("peak", _QTY, _NONE, _ZA),
            ("qty", _QTY, _NONE, _ZA), ("expected_qty", _QTY, _FEW, _KM),
            ("px", _QUOTE, _NONE, _ZA),
        )
    ),
    *(
        Feature(f"order_iceberg_{side}_{what}", _order_icebergs, (ORDERS,), unit, 0, _ORDER, null,
                source)
        for side in ("bid", "ask")
        for what, unit, null, source in (
            ("refills", "refills", _GAPPED, _ZA), ("peak", _QTY, _NO_CHAIN, _ZA),
            ("qty", _QTY, _NO_CHAIN, _ZA), ("expected_qty", _QTY, _FEW_CHAINS, _KM),
            ("px", _QUOTE, _NO_CHAIN, _ZA),
        )
    ),
    Feature("spoof_bid", _spoofs, _BOTH, "0 to 1", 0, _SIZES, _LOST, _TDLD),
    Feature("spoof_ask", _spoofs, _BOTH, "0 to 1", 0, _SIZES, _LOST, _TDLD),
    Feature("layering_bid", _spoofs, _BOTH, "prices", 0, _SIZES, _LOST, _TDLD),
    Feature("layering_ask", _spoofs, _BOTH, "prices", 0, _SIZES, _LOST, _TDLD),
    Feature("book_wasserstein", _shape, (BOOK,), "ticks", 0, "1 book", _LEVEL, _TDLD),
    Feature("book_wasserstein_z", _shape, (BOOK,), "standard deviations", WARM_NS,
            f"{WARM_NS // 1_000_000_000} s of books", _FLAT, _TDLD),
    Feature("hidden_bid_qty", _hidden, (ORDERS,), _QTY, 0, _ORDER, "never", "the venue's word"),
    Feature("hidden_ask_qty", _hidden, (ORDERS,), _QTY, 0, _ORDER, "never", "the venue's word"),
)
# fmt: on
