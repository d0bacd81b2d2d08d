"""Instruments: what can be traded, where, in which units and at which cost."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from schemas.markets import sort_of
from schemas.rows import F8, I1, I2, I4, U1

USD_AT_PAR = ("BUSD", "GUSD", "USDC", "USDT")  # one USD each, unless a desk is told otherwise
ALIASES = {"XBT": "BTC", "XXBT": "BTC", "XDG": "DOGE", "XXDG": "DOGE"}  # ISO 4217 style, Kraken's
MAX_PARTNERS = 4  # other venues of one asset that the arbitrage engine looks at


class InstrumentKind(IntEnum):
    """How a position in it is worth money."""

    SPOT = 1  # base against quote, both are assets
    LINEAR = 2  # contracts of `contract_size` base units, settled in quote
    INVERSE = 3  # contracts of `contract_size` quote units, settled in base
    OPTION = 4
    EVENT = 5  # pays 1 or 0 quote units


@dataclass(frozen=True)
class Instrument:
    """One market of one venue. Decimals are texts, so that the ledger gets them exactly."""

    lane: int
    symbol: int  # index within the lane
    venue: str
    name: str  # the venue's own symbol
    kind: InstrumentKind
    base: str
    quote: str
    settle: str
    contract_size: str  # base units (linear, options), quote units (inverse), 1 otherwise
    tick: str  # price step
    lot: str  # quantity step, and smallest order
    fee_maker: str  # fraction of notional; positive is paid
    fee_taker: str
    can_short: bool
    has_quotes: bool  # False: trades only; the venue then fills half a tick off the last trade
    binary_payout: str  # fraction of the stake paid on a win; "0" where not offered
    clock_offset_ns: int  # our clock minus the venue's, the fastest row counting as 1 ms
    assumed: str  # which of these values are assumptions, in words; "" where the venue states all
    expiry_ns: int = 0  # when an option or dated future ends, UTC; 0 for what has no end
    strike: str = ""  # options only: units of what the underlying is quoted in
    right: str = ""  # options only: "C" call, "P" put
    conflated: bool = False  # its rows join several changes of its market into one

    @property
    def id(self) -> str:
        """`venue:NAME`, unique in a deployment."""
        return f"{self.venue}:{self.name}"

    @property
    def qty_unit(self) -> str:
        """What a quantity of it counts: its base asset, or contracts of another size."""
        own = self.kind is InstrumentKind.LINEAR and float(self.contract_size) == 1.0
        return self.base if own or self.kind is InstrumentKind.SPOT else "contracts"


class InstrumentArrays(NamedTuple):
    """The table as numbers for kernels; row = base[lane] + symbol. Rates and sizes as floats."""

    base: I4  # (lanes,) first row of each lane, -1 for a lane without instruments
    n_of_lane: I4  # (lanes,) instruments of each lane
    lane: I2
    symbol: I4
    kind: U1
    contract_size: F8
    tick: F8
    lot: F8
    fee_maker: F8
    fee_taker: F8
    can_short: U1
    has_quotes: U1
    binary_payout: F8
    clock_offset_ns: Any  # I8
    partners: I4  # (n, MAX_PARTNERS) rows of the same asset at other venues or contracts, -1 none
    rate_row: I4  # row whose mid turns quote into the desk's currency; -1: rate is 1, -2: none
    rate_inverse: I1  # 1 where that mid must be inverted
    may_cross: U1  # 1 where a crossed quote is flagged, not refused; see `schemas.markets`
    conflated: U1  # 1 where what is computed from single changes has no meaning


@dataclass(frozen=True)
class InstrumentTable:
    """Every instrument of a deployment, ordered by (lane, symbol). The log's first record."""

    lanes: int
    desk_currency: str
    instruments: tuple[Instrument, ...]
    at_par: tuple[str, ...] = USD_AT_PAR  # assets that count as one USD each, sorted

    def __post_init__(self) -> None:
        keys = [(i.lane, i.symbol) for i in self.instruments]
        if keys != sorted(set(keys)):
            raise ValueError("instruments must be ordered by (lane, symbol), each once")
        for i in self.instruments:
            if not 0 <= i.lane < self.lanes:
                raise ValueError(f"{i.id}: lane must be in 0..{self.lanes - 1}, was {i.lane}")

    @classmethod
    def of(
        cls, lanes: int, instruments: Sequence[Instrument], *, at_par: Sequence[str] = USD_AT_PAR
    ) -> "InstrumentTable":
        """The table of instruments in any order; the desk counts in what most of them quote.

        Options have no say, being looked at, not traded; where nothing else is there, USD.
        """
        par = tuple(sorted(set(at_par)))
        traded = [i for i in instruments if i.kind is not InstrumentKind.OPTION]
        shares = Counter(_currency(i.quote, par) for i in traded)
        desk = min(shares, key=lambda quote: (-shares[quote], quote), default="USD")
        rows = tuple(sorted(instruments, key=lambda i: (i.lane, i.symbol)))
        return cls(lanes, desk, rows, par)

    @classmethod
    def from_json(cls, text: str) -> "InstrumentTable":
        found = json.loads(text)
        rows = tuple(
            Instrument(**{**row, "kind": InstrumentKind(row["kind"])})
            for row in found["instruments"]
        )
        at_par = tuple(found.get("at_par", USD_AT_PAR))
        return cls(found["lanes"], found["desk_currency"], rows, at_par)

    def to_json(self) -> str:
        """`at_par` only where it is not the usual, as the first tables were written."""
        found: dict[str, Any] = {
            "lanes": self.lanes,
            "desk_currency": self.desk_currency,
            "instruments": [_as_record(i) for i in self.instruments],
        }
        if self.at_par != USD_AT_PAR:
            found["at_par"] = self.at_par
        return json.dumps(found, sort_keys=True)

    def digest(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def currency(self, asset: str) -> str:
        """What an asset counts as: USD for those at par, each other one for itself."""
        return _currency(asset, self.at_par)

    def counted_at_par(self) -> list[str]:
        """The assets of these instruments that count as USD without being it."""
        assets = {asset for i in self.instruments for asset in (i.base, i.quote, i.settle)}
        return sorted(assets & set(self.at_par))

    def active_lanes(self) -> list[int]:
        """Lanes that have instruments; only these take part in heartbeats."""
        return sorted({i.lane for i in self.instruments})

    def of_lanes(self, lanes: list[int]) -> "InstrumentTable":
        """The part of the table that a worker of these lanes needs."""
        return replace(self, instruments=tuple(i for i in self.instruments if i.lane in lanes))

    def row(self, lane: int, symbol: int) -> int:
        """Row of an instrument in this table and in `arrays()`."""
        return next(
            k for k, i in enumerate(self.instruments) if (i.lane, i.symbol) == (lane, symbol)
        )

    def arrays(self) -> InstrumentArrays:
        n = len(self.instruments)
        base = np.full(self.lanes, -1, np.int32)
        count = np.zeros(self.lanes, np.int32)
        for k, i in enumerate(self.instruments):
            base[i.lane] = k if count[i.lane] == 0 else base[i.lane]
            count[i.lane] += 1

        def column(name: str, dtype: Any) -> Any:
            return np.array([getattr(i, name) for i in self.instruments], dtype=dtype)

        def number(name: str) -> F8:
            return np.array([float(getattr(i, name)) for i in self.instruments], dtype=np.float64)

        rate_row, rate_inverse = self._rates()
        return InstrumentArrays(
            base=base,
            n_of_lane=count,
            lane=column("lane", np.int16),
            symbol=column("symbol", np.int32),
            kind=column("kind", np.uint8),
            contract_size=number("contract_size"),
            tick=number("tick"),
            lot=number("lot"),
            fee_maker=number("fee_maker"),
            fee_taker=number("fee_taker"),
            can_short=column("can_short", np.uint8),
            has_quotes=column("has_quotes", np.uint8),
            binary_payout=number("binary_payout"),
            clock_offset_ns=column("clock_offset_ns", np.int64),
            partners=self._partners(n),
            rate_row=rate_row,
            rate_inverse=rate_inverse,
            may_cross=np.array(
                [sort_of(i.venue, i.base).may_cross for i in self.instruments], np.uint8
            ),
            conflated=column("conflated", np.uint8),
        )

    def _partners(self, n: int) -> I4:
        partners = np.full((n, MAX_PARTNERS), -1, np.int32)
        groups: dict[tuple[int, str, str], list[int]] = {}
        for k, i in enumerate(self.instruments):
            if i.kind != InstrumentKind.OPTION:  # its price is not one of the asset
                key = i.lane, asset_of(i.base), self.currency(i.quote)
                groups.setdefault(key, []).append(k)
        for rows in groups.values():
            for k in rows:
                others = [other for other in rows if other != k][:MAX_PARTNERS]
                partners[k, : len(others)] = others
        return partners

    def _rates(self) -> tuple[I4, I1]:
        """Per row: where the rate from its quote asset to the desk's currency comes from.

        Options have none: they are looked at, not traded.
        """
        desk = self.currency(self.desk_currency)
        found: dict[str, tuple[int, int]] = {desk: (-1, 0)}
        for k, i in enumerate(self.instruments):  # the first market that converts, in table order
            if i.kind == InstrumentKind.OPTION:  # an option's price converts nothing
                continue
            base, quote = self.currency(i.base), self.currency(i.quote)
            if quote == desk:
                found.setdefault(base, (k, 0))
            elif base == desk:
                found.setdefault(quote, (k, 1))
        pairs = [
            (-2, 0)
            if i.kind == InstrumentKind.OPTION
            else found.get(self.currency(i.quote), (-2, 0))
            for i in self.instruments
        ]
        return (
            np.array([row for row, _ in pairs], np.int32),
            np.array([inverse for _, inverse in pairs], np.int8),
        )


_LATER = {"expiry_ns": 0, "strike": "", "right": "", "conflated": False}  # fields, and defaults


def _as_record(instrument: Instrument) -> dict[str, Any]:
    """Its fields; later ones only where they say something, as the first tables were written."""
    record = asdict(instrument) | {"kind": int(instrument.kind)}
    return {name: value for name, value in record.items() if value != _LATER.get(name, ...)}


def lane_asset(base: str) -> str:
    """By which instruments share a lane; whoever may be at par with USD is with it."""
    return _currency(base, USD_AT_PAR)


def asset_of(name: str) -> str:
    """The asset that a venue's name for it means; two markets have one base if these are equal.

    Examples
    --------
    >>> asset_of("XBT"), asset_of("BTC"), asset_of("1000PEPE")
    ('BTC', 'BTC', '1000PEPE')
    """
    return ALIASES.get(name, name)


def _currency(asset: str, at_par: Sequence[str]) -> str:
    return "USD" if asset in at_par else asset_of(asset)
