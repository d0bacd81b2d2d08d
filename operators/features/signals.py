"""The features that a desk has chosen, as one block of float64: market rows in, values out."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from operators.arrays import ArrayOperator, kernel
from operators.features.feature import BOOK, MIDS, ORDERS, PRICE, QUOTES, TRADES, Make, Terms
from operators.features.flow.events import EventsState, FlowEvents, flow_input
from operators.features.flow.flow import FlowSignal
from operators.features.flow.rows import NO_INSTRUMENT
from operators.features.levels import BookLevels, cut_books
from operators.features.orders.books import OrderBooks
from operators.features.orders.events import NO_EVENTS, OrderEvents
from operators.features.registry import ALL, chosen
from operators.features.signal import Signal, SignalBlock, SignalInput
from operators.market.books.l2_state import BOOK_FIELDS, BookTerms, L2State
from operators.market.books.l3 import blank_orders
from operators.market.books.l3_state import L3State
from operators.market.books.sides import blank_sides
from operators.records import blank_records
from schemas.kinds import Kind
from schemas.rows import F8, I2, I4, U1, MarketRows

_LAST_OF_MARKET = int(Kind.BOOK_STATUS)  # what follows is the desk's own: reports, commands


class States(tuple[Any, ...]):
    """The states of several operators, in their order."""

    def __new__(cls, *states: Any) -> "States":
        return super().__new__(cls, states)


class SignalsState(NamedTuple):
    """All that the chosen features remember."""

    books: L2State  # of no instrument where no feature needs a book
    orders: L3State  # the same; books that come order by order
    events: EventsState
    features: States


class Signals(ArrayOperator[SignalsState]):
    """Computes the features of these names, and nothing for the others.

    Parameters
    ----------
    terms : Terms
        The table, to which `lane` and `symbol` of a row point, and what else is known beforehand.
    words : iterable of str
        Names of sets and features of the registry; columns come in their order.
    books : BookTerms or None
        What each feed shows of the book; None: all changes, and snapshots cut at some level.

    Notes
    -----
    In: MarketRows, shape (n,). Out: SignalBlock, values of shape (n, names): one row per market
    row, the present values of its instrument as of that row; NaN (null) where the row is about no
    instrument, for features of flow also where it is no flow, and where and until the registry
    says.
    Books: rebuilt where a chosen feature reads them, or reads quotes or trades of a market that has
    no quotes.
    They change at MSG_LAST, so features do; one that is gapped has no levels. Those that come order
    by order are rebuilt beside them (`OrderBooks`), and their levels are read as any others.
    Time: venue time, never backwards. Chunks: any split of the same rows gives the same bytes.
    State: the sum of the chosen operators', per set at most `STATE_BYTES_MAX` of the registry for
    each instrument, and the books.
    Errors: ValueError for words that the registry refuses.

    Examples
    --------
    >>> from schemas.instruments import InstrumentTable
    >>> from schemas.rows import empty
    >>> signals = Signals(Terms.of(InstrumentTable(1, "USD", ())), ["cvd", "microprice"])
    >>> block = signals.step(signals.initial(), empty(MarketRows, 3))[1]
    >>> block.values.shape, signals.columns(block)["cvd"].shape
    ((3, 2), (3,))
    """

    def __init__(
        self, terms: Terms, words: Iterable[str] = (ALL,), *, books: BookTerms | None = None
    ) -> None:
        features = chosen(words)
        self.names = tuple(feature.name for feature in features)
        inputs = {each for feature in features for each in feature.inputs}
        instruments = terms.instruments
        without_quotes = bool((instruments.has_quotes == 0).any())
        # Trades too: where no side is told it follows from the quote, and must not depend on what
        # else is chosen.
        quoted = bool(inputs & {QUOTES, MIDS, PRICE, TRADES})
        self.has_books = BOOK in inputs or (quoted and without_quotes)
        self.has_orders = self.has_books or ORDERS in inputs
        self._orders = OrderBooks(instruments)
        self._books = BookLevels(instruments, books or cut_books([0] * instruments.lane.size))
        self._base, self._count = instruments.base, instruments.n_of_lane
        self._events = FlowEvents(instruments)
        makers: dict[Make, Signal[Any]] = {}
        for feature in features:
            if feature.operator not in makers:
                makers[feature.operator] = feature.operator(terms)
        self._only_flow = all(isinstance(each, FlowSignal) for each in makers.values())
        place = {name: at for at, name in enumerate(self.names)}
        self._features = [
            (operator, np.array([place.get(name, -1) for name in operator.NAMES]))
            for operator in makers.values()
        ]

    def initial(self) -> SignalsState:
        states = (operator.initial() for operator, _ in self._features)
        no_books = L2State(blank_records(BOOK_FIELDS, 0), *blank_sides(0, columns=2))
        books = self._books.initial() if self.has_books else no_books
        orders = blank_orders(0, begins_empty=True)
        if self.has_orders:
            orders = self._orders.initial()
        return SignalsState(books, orders, self._events.initial(), States(*states))

    def step(self, state: SignalsState, rows: MarketRows) -> tuple[SignalsState, SignalBlock]:
        levels, told = np.empty((rows.seq.size, 4, 0)), NO_EVENTS
        if self.has_books:
            books, block = self._books.step(state.books, rows)
            state, levels = state._replace(books=books), block.levels
        if self.has_orders:
            orders, told = self._orders.step(state.orders, rows, levels)
            state = state._replace(orders=orders)
        return self.step_behind_books(state, rows, levels, told)

    def step_behind_books(
        self, state: SignalsState, rows: MarketRows, levels: F8, orders: OrderEvents = NO_EVENTS
    ) -> tuple[SignalsState, SignalBlock]:
        """The same of books that somebody else has rebuilt; `levels` as in `LevelsBlock`."""
        _, flow = self._events.step(state.events, flow_input(rows, levels))
        k = flow.k
        if not self._only_flow:  # who reads flow rows alone does not ask, and it is 2 us a call
            k = np.empty(rows.seq.size, np.int32)
            _find(self._base, self._count, rows.kind, rows.lane, rows.symbol, k)
        values = np.empty((rows.seq.size, len(self.names)))
        known = SignalInput(rows, k, flow, orders)
        for (operator, columns), own in zip(self._features, state.features, strict=True):
            operator.fill(own, known, values, columns)
        return state, SignalBlock(values)

    def columns(self, block: SignalBlock) -> dict[str, F8]:
        """Each feature's values by name: views of the block, no copies."""
        return {name: block.values[:, j] for j, name in enumerate(self.names)}


@kernel
def _find(base: I4, count: I4, kind: U1, lane: I2, symbol: I4, k: I4) -> None:
    """The instrument that each row of the market is about."""
    for i in range(k.size):
        known = kind[i] <= _LAST_OF_MARKET and 0 <= lane[i] < base.size
        k[i] = NO_INSTRUMENT
        if known and 0 <= symbol[i] < count[lane[i]]:
            k[i] = base[lane[i]] + symbol[i]
