"""Winograd's matrices for 3x3 kernels, as integers. No HDL is imported here.

``m x m`` outputs of a convolution come from ``(m + 2) x (m + 2)`` inputs d and the kernel g::

    divisor * y = A^T ((G g G^T) * (B^T d B)) A

where * multiplies element by element; products are summed over channels in front of A. Rows of G
are scaled to integers, and the columns of A^T so that the divisor is one number: the division is
exact. Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015.
"""

from dataclasses import dataclass

__all__ = ["F2", "F4", "SCHEMES", "Range", "Scheme", "bits_of"]

Range = tuple[int, int]
INT8: Range = (-128, 127)


def bits_of(values: Range) -> int:
    """Bits of a signed number that holds all of low..high.

    >>> [bits_of(values) for values in ((-128, 127), (-128, 128), (0, 1))]
    [8, 9, 2]
    """
    low, high = values
    return 1 + max((~low).bit_length() if low < 0 else 0, high.bit_length() if high > 0 else 0)


def _span(coefficients: list[int]) -> Range:
    """What a sum of int8 with these coefficients can be."""
    low, high = INT8
    return (
        sum(c * (low if c > 0 else high) for c in coefficients),
        sum(c * (high if c > 0 else low) for c in coefficients),
    )


@dataclass(frozen=True, slots=True)
class Scheme:
    """F(m x m, 3x3).

    ``inputs`` is B^T and ``kernel`` is G. A^T has columns of two kinds. The first has only one
    entry, in the first row, and the last one in the last row: ``edge << edges[0]`` and
    ``edge << edges[1]``. The others come in pairs (n, n + 1): ``1 << shifts[i]`` in row i, with the
    minus sign for the second in odd rows. ``divisor`` is ``odd << shift``.
    """

    outputs: int
    inputs: tuple[tuple[int, ...], ...]
    kernel: tuple[tuple[int, int, int], ...]
    edge: int
    edges: tuple[int, int]
    pairs: tuple[tuple[int, tuple[int, ...]], ...]
    odd: int
    shift: int

    @property
    def size(self) -> int:
        """Inputs, and products, along one side of a tile."""
        return self.outputs + 2

    @property
    def divisor(self) -> int:
        return self.odd << self.shift

    @property
    def result(self) -> tuple[tuple[int, ...], ...]:
        """A^T.

        >>> F2.result
        ((1, 1, 1, 0), (0, 1, -1, 1))
        """
        rows = []
        for i in range(self.outputs):
            row = [0] * self.size
            if i == 0:
                row[0] = self.edge << self.edges[0]
            if i == self.outputs - 1:
                row[-1] = self.edge << self.edges[1]
            for first, shifts in self.pairs:
                row[first] = 1 << shifts[i]
                row[first + 1] = -row[first] if i % 2 else row[first]
            rows.append(tuple(row))
        return tuple(rows)

    @property
    def spare(self) -> tuple[int, ...]:
        """Powers of two in the columns of A^T: so many top bits a product may lack in each."""
        inner = [min(shifts) for _, shifts in self.pairs for _ in range(2)]
        return (self.edges[0], *inner, self.edges[1])

    @property
    def half_range(self) -> Range:
        """Of the elements of B^T d."""
        spans = [_span(list(row)) for row in self.inputs]
        return min(low for low, _ in spans), max(high for _, high in spans)

    def input_range(self, a: int, b: int) -> Range:
        """Of element (a, b) of B^T d B."""
        return _span([x * y for x in self.inputs[a] for y in self.inputs[b]])

    def kernel_range(self, a: int, b: int) -> Range:
        """Of element (a, b) of G g G^T."""
        return _span([x * y for x in self.kernel[a] for y in self.kernel[b]])

    def product_range(self, a: int, b: int) -> Range:
        """Of the product of both."""
        corners = [v * u for v in self.input_range(a, b) for u in self.kernel_range(a, b)]
        return min(corners), max(corners)

    def sum_bits(self, a: int, b: int, channels: int, width: int = 32) -> int:
        """Bits of its sum over the channels that suffice for results of ``width`` bits.

        A result of n bits is exact if ``divisor * y`` is right modulo ``2**(n + shift)``, for odd
        numbers have an inverse there. What A^T multiplies by powers of two needs that much less.
        """
        low, high = self.product_range(a, b)
        results = min(width, self.result_bits(channels))
        needed = results + self.shift - self.spare[a] - self.spare[b]
        return min(needed, bits_of((channels * low, channels * high)))

    def result_bits(self, channels: int) -> int:
        """Bits of the results y, at most the 32 of every engine's sums.

        >>> F4.result_bits(64), F4.result_bits(1 << 20)
        (25, 32)
        """
        return min(32, bits_of((-9 * channels * 128 * 127, 9 * channels * 128 * 128)))


F2 = Scheme(
    outputs=2,
    inputs=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, -1, 0, 1)),
    kernel=((2, 0, 0), (1, 1, 1), (1, -1, 1), (0, 0, 2)),
    edge=1,
    edges=(0, 0),
    pairs=((1, (0, 0)),),
    odd=1,
    shift=2,
)

F4 = Scheme(
    outputs=4,
    inputs=(
        (4, 0, -5, 0, 1, 0),
        (0, 4, 4, -1, -1, 0),
        (0, -4, 4, 1, -1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
    kernel=((1, 0, 0), (1, 1, 1), (1, -1, 1), (1, 2, 4), (1, -2, 4), (0, 0, 1)),
    edge=3,
    edges=(1, 3),
    pairs=((1, (2, 2, 2, 2)), (3, (0, 1, 2, 3))),
    odd=9,
    shift=6,
)

SCHEMES = {scheme.outputs: scheme for scheme in (F2, F4)}
