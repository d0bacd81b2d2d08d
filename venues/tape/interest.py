"""Open interest in the unit of its instrument, whatever unit a tape has it in."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.instruments import InstrumentKind, InstrumentTable
from schemas.rows import F8, I4

_OF_UNIT = {  # markets whose contracts are a fixed amount of it
    "usd": (InstrumentKind.INVERSE,),
    "coin": (InstrumentKind.SPOT, InstrumentKind.LINEAR),
}


def own_units(batch: pa.RecordBatch, market: I4, table: InstrumentTable) -> F8:
    """Per row the factor that turns the tape's figure into the instrument's own units.

    1 where the column `unit` is not there, null, or says something else than `usd` and `coin`.
    NaN, so that the row is rejected, where the other unit would be needed (dollars of linear
    contracts, coins of inverse ones): that would take a price. `market` is the row of the table,
    -1 for none.
    """
    factor = np.ones(batch.num_rows)
    if "unit" not in batch.schema.names or pa.types.is_null(batch.schema.field("unit").type):
        return factor
    sizes = np.array([float(i.contract_size) for i in table.instruments] + [np.nan])
    kinds = np.array([i.kind for i in table.instruments] + [0])
    for unit, fitting in _OF_UNIT.items():
        said = pc.fill_null(pc.equal(pc.utf8_lower(batch["unit"]), unit), False)
        rows = np.asarray(said.to_numpy(zero_copy_only=False))
        per_unit = np.where(np.isin(kinds, fitting), 1.0 / sizes, np.nan)
        factor[rows] = per_unit[market][rows]
    return factor
