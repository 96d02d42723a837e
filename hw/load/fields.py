"""Fixed fields, read off a bit reader."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["FieldReader"]


class FieldReader(wiring.Component):
    """Reads a field of 0 to 63 bits into one of two registers; ``value`` keeps the last 32.

    Eight bits a cycle, and the last ones of a field that is no multiple of eight one by one.

    Members
    -------
    window, ready : In; consume, amount : Out
        The bit reader.
    read, bits, to_extra, signed : In
        Begin a field, when not ``busy``; a ``signed`` one only while ``ready``.
    busy : Out(1)
        High from the cycle after ``read`` until the field is there; not for a field of no bits.
    value : Out(32)
        The field, above it zeros; of a ``signed`` one in no particular form.
    number : Out(32)
        The field; above it zeros, or copies of the sign of a ``signed`` one.
    extra : Out(extra_width)
        The field that was read with ``to_extra``; above it older ones.
    """

    def __init__(self, *, window_bits: int, extra_width: int):
        self.window_bits = window_bits
        self.extra_width = extra_width
        super().__init__({
            "window": In(window_bits),
            "ready": In(1),
            "consume": Out(1),
            "amount": Out(4),
            "read": In(1),
            "bits": In(6),
            "to_extra": In(1),
            "signed": In(1),
            "busy": Out(1),
            "value": Out(32),
            "number": Out(32),
            "extra": Out(extra_width),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        # A negative field is kept inverted: so it always starts from zero, which is a reset.
        value = Signal(32, reset_less=True)
        negative = Signal(reset_less=True)
        extra = Signal(self.extra_width, reset_less=True)
        left = Signal(6)
        target_extra = Signal(reset_less=True)
        by_eight = left[3:] != 0
        m.d.comb += [
            self.value.eq(value),
            self.number.eq(value ^ negative.replicate(32)),
            self.extra.eq(extra),
            self.consume.eq(self.busy & self.ready),
            self.amount.eq(Mux(by_eight, 8, 1)),
        ]

        # From a register, as much hangs on it: low when the last bits are taken.
        with m.If(self.consume):
            m.d.sync += self.busy.eq((left != 8) & (left != 1))
            with m.If(by_eight):
                m.d.sync += left[3:].eq(left[3:] - 1)
            with m.Else():
                m.d.sync += left[:3].eq(left[:3] - 1)
        with m.If(self.read):
            m.d.sync += [
                left.eq(self.bits),
                self.busy.eq(self.bits != 0),
                target_extra.eq(self.to_extra),
            ]
            with m.If(~self.to_extra):
                m.d.sync += negative.eq(self.signed & self.window[-1])
        # The reset lies under the enable, as it does in an iCE40's flip-flops.
        bits = self.window ^ negative.replicate(self.window_bits)
        with m.If((self.read & ~self.to_extra) | (self.consume & ~target_extra)):
            with m.If(self.read):
                m.d.sync += value.eq(0)
            with m.Elif(by_eight):
                m.d.sync += value.eq(Cat(bits[-8:], value))
            with m.Else():
                m.d.sync += value.eq(Cat(bits[-1:], value))
        with m.If(self.consume & target_extra):
            with m.If(by_eight):
                m.d.sync += extra.eq(Cat(self.window[-8:], extra))
            with m.Else():
                m.d.sync += extra.eq(Cat(self.window[-1:], extra))
        return m
