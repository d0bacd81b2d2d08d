"""What every operator is made of: a state of small arrays, a step over typed columns, a kernel.

An operator is `step(state, rows) -> (state, rows)` and nothing else: no clock, no I/O, no random
numbers. `step` owns the state it is given and may change it in place; `dump` copies.
"""

import io
import os
from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from operators.kernel_cache import use_kernel_cache
from schemas.rows import F8 as F8
from schemas.rows import I1 as I1
from schemas.rows import I2 as I2
from schemas.rows import I4 as I4
from schemas.rows import I8 as I8
from schemas.rows import U1 as U1
from schemas.rows import U2 as U2

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S")
In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)
A = TypeVar("A", bound=tuple[Any, ...])


class Operator(Protocol[S, In, Out]):
    """The one shape of everything that decides. Any split of the same rows gives the same bytes."""

    def initial(self) -> S: ...

    def step(self, state: S, rows: In) -> tuple[S, Out]: ...

    def dump(self, state: S) -> bytes: ...

    def load(self, saved: bytes) -> S: ...


class ArrayOperator(Generic[A]):
    """Gives `dump` and `load` to an operator whose state is a NamedTuple of arrays, or of such."""

    def initial(self) -> A:
        raise TypeError(f"{type(self).__name__} must say what its initial state is")

    def dump(self, state: A) -> bytes:
        return pack(state)

    def load(self, saved: bytes) -> A:
        return unpack(saved, like=self.initial())


def pack(state: tuple[Any, ...]) -> bytes:
    """The arrays of a state as bytes: type, shape and content of each, in order."""
    buffer = io.BytesIO()
    for array in _flat(state):
        plain = array.view(np.int64) if array.dtype.names else array  # records are 8-byte fields
        np.lib.format.write_array(buffer, np.asarray(plain), allow_pickle=False)
    return buffer.getvalue()


def unpack(saved: bytes, *, like: A) -> A:
    """The state that `pack` wrote, owned and writable, in the shape of `like`.

    ValueError if the arrays differ from those of `like` in number, type or dimensions.
    """
    buffer = io.BytesIO(saved)

    def rebuild(template: Any) -> Any:
        if isinstance(template, tuple):
            return type(template)(*(rebuild(part) for part in template))
        array = np.lib.format.read_array(buffer, allow_pickle=False)
        if template.dtype.names:
            return array.view(template.dtype).view(np.recarray)
        if array.dtype != template.dtype or array.ndim != template.ndim:
            raise ValueError(
                f"saved state does not fit: expected {template.dtype} of {template.ndim} "
                f"dimensions, found {array.dtype} of {array.ndim}"
            )
        return array

    state: A = rebuild(like)
    if buffer.tell() != len(saved):
        raise ValueError(f"saved state has {len(saved) - buffer.tell()} bytes too many")
    return state


def _flat(state: tuple[Any, ...]) -> Iterator[NDArray[Any]]:
    for part in state:
        if isinstance(part, tuple):
            yield from _flat(part)
        else:
            yield part


def _numba_wanted() -> bool:
    return os.environ.get("TRIFECTA_NO_NUMBA", "") != "1"


if _numba_wanted():
    use_kernel_cache()
    import numba

    _njit: Any = numba.njit  # its stubs know no `_nrt`

    _OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}  # no arrays, no references

    def kernel(function: F) -> F:
        """Compile a row loop; with TRIFECTA_NO_NUMBA=1 it stays Python and gives the same bytes.

        A kernel makes no arrays: it works on those that it is given, so numba need not count
        references (measured on the desk: counting took three quarters of its time).
        """
        compiled: F = _njit(cache=True, **_OPTIONS)(function)
        return compiled

    def inlined(function: F) -> F:
        """A kernel that is written into its callers: for the few lines that every row passes.

        A call hands every array of its arguments over in seven machine words, 50 to 100 ns.
        """
        compiled: F = _njit(inline="always", **_OPTIONS)(function)
        return compiled

else:

    def kernel(function: F) -> F:
        """Without numba a kernel is the bare function."""
        return function

    inlined = kernel
