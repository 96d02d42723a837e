"""Products of a Winograd unit that are made elsewhere, or in logic."""

from collections.abc import Sequence

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..logic_multiplier import LogicMultiplier
from ..systolic.array import factor_layout, shared_layout
from ..wide_multiplier import WideMultiplier
from .geometry import Geometry
from .products import input_layout, kernel_layout, product_layout

__all__ = ["ProductPool", "shared_widths"]

Place = tuple[int, int, int]


def shared_widths(geometry: Geometry, shared: Sequence[Place]) -> tuple[tuple[int, int], ...]:
    """Widths of the factors of products (filter, row, column)."""
    return tuple((geometry.input_bits(a, b), geometry.kernel_bits(a, b)) for _, a, b in shared)


class ProductPool(wiring.Component):
    """As :class:`.products.ProductArray`, with products that a systolic array makes by turns.

    What it has no multiplier for, the products with the narrowest kernels, has the
    ``geometry.blocks`` of its own, or is made in logic.

    Parameters
    ----------
    shared : Sequence[tuple[int, int, int]]
        Filter, row and column of those, in the order of ``x``, ``y`` and ``products``.

    Members
    -------
    v : In(input_layout)
    u : In(ArrayLayout(kernel_layout, filters))
    p : Out(ArrayLayout(product_layout, filters))
    x, y : Out; products : In
        The array's.
    """

    def __init__(self, geometry: Geometry, shared: Sequence[Place]):
        if geometry.passes > 1:
            raise ValueError(f"passes must be 1 where products are shared, not {geometry.passes!r}")
        self.geometry = geometry
        self.shared = tuple(shared)
        widths = shared_widths(geometry, self.shared)
        super().__init__({
            "v": In(input_layout(geometry)),
            "u": In(data.ArrayLayout(kernel_layout(geometry), geometry.filters)),
            "p": Out(data.ArrayLayout(product_layout(geometry), geometry.filters)),
            "x": Out(factor_layout(widths, 0)),
            "y": Out(factor_layout(widths, 1)),
            "products": In(shared_layout(widths)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        geometry = self.geometry
        for n, (k, a, b) in enumerate(self.shared):
            name = f"at_{a}_{b}"
            m.d.comb += [
                self.x[f"at_{n}"].eq(self.v[name]),
                self.y[f"at_{n}"].eq(self.u[k][name]),
                self.p[k][name].eq(self.products[f"at_{n}"]),
            ]
        every = [(k, a, b) for a, b in geometry.points for k in range(geometry.filters)]
        rest = [point for point in every if point not in self.shared]
        for n, (k, a, b) in enumerate(rest):
            name = f"at_{a}_{b}"
            v, u, p = self.v[name], self.u[k][name], self.p[k][name]
            if n < geometry.blocks:
                m.submodules[f"filter_{k}_{name}"] = block = WideMultiplier(len(v), len(u))
                m.d.comb += [block.a.eq(v), block.b.eq(u), p.eq(block.o)]
            else:
                self._in_logic(m, f"filter_{k}_{name}", v, u, p)
        return m

    def _in_logic(self, m, name, v, u, p):
        """A product without a block, with registers around it for the same latency."""
        multiplier = LogicMultiplier(len(u), len(v))
        m.submodules[name] = multiplier
        late_v = Signal.like(v, name=f"{name}_v", reset_less=True)
        late_u = Signal.like(u, name=f"{name}_u", reset_less=True)
        m.d.sync += [late_v.eq(v), late_u.eq(u)]
        m.d.comb += [multiplier.a.eq(late_u), multiplier.b.eq(late_v)]
        product = multiplier.o
        for n in range(self.geometry.product_latency - multiplier.latency - 1):
            later = Signal.like(multiplier.o, name=f"{name}_{n}", reset_less=True)
            m.d.sync += later.eq(product)
            product = later
        m.d.comb += p.eq(product)
