"""One digest for the same decisions and postings, however they were batched or stored."""

import hashlib
import json
import struct
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.digest import (
    DecisionDigest,
    LedgerDigest,
    canonical_bytes,
    canonical_json,
    first_difference,
    first_difference_json,
)
from schemas.kinds import Kind
from schemas.rows import DecisionRows, MarketRows, concat, dtypes, empty, from_batch, take, to_batch

N = 12


def decisions() -> DecisionRows:
    """Twelve rows, every third a progress row, every value of its own, some floats null."""
    rows = empty(DecisionRows, N)
    column: Any
    for k, column in enumerate(rows):
        column[:] = (np.arange(N) + k) % 100
    rows.kind[:] = np.where(np.arange(N) % 3 == 2, Kind.PROGRESS, Kind.DECISION)
    rows.model[:] = np.uint64(2**64 - 1)
    rows.stake[::2] = np.nan
    return rows


def digest(*parts: DecisionRows) -> str:
    found = DecisionDigest()
    for part in parts:
        found.update(part)
    return found.hexdigest()


def journal(n: int = 4) -> list[dict[str, Any]]:
    return [
        {"seq": i, "postings": [["assets:desk", "USD", "-1"], ["fees", "USD", "1"]], "memo": "é"}
        for i in range(n)
    ]


def ledger_digest(*parts: list[dict[str, Any]]) -> str:
    found = LedgerDigest()
    for part in parts:
        found.update(part)
    return found.hexdigest()


@settings(derandomize=True, deadline=None)
@given(st.sets(st.integers(0, N)))
def test_any_batching_gives_the_same_digests(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), N]
    spans = [slice(a, b) for a, b in pairwise(edges)]
    rows, lines = decisions(), journal(N)
    assert digest(*(take(rows, s) for s in spans)) == digest(rows)
    assert ledger_digest(*(lines[s] for s in spans)) == ledger_digest(lines)


def test_the_canonical_row_is_what_struct_packs() -> None:
    """Oracle: struct's packed little-endian layout, one NaN, from the Python values."""
    letters = {"i8": "q", "i4": "i", "i2": "h", "i1": "b", "u8": "Q", "u2": "H", "u1": "B"}
    layout = "<" + "".join(letters.get(t.str[1:], "d") for t in dtypes(DecisionRows).values())
    rows = decisions()
    packed = [struct.pack(layout, *(c[i].item() for c in rows)) for i in range(N)]
    assert canonical_bytes(rows) == b"".join(packed)
    chosen = b"".join(p for p, kind in zip(packed, rows.kind, strict=True) if kind == Kind.DECISION)
    assert digest(rows) == hashlib.sha256(chosen).hexdigest()


def test_every_nan_and_both_zeros_are_one() -> None:
    rows, other = decisions(), decisions()
    odd_nan = np.array([0xFFF8_0000_DEAD_BEEF], np.uint64).view(np.float64)[0]
    other.stake[::2] = odd_nan
    rows.qty[0], other.qty[0] = 0.0, -0.0
    assert rows.stake.tobytes() != other.stake.tobytes()
    assert digest(other) == digest(rows)
    assert first_difference(rows, other) is None
    assert np.signbit(other.qty[0])  # the caller's rows are left as they were


def test_rows_read_back_from_the_log_have_the_same_digest() -> None:
    rows = decisions()
    assert digest(from_batch(DecisionRows, to_batch(rows))) == digest(rows)
    assert ledger_digest([json.loads(canonical_json(row)) for row in journal()]) == ledger_digest(
        journal()
    )


def test_progress_rows_do_not_count() -> None:
    rows = decisions()
    assert digest(take(rows, rows.kind == Kind.DECISION)) == digest(rows)
    changed = decisions()
    changed.equity[2] = 1e6  # a progress row
    assert digest(changed) == digest(rows)


@pytest.mark.parametrize("name", DecisionRows._fields)
def test_one_changed_bit_in_any_column_is_seen(name: str) -> None:
    rows, other = decisions(), decisions()
    getattr(rows, name)[4] = getattr(other, name)[4] = 7
    rows.kind[4] = other.kind[4] = Kind.DECISION
    changed = getattr(other, name)
    changed.view(np.uint8)[changed.itemsize * 4] ^= 1
    assert digest(other) != digest(rows)
    found = first_difference(rows, other)
    assert found is not None
    assert (found.row, found.columns) == (4, (name,))


def test_the_first_difference_shows_both_rows() -> None:
    rows, other = decisions(), decisions()
    other.side[3], other.stake[3], other.side[5] = 1, np.nan, 1
    found = first_difference(rows, other)
    assert found is not None
    assert (found.row, found.columns) == (3, ("side", "stake"))
    assert found.recorded is not None
    assert found.redecided is not None
    assert (found.recorded["side"], found.redecided["side"]) == (13, 1)
    assert (found.recorded["stake"], found.redecided["stake"]) == (19.0, None)
    assert json.dumps(found.recorded, allow_nan=False)


def test_a_log_that_ends_early_differs_where_it_ends() -> None:
    rows = decisions()
    short = take(rows, slice(0, 5))
    found, back = first_difference(rows, short), first_difference(short, rows)
    assert found is not None
    assert back is not None
    assert (found.row, found.columns, found.redecided) == (5, DecisionRows._fields, None)
    assert (back.row, back.recorded, back.redecided) == (5, None, found.recorded)
    assert first_difference(empty(DecisionRows), empty(DecisionRows)) is None
    assert first_difference(rows, concat([short, take(rows, slice(5, N))])) is None


def test_tables_of_two_types_are_not_compared() -> None:
    with pytest.raises(TypeError, match="tables of one type, not DecisionRows and MarketRows"):
        first_difference(decisions(), empty(MarketRows))


def reorder_keys(rows: list[dict[str, Any]]) -> None:
    rows.append(dict(reversed(rows.pop().items())))


def double_an_amount(rows: list[dict[str, Any]]) -> None:
    rows[2]["postings"][0][2] = "-2"


# fmt: off
JSON_CASES = [  # what is done to a copy of the journal, where it differs, in which keys
    ("nothing",               lambda rows: None,                     None),
    ("keys change order",     reorder_keys,                          None),
    ("an amount changes",     double_an_amount,                      (2, ("postings",))),
    ("a key is missing",      lambda rows: rows[1].pop("memo"),      (1, ("memo",))),
    ("a number is a text",    lambda rows: rows[1].update(seq="1"),  (1, ("seq",))),
    ("a row is missing",      lambda rows: rows.pop(),       (3, ("memo", "postings", "seq"))),
    ("there is one row more", lambda rows: rows.append({"seq": 4}),  (4, ("seq",))),
]
# fmt: on


@pytest.mark.parametrize(("what", "change", "where"), JSON_CASES, ids=[c[0] for c in JSON_CASES])
def test_the_first_difference_of_json_rows(what: str, change: Any, where: Any) -> None:
    changed = journal()
    change(changed)
    found = first_difference_json(journal(), changed)
    assert (found and (found.row, found.columns)) == where
    assert (ledger_digest(changed) == ledger_digest(journal())) is (where is None)


def test_a_float_that_is_no_number_is_no_canonical_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"equity": float("nan")})
