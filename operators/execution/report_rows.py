"""Reports that are not on the market's log yet, as its rows: from a venue, or from `reports.v1`."""

import math
import re
from collections.abc import Callable
from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np

from operators.execution.journal import JsonRow, client_id
from operators.records import Records
from schemas.instruments import InstrumentArrays, InstrumentTable
from schemas.kinds import NO_SYMBOL, Flag, Kind, ReportCode, Role, Side
from schemas.reasons import Reason
from schemas.rows import MarketRows, empty

NOT_LOGGED = -1  # the `seq` of a report that is no row of `market.v1` yet
DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
Symbols = dict[int, dict[str, int]]  # by lane and instrument id


def report_rows(rows: list[JsonRow], table: InstrumentTable) -> MarketRows:
    """Rows of `reports.v1` as rows of `market.v1`, bit for bit those that the venue put out.

    Parameters
    ----------
    rows : list of JsonRow
        As `OrderJournal` writes them; `ts_recv_ns` is kept as it is.
    table : InstrumentTable
        That knows their instruments.

    Returns
    -------
    MarketRows
        Of kind REPORT, in the same order, `seq` 0 for a sequencer to fill. Without the rows that
        only say that a lane is drained.

    Raises
    ------
    ValueError
        If a row is malformed; names its seq, its lane and the field.
    """
    symbols: Symbols = {lane: {} for lane in table.active_lanes()}
    for instrument in table.instruments:
        symbols[instrument.lane][instrument.id] = instrument.symbol
    told = [_values(row, symbols) for row in rows if not is_drained(row)]
    made = _blank(len(told))
    for name in told[0] if told else ():
        getattr(made, name)[:] = [values[name] for values in told]
    return made


def is_drained(row: JsonRow) -> bool:
    """Whether a row of `reports.v1` says that its lane's last call was heard: no report follows."""
    return row.get("code") == ReportCode.DRAINED.name


def unlogged_reports(reports: Records, instruments: InstrumentArrays) -> MarketRows:
    """A venue's reports as rows of kind REPORT that are not on the log: `seq` is NOT_LOGGED.

    Parameters
    ----------
    reports : Records
        REPORT_FIELDS; `ts_recv_ns` is their `due_ns`. One of code DRAINED has no instrument.
    instruments : InstrumentArrays
        Of every lane.
    """
    made = _blank(reports.size)
    plain = reports.view(np.ndarray)
    drained = plain["code"] == ReportCode.DRAINED
    made.symbol[~drained] = instruments.symbol[plain["row"][~drained]]
    made.symbol[drained] = NO_SYMBOL
    made.seq[:], made.ts_recv_ns[:], made.ref[:] = NOT_LOGGED, plain["due_ns"], plain["fee"]
    for name in ("lane", "ts_event_ns", "side", "code", "role", "reason", "ref_id", "price", "qty"):
        getattr(made, name)[:] = plain[name]
    return made


def _blank(n: int) -> MarketRows:
    made = empty(MarketRows, n)
    made.kind[:], made.flags[:] = Kind.REPORT, Flag.MSG_LAST
    made.venue_seq[:], made.source[:], made.source_row[:] = -1, -1, -1
    return made


def _values(row: JsonRow, symbols: Symbols) -> dict[str, Any]:
    """The columns that a row fills."""

    def field(name: str, read: Callable[[Any], Any]) -> Any:
        try:
            return read(row[name])
        except KeyError:
            found = "is missing"
        except ValueError as error:
            found = str(error)
        place = f"reports.v1, lane {row.get('lane')!r}, seq {row.get('seq')!r}"
        raise ValueError(f"{place}: {name} {found}")

    def lane_of(value: Any) -> int:
        if _int(value) not in symbols:
            raise ValueError("has no instruments in this run's table")
        return _int(value)

    field("seq", _int)
    lane, ref_id, role = field("lane", lane_of), field("ref_id", _int), field("role", _name(Role))
    field("client_id", _one_of({client_id(lane, ref_id, role): role}))
    return {
        "lane": lane,
        "symbol": field("instrument", _one_of(symbols[lane])),
        "ts_event_ns": field("ts_event_ns", _int),
        "ts_recv_ns": field("ts_recv_ns", _int),
        "side": field("side", _name(Side)),
        "code": field("code", _name(ReportCode)),
        "role": role,
        "reason": field("reason", _name(Reason)),
        "ref_id": ref_id,
        "price": field("price", lambda value: math.nan if value is None else _decimal(value)),
        "qty": field("qty", _decimal),
        "ref": field("fee", _decimal),
    }


def _int(value: Any) -> int:
    if type(value) is not int or not INT64_MIN <= value <= INT64_MAX:
        raise ValueError(f"must be a 64-bit integer, was {value!r}")
    return value


def _decimal(value: Any) -> float:
    if not isinstance(value, str) or not DECIMAL.fullmatch(value):
        raise ValueError(f"must be a decimal number in a text, was {value!r}")
    number = float(value)
    if math.isinf(number):
        raise ValueError(f"must be a float64, was {value!r}")
    return number


@cache
def _name(enum: type[IntEnum]) -> Callable[[Any], int]:
    return _one_of({each.name: int(each) for each in enum})


def _one_of(known: dict[str, int]) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if not isinstance(value, str) or value not in known:
            few = ", ".join(known) if len(known) < 10 else f"{len(known)} known names"
            raise ValueError(f"must be one of {few}, was {value!r}")
        return known[value]

    return read
