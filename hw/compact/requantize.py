"""Requantization without multiplier blocks, a sum every other cycle."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..image import MULTIPLIER_BITS
from ..vector.requantize import record_layout

__all__ = ["HalfRateRequantize"]

WIDE = MULTIPLIER_BITS + 1


class HalfRateRequantize(wiring.Component):
    """As :class:`..vector.requantize.Requantize`, in logic alone and in two turns a sum.

    Latency is :data:`LATENCY` = 9 cycles, throughput a sum every other cycle. It never shifts left
    (``Config.left_shift_bits`` is 0). Equal to :func:`prunus.sim.ops.requantize` of ``acc + bias``
    while that fits ``acc_width`` bits.

    A sum is written in digits -1, 0, 1, 2 of weight 4: a row of the product is then one LUT a bit
    (the multiplier, twice it, or its complement), where plain bits take as many rows again. The low
    half of the digits is multiplied in one cycle and the high half in the next, by the same adders.

    Members
    -------
    acc, bias : In
        At time 0.
    record : In
        At times 2 and 3, see :func:`.record_layout`.
    low_half : In(1)
        High at time 2.
    small, double_round, zero, low, high : In
        As there; constant.
    o : Out(signed(8))
        At time LATENCY, for two cycles or more.
    """

    LATENCY = 9

    def __init__(self, config: Config):
        if config.left_shift_bits:
            raise ValueError(f"left_shift_bits must be 0, not {config.left_shift_bits!r}")
        self.config = config
        super().__init__({
            "acc": In(signed(config.acc_width)),
            "bias": In(signed(config.acc_width)),
            "record": In(record_layout()),
            "low_half": In(1),
            "small": In(1),
            "double_round": In(1),
            "zero": In(signed(8)),
            "low": In(signed(8)),
            "high": In(signed(8)),
            "o": Out(signed(8)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()

        def stage(value, name, shape=None):
            register = Signal(shape or value.shape(), name=name, reset_less=True)
            m.d.sync += register.eq(value)
            return register

        # 0: bias. 1: digits. Two bits and the carry of those below are 0..4: from 3 on it is the
        # digit less 4, and a carry. So carries are those of an adder, as b1 & (b0 | carry) is
        # maj(b1, b0 & b1, carry). The last digit is the sign, and a carry.
        x = stage(self.acc + self.bias, "s1_x", signed(self.config.acc_width | 1))
        ones, twos = x[:-1:2], x[1:-1:2]
        both = ones & twos
        count = len(ones) + 1
        half = count // 2 + 1
        total = Signal(count, name="s1_total")
        m.d.comb += total.eq(twos + both)
        carries = total ^ twos ^ both
        # Of each digit, whether it is odd, and whether it is 2 or -1.
        code = Signal(2 * count, name="s2_code", reset_less=True)
        for n in range(count - 1):
            m.d.sync += code[2 * n : 2 * n + 2].eq(
                Cat(ones[n] ^ carries[n], twos[n] ^ (ones[n] & carries[n]))
            )
        m.d.sync += code[-2:].eq(Cat(x[-1] ^ carries[-1], x[-1] & ~carries[-1]))

        # 2, 3: rows, two by two, of the low digits, then of the high ones. What is missing in a
        # complement is added where there is room: below the other row of its pair, or later.
        wide = Cat(self.record.multiplier, ~self.small, Const(0, 2))
        later = stage(code[2 * half :], "s3_code")
        chosen = Signal(2 * half)
        m.d.comb += chosen.eq(Mux(self.low_half, code[: 2 * half], later))
        rows, negative = [], []
        for n in range(half):
            odd, two = chosen[2 * n], chosen[2 * n + 1]
            row = Signal(signed(len(wide)), name=f"row_{n}")
            m.d.comb += row.eq(
                Mux(odd, wide ^ two.replicate(len(wide)), (wide << 1) & two.replicate(len(wide)))
            )
            rows.append(row)
            negative.append(odd & two)
        pairs = []
        for n in range(0, half, 2):
            other = Cat(negative[n], 0, rows[n + 1] if n + 1 < half else 0).as_signed()
            pairs.append(stage(rows[n] + other, f"s3_rows_{n}"))
        missing = [stage(bit, f"s3_missing_{n}") for n, bit in enumerate(negative[1::2])]

        # 3, 4: their sum. There are fewer high digits than low ones: the last is a low one's.
        first = stage(self.low_half, "s3_low_half")
        product = Signal(signed(WIDE + 2 * half + 2), name="s4_product", reset_less=True)
        shifted = product >> 2 * half
        if half % 2 == 0:
            own = (missing.pop() & first) << 2 * (half - 1)
            shifted = Mux(first, own, shifted.as_unsigned()).as_signed()
        else:
            shifted = shifted & ~first.replicate(len(shifted))
        before = Signal(signed(len(product)))
        m.d.comb += before.eq(shifted)
        below = Cat(Cat(0, 0, bit, 0) for bit in missing)
        total = before
        for n, pair in enumerate(pairs[:-1]):
            total = total + (pair << 4 * n)
        m.d.sync += product.eq(total + Cat(below, pairs[-1]).as_signed())

        # 5: the product's upper bits, rounded where the shift does not.
        longest = min(31, self.config.acc_width + 2)
        amount = Mux(self.record.shift > longest, longest, self.record.shift)
        right = stage(stage(amount[: longest.bit_length()], "s4_right"), "s5_right")
        place = WIDE - 2 * half
        carry = product[place - 1] & (self.double_round | (right == 0))
        y = stage((product >> place) + carry, "s6_y", signed(self.config.acc_width + 1))

        # 6: rounding at the shift. 7: the shift. 8: zero point, clamp.
        shifts = stage(right != 0, "s6_shifts")
        right = stage(right, "s6_right")
        ones = Cat(right > n + 1 for n in range(longest - 1))
        more = shifts & ~(self.double_round & y[-1])
        whole = Cat(1, y).as_signed() + Cat(more, ones, 0).as_signed()
        rounded = stage(whole[1:].as_signed(), "s7_rounded")
        result = rounded >> stage(right, "s7_right")
        fits = ~(result[8:].any() & ~result[8:].all())
        most = Cat((~result[-1]).replicate(9), result[-1])
        scaled = stage(Mux(fits, result[:10], most).as_signed(), "s8_scaled")
        total = scaled + self.zero
        m.d.sync += self.o.eq(
            Mux(total < self.low, self.low, Mux(total > self.high, self.high, total))
        )
        return m
