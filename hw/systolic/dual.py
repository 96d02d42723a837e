"""Two products that share a factor, from one multiplier block."""

from amaranth import Cat, ClockSignal, Const, Instance, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.vendor import LatticeECP5Platform, LatticeICE40Platform

from ..mult18x18d import mult18x18d
from ..wide_multiplier import WideMultiplier

__all__ = ["LOW_BITS", "WEIGHTS", "DualMultiplier", "pack", "products_layout", "splits"]

LOW_BITS = 10  # of a block's product: where the second weight begins

# `high` is w1, less one where w0 is negative: the top of (w1 << 10) + w0.
WEIGHTS = data.StructLayout({"w0": signed(8), "w1": signed(8), "high": signed(8)})


def pack(w0, w1):
    """The fields of :data:`WEIGHTS` for two weights: worked out once, not in every multiplier."""
    return {"w0": w0, "w1": w1, "high": w1 - w0[7]}


def splits(platform) -> bool:
    """Whether the products of a platform's block come out split."""
    return isinstance(platform, LatticeECP5Platform)


def products_layout(split: bool, terms: int = 1) -> data.StructLayout:
    """Sums of ``terms`` pairs of products. See :class:`DualMultiplier` for what split ones are."""
    if terms < 1:
        raise ValueError(f"terms must be positive, not {terms!r}")
    more = (terms - 1).bit_length()
    if split:
        return data.StructLayout({
            "low": unsigned(LOW_BITS + more),
            "far": signed(15 + more),
            "high": signed(6 + more),
        })  # fmt: skip
    return data.StructLayout({"p0": signed(16 + more), "p1": signed(16 + more)})


def _wide(w):
    """What a block of 18 bits multiplies by, for both weights."""
    return Cat(w.w0, w.w0[7], w.w0[7], w.high)


class DualMultiplier(wiring.Component):
    """``p0 = a * w0`` and ``p1 = a * w1`` in one multiplier block of an FPGA.

    Latency is :data:`LATENCY` = 5 cycles, throughput a pair of products a cycle. ``load`` takes the
    weights in the same cycle as the ``a`` that is the first to meet them; they stay until the next.

    An 18 bit block of an ECP5 multiplies ``a`` by ``(w1 << 10) + w0``. The product's low ten bits
    are those of ``p0``; what is above is ``far = p1 + high``, where ``high = p0 >> 10`` lies within
    -16..16 and is found from the low five bits of ``p1``, five LUTs wide. So there the products are
    ``p0 = (high << 10) + low`` and ``p1 = far - high``, and they are handed out *split* like that,
    as sums of them can be: what is missing is then done once for a sum, not once for a product.

    An iCE40's block multiplies 8 by 8 bits twice.

    Parameters
    ----------
    split : bool
        Hand out ``low``, ``far`` and, **one cycle later**, ``high``; best where :func:`splits`.
    shared : tuple[int, int] | None
        Make products of other factors by turns, of so many bits each, at most 18. An ECP5's block
        does both if it is ``split``; elsewhere those have a multiplier of their own.

    Members
    -------
    a : In(signed(8))
    w : In(WEIGHTS)
        Made by :func:`pack`. ``w0`` may be any, ``w1`` is -127..127.
    load : In(1)
    p : Out(products_layout(split))
    turn, x, y : In; product : Out
        Only if it is ``shared``: ``product`` is ``x * y``, of factors that came together with
        ``turn``, with the same latency. Then ``p`` means nothing, and weights have to be loaded
        again.
    """

    LATENCY = 5

    def __init__(self, *, split: bool = False, shared: tuple[int, int] | None = None):
        self.split = split
        self.shared = shared
        ports = {
            "a": In(signed(8)),
            "w": In(WEIGHTS),
            "load": In(1),
            "p": Out(products_layout(split)),
        }
        if shared:
            for name, width in zip(("x", "y"), shared, strict=True):
                if not 8 <= width <= 18:
                    raise ValueError(f"shared must be widths of 8 to 18, not {width!r} of {name}")
            ports |= {
                "turn": In(1),
                "x": In(signed(shared[0])),
                "y": In(signed(shared[1])),
                "product": Out(signed(sum(shared))),
            }
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        in_block = self.split and splits(platform)
        if self.shared and in_block:
            self._shared(m, max(self.shared[0], 8))
            return m
        if self.shared:
            m.submodules.wide = wide = WideMultiplier(*self.shared)
            m.d.comb += [wide.a.eq(self.x), wide.b.eq(self.y), self.product.eq(wide.o)]
        a = Signal(signed(8), reset_less=True)
        w = Signal(WEIGHTS, reset_less=True)
        m.d.sync += a.eq(self.a)
        with m.If(self.load):
            m.d.sync += w.eq(self.w)
        if in_block:
            wide = Signal(18)
            m.d.comb += wide.eq(_wide(w))
            self._ecp5(m, a, wide, a, w.w0[7], w.w1[:5])
            return m
        s2_a = Signal.like(a)
        s2_w = Signal.like(w)
        m.d.sync += [s2_a.eq(a), s2_w.eq(w)]
        p0 = Signal(signed(16))
        p1 = Signal(signed(16))
        if isinstance(platform, LatticeICE40Platform):
            self._ice40(m, s2_a, s2_w, p0, p1)
        else:
            self._inferred(m, s2_a, s2_w, p0, p1)
        if self.split:
            high = Signal(signed(6), reset_less=True)
            m.d.sync += high.eq(p0[10:].as_signed())
            m.d.comb += [
                self.p.low.eq(p0[:10]),
                self.p.far.eq(p1 + p0[10:].as_signed()),
                self.p.high.eq(high),
            ]
        else:
            m.d.comb += [self.p.p0.eq(p0), self.p.p1.eq(p1)]
        return m

    def _inferred(self, m, a, w, p0, p1):
        s3_a = Signal.like(a)
        m.d.sync += s3_a.eq(a)
        for n, (weight, p) in enumerate(((w.w0, p0), (w.w1, p1))):
            s3_w, s4_p, s5_p = (
                Signal(value.shape(), name=f"s{stage}_{name}{n}", reset_less=True)
                for stage, name, value in ((3, "w", weight), (4, "p", p), (5, "p", p))
            )
            m.d.sync += [s3_w.eq(weight), s4_p.eq(s3_a * s3_w), s5_p.eq(s4_p)]
            m.d.comb += p.eq(s5_p)

    def _shared(self, m, a_bits):
        """One block for both kinds of products: what stands in front of it has two ways in."""
        a = Signal(signed(a_bits), reset_less=True)
        wide = Signal(signed(18), reset_less=True)
        w1 = Signal(5, reset_less=True)
        m.d.sync += a.eq(Mux(self.turn, self.x, self.a))
        with m.If(self.turn | self.load):
            m.d.sync += wide.eq(Mux(self.turn, self.y, _wide(self.w).as_signed()))
        with m.If(self.load):
            m.d.sync += w1.eq(self.w.w1)
        product = self._ecp5(m, a, wide, a[:8], wide[7], w1)
        m.d.comb += self.product.eq(product)

    def _ecp5(self, m, a_block, wide, a, w0_negative, w1):
        """A block; registers of the fabric stand in front of it and behind, for it is often far.

        Beside it, the low five bits of p1 and whether p0 comes from two negative factors: that
        tells a ``high`` of 16, which only -128 * -128 has, from -16. Returns the whole product.
        """
        a_wide = Signal(signed(18))
        m.d.comb += a_wide.eq(a_block)
        product = mult18x18d(m, wide, a_wide)

        s2_a = Signal(5, reset_less=True)
        s2_w1 = Signal(5, reset_less=True)

        def rows(low, high, width):
            """The bits ``low`` up to ``high`` of w1, times a, shifted down by ``low``."""
            parts = [Mux(s2_w1[i], s2_a << (i - low), 0)[:width] for i in range(low, high)]
            total = parts[0]
            for part in parts[1:]:
                total = total + part
            return total

        s3_below = Signal(5, reset_less=True)
        s3_above = Signal(3, reset_less=True)
        s4_p1 = Signal(5, reset_less=True)
        s5_p1 = Signal(5, reset_less=True)
        top = Signal(2, reset_less=True)
        positive = Signal(5, reset_less=True)
        s5_product = Signal(max(25, sum(self.shared or ())), reset_less=True)
        s6_high = Signal(5, reset_less=True)
        m.d.sync += [
            s2_a.eq(a),
            s2_w1.eq(w1),
            s3_below.eq(rows(0, 2, 5)),
            s3_above.eq(rows(2, 4, 3)),
            top.eq(Cat(s2_w1[4] & s2_a[0], top)),
            s4_p1.eq(s3_below + (s3_above << 2)),
            s5_p1.eq(s4_p1 ^ (top[1] << 4)),
            s5_product.eq(product),
            s6_high.eq(s5_product[10:15] - s5_p1),
            positive.eq(Cat(a[7] & w0_negative, positive)),
        ]
        m.d.comb += [
            self.p.low.eq(s5_product[:10]),
            self.p.far.eq(s5_product[10:25].as_signed()),
            self.p.high.eq(Cat(s6_high, s6_high[4] & ~positive[4]).as_signed()),
        ]
        return s5_product

    def _ice40(self, m, a, w, p0, p1):
        """SB_MAC16 as two 8x8. Source: Lattice FPGA-TN-02007, DSP function usage guide for iCE40.

        The third register is that of the adder, which adds C and D, both zero.
        """
        zeros = (
            *("AHOLD", "BHOLD", "CHOLD", "DHOLD", "IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT"),
            *("OLOADTOP", "OLOADBOT", "ADDSUBTOP", "ADDSUBBOT", "OHOLDTOP", "OHOLDBOT"),
            *("CI", "ACCUMCI", "SIGNEXTIN"),
        )
        parameters = {}
        for half in ("TOP", "BOT"):
            parameters |= {
                f"p_{half}_8x8_MULT_REG": Const(1, 1),
                f"p_{half}OUTPUT_SELECT": Const(1, 2),
                f"p_{half}ADDSUB_LOWERINPUT": Const(1, 2),
                f"p_{half}ADDSUB_UPPERINPUT": Const(1, 1),
            }
        m.submodules.block = Instance(
            "SB_MAC16",
            **parameters,
            p_A_REG=Const(1, 1),
            p_B_REG=Const(1, 1),
            p_MODE_8x8=Const(1, 1),
            p_A_SIGNED=Const(1, 1),
            p_B_SIGNED=Const(1, 1),
            i_CLK=ClockSignal(),
            i_CE=Const(1),
            i_A=Cat(a, a),
            i_B=Cat(w.w0, w.w1),
            i_C=Const(0, 16),
            i_D=Const(0, 16),
            **{f"i_{name}": Const(0) for name in zeros},
            o_O=Cat(p0, p1),
        )
