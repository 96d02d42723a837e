"""Bit fields of an image's payload."""

from typing import Any

import numpy as np
import numpy.typing as npt

from prunus.hw.image import ImageError

__all__ = ["Fields", "signed"]

Array = npt.NDArray[Any]


class Fields:
    """Reads fixed fields off a payload."""

    def __init__(self, payload: bytes):
        self.bits = np.unpackbits(np.frombuffer(payload, dtype=np.uint8))
        self.position = 0

    def take(self, *sizes: int, count: int = 1) -> Array:
        """`count` rows of unsigned fields of these sizes."""
        total = sum(sizes) * count
        if self.position + total > len(self.bits):
            raise ImageError(f"payload of {len(self.bits) // 8} bytes ends early")
        block = self.bits[self.position : self.position + total].reshape(count, sum(sizes))
        self.position += total
        columns = []
        start = 0
        for size in sizes:
            powers = 1 << np.arange(size - 1, -1, -1, dtype=np.int64)
            columns.append(block[:, start : start + size].astype(np.int64) @ powers)
            start += size
        return np.stack(columns, axis=1)

    def rest(self) -> bytes:
        """The bits that follow, from the next byte's most significant bit on."""
        return np.packbits(self.bits[self.position :]).tobytes()


def signed(values: Array, bits: int) -> Array:
    """Unsigned fields of ``bits`` bits as two's complement.

    >>> signed(np.array([1, 7]), 3).tolist()
    [1, -1]
    """
    half = 1 << (bits - 1)
    return np.asarray((values ^ half) - half)
