"""From any asset to the desk's currency, at the mid of a moment; a float view, never the ledger."""

import math
from dataclasses import dataclass

import numpy as np

from console.report.data import PriceSample, RunData
from schemas.instruments import InstrumentArrays, InstrumentKind, InstrumentTable
from schemas.rows import F8, I8

RATE_IS_ONE, NO_RATE = -1, -2  # of InstrumentArrays.rate_row


@dataclass(frozen=True)
class Rates:
    """Marks and rates of a run, read from its price samples."""

    table: InstrumentTable
    arrays: InstrumentArrays
    prices: dict[int, PriceSample]

    @classmethod
    def of(cls, data: RunData) -> "Rates":
        return cls(data.instruments, data.instruments.arrays(), dict(data.prices))

    def mid(self, row: int, ts_ns: int) -> float:
        """Last sampled mid at or before a moment, else the first; NaN without any."""
        sample = self.prices.get(row)
        if sample is None or not sample.mid.size:
            return math.nan
        at = int(np.searchsorted(sample.ts_recv_ns, ts_ns, side="right")) - 1
        return float(sample.mid[max(at, 0)])

    def last_ns(self, row: int) -> int:
        """Time of the last sampled mid; 0 without any."""
        sample = self.prices.get(row)
        return int(sample.ts_recv_ns[-1]) if sample is not None and sample.mid.size else 0

    def quote_rate(self, row: int, ts_ns: int) -> float:
        """Desk currency per unit of the instrument's quote asset; NaN where there is no rate."""
        source = int(self.arrays.rate_row[row])
        if source == RATE_IS_ONE:
            return 1.0
        if source == NO_RATE:
            return math.nan
        mid = self.mid(source, ts_ns)
        return 1.0 / mid if self.arrays.rate_inverse[row] else mid

    def quote_rates(self, row: int, ts_ns: I8) -> F8:
        """The same for many moments."""
        source = int(self.arrays.rate_row[row])
        if source == RATE_IS_ONE:
            return np.ones(ts_ns.size)
        if source == NO_RATE or source not in self.prices:
            return np.full(ts_ns.size, np.nan)
        sample = self.prices[source]
        at = np.searchsorted(sample.ts_recv_ns, ts_ns, side="right") - 1
        mid = sample.mid[np.maximum(at, 0)]
        return 1.0 / mid if self.arrays.rate_inverse[row] else mid

    def fee_rate(self, row: int, price: float, ts_ns: int) -> float:
        """Desk currency per unit of the asset in which the venue takes fees, as in the ledger.

        Contracts pay in their settle asset, everything else in quote. A settle asset that is
        neither of the pair's has no rate: NaN.
        """
        instrument, rate = self.table.instruments[row], self.quote_rate(row, ts_ns)
        contracts = instrument.kind in (InstrumentKind.LINEAR, InstrumentKind.INVERSE)
        currency = self.table.currency
        asset = currency(instrument.settle if contracts else instrument.quote)
        if asset == currency(instrument.quote):
            return rate
        return price * rate if asset == currency(instrument.base) else math.nan
