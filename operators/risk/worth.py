"""What a quantity is worth: notional, cash flow and mark of a position, by kind of instrument."""

from operators.arrays import F8, kernel
from operators.records import InstrumentRecords
from schemas.instruments import InstrumentKind

INVERSE = int(InstrumentKind.INVERSE)
NO_RATE = -2  # rate_row of an instrument whose quote asset nothing converts
CENT = 1e-8  # money is rounded to this on reports, so that the ledger gets it exactly


@kernel
def rate(instruments: InstrumentRecords, mid: F8, k: int) -> float:
    """Desk currency per unit of the instrument's quote asset; NaN while it is not known."""
    row = instruments.of[k].rate_row
    if row == -1:
        return 1.0
    if row == NO_RATE:
        return float("nan")
    if instruments.of[k].rate_inverse:
        return float(1.0 / mid[row])
    return float(mid[row])


@kernel
def notional(instruments: InstrumentRecords, k: int, qty: float, price: float) -> float:
    """Quote units that `qty` stands for at `price`."""
    if instruments.of[k].kind == INVERSE:
        return float(qty * instruments.of[k].contract_size)
    return float(qty * instruments.of[k].contract_size * price)


@kernel
def base_units(instruments: InstrumentRecords, k: int, qty: float, price: float) -> float:
    """Base units that `qty` stands for at `price`."""
    if instruments.of[k].kind == INVERSE:
        return float(qty * instruments.of[k].contract_size / price)
    return float(qty * instruments.of[k].contract_size)


@kernel
def flow(instruments: InstrumentRecords, k: int, signed_qty: float, price: float) -> float:
    """What a fill brings in: quote units paid (negative) or received; base units if inverse.

    Over a round trip the flows add up to the profit, since the position is back at 0.
    """
    if instruments.of[k].kind == INVERSE:
        return float(signed_qty * instruments.of[k].contract_size / price)
    return float(-signed_qty * instruments.of[k].contract_size * price)


@kernel
def worth(
    instruments: InstrumentRecords, k: int, flow_sum: float, net_qty: float, price: float
) -> float:
    """Quote units of a position: its flows so far plus what closing at `price` would bring."""
    total = flow_sum
    if net_qty != 0.0:
        total += flow(instruments, k, -net_qty, price)
    if instruments.of[k].kind == INVERSE:
        return total * price
    return total


@kernel
def round_money(amount: float) -> float:
    """To 8 digits, half up, as a venue states it."""
    scaled = amount / CENT
    # Negated as an integer: a rebate that rounds to nothing is 0.0; a text can hold no -0.0.
    whole = int(scaled + 0.5) if scaled >= 0.0 else -int(-scaled + 0.5)
    return float(whole) / 1e8


@kernel
def floor_lots(qty: float, lot: float) -> float:
    """The largest whole number of lots in `qty`; a hair below a whole lot counts as whole."""
    return float(int(qty / lot + 1e-9)) * lot
