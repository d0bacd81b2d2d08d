"""Recursive least squares of a few inputs, by their normal equations."""

import math

from operators.arrays import kernel
from schemas.rows import F8

SIZE = 4  # inputs
RIDGE = 1e-6  # added to every square: without spread in an input its share is 0, not infinite


@kernel
def add_pair(squares: F8, products: F8, fade: float, inputs: F8, y: float) -> None:
    """Let the pairs so far fade by a factor (1: not at all) and add one of weight 1.

    `squares` is (SIZE, SIZE), `products` and `inputs` are (SIZE,). Kept are sums, not their
    inverse as usual: that one grows without end while an input stands still.
    """
    for a in range(SIZE):
        for b in range(SIZE):
            squares[a, b] = fade * squares[a, b] + inputs[a] * inputs[b]
        products[a] = fade * products[a] + inputs[a] * y


@kernel
def solve(squares: F8, products: F8, scratch: F8) -> None:
    """The shares go to the last column of `scratch`, shape (SIZE, SIZE + 1).

    Gauss elimination with the largest pivot of a column.
    """
    for a in range(SIZE):
        for b in range(SIZE):
            scratch[a, b] = squares[a, b] + (RIDGE if a == b else 0.0)
        scratch[a, SIZE] = products[a]
    for a in range(SIZE):
        best = a
        for row in range(a + 1, SIZE):
            if math.fabs(scratch[row, a]) > math.fabs(scratch[best, a]):
                best = row
        for column in range(SIZE + 1):
            scratch[a, column], scratch[best, column] = scratch[best, column], scratch[a, column]
        for row in range(SIZE):
            if row != a:
                times = scratch[row, a] / scratch[a, a]
                for column in range(a, SIZE + 1):
                    scratch[row, column] -= times * scratch[a, column]
        for column in range(SIZE, a - 1, -1):
            scratch[a, column] /= scratch[a, a]
