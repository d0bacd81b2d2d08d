"""Promise: pools are read exactly: swaps as the contract computes them, quotes with the fee."""

import json
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.kinds import Kind, Side
from venues.frames import FrameClass, Parsed, parser_for
from venues.frames.parsed import Event
from venues.frames.uniswap_v2 import SWAP, SYNC, amount_out

E18 = 10**18
POOL = "0x" + "ab" * 20
NAME = f"WETH/USDC@{POOL}"

PUBLISHED = [  # paid, reserves of the token paid and of the other; tokens of 18 decimals
    (1, 5, 10, 1662497915624478906),  # the swap cases of the tests of Uniswap v2 Core
    (1, 10, 5, 453305446940074565),
    (2, 5, 10, 2851015155847869602),
    (2, 10, 5, 831248957812239453),
    (1, 10, 10, 906610893880149131),
    (1, 100, 100, 987158034397061298),
    (1, 1000, 1000, 996006981039903216),
]


@pytest.mark.parametrize(("paid", "reserve_in", "reserve_out", "got"), PUBLISHED)
def test_published_swaps(paid: int, reserve_in: int, reserve_out: int, got: int) -> None:
    assert amount_out(paid * E18, reserve_in * E18, reserve_out * E18) == got


UINT112 = st.integers(1, 2**112 - 1)


@given(UINT112, UINT112, UINT112)
def test_a_swap_keeps_the_product(paid: int, x: int, y: int) -> None:
    """(x + 0.997 paid) (y - got) = x y, rounded in the pool's favour by less than one unit."""
    got = amount_out(paid, x, y)
    exact = y - Fraction(x * y) / (x + Fraction(997, 1000) * paid)
    assert 0 <= exact - got < 1


def abi(*words: int) -> str:
    return "0x" + "".join(f"{word:064x}" for word in words)


def log(topic: str, data: str, *, index: int, address: str = POOL) -> dict[str, object]:
    return {
        "address": address, "topics": [topic], "data": data, "logIndex": hex(index),
        "transactionHash": "0x1",
    }  # fmt: skip


RESERVES = 20_000_000 * 10**6, 8_000 * E18  # USDC, WETH


def read(*logs: dict[str, object], base: int = 1, notional: int = 10_000 * 10**6) -> Parsed:
    """What a block becomes, behind the pool and its reserves."""
    parser = parser_for("uniswap_v2", [NAME])
    pool = {
        "type": "pool", "name": NAME, "address": POOL, "base": base, "decimals": [6, 18],
        "notional": notional,
    }  # fmt: skip
    state = {
        "type": "reserves", "name": NAME, "number": 7, "time": 1_700_000_000,
        "data": abi(*RESERVES, 5),
    }  # fmt: skip
    for frame in (pool, state):
        parser.parse(json.dumps(frame).encode())
    block = {"type": "block", "number": 8, "hash": "0x8", "time": 1_700_000_012, "logs": logs}
    return parser.parse(msgspec.json.encode(block))


def events(parsed: Parsed) -> list[Event]:
    return [part for part in parsed.parts if isinstance(part, Event)]


def test_block_by_hand() -> None:
    """5,000 USDC are paid, 4,985 count: 4,985 * 8,000 / (20,000,000 + 4,985) = 1.993503... WETH."""
    paid = 5_000 * 10**6
    got = 1_993503119347502634
    assert got == 39_880_000 * E18 // 20_004_985
    after = RESERVES[0] + paid, RESERVES[1] - got
    parsed = read(
        log(SYNC, abi(*after), index=3), log(SWAP, abi(paid, 0, 0, got), index=4),
        log(SYNC, abi(1, 1), index=5, address="0x" + "cd" * 20),  # another pool
    )  # fmt: skip
    assert (parsed.kind, parsed.elements, parsed.refused) == (FrameClass.DATA, 2, ())
    trade, quote = events(parsed)
    assert (trade.kind, trade.side, trade.venue_seq) == (Kind.TRADE, Side.BUY, 800_004)
    assert trade.ts_event_ns == quote.ts_event_ns == 1_700_000_012 * 10**9
    assert trade.qty == 1.993503119347502634
    assert trade.price == pytest.approx(5_000 / 1.993503119347502634, rel=1e-15)
    mid = after[0] / 10**6 / (after[1] / E18)
    assert quote.bid_px < mid < quote.ask_px
    # 0.3 % of fee a side, and 10,000 USDC move a pool of 20,005,000 by 0.05 %
    assert quote.ask_px == pytest.approx(mid * (1 / 0.997 + 10_000 / 20_005_000), rel=1e-12)
    assert quote.bid_px == pytest.approx(mid / (1 / 0.997 + 10_000 / 20_005_000), rel=1e-9)
    assert quote.ask_px * quote.ask_qty == pytest.approx(10_000, rel=1e-12)
    assert quote.bid_qty == pytest.approx(10_000 / mid, rel=1e-12)


# fmt: off
CASES = [  # logs of a block: rows, elements refused, books that are lost
    ("no log",              [],                                                0, 0, 0),
    ("a sync alone",        [log(SYNC, abi(*RESERVES), index=0)],              1, 0, 0),
    ("a swap of 0",         [log(SWAP, abi(0, 0, 0, 0), index=0)],             0, 1, 0),
    ("both are paid",       [log(SWAP, abi(5, 5, 1, 1), index=0)],             0, 1, 0),
    ("a short swap",        [log(SWAP, abi(5, 0, 0), index=0)],                0, 1, 0),
    ("half a word",         [log(SYNC, "0x123", index=0)],                     0, 1, 1),
    ("beyond 112 bits",     [log(SYNC, abi(2**112, 1), index=0)],              0, 1, 1),
    ("an emptied pool",     [log(SYNC, abi(0, 0), index=0)],                   0, 1, 0),
    ("a bad sync, a swap",  [log(SYNC, "0x", index=0),
                             log(SWAP, abi(0, 5, 7, 0), index=1)],             1, 1, 1),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "logs", "rows", "refused", "lost"), CASES, ids=[c[0] for c in CASES]
)
def test_what_blocks_become(
    what: str, logs: list[dict[str, object]], rows: int, refused: int, lost: int
) -> None:
    parsed = read(*logs)
    assert parsed.n_rows == rows
    if rows:
        assert sum(one.elements for one in parsed.refused) == refused
        assert parsed.elements == rows + refused
    assert (parsed.kind is FrameClass.QUARANTINED) == (refused > 0 and not rows)
    assert len(parsed.broken) >= lost


@given(UINT112, UINT112, st.sampled_from([0, 1]), st.integers(1, 10**30))
def test_quotes_stand_around_the_ratio(x: int, y: int, base: int, notional: int) -> None:
    parsed = read(log(SYNC, abi(x, y), index=0), base=base, notional=notional)
    for quote in events(parsed):
        unit = (10**6, E18)
        mid = Fraction((x, y)[1 - base], unit[1 - base]) / Fraction((x, y)[base], unit[base])
        assert quote.ask_px >= float(mid)
        assert quote.bid_px <= float(mid) * 1.0000001 + float(mid) / max(
            notional * (x, y)[base] // (x, y)[1 - base], 1
        )
