"""The column layouts of tapes: which file is what, and whether its columns can be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.types as pt

from schemas.kinds import Kind
from schemas.times import is_moment
from venues.tape.errors import TapeError

TIME, TEXT, NUMBER, WHOLE, FLAG = "time", "text", "number", "whole number", "boolean"


@dataclass(frozen=True)
class Layout:
    """One supported layout. Columns that it does not name are ignored."""

    name: str  # also the folder that such files usually lie in
    kind: Kind
    marks: frozenset[str]  # columns that tell it from the other layouts
    columns: dict[str, str]  # needed, with the type each must have
    optional: dict[str, str]
    prices: tuple[str, ...]  # columns on the price grid
    sizes: tuple[str, ...]  # columns on the quantity grid


_KEY = {"ts_ns": TIME, "venue": TEXT, "symbol": TEXT}
_BID = ("bid_open", "bid_high", "bid_low", "bid_close")
_ASK = ("ask_open", "ask_high", "ask_low", "ask_close")
_BAR = ("open", "high", "low", "close")

ORDERS = Layout(
    "orders_l3", Kind.BOOK, frozenset({"action", "order_id"}),
    {**_KEY, "action": TEXT, "side": WHOLE, "price": NUMBER, "size": NUMBER, "order_id": TEXT},
    {"seq": WHOLE, "recv_ns": TIME}, ("price",), ("size",),
)  # fmt: skip
LAYOUTS = (
    ORDERS,  # before trades, whose columns it has too
    Layout(
        "book", Kind.BOOK, frozenset({"is_snapshot"}),
        {**_KEY, "side": WHOLE, "price": NUMBER, "size": NUMBER, "is_snapshot": FLAG},
        {"seq": WHOLE, "prev_seq": WHOLE, "recv_ns": TIME},
        ("price",), (),  # old orders keep lots of other days
    ),
    Layout(
        "trades", Kind.TRADE, frozenset({"price", "size", "side"}),
        {**_KEY, "price": NUMBER, "size": NUMBER, "side": WHOLE},
        {"recv_ns": TIME}, ("price",), ("size",),
    ),
    # Chains, which have the columns of quotes too, and so stand before these. What a contract is,
    # its name says (`venues.contracts`); columns that say so are not asked.
    Layout(
        "options", Kind.QUOTE, frozenset({"strike", "right", "bid_px", "ask_px"}),
        {**_KEY, "bid_px": NUMBER, "bid_sz": NUMBER, "ask_px": NUMBER, "ask_sz": NUMBER},
        {"recv_ns": TIME}, ("bid_px", "ask_px"), ("bid_sz", "ask_sz"),
    ),
    Layout(
        "futures_chain", Kind.QUOTE, frozenset({"underlying", "volume_usd", "bid_px", "ask_px"}),
        {**_KEY, "bid_px": NUMBER, "ask_px": NUMBER}, {"recv_ns": TIME}, ("bid_px", "ask_px"), (),
    ),
    Layout(
        "quotes", Kind.QUOTE, frozenset({"bid_px", "ask_px"}),
        {**_KEY, "bid_px": NUMBER, "bid_sz": NUMBER, "ask_px": NUMBER, "ask_sz": NUMBER},
        {"seq": WHOLE, "recv_ns": TIME}, ("bid_px", "ask_px"), ("bid_sz", "ask_sz"),
    ),
    Layout(
        "quote_bars", Kind.QUOTE, frozenset({"bid_close", "ask_close"}),
        {**_KEY, "interval_s": WHOLE, **dict.fromkeys((*_BID, *_ASK, "bid_sz", "ask_sz"), NUMBER)},
        {}, (*_BID, *_ASK), ("bid_sz", "ask_sz"),
    ),
    Layout(
        "bars", Kind.BAR, frozenset({"open", "high", "low", "close"}),
        {**_KEY, "interval_s": WHOLE, **dict.fromkeys((*_BAR, "volume"), NUMBER)},
        {}, _BAR, (),  # a bar's volume is a sum: it does not show the smallest order
    ),
    Layout(
        "funding", Kind.FUNDING, frozenset({"rate"}),
        {**_KEY, "rate": NUMBER, "interval_s": WHOLE}, {}, (), (),
    ),
    Layout(
        "open_interest", Kind.OPEN_INTEREST, frozenset({"oi"}), {**_KEY, "oi": NUMBER},
        {"unit": TEXT}, (), (),
    ),
    Layout(
        "mark_price", Kind.MARK, frozenset({"mark_px"}),
        {**_KEY, "mark_px": NUMBER, "index_px": NUMBER}, {"recv_ns": TIME}, (), (),
    ),
)  # fmt: skip
SUPPORTED = ", ".join(layout.name for layout in LAYOUTS)

# Venues whose recordings of options keep the last quote of each so many seconds, stamped with
# their begin, where no column says it.
SAMPLED_S = {"us_options": 60}

# Layouts that only `trifecta book` reads.
SNAPSHOTS = Layout(
    "book_snapshots", Kind.BOOK, frozenset({"bid_px_0", "ask_px_0"}),
    {**_KEY, **dict.fromkeys(("bid_px_0", "bid_sz_0", "ask_px_0", "ask_sz_0"), NUMBER)},
    {}, (), (),
)  # fmt: skip
FOR_BOOKS = (SNAPSHOTS,)

# Layouts that are known but have no rows in the log yet, by columns that only they have.
REFUSED = {
    **{layout.name: set(layout.marks) for layout in FOR_BOOKS},
    "etf_flows": {"fund", "net_flow_usd_m"},
    "macro_calendar": {"event", "importance"},
    "event_contracts": {"question", "outcome"},
}

# How a column is written that has a wrong type.
_WRITTEN = {TIME: "int64 nanoseconds since 1970 UTC, or as timestamps with a zone"}
_FITS = {
    TIME: is_moment,
    TEXT: lambda t: _is_text(t.value_type if pt.is_dictionary(t) else t),
    NUMBER: lambda t: pt.is_float32(t) or pt.is_float64(t) or pt.is_integer(t),
    WHOLE: pt.is_integer,
    FLAG: pt.is_boolean,
}


def layout_of(path: Path, schema: pa.Schema) -> Layout:
    """The layout of a file by its columns. TapeError if none fits, or a column has a wrong type."""
    found = set(schema.names)
    for name, marks in REFUSED.items():
        if marks <= found:
            todo = f"Supported are {SUPPORTED}"
            if name in (layout.name for layout in FOR_BOOKS):
                todo = f"`trifecta book` rebuilds and verifies it. A desk runs on {SUPPORTED}"
            raise TapeError(f"the layout {name} is not supported", str(path), todo)
    layout = next((one for one in LAYOUTS if one.marks <= found), None) or _nearest(path, found)
    check_columns(path, schema, layout)
    return layout


def book_layout_of(path: Path, schema: pa.Schema) -> Layout:
    """As `layout_of`, with the layouts that only `trifecta book` reads."""
    found = set(schema.names)
    layout = next((one for one in FOR_BOOKS if one.marks <= found), None)
    if layout is None:
        return layout_of(path, schema)
    check_columns(path, schema, layout)
    return layout


def check_columns(path: Path, schema: pa.Schema, layout: Layout) -> None:
    """TapeError if a column that the layout needs is missing, or one has a wrong type."""
    found = set(schema.names)
    missing = [name for name in layout.columns if name not in found]
    if missing:
        raise TapeError(
            f"it looks like {layout.name}, but {_columns(missing)} missing",
            str(path),
            f"A file of {layout.name} needs the columns {', '.join(layout.columns)}",
        )
    for name, wanted in {**layout.columns, **layout.optional}.items():
        if name not in found:
            continue
        type_ = schema.field(name).type
        if not (_FITS[wanted](type_) or (name in layout.optional and pt.is_null(type_))):
            raise TapeError(
                f"the column {name} has the type {type_}, and {layout.name} needs {wanted}"
                + (": nobody can know of which zone it is" if pt.is_timestamp(type_) else ""),
                str(path),
                f"Write the column as {_WRITTEN.get(wanted, wanted)}",
            )


def _nearest(path: Path, found: set[str]) -> Layout:
    """What the file was probably meant to be: by its folder, else by the columns it has."""
    by_folder = next((one for one in LAYOUTS if one.name == path.parent.name), None)
    best = by_folder or max(LAYOUTS, key=lambda one: _likeness(one, found))
    if by_folder is None and not found & set(best.columns) - set(_KEY):
        raise TapeError(
            f"no layout has its columns ({', '.join(sorted(found)) or 'none'})",
            str(path),
            f"Supported are {SUPPORTED}",
        )
    return best


def _likeness(layout: Layout, found: set[str]) -> tuple[int, int, int]:
    """How many of a layout's own columns are there, and of equals which one lacks fewest."""
    there = len(found & set(layout.columns) - set(_KEY))
    return there, -len(set(layout.columns) - found), -len(layout.marks - found)


def _columns(missing: Sequence[str]) -> str:
    if len(missing) == 1:
        return f"the column {missing[0]} is"
    return f"the columns {', '.join(missing)} are"


def _is_text(type_: pa.DataType) -> bool:
    return bool(pt.is_string(type_) or pt.is_large_string(type_))
