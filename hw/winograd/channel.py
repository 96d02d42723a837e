"""One output channel of a Winograd unit."""

from collections.abc import Collection

from amaranth import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..systolic.dual import LOW_BITS
from .geometry import Geometry
from .inverse import InverseTransform, sum_layout
from .products import grid, product_layout
from .serial_inverse import SerialInverseTransform

__all__ = ["OutputChannel"]


class OutputChannel(wiring.Component):
    """Sums up products, transforms the sums back and divides: ``outputs ** 2`` pixels of a channel.

    With ``take`` the sums of a pass are complete with the products of the cycle: they are put
    aside. The results follow ``begin``, which comes in the cycle after the last of the passes, as
    :class:`.inverse.InverseTransform` says. What was put aside may change again, and ``begin`` come
    again, after ``geometry.turn`` cycles.

    Where ``geometry.serial``, what is put aside is a row, as
    :class:`.serial_inverse.SerialInverseTransform` says: ``take`` may come again after
    ``geometry.turn`` cycles.

    Parameters
    ----------
    elsewhere : Collection[tuple[int, int]]
        Row and column of the points that are summed up elsewhere, in two parts.

    Members
    -------
    p : In(product_layout)
        Of the points that are summed up here, if there are any.
    at_a_b : In(sum_layout)
        Of each other point the sum with the products of the cycle.
    clear : In(geometry.copies)
        Sums begin anew in the next cycle. All bits are equal, each for its rows of the sums.
    take : In(ArrayLayout(geometry.held, geometry.copies))
        So are its elements.
    begin : In(1)
        Unless ``geometry.serial``.
    ahead : Out(1)
        The first result comes 2 cycles later. Where ``geometry.serial``.
    o : Out(signed(result_bits))
    """

    def __init__(self, geometry: Geometry, elsewhere: Collection[tuple[int, int]] = ()):
        self.geometry = geometry
        self.elsewhere = frozenset(elsewhere)
        self.own = [point for point in grid(geometry) if point not in self.elsewhere]
        when = {"ahead": Out(1)} if geometry.serial else {"begin": In(1)}
        super().__init__({
            **({"p": In(product_layout(geometry, self.own))} if self.own else {}),
            **{
                f"at_{a}_{b}": In(sum_layout(geometry, a, b)) for a, b in sorted(self.elsewhere)
            },
            "clear": In(geometry.copies),
            "take": In(data.ArrayLayout(geometry.held, geometry.copies)),
            **when,
            "o": Out(signed(geometry.result_bits)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        geometry = self.geometry
        if geometry.serial:
            m.submodules.inverse = inverse = SerialInverseTransform(geometry)
            m.d.comb += [
                inverse.take.eq(self.take.as_value()),
                self.ahead.eq(inverse.ahead),
                self.o.eq(inverse.o),
            ]
        else:
            m.submodules.inverse = inverse = InverseTransform(geometry)
            m.d.comb += [inverse.begin.eq(self.begin), self.o.eq(inverse.o)]
        for a, b in grid(geometry):
            copy = a * geometry.copies // geometry.rows
            if (a, b) in self.elsewhere:
                added = getattr(self, f"at_{a}_{b}")
            else:
                added = self._added(m, a, b, self.clear[copy])
            if geometry.serial:
                m.d.comb += inverse.sums[f"at_{b}"].eq(added)
                continue
            for n in range(geometry.passes):
                name = f"at_{n * geometry.rows + a}_{b}"
                aside = Signal(inverse.sums[name].shape(), name=f"aside_{name}", reset_less=True)
                m.d.comb += inverse.sums[name].eq(aside)
                with m.If(self.take[copy][n]):
                    if geometry.shares and (a, b) not in self.elsewhere:
                        m.d.sync += [
                            aside.low.eq(added[:LOW_BITS]),
                            aside.far.eq(added[LOW_BITS:].as_signed()),
                        ]
                    else:
                        m.d.sync += aside.eq(added)
        return m

    def _added(self, m, a, b, clear):
        """The sum of a point with the product of the cycle."""
        bits = self.geometry.sum_bits(a, b)
        total = Signal(signed(bits), name=f"total_{a}_{b}", reset_less=True)
        added = Signal.like(total, name=f"added_{a}_{b}")
        m.d.comb += added.eq(total + self.p[f"at_{a}_{b}"])
        with m.If(clear):
            m.d.sync += total.eq(0)
        with m.Else():
            m.d.sync += total.eq(added)
        return added
