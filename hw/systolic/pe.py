"""One processing element of the systolic array."""

from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .dual import WEIGHTS, DualMultiplier, products_layout

__all__ = ["SystolicPe"]


class SystolicPe(wiring.Component):
    """Multiplies the activations that pass by its two weights and adds to the sums that pass.

    Activations, ``swap`` and ``w_en`` go on to the right, weights and sums down, each a cycle
    later. An activation is in the sums that leave :data:`LATENCY` = 7 cycles later, so those that
    it is added to come in 6 cycles after it. (Of split sums, ``high`` is a cycle later.)

    The weights from above are taken into the shadow register a cycle after ``w_en``, and from
    there into use by ``swap``, beginning with the activation that comes with it. Both may come at
    once.

    Parameters
    ----------
    above : int
        PEs above this one, which decide how wide the sums are.
    split : bool
        See :class:`.dual.DualMultiplier`.
    line : bool
        A second way in for activations: ``line``, a cycle after ``a``, where the other is zero.
    shared : tuple[int, int] | None
        Its multiplier's; its ports are this PE's as well, but that ``turn`` goes on to the right
        and comes into force a cycle later.
    """

    LATENCY = DualMultiplier.LATENCY + 2

    def __init__(
        self,
        above: int,
        *,
        split: bool,
        line: bool = False,
        shared: tuple[int, int] | None = None,
    ):
        if above < 0:
            raise ValueError(f"above must not be negative, not {above!r}")
        self.line_fed = line
        self.split = split
        self.shared = shared
        ports = {
            "a": In(signed(8)),
            "swap": In(1),
            "w_en": In(1),
            "w": In(WEIGHTS),
            "sums": In(products_layout(split, max(above, 1))),
            "a_right": Out(signed(8)),
            "swap_right": Out(1),
            "w_en_right": Out(1),
            "w_down": Out(WEIGHTS),
            "sums_down": Out(products_layout(split, above + 1)),
        }
        if line:
            ports["line"] = In(signed(8))
        if shared:
            ports |= {
                "turn": In(1),
                "turn_right": Out(1),
                "x": In(signed(shared[0])),
                "y": In(signed(shared[1])),
                "product": Out(signed(sum(shared))),
            }
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        a = Signal(signed(8), reset_less=True)
        swap = Signal()
        w_en = Signal()
        m.d.sync += [a.eq(self.a), swap.eq(self.swap), w_en.eq(self.w_en)]
        m.d.comb += [self.a_right.eq(a), self.swap_right.eq(swap), self.w_en_right.eq(w_en)]

        shadow = Signal(WEIGHTS, reset_less=True)
        with m.If(w_en):
            m.d.sync += shadow.eq(self.w)
        m.d.comb += self.w_down.eq(shadow)

        m.submodules.multiplier = multiplier = DualMultiplier(split=self.split, shared=self.shared)
        m.d.comb += [
            multiplier.a.eq(a | self.line if self.line_fed else a),
            multiplier.w.eq(shadow),
            multiplier.load.eq(swap),
        ]
        if self.shared:
            turn = Signal()
            m.d.sync += turn.eq(self.turn)
            m.d.comb += [
                self.turn_right.eq(turn),
                multiplier.turn.eq(turn),
                multiplier.x.eq(self.x),
                multiplier.y.eq(self.y),
                self.product.eq(multiplier.product),
            ]
        for name, field in self.sums_down.shape():
            total = Signal(field.shape, name=name, reset_less=True)
            m.d.sync += total.eq(self.sums[name] + multiplier.p[name])
            m.d.comb += self.sums_down[name].eq(total)
        return m
