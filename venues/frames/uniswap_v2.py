"""Constant-product pools (Uniswap v2 and its copies): what a node says of blocks, read exactly.

Amounts are whole numbers of a token's smallest unit and stay so until a price or quantity is
written. A pool holds x and y with x * y = k; a swap of `paid` brings
floor(997 paid * y / (1000 x + 997 paid)), the fee of 0.3 % being left in the pool.

Source: Adams, Zinsmeister, Robinson (2020), Uniswap v2 Core.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta, Struct

from schemas.kinds import Kind, Side
from venues.frames.fields import S_NS, DefectError, Id, Name, Seconds
from venues.frames.parsed import Event
from venues.frames.parser import Draft, FrameParser
from venues.frames.venue import Proof, Venue, control, data

SWAP = "0xd78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822"
SYNC = "0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1"
FEE_KEPT, FEE_OF = 997, 1000  # of what is paid, what counts
WORD = 64  # hex digits of one ABI word
LOGS_PER_BLOCK = 100_000  # more than a block has room for; venue_seq = block * this + log

_Hex = Annotated[str, Meta(pattern=r"^0x[0-9a-fA-F]*\Z", max_length=2 + 8 * 64)]
_Number = Annotated[str, Meta(pattern=r"^0x[0-9a-fA-F]{1,8}\Z")]
_Decimals = Annotated[int, Meta(ge=0, le=77)]


class Log(Struct, rename="camel"):
    """One event of a contract, as a node tells it."""

    address: _Hex
    topics: list[_Hex]
    data: _Hex
    transaction_hash: _Hex
    log_index: _Number


class _Outer(Struct):
    type: str


class _Pool(Struct):
    name: Name
    address: _Hex
    base: Annotated[int, Meta(ge=0, le=1)]  # which of its two tokens is the base
    decimals: tuple[_Decimals, _Decimals]
    notional: Annotated[int, Meta(gt=0)]  # smallest units of the quote token


class _Reserves(Struct):
    name: Name
    number: Id
    time: Seconds
    data: _Hex  # what getReserves() answered


class _Block(Struct):
    number: Id
    time: Seconds
    logs: list[Log]


_OUTER = msgspec.json.Decoder(_Outer)
_POOL = msgspec.json.Decoder(_Pool)
_RESERVES = msgspec.json.Decoder(_Reserves)
_BLOCK = msgspec.json.Decoder(_Block)


def amount_out(paid: int, reserve_in: int, reserve_out: int) -> int:
    """What a swap brings, in smallest units, exactly as the contract computes it.

    Examples
    --------
    >>> amount_out(1_000, 1_000_000, 1_000_000)
    996
    """
    counted = paid * FEE_KEPT
    return counted * reserve_out // (reserve_in * FEE_OF + counted)


def words_of(data: str) -> list[int]:
    """The unsigned 256-bit words of ABI data. DefectError if they are not whole."""
    digits = data.removeprefix("0x")
    if not digits or len(digits) % WORD:
        raise DefectError(f"{len(digits)} hex digits are no whole number of ABI words")
    raw = bytes.fromhex(digits)
    return [int.from_bytes(raw[at : at + 32], "big") for at in range(0, len(raw), 32)]


@dataclass
class _State:
    """One pool as of the last block read."""

    symbol: int
    base: int
    decimals: tuple[int, int]
    notional: int
    reserves: tuple[int, int] | None = None

    def quote(self, ts_ns: int, seq: int) -> Event:
        """What the notional buys, and brings when as much is sold: prices with the fee."""
        if self.reserves is None:
            raise DefectError("no reserves are known yet")
        has, wants = self.reserves[self.base], self.reserves[1 - self.base]
        if not has or not wants:
            raise DefectError("the pool is empty")
        bought = amount_out(self.notional, wants, has)
        sold = self.notional * has // wants
        brought = amount_out(sold, has, wants)
        if not bought or not brought:
            raise DefectError("the notional is too small for the pool's units")
        ask_qty, bid_qty = self._base(bought), self._base(sold)
        return Event(
            Kind.QUOTE, self.symbol, ts_ns, seq,
            bid_px=self._quote(brought) / bid_qty, bid_qty=bid_qty,
            ask_px=self._quote(self.notional) / ask_qty, ask_qty=ask_qty,
        )  # fmt: skip

    def trade(self, amounts: Sequence[int], ts_ns: int, seq: int) -> Event:
        """A swap from its four amounts: in of both tokens, then out of both."""
        got = [amounts[token] - amounts[2 + token] for token in (0, 1)]  # by the pool
        base, quote = got[self.base], got[1 - self.base]
        if base * quote >= 0:
            raise DefectError("a swap that gives nothing for something has no price")
        qty = self._base(abs(base))
        side = Side.SELL if base > 0 else Side.BUY
        return Event(Kind.TRADE, self.symbol, ts_ns, seq, side, self._quote(abs(quote)) / qty, qty)

    def _base(self, amount: int) -> float:
        unit: int = 10 ** self.decimals[self.base]
        return amount / unit

    def _quote(self, amount: int) -> float:
        unit: int = 10 ** self.decimals[1 - self.base]
        return amount / unit


class UniswapV2Parser(FrameParser):
    """Blocks of one node: a trade of each swap, a quote of each pool that a block changed."""

    venue = Venue(
        "uniswap_v2",
        "Constant-product pools of a chain",
        Proof(),
        (
            data("block", "TRADE, QUOTE", "swaps of a block, and each pool they changed behind it"),
            data("reserves", "QUOTE", "a pool as it is, when the feed begins or begins again"),
            control("pool", "tokens of a pool, and the notional of its quotes"),
            control("reorg", "blocks that were read are gone"),
        ),
        notes="a quote is computed for a stated notional, with the fee; each joins all changes of "
        "a block, so the instruments are `conflated`",
    )
    handlers: ClassVar = {}

    def __init__(self, instruments: Sequence[str] | None = None) -> None:
        super().__init__(instruments)
        self._pools: dict[str, list[_State]] = {}  # by address: a pool may have two names
        self._named: dict[str, _State] = {}

    def read(self, frame: bytes, draft: Draft, label: str) -> None:
        name = _OUTER.decode(frame).type
        self.dispatch(name, frame, draft)
        if name == "pool":
            self._open(_POOL.decode(frame))

    def _open(self, pool: _Pool) -> None:
        state = _State(self.symbol(pool.name), pool.base, pool.decimals, pool.notional)
        self._named[pool.name] = state
        self._pools.setdefault(pool.address.lower(), []).append(state)

    def _reserves(self, body: bytes, draft: Draft) -> None:
        found = _RESERVES.decode(body)
        if found.name not in self._named:
            raise DefectError(f"reserves of {found.name!r}, whose tokens are not known")
        state = self._named[found.name]
        state.reserves = _pair(found.data, n_words=3)
        seq = found.number * LOGS_PER_BLOCK
        self._quotes([state], found.time * S_NS, seq, draft)

    def _block(self, body: bytes, draft: Draft) -> None:
        block = _BLOCK.decode(body)
        ts_ns, first = block.time * S_NS, block.number * LOGS_PER_BLOCK
        changed: dict[int, _State] = {}
        for log in block.logs:
            topic = log.topics[0] if log.topics else ""
            for state in self._pools.get(log.address.lower(), []):
                if topic == SYNC:
                    self._sync(state, log, draft)
                    changed[state.symbol] = state
                elif topic == SWAP:
                    self._trade(state, log, ts_ns, first + int(log.log_index, 16), draft)
        self._quotes(changed.values(), ts_ns, first + LOGS_PER_BLOCK - 1, draft)

    def _sync(self, state: _State, log: Log, draft: Draft) -> None:
        """What a pool holds now; if that cannot be read, nothing is known until it is asked for."""
        state.reserves = None
        try:
            state.reserves = _pair(log.data, n_words=2)
        except DefectError as error:
            draft.elements += 1
            draft.refuse(1, f"block: log {int(log.log_index, 16)}: {error}", book=state.symbol)

    def _trade(self, state: _State, log: Log, ts_ns: int, seq: int, draft: Draft) -> None:
        draft.elements += 1
        try:
            amounts = words_of(log.data)
            if len(amounts) != 4:
                raise DefectError(f"a swap has 4 amounts, not {len(amounts)}")
            draft.add(state.trade(amounts, ts_ns, seq))
        except DefectError as error:
            draft.refuse(1, f"block: log {int(log.log_index, 16)}: {error}")

    def _quotes(self, states: Iterable[_State], ts_ns: int, seq: int, draft: Draft) -> None:
        for state in states:
            if state.reserves is None:
                continue
            draft.elements += 1
            try:
                draft.add(state.quote(ts_ns, seq))
            except DefectError as error:
                draft.refuse(1, f"{draft.stream}: {error}")


UniswapV2Parser.handlers = {
    "block": UniswapV2Parser._block,
    "reserves": UniswapV2Parser._reserves,
}


def _pair(data: str, *, n_words: int) -> tuple[int, int]:
    """Two reserves, which are uint112."""
    found = words_of(data)
    if len(found) != n_words or max(found[:2]) >= 2**112:
        raise DefectError(f"{data[:80]} are no two reserves")
    return found[0], found[1]
