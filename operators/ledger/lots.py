"""Open lots of contracts at average cost: what a fill adds, closes and realises."""

from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from operators.ledger.money import bound_cost
from schemas.instruments import InstrumentKind


class Lot(NamedTuple):
    """One open position in contracts; it knows all it needs to be marked."""

    kind: InstrumentKind  # LINEAR or INVERSE
    asset: str  # in which it settles
    contract_size: Decimal  # base units (linear) or quote units (inverse) per contract
    qty: Decimal  # contracts, negative if sold
    cost: Fraction  # `worth` of its fills at their prices, settle asset

    def worth(self, qty: Decimal, price: Decimal) -> Fraction:
        """What `qty` contracts are worth at a price, up to a constant, in the settle asset.

        Linear: size * qty * price. Inverse: -size * qty / price, because the position is dollars
        owed in coins. Profit is the difference of two of these, in both cases.
        """
        notional = qty * self.contract_size
        if self.kind == InstrumentKind.LINEAR:
            return Fraction(*Decimal.as_integer_ratio(notional * price))
        top, bottom = Decimal.as_integer_ratio(notional)  # not notional.as_...: a float has it too
        price_top, price_bottom = Decimal.as_integer_ratio(price)
        return Fraction(-top * price_bottom, bottom * price_top)

    def unrealised(self, mark: Decimal) -> Fraction:
        """Profit if it were closed at `mark`, settle asset, exact."""
        return self.worth(self.qty, mark) - self.cost


def fill(lot: Lot, qty: Decimal, price: Decimal) -> tuple[Lot, Fraction | None]:
    """Add a signed quantity of contracts to a lot.

    Returns
    -------
    The lot afterwards (its qty may be 0), and the profit realised in the settle asset; None if the
    fill only opens. Closing a part releases that part of the average cost; what exceeds the lot
    opens a new one on the other side.
    """
    if lot.qty * qty >= 0:
        cost = bound_cost(lot.cost + lot.worth(qty, price))
        return lot._replace(qty=lot.qty + qty, cost=cost), None
    if abs(qty) < abs(lot.qty):
        share = lot.cost * Fraction(*Decimal.as_integer_ratio(-qty)) / Fraction(lot.qty)
        rest = lot._replace(qty=lot.qty + qty, cost=lot.cost - share)
        return rest, lot.worth(-qty, price) - share
    opened = lot.qty + qty  # 0 unless the fill turns the position over
    turned = lot._replace(qty=opened, cost=lot.worth(opened, price) if opened else Fraction(0))
    return turned, lot.worth(lot.qty, price) - lot.cost
