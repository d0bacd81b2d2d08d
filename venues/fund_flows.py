"""Money into exchange-traded funds by trading day, from a file, each from when it is known."""

import math
from pathlib import Path

import numpy as np

from operators.features.feature import FundFlows
from schemas.instruments import asset_of
from venues.tables import read_table, times_ns, values
from venues.tape.errors import TapeError

LAG_NS = 129_600_000_000_000  # 36 h: a day is stamped 00:00 UTC and told after the US close
TOTAL = "Total"
MILLION = 1e6
COLUMNS = ("ts_ns", "asset", "fund", "net_flow_usd_m")


def read_fund_flows(path: Path) -> FundFlows:
    """The net flow of each asset's funds together, per trading day.

    Parameters
    ----------
    path : Path
        Parquet or CSV with the columns `ts_ns` (the trading day, 00:00 UTC; nanoseconds since 1970
        or timestamps with a zone), `asset`, `fund` and `net_flow_usd_m` (million USD). The fund
        Total is the sum of a day; without it the funds are added up.

    Returns
    -------
    FundFlows
        A day counts as known 36 h after its stamp, at noon UTC of the next day. A day whose sum is
        0 is left out: such files write 0 for what is not reported yet. XBT is BTC.

    Raises
    ------
    TapeError
        If the file cannot be read, a value is missing or is not finite.
    """
    table = read_table(path, COLUMNS, what="file of fund flows")
    days = times_ns(table, "ts_ns", path)
    assets = [asset_of(str(asset)) for asset in values(table, "asset", path)]
    funds = [str(fund) for fund in values(table, "fund", path)]
    totals: dict[tuple[str, int], float] = {}
    sums: dict[tuple[str, int], float] = {}
    for row, amount in enumerate(values(table, "net_flow_usd_m", path)):
        key, flow = (assets[row], days[row]), _number(amount, row, path)
        if funds[row] == TOTAL:
            totals[key] = flow
        else:
            sums[key] = sums.get(key, 0.0) + flow
    found = sorted((key, flow) for key, flow in (sums | totals).items() if flow != 0.0)
    names = tuple(sorted(set(assets)))
    return FundFlows(
        names,
        np.array([names.index(asset) for (asset, _), _ in found], np.int32),
        np.array([day + LAG_NS for (_, day), _ in found], np.int64),
        np.array([flow * MILLION for _, flow in found], np.float64),
    )


def _number(amount: object, row: int, path: Path) -> float:
    if not isinstance(amount, int | float) or not math.isfinite(amount):
        raise TapeError(
            f"net_flow_usd_m is {amount!r} in row {row}", str(path), "Write millions of USD"
        )
    return float(amount)
