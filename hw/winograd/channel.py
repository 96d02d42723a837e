"""One output channel of a Winograd unit."""

from amaranth import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .geometry import Geometry
from .inverse import InverseTransform
from .products import grid, product_layout

__all__ = ["OutputChannel"]


class OutputChannel(wiring.Component):
    """Sums up products, transforms the sums back and divides: ``outputs ** 2`` pixels of a channel.

    With ``take`` the sums of a pass are complete with the products of the cycle: they are put
    aside. The results follow ``begin``, which comes in the cycle after the last of the passes, as
    :class:`.inverse.InverseTransform` says. What was put aside may change again, and ``begin`` come
    again, after ``geometry.turn`` cycles.

    Members
    -------
    p : In(product_layout)
    clear : In(geometry.copies)
        Sums begin anew in the next cycle. All bits are equal, each for its rows of the sums.
    take : In(ArrayLayout(passes, geometry.copies))
        So are its elements.
    begin : In(1)
    o : Out(signed(result_bits))
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        super().__init__({
            "p": In(product_layout(geometry)),
            "clear": In(geometry.copies),
            "take": In(data.ArrayLayout(geometry.passes, geometry.copies)),
            "begin": In(1),
            "o": Out(signed(geometry.result_bits)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        geometry = self.geometry
        m.submodules.inverse = inverse = InverseTransform(geometry)
        m.d.comb += [inverse.begin.eq(self.begin), self.o.eq(inverse.o)]
        for a, b in grid(geometry):
            total = Signal(signed(geometry.sum_bits(a, b)), name=f"total_{a}_{b}", reset_less=True)
            added = Signal.like(total, name=f"added_{a}_{b}")
            m.d.comb += added.eq(total + self.p[f"at_{a}_{b}"])
            copy = a * geometry.copies // geometry.rows
            with m.If(self.clear[copy]):
                m.d.sync += total.eq(0)
            with m.Else():
                m.d.sync += total.eq(added)
            for n in range(geometry.passes):
                name = f"at_{n * geometry.rows + a}_{b}"
                aside = Signal(inverse.sums[name].shape(), name=f"aside_{name}", reset_less=True)
                m.d.comb += inverse.sums[name].eq(aside)
                with m.If(self.take[copy][n]):
                    m.d.sync += aside.eq(added)
        return m
