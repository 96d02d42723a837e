"""One processing element of the systolic array."""

from typing import NamedTuple

from amaranth import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .dual import LOW_BITS, WEIGHTS, DualMultiplier, products_layout, splits

__all__ = ["Shared", "SystolicPe"]


class Shared(NamedTuple):
    """Products of other factors that a PE makes by turns, and their sums.

    ``x`` and ``y`` are the widths of the factors, ``sum`` is that of the sums, which may wrap. They
    come in two parts, ``low + (far << LOW_BITS)``: of up to ``terms`` products no low part wraps.
    """

    x: int
    y: int
    sum: int
    terms: int

    @property
    def layout(self) -> data.StructLayout:
        """Of a sum."""
        more = (self.terms - 1).bit_length()
        return data.StructLayout({
            "low": unsigned(LOW_BITS + more),
            "far": signed(self.sum - LOW_BITS),
        })  # fmt: skip


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
    shared : Shared | None
        Other products. ``turn`` goes on to the right and comes into force a cycle later; then the
        PE adds up the products of ``x`` and ``y``, which follow 5 cycles later: ``added`` is the
        sum with that of the cycle, and behind ``clear`` it begins anew. ``clear`` must be low
        otherwise.
    """

    LATENCY = DualMultiplier.LATENCY + 2

    def __init__(
        self,
        above: int,
        *,
        split: bool,
        line: bool = False,
        shared: Shared | None = None,
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
                "x": In(signed(shared.x)),
                "y": In(signed(shared.y)),
                "clear": In(1),
                "added": Out(shared.layout),
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

        factors = (self.shared.x, self.shared.y) if self.shared else None
        m.submodules.multiplier = multiplier = DualMultiplier(split=self.split, shared=factors)
        m.d.comb += [
            multiplier.a.eq(a | self.line if self.line_fed else a),
            multiplier.w.eq(shadow),
            multiplier.load.eq(swap),
        ]
        others = {}
        if self.shared:
            turn = Signal()
            m.d.sync += turn.eq(self.turn)
            m.d.comb += [
                self.turn_right.eq(turn),
                multiplier.turn.eq(turn),
                multiplier.x.eq(self.x),
                multiplier.y.eq(self.y),
            ]
            if self.split and splits(platform):
                # In the place of the sums: the block makes both kinds of products in two parts.
                far = multiplier.product[LOW_BITS:].as_signed()
                others = {"low": multiplier.p.low, "far": max(far, multiplier.p.far, key=len)}
            else:
                total = Signal(signed(self.shared.sum), name="others", reset_less=True)
                added = Signal.like(total, name="others_added")
                m.d.comb += [
                    added.eq(total + multiplier.product),
                    self.added.low.eq(added[:LOW_BITS]),
                    self.added.far.eq(added[LOW_BITS:].as_signed()),
                ]
                m.d.sync += total.eq(Mux(self.clear, 0, added))
        for name, field in self.sums_down.shape():
            if name not in others:
                total = Signal(field.shape, name=name, reset_less=True)
                m.d.sync += total.eq(self.sums[name] + multiplier.p[name])
            else:
                shape = max(field.shape, self.added[name].shape(), key=lambda shape: shape.width)
                total = Signal(shape, name=name, reset_less=True)
                added = Signal(shape, name=f"{name}_added")
                m.d.comb += [
                    added.eq(Mux(turn, total, self.sums[name]) + others[name]),
                    self.added[name].eq(added),
                ]
                with m.If(self.clear):
                    m.d.sync += total.eq(0)
                with m.Else():
                    m.d.sync += total.eq(added)
            m.d.comb += self.sums_down[name].eq(total)
        return m
