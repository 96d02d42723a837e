"""Exact products of integer matrices at the speed of floating point."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["exact_product"]


def exact_product(rows: NDArray[Any], matrix: NDArray[Any]) -> NDArray[Any]:
    """``rows @ matrix``, in int64 and exact when the rows are integers.

    Integers are multiplied in floating point where no partial sum can exceed what it holds
    exactly, because BLAS is many times faster than NumPy's integer product.

    >>> exact_product(np.array([[1 << 30, -3]]), np.array([[1 << 30], [1]])).tolist()
    [[1152921504606846973]]
    """
    if rows.dtype.kind == "f":
        product: NDArray[Any] = rows @ matrix
        return product
    wide = matrix.astype(np.int64)  # the magnitude of -128 does not fit int8
    largest = max(-int(rows.min()), int(rows.max()), 0) if rows.size else 0
    bound = largest * int(np.abs(wide).sum(axis=0).max(initial=0))
    dtype = np.float32 if bound <= 1 << 24 else np.float64 if bound <= 1 << 53 else np.int64
    total: NDArray[Any] = (rows.astype(dtype) @ wide.astype(dtype)).astype(np.int64)
    return total
