"""The multipliers of a Winograd unit."""

from amaranth import Module, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..multiplier import Multiplier
from ..systolic.pe import Shared
from ..wide_multiplier import WideMultiplier
from .geometry import Geometry

__all__ = ["ProductArray", "grid", "input_layout", "kernel_layout", "product_layout", "shared_size"]


def grid(geometry: Geometry):
    """Row and column of each point whose products are made in a cycle."""
    return [(a, b) for a in range(geometry.rows) for b in range(geometry.size)]


def _points(geometry, bits):
    return data.StructLayout({f"at_{a}_{b}": signed(bits(a, b)) for a, b in grid(geometry)})


def input_layout(geometry: Geometry) -> data.StructLayout:
    """Transformed inputs, ``at_a_b`` that of the point in row a and column b."""
    return _points(geometry, geometry.input_bits)


def kernel_layout(geometry: Geometry) -> data.StructLayout:
    """Transformed weights of one filter."""
    return _points(geometry, geometry.kernel_bits)


def product_layout(geometry: Geometry, points=None) -> data.StructLayout:
    """Products of one filter, of all points or of some."""
    points = grid(geometry) if points is None else points
    return data.StructLayout({
        f"at_{a}_{b}": signed(geometry.product_bits(a, b)) for a, b in points
    })  # fmt: skip


def shared_size(geometry: Geometry, a: int, b: int) -> Shared:
    """What a systolic array has to know of the products of a point, and of their sums."""
    return Shared(
        x=geometry.input_bits(a, b),
        y=geometry.kernel_bits(a, b),
        sum=geometry.sum_bits(a, b),
        terms=geometry.channels,
    )


class ProductArray(wiring.Component):
    """A multiplier for each point of each filter: a product of each in every cycle.

    Latency is ``geometry.product_latency`` cycles: that of the fast :class:`WideMultiplier` where
    all points are made at once, that of the small :class:`..multiplier.Multiplier` otherwise.

    Members
    -------
    v : In(input_layout)
        What all filters are multiplied by.
    u : In(ArrayLayout(kernel_layout, filters))
    p : Out(ArrayLayout(product_layout, filters))
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        super().__init__({
            "v": In(input_layout(geometry)),
            "u": In(data.ArrayLayout(kernel_layout(geometry), geometry.filters)),
            "p": Out(data.ArrayLayout(product_layout(geometry), geometry.filters)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        geometry = self.geometry
        kind = WideMultiplier if geometry.passes == 1 else Multiplier
        assert kind.LATENCY == geometry.product_latency
        for k in range(geometry.filters):
            for a, b in grid(geometry):
                name = f"at_{a}_{b}"
                v, u = self.v[name], self.u[k][name]
                multiplier = kind(len(v), len(u))
                m.submodules[f"filter_{k}_{name}"] = multiplier
                m.d.comb += [
                    multiplier.a.eq(v),
                    multiplier.b.eq(u),
                    self.p[k][name].eq(multiplier.o),
                ]
        return m
