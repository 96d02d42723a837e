"""The registers, behind whichever bus."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .registers import ADDRESS_BITS, REGISTERS, WIDTH, Access, Register

__all__ = ["RegisterAccess", "RegisterFile", "field_name"]


class RegisterAccess(wiring.Signature):
    """One access a cycle, as the bus makes it; answered in the next cycle.

    Members
    -------
    valid, write, address, w_data, w_strobe : Out
        In a cycle with ``valid``: a read or a write of the register at the byte ``address``, of
        which the low two bits count for nothing, and of the bytes that ``w_strobe`` marks.
    r_data, error : In
        From the next cycle until the next access. ``error``: there is no register, or it cannot be
        written; nothing was done.
    irq : In
        Interrupt request.
    """

    def __init__(self):
        super().__init__({
            "valid": Out(1),
            "write": Out(1),
            "address": Out(ADDRESS_BITS),
            "w_data": Out(WIDTH),
            "w_strobe": Out(WIDTH // 8),
            "r_data": In(WIDTH),
            "error": In(1),
            "irq": In(1),
        })  # fmt: skip


def field_name(register: Register, field) -> str:
    """What a field is called among the members of the file: ``control_start``."""
    return f"{register.name}_{field.name}".lower()


def _layout(*kinds: Access) -> data.StructLayout:
    return data.StructLayout({
        field_name(register, field): field.width
        for register in REGISTERS
        for field in register.fields
        if field.access in kinds
    })  # fmt: skip


class RegisterFile(wiring.Component):
    """The registers of :mod:`prunus.hw.embed.registers`.

    Members
    -------
    access : In(RegisterAccess())
        Reads and writes. Of ``irq`` it is what IRQ_STATUS and IRQ_ENABLE say, a cycle later.
    i : In(struct)
        The fields that can only be read, and pulses that set events.
    o : Out(struct)
        Fields that are written, events, and pulses, each in the cycle after the write.
    """

    def __init__(self):
        super().__init__({
            "access": In(RegisterAccess()),
            "i": In(_layout(Access.READ, Access.EVENT)),
            "o": Out(_layout(Access.WRITE, Access.EVENT, Access.PULSE)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        access = self.access
        mask = Cat(bit.replicate(8) for bit in access.w_strobe)
        ones = Signal(WIDTH)
        m.d.comb += ones.eq(access.w_data & mask)
        irq = Signal()
        m.d.sync += irq.eq((self._events("IRQ_STATUS") & self._events("IRQ_ENABLE")).any())
        m.d.comb += access.irq.eq(irq)

        word = Signal(WIDTH)
        r_data = Signal(WIDTH, reset_less=True)
        error = Signal(reset_less=True)
        m.d.comb += [access.r_data.eq(r_data), access.error.eq(error)]
        with m.If(access.valid):
            m.d.sync += [r_data.eq(word), error.eq(1)]

        for register in REGISTERS:
            here = access.address[2:] == register.address >> 2
            write = Signal(name=f"write_{register.name.lower()}")
            m.d.comb += write.eq(access.valid & access.write & here)
            with m.If(access.valid & here):
                m.d.sync += error.eq(access.write & (not register.writable))
            for field in register.fields:
                name = field_name(register, field)
                bits = slice(field.low, field.low + field.width)
                with m.If(here):
                    m.d.comb += word[bits].eq(self._value(name, field.access))
                match field.access:
                    case Access.WRITE:
                        stored = self.o[name]
                        kept = stored & ~mask[bits]
                        with m.If(write):
                            m.d.sync += stored.eq(kept | ones[bits])
                    case Access.EVENT:
                        stored = self.o[name]
                        m.d.sync += stored.eq(
                            self.i[name] | stored & ~(ones[bits] & write.replicate(field.width))
                        )
                    case Access.PULSE:
                        m.d.sync += self.o[name].eq(ones[bits] & write.replicate(field.width))
        return m

    def _value(self, name: str, access: Access):
        if access is Access.READ:
            return self.i[name]
        return Const(0) if access is Access.PULSE else self.o[name]

    def _events(self, name: str):
        prefix = f"{name.lower()}_"
        return Cat(self.o[key] for key, _ in self.o.shape() if key.startswith(prefix))
