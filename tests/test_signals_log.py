"""`signals.v1` as messages: bit for bit, of bounded size, and refused where it is damaged."""

from dataclasses import replace

import numpy as np
import pytest

from flows.log.codec import SIGNAL_BYTES_MAX, decode, encode_rows, tail
from flows.log.errors import PoisonMessageError
from flows.log.message import Message
from schemas.digest import canonical_bytes, first_difference
from schemas.rows import concat, take
from schemas.signal_rows import SignalRows, no_signals
from schemas.topics import SIGNALS


def rows_of(n: int, names: int, *, first_seq: int = 0) -> SignalRows:
    random = np.random.default_rng(n + names)
    seq = np.arange(first_seq, first_seq + n)
    values = random.normal(size=(n, names))
    values[random.random(values.shape) < 0.3] = np.nan
    return SignalRows(
        seq=seq, lane=np.full(n, 2, np.int16), market_seq=3 * seq,
        kind=np.full(n, 2, np.uint8), flags=np.ones(n, np.uint8), symbol=np.zeros(n, np.int32),
        ts_event_ns=seq + 5, ts_recv_ns=seq + 9, values=values,
    )  # fmt: skip


def messages(rows: SignalRows) -> list[Message]:
    return encode_rows(SIGNALS, lane=2, rows=rows, code_version="test")


def same(found: SignalRows, expected: SignalRows) -> bool:
    names = SignalRows._fields
    pairs = [(getattr(found, name), getattr(expected, name)) for name in names]
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)


@pytest.mark.parametrize(("n", "names"), [(1, 1), (7, 34), (5000, 3), (300, 200)])
def test_rows_come_back_bit_for_bit(n: int, names: int) -> None:
    rows = rows_of(n, names, first_seq=40)
    found = [decode(message) for message in messages(rows)]
    assert same(concat(found), rows)
    assert all(column.flags.owndata and column.flags.writeable for column in found[0][:-1])
    assert found[-1].values.shape[1] == names


def test_no_row_is_no_message() -> None:
    assert messages(no_signals(3)) == []


def test_a_message_of_many_names_holds_fewer_rows() -> None:
    """A broker takes 2 MB; 2,048 rows of 200 names are 3.4 MB."""
    narrow, wide = messages(rows_of(5000, 34)), messages(rows_of(5000, 200))
    assert [message.n_rows for message in narrow] == [2048, 2048, 904]
    assert max(message.n_rows for message in wide) < 700
    assert sum(message.n_rows for message in wide) == 5000
    assert max(len(message.body) for message in wide) < 1.1 * SIGNAL_BYTES_MAX


def test_the_end_of_a_message_is_one() -> None:
    [message] = messages(rows_of(9, 4))
    [rest] = tail(message, 6)
    assert (rest.first_seq, rest.last_seq) == (6, 8)
    assert same(decode(rest), take(rows_of(9, 4), slice(6, 9)))


DAMAGED = [
    ("cut off", lambda body: body[: len(body) // 2]),
    ("without a width", lambda body: bytes(8) + body[8:]),
    ("of another width", lambda body: (5).to_bytes(8, "little") + body[8:]),
    ("of a mad width", lambda body: (1 << 62).to_bytes(8, "little") + body[8:]),
    ("empty", lambda body: b""),
]  # fmt: skip


@pytest.mark.parametrize(("what", "damage"), DAMAGED, ids=[d[0] for d in DAMAGED])
def test_a_damaged_message_is_refused(what: str, damage: object) -> None:
    [message] = messages(rows_of(9, 4))
    assert callable(damage)
    with pytest.raises(PoisonMessageError, match=r"signals\.v1"):
        decode(replace(message, body=damage(message.body)))


def test_rows_that_differ_in_one_value_are_found() -> None:
    rows, again = rows_of(9, 4), rows_of(9, 4)
    again.values[5, 2] = 7.0
    found = first_difference(rows, again)
    assert found is not None
    assert (found.row, found.columns) == (5, ("values",))
    assert found.redecided is not None
    assert found.redecided["values"][2] == 7.0
    assert all(value is None or value == value for value in found.redecided["values"])


def test_null_has_one_pattern_and_zero_no_sign() -> None:
    rows, again = rows_of(2, 2), rows_of(2, 2)
    rows.values[:], again.values[:] = [[0.0, np.nan]] * 2, [[-0.0, -np.nan]] * 2
    assert canonical_bytes(rows) == canonical_bytes(again)
