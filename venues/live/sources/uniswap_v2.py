"""Constant-product pools: blocks of a chain over JSON-RPC, in order, and read anew after a reorg.

A block is read once it has `CONFIRMATIONS` others on top. Each block's parent must be the block
read before; where it is not, the chain was reorganised: the feed says so, goes back to the last
block that both chains share, and reads on from there. A swap that comes again in another block is
given out once: rows cannot be taken back.
"""

import asyncio
import re
from collections import Counter, OrderedDict
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from itertools import count
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from venues.frames.fields import DefectError
from venues.frames.uniswap_v2 import SWAP, SYNC, words_of
from venues.live.errors import LiveError, RestError
from venues.live.rest import get
from venues.live.session import ConnectionOverError, SilenceError
from venues.live.venue import LiveVenue, Outlet, Steps

NODE = "TRIFECTA_ETHEREUM"  # the environment's name for the URL of a node
CONFIRMATIONS = 1  # blocks on top of one that is read
NOTIONALS = {"WETH": "3", "WBTC": "0.1"}  # quote units that a quote is computed for
NOTIONAL = "10000"  # of any other token: most are dollars
POLL_S = 2.0
SILENT_S = 90.0  # without a new block; Ethereum has one each 12 s
REFRESH_BLOCKS = 25  # between looks at the reserves themselves: 5 minutes
REMEMBERED = 100  # blocks that a reorg may reach back; nodes keep the state of 128
SWAPS_MAX = 20_000  # that are remembered

_TOKENS = ("0x0dfe1681", "0xd21220a7")  # token0(), token1()
_DECIMALS, _SYMBOL, _RESERVES = "0x313ce567", "0x95d89b41", "0x0902f1ac"
_NAME = r"([A-Za-z0-9.]{1,12})/([A-Za-z0-9.]{1,12})@(0x[0-9a-fA-F]{40})"


Swap = tuple[str, str, int]  # transaction, pool, and which one of the transaction it is


class Pool(NamedTuple):
    """A pool as its contract and those of its tokens describe it."""

    name: str
    address: str  # lower case
    base: int  # which of the two tokens
    decimals: tuple[int, int]
    notional: int  # smallest units of the quote token


class Block(NamedTuple):
    """The head of a block."""

    number: int
    hash: str
    parent: str
    time_s: int


def uniswap_v2(
    node: str = "",
    *,
    confirmations: int = CONFIRMATIONS,
    notional: str = "",
    poll_s: float = POLL_S,
    silent_s: float = SILENT_S,
) -> LiveVenue:
    """Pools as one node sees them.

    Parameters
    ----------
    node : str
        URL of its JSON-RPC; it may hold a key, and is never shown.
    confirmations : int
        Blocks on top of one that is read.
    notional : str
        Quote units that quotes are computed for; "" for NOTIONALS.
    """
    source = PoolSource(
        node, confirmations=confirmations, notional=notional, poll_s=poll_s, silent_s=silent_s
    )
    return LiveVenue(
        name="uniswap_v2",
        ws=source.address,
        rest="",
        names=_NAME,
        example="WETH/USDC@0xb4e16d0168e52d35cacd2c6185b44281ec28c9dc",
        subscribe=list,
        lists=lambda name: "",
        steps=lambda body, name: None,
        silent_s=silent_s,
        source=source,
        quotes_only=True,
        voids=frozenset({"reorg"}),
    )


class PoolSource:
    """Reads blocks from a node; see `venues.live.venue.Source`. Parameters as of `uniswap_v2`."""

    resumes = True

    def __init__(
        self, node: str, *, confirmations: int, notional: str, poll_s: float, silent_s: float
    ) -> None:
        self._node = node
        self.address = _without_secrets(node)
        self._confirmations, self._notional = confirmations, notional
        self._poll_s, self._silent_s = poll_s, silent_s
        self._pools: dict[str, Pool] = {}
        self._blocks: OrderedDict[int, Block] = OrderedDict()  # read, the last ones
        self._swaps: OrderedDict[Swap, None] = OrderedDict()  # given out
        self._ids = count(1)

    def steps(self, name: str) -> Steps | None:
        if not re.fullmatch(r"https?://[^\s/]+.*", self._node):
            raise LiveError(
                "no node of the chain is named",
                name,
                f"Set {NODE} to the URL of its JSON-RPC, http:// or https://",
            )
        pool = self._pool(name)
        if pool is None:
            return None
        return Steps(_step(pool.decimals[1 - pool.base]), _step(pool.decimals[pool.base]))

    async def bring(self, names: Sequence[str], outlet: Outlet) -> None:
        pools = [await asyncio.to_thread(self._known, name) for name in names]
        await asyncio.to_thread(self._begin, pools, outlet)
        heard_s, pause_s = monotonic(), 0.0
        while True:
            await asyncio.sleep(self._poll_s + pause_s)
            before = self._last
            try:
                await asyncio.to_thread(self._advance, pools, outlet)
                pause_s = 0.0
            except RestError as error:
                outlet.failed(str(error))
                pause_s = min(max(2.0 * pause_s, self._poll_s), self._silent_s / 4)
            if self._last != before:
                heard_s = monotonic()
            elif monotonic() - heard_s > self._silent_s:
                raise SilenceError(f"no new block for {self._silent_s:g} s")

    @property
    def _last(self) -> Block:
        return self._blocks[next(reversed(self._blocks))]

    def _begin(self, pools: Sequence[Pool], outlet: Outlet) -> None:
        """Pools and their reserves; at the last block that was read, if it is not long ago."""
        target = max(self._head() - self._confirmations, 0)
        agreed = None
        if self._blocks and target - self._last.number < REMEMBERED:
            agreed = self._agreed()
        if agreed is None:
            agreed = self._block(target)
            if agreed is None:
                raise RestError(f"{self.address}: block {target} is not there")
            if self._blocks:
                for pool in pools:
                    outlet.hole(pool.name)
            self._blocks = OrderedDict({target: agreed})
        frames = [_pool_frame(pool) for pool in pools] + self._looked(pools, agreed)
        outlet.opened()
        for frame in frames:
            outlet.frame(frame)
        self._forget_behind(agreed)

    def _advance(self, pools: Sequence[Pool], outlet: Outlet) -> None:
        """Read the blocks that have come; a reorg ends a round, and the next one goes on."""
        target = self._head() - self._confirmations
        if target <= self._last.number:
            at = self._block(self._last.number)
            if at is not None and at.hash != self._last.hash:
                self._reorganised(pools, outlet)
            return
        for number in range(self._last.number + 1, target + 1):
            block = self._block(number)
            if block is None:  # this node does not have it yet, and another one said so
                return
            if block.parent != self._last.hash:
                self._reorganised(pools, outlet)
                return
            self._read(block, pools, outlet)

    def _read(self, block: Block, pools: Sequence[Pool], outlet: Outlet) -> None:
        """Hand a block over, and now and then what the pools say themselves."""
        logs, swaps = self._logs(block, pools)
        frames = [
            _frame("block", number=block.number, hash=block.hash, time=block.time_s, logs=logs)
        ]
        if block.number % REFRESH_BLOCKS == 0:
            frames += self._looked(pools, block)
        for frame in frames:
            outlet.frame(frame)
        self._blocks[block.number] = block
        self._swaps.update(dict.fromkeys(swaps))
        while len(self._blocks) > REMEMBERED:
            self._blocks.popitem(last=False)
        while len(self._swaps) > SWAPS_MAX:
            self._swaps.popitem(last=False)

    def _reorganised(self, pools: Sequence[Pool], outlet: Outlet) -> None:
        """Go back to the last block of both chains, and look at the pools as of there."""
        agreed = self._agreed()
        if agreed is None:
            raise ConnectionOverError(f"the chain was replaced for more than {REMEMBERED} blocks")
        frames = self._looked(pools, agreed)
        outlet.frame(_frame("reorg", number=agreed.number, hash=agreed.hash))
        for frame in frames:
            outlet.frame(frame)
        self._forget_behind(agreed)

    def _agreed(self) -> Block | None:
        """The last block read that is still on the chain; None if none of those remembered is.

        RestError if the node does not have one: it is behind, and says nothing of the chain.
        """
        for mine in reversed(self._blocks.values()):
            at = self._block(mine.number)
            if at is None:
                raise RestError(f"{self.address}: does not have block {mine.number}")
            if at.hash == mine.hash:
                return mine
        return None

    def _forget_behind(self, agreed: Block) -> None:
        while self._last.number > agreed.number:
            self._blocks.popitem()

    def _looked(self, pools: Sequence[Pool], block: Block) -> list[bytes]:
        """Reserves as of a block. RestError if the chain has changed while they were asked for."""
        frames = []
        for pool in pools:
            data = self._call("eth_call", _to(pool.address, _RESERVES), hex(block.number))
            where = {"name": pool.name, "number": block.number, "time": block.time_s}
            frames.append(_frame("reserves", **where, data=data))
        again = self._block(block.number)
        if again is None or again.hash != block.hash:
            raise RestError(f"{self.address}: block {block.number} changed while it was read")
        return frames

    def _head(self) -> int:
        return _number(self._call("eth_blockNumber"), self.address)

    def _block(self, number: int) -> Block | None:
        found = self._call("eth_getBlockByNumber", hex(number), False)
        if found is None:
            return None
        try:
            block = Block(
                _number(found["number"], self.address), found["hash"], found["parentHash"],
                _number(found["timestamp"], self.address),
            )  # fmt: skip
        except (KeyError, TypeError) as error:
            raise RestError(f"{self.address}: block {number} lacks {error}") from error
        if block.number != number:
            raise RestError(f"{self.address}: block {block.number} came for block {number}")
        return block

    def _logs(self, block: Block, pools: Sequence[Pool]) -> tuple[list[dict[str, Any]], list[Swap]]:
        """What pools told in a block, in order, and its swaps; without those given out before."""
        asked = {
            "blockHash": block.hash,
            "address": sorted({pool.address for pool in pools}),
            "topics": [[SYNC, SWAP]],
        }
        found = self._call("eth_getLogs", asked)
        kept, swaps, counts = [], [], Counter[tuple[str, str]]()
        try:
            for log in sorted(found, key=lambda log: int(log["logIndex"], 16)):
                if log["topics"][0] == SWAP:
                    where = log["transactionHash"], log["address"].lower()
                    counts[where] += 1
                    swaps.append((*where, counts[where]))
                    if swaps[-1] in self._swaps:
                        continue
                kept.append(log)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise RestError(f"{self.address}: logs of block {block.number}: {error!r}") from error
        return kept, swaps

    def _known(self, name: str) -> Pool:
        pool = self._pools.get(name) or self._pool(name)
        if pool is None:
            raise RestError(f"{self.address}: {name}: no such pool any more")
        return pool

    def _pool(self, name: str) -> Pool | None:
        """The pool of a name; None where there is none at its address, or of other tokens."""
        found = re.fullmatch(_NAME, name)
        assert found is not None
        address = found[3].lower()
        try:
            tokens = [
                f"0x{words_of(self._call('eth_call', _to(address, each), 'latest'))[0]:040x}"
                for each in _TOKENS
            ]
            symbols = [_text(self._call("eth_call", _to(t, _SYMBOL), "latest")) for t in tokens]
            first, second = (
                words_of(self._call("eth_call", _to(t, _DECIMALS), "latest"))[0] for t in tokens
            )
        except DefectError:  # an empty answer: no such contract, or another kind of it
            return None
        if sorted(symbols) != sorted((found[1], found[2])) or max(first, second) > 77:
            return None
        base = symbols.index(found[1])
        amount = self._notional or NOTIONALS.get(found[2], NOTIONAL)
        notional = _units(amount, (first, second)[1 - base])
        self._pools[name] = Pool(name, address, base, (first, second), notional)
        return self._pools[name]

    def _call(self, method: str, *parameters: object) -> Any:
        """What a node answers. RestError, without the node's URL, if it does not."""
        asked = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": parameters}
        try:
            answer = msgspec.json.decode(get(self._node, msgspec.json.encode(asked).decode()))
        except RestError as error:
            reason = str(error).replace(self._node, self.address)
            raise RestError(f"{method}: {reason}") from None
        except msgspec.DecodeError as error:
            raise RestError(f"{self.address}: {method}: {error}") from error
        if not isinstance(answer, dict) or "result" not in answer:
            said = answer.get("error") if isinstance(answer, dict) else answer
            raise RestError(f"{self.address}: {method}: {str(said)[:200]}")
        return answer["result"]


def _without_secrets(url: str) -> str:
    """Scheme, host and port: paths and user names of hosted nodes are keys."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if host else ""


def _to(address: str, selector: str) -> dict[str, str]:
    return {"to": address, "data": selector}


def _number(text: object, address: str) -> int:
    if not isinstance(text, str) or not re.fullmatch(r"0x[0-9a-fA-F]{1,16}", text):
        raise RestError(f"{address}: {str(text)[:80]!r} is no number")
    return int(text, 16)


def _text(data: str) -> str:
    """A token's name of itself: an ABI string, or 32 bytes where the token is old."""
    words = words_of(data)
    if len(words) == 1:
        raw = words[0].to_bytes(32, "big").rstrip(b"\0")
    else:
        raw = bytes.fromhex(data.removeprefix("0x"))[64 : 64 + min(words[1], 64)]
    return raw.decode(errors="replace")


def _units(amount: str, decimals: int) -> int:
    """Smallest units of a token. ValueError for no positive amount, or less than one unit."""
    try:
        units = int(Decimal(amount).scaleb(decimals))
    except InvalidOperation:
        units = 0
    if units <= 0:
        raise ValueError(f"a notional must be at least one unit of {decimals} decimals: {amount!r}")
    return units


def _step(decimals: int) -> str:
    return f"{Decimal(1).scaleb(-min(decimals, 12)):f}"


def _pool_frame(pool: Pool) -> bytes:
    return _frame(
        "pool", name=pool.name, address=pool.address, base=pool.base,
        decimals=list(pool.decimals), notional=pool.notional,
    )  # fmt: skip


def _frame(what: str, **fields: object) -> bytes:
    return msgspec.json.encode({"type": what, **fields})
