"""One lane of the vector unit: int32 sum to int8 activation."""

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..image import MULTIPLIER_BITS, SHIFT_BITS
from ..logic_multiplier import LogicMultiplier
from ..multiplier import Multiplier

__all__ = ["LOW_BITS", "Requantize", "record_layout"]

_SPLIT = 15  # operands are cut here, so that each partial product fits a signed 18x18 (16x16) block
LOW_BITS = 17  # with two blocks, the accumulator is cut here: what is above is multiplied in logic


def record_layout() -> data.StructLayout:
    """A requantization record: the multiplier less 2**30, and the right shift behind it."""
    return data.StructLayout({"multiplier": MULTIPLIER_BITS, "shift": signed(SHIFT_BITS)})


class Requantize(wiring.Component):
    """Scale an accumulator to the next layer's int8: both of TFLite's rounding rules, exactly.

    Latency is :attr:`latency` cycles, throughput one sum per cycle; it never stalls. Equal to
    :func:`prunus.sim.ops.requantize` of ``acc + bias`` while that fits ``acc_width`` bits, and a
    multiplier of 31 bits. It takes ``Config.lane_blocks`` multiplier blocks.

    With ``P = (acc + bias) * multiplier`` gemmlowp's SaturatingRoundingDoublingHighMul is
    ``(P + 2**30) >> 31`` for either sign, and its RoundingDivideByPOT adds half, less one when
    negative, before the shift. The single rule has one rounding: the low 31 bits are dropped
    before half is added, which changes nothing.

    Members
    -------
    acc, bias : In(signed(32))
    record : In
        See :func:`record_layout`.
    small : In(1)
        The record's multiplier is the multiplier: without 2**30. Constant as those below.
    double_round, zero, low, high : In
        Rounding rule, output zero point and clamp; constant while sums are under way.
    o : Out(signed(8))
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__({
            "acc": In(signed(32)),
            "bias": In(signed(32)),
            "record": In(record_layout()),
            "small": In(1),
            "double_round": In(1),
            "zero": In(signed(8)),
            "low": In(signed(8)),
            "high": In(signed(8)),
            "o": Out(signed(8)),
        })  # fmt: skip

    @property
    def latency(self) -> int:
        return 10 + (self.config.left_shift_bits > 0)

    def elaborate(self, platform):
        m = Module()

        def stage(value, name, shape=None):
            register = Signal(shape or value.shape(), name=name, reset_less=True)
            m.d.sync += register.eq(value)
            return register

        # Stage 1: bias.
        x = stage(self.acc + self.bias, "s1_x", signed(self.config.acc_width))
        multiplier = stage(self.record.multiplier, "s1_multiplier")
        # A shift by the whole width gives zero, as any further would, and keeps the adders narrow.
        longest = min(31, (32 if self.config.left_shift_bits else self.config.acc_width) + 2)
        too_long = self.record.shift > longest
        shift = stage(Mux(too_long, longest, self.record.shift), "s1_shift", signed(SHIFT_BITS))

        # Stage 2, where a layer scales up: shift left, saturating; what saturates is far outside
        # the clamp, because such a layer does not shift right behind the multiplier.
        if self.config.left_shift_bits:
            amount = Signal(unsigned(self.config.left_shift_bits))
            m.d.comb += amount.eq(Mux(shift < 0, -shift, 0))
            wide = Signal(signed(32 + (1 << self.config.left_shift_bits) - 1))
            m.d.comb += wide.eq(x << amount)
            limit = (1 << 31) - 1
            x = stage(
                Mux(wide > limit, limit, Mux(wide < -limit, -limit, wide)), "s2_x", signed(32)
            )
            multiplier = stage(multiplier, "s2_multiplier")
            shift = stage(Mux(shift < 0, 0, shift), "s2_shift", signed(SHIFT_BITS))
        right = shift[: longest.bit_length()]

        # Three stages: partial products, and a register behind the multiplier blocks. The product
        # of x and the multiplier is ``bottom + (inner << 15) + (top << 30)``.
        m_high, m_low = multiplier[_SPLIT:], multiplier[:_SPLIT]

        def product(a, b, name):
            m.submodules[name] = block = Multiplier(
                *(len(v) + (not v.shape().signed) for v in (a, b))
            )
            m.d.comb += [block.a.eq(a), block.b.eq(b)]
            return stage(block.o, f"{name}_p")

        if self.config.lane_blocks == 4:
            x_high, x_low = x[_SPLIT:].as_signed(), x[:_SPLIT]
            high_high = product(x_high, m_high, "hh")
            high_low = product(x_high, m_low, "hl")
        else:
            x_high = Signal(signed(max(2, len(x) - LOW_BITS)))
            x_low = x[:LOW_BITS]
            m.d.comb += x_high.eq(x >> LOW_BITS)
            m.submodules.high = high = LogicMultiplier(len(x_high), MULTIPLIER_BITS + 1)
            m.d.comb += [high.a.eq(x_high), high.b.eq(multiplier)]
            high_low = high.o
            for n in range(high.latency, 3):
                high_low = stage(high_low, f"high_p{n}")
            high_low = high_low.shift_left(LOW_BITS - _SPLIT)
        low_high = product(x_low, m_high, "lh")
        low_low = product(x_low, m_low, "ll")
        if self.config.lane_blocks == 2:
            high_high = low_low[MULTIPLIER_BITS : LOW_BITS + _SPLIT]
        x3 = stage(stage(stage(x, "s3_x"), "s4_x"), "s5_x")
        right = stage(stage(stage(right, "s3_right"), "s4_right"), "s5_right")

        # Two stages: P, and half of what the shift drops, less one. x * 2**30 is the multiplier's
        # top bit, and a carry rounds at bit 31: always for the double rule, else only where no
        # shift follows.
        inner = stage(high_low + low_high, "s6_inner")
        carry = self.double_round | (right == 0)
        top = stage(_add(high_high, Mux(self.small, 0, x3), carry), "s6_top")
        bottom = stage(low_low[:MULTIPLIER_BITS], "s6_bottom")
        right = stage(right, "s6_right")
        p = Signal(signed(len(x) + 31))
        m.d.comb += p.eq(Cat(bottom, top).as_signed() + (inner << _SPLIT))
        y = stage(p[MULTIPLIER_BITS + 1 :].as_signed(), "s7_y")
        half = stage(Cat(right > n + 1 for n in range(longest - 1)), "s7_half")
        shifts = stage(right != 0, "s7_shifts")
        right = stage(right, "s7_right")

        # Rounding at the shift, then the shift. The one that half lacks is a carry, which the
        # double rule leaves out where the value is negative.
        rounded = stage(_add(y, half, shifts & ~(self.double_round & (y < 0))), "s8_rounded")
        right = stage(right, "s8_right")
        scaled = stage(rounded >> right, "s9_scaled")

        # Zero point, and clamp; its last step is combinational, the user registers the output.
        total = stage(scaled + self.zero, "s10_total")
        below = stage(total < self.low, "s11_below")
        above = stage(total > self.high, "s11_above")
        total = stage(total[:8], "s11_total")
        m.d.comb += self.o.eq(Mux(below, self.low, Mux(above, self.high, total)))
        return m


def _add(a, b, carry):
    """``a + b + carry`` in one adder."""
    a, b = (Cat(low, v, Const(0, 0 if v.shape().signed else 1)).as_signed()
            for low, v in ((Const(1, 1), a), (carry, b)))  # fmt: skip
    return (a + b)[1:].as_signed()
