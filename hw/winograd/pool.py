"""Products of a Winograd unit that are made and summed up elsewhere, and the others."""

from collections.abc import Sequence

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..logic_multiplier import LogicMultiplier
from ..systolic.array import factor_layout
from ..systolic.pe import Shared
from ..wide_multiplier import WideMultiplier
from .geometry import Geometry
from .products import grid, input_layout, kernel_layout, product_layout, shared_size

__all__ = ["ProductPool", "shared_sizes", "unshared"]

Place = tuple[int, int, int]


def shared_sizes(geometry: Geometry, shared: Sequence[Place]) -> tuple[Shared, ...]:
    """What the array has to know of products (filter, row, column)."""
    return tuple(shared_size(geometry, a, b) for _, a, b in shared)


def unshared(geometry: Geometry, shared: Sequence[Place], k: int) -> list[tuple[int, int]]:
    """Row and column of the other products of filter k."""
    return [(a, b) for a, b in grid(geometry) if (k, a, b) not in shared]


class ProductPool(wiring.Component):
    """In the place of :class:`.products.ProductArray`, beside a systolic array that makes most.

    What it has no multiplier for, the products with the narrowest kernels, has the
    ``geometry.blocks`` of its own, or is made in logic.

    Parameters
    ----------
    shared : Sequence[tuple[int, int, int]]
        Filter, row and column of the array's products, in the order of ``x`` and ``y``.

    Members
    -------
    v : In(input_layout)
    u : In(ArrayLayout(kernel_layout, filters))
    x, y : Out(factor_layout)
        The factors of the array's products.
    p_k : Out(product_layout)
        The other products of filter k, if there are any, ``geometry.product_latency`` cycles later.
    """

    def __init__(self, geometry: Geometry, shared: Sequence[Place]):
        self.geometry = geometry
        self.shared = tuple(shared)
        sizes = shared_sizes(geometry, self.shared)
        super().__init__({
            "v": In(input_layout(geometry)),
            "u": In(data.ArrayLayout(kernel_layout(geometry), geometry.filters)),
            "x": Out(factor_layout(sizes, 0)),
            "y": Out(factor_layout(sizes, 1)),
            **{
                f"p_{k}": Out(product_layout(geometry, rest))
                for k in range(geometry.filters)
                if (rest := unshared(geometry, self.shared, k))
            },
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        geometry = self.geometry
        for n, (k, a, b) in enumerate(self.shared):
            name = f"at_{a}_{b}"
            m.d.comb += [
                self.x[f"at_{n}"].eq(self.v[name]),
                self.y[f"at_{n}"].eq(self.u[k][name]),
            ]
        every = [(k, a, b) for a, b in geometry.points for k in range(geometry.filters)]
        rest = [point for point in every if point not in self.shared]
        for n, (k, a, b) in enumerate(rest):
            name = f"at_{a}_{b}"
            v, u, p = self.v[name], self.u[k][name], getattr(self, f"p_{k}")[name]
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
