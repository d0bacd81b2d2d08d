"""trades.csv: what became of each envelope, one line each."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from console.report.trips import Trip
from console.report.words import utc
from schemas.kinds import Side

TRADE_COLUMNS = (
    "id", "engine", "status", "decided_utc", "instrument", "side", "qty", "entry_utc",
    "entry_price", "exit_utc", "exit_price", "second_instrument", "second_side", "second_qty",
    "second_entry_utc", "second_entry_price", "second_exit_utc", "second_exit_price",
    "exit_reason", "pnl", "fees", "net_pnl", "reward_risk", "confidence", "stop_price",
    "target", "level",
)  # fmt: skip


def write_trades_csv(trips: Sequence[Trip], path: Path) -> None:
    """trades.csv: one line per envelope after a header, RFC 4180; unknown numbers are empty.

    Numbers have up to twelve significant digits, which a price in ticks never needs and a float's
    noise never reaches; times are ISO 8601 in UTC with nanoseconds. `pnl` is before fees; open
    trips are marked and have no exit.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(TRADE_COLUMNS)
        writer.writerows(_trade_line(trip) for trip in trips)


def _trade_line(trip: Trip) -> list[str]:
    legs = [
        [
            leg.instrument,
            Side(leg.side).name,
            _number(leg.qty),
            utc(leg.entry_ts_ns),
            _number(leg.entry_px),
            utc(leg.exit_ts_ns),
            _number(leg.exit_px),
        ]
        for leg in trip.legs
    ]
    second = legs[1] if len(legs) > 1 else [""] * 7
    head = [str(trip.id), trip.engine.name.lower(), trip.status, utc(trip.decided_ts_ns)]
    money = [_number(x) for x in (trip.pnl, trip.fees, trip.net)]
    plan = (trip.reward_risk, trip.confidence, trip.stop_px, trip.target_px, trip.level_px)
    return [*head, *legs[0], *second, trip.exit_reason, *money, *(_number(x) for x in plan)]


def _number(x: float) -> str:
    return f"{x:.12g}" if math.isfinite(x) else ""
