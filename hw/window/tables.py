"""The window engine's tables."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..bank import Bank
from ..bus import Target, WriteBus
from ..config import Config
from ..descriptor import TABLE_FIELDS, descriptor_layout

__all__ = ["Tables"]

COMPUTED_BITS = 29  # abs((x - in_zero) << 20) is below 2**28, and so is what is made of it
_POINT = 11  # fraction bits of (x - in_zero) * multiplier where (x - in_zero) << 20 has none


class Tables(wiring.Component):
    """A memory of two tables, each for all int8, beside each byte of an activation word.

    A ``TABLE`` command fills one half of all memories alike, in the background, with a slot or
    with ``scale((x - in_zero) << 20, multiplier, -shift, "double")`` of
    :func:`prunus.sim.ops.scale`. It takes :data:`CYCLES` = 263 cycles from ``start`` until
    ``busy`` has fallen. A look-up takes :data:`LATENCY` = 2 cycles, the second one a register
    behind the memory; throughput is a word a cycle.

    No multiplier is needed: an accumulator goes up from ``in_zero``, then down from there, a
    multiplier at a time. It starts with the halves of both roundings. The second takes away one
    where its operand is negative, which is the way down. Both ways write ``in_zero``, with zero.

    Parameters
    ----------
    config : Config
        With an adder or with tables: a computed entry has :data:`COMPUTED_BITS`, others have 8.

    Members
    -------
    bus : In(WriteBus)
        Fills the slots.
    start : In(1)
        Begin a command; only while not ``busy``.
    layer : In
        The command; sampled with ``start``. ``multiplier`` is 0 or at least 2**30, ``shift`` at
        most 31.
    busy : Out(1)
        High from the cycle after ``start`` until the last entry is written.
    x, select : In
        A byte each, and the half where they are looked up.
    o : Out
        Their entries, :data:`LATENCY` cycles later.
    """

    LATENCY = 2
    CYCLES = 263

    def __init__(self, config: Config):
        if not (config.adder or config.tables):
            raise ValueError("config must have an adder or tables, not neither")
        self.config = config
        self.width = COMPUTED_BITS if config.adder else 8
        super().__init__({
            "bus": In(WriteBus(config)),
            "start": In(1),
            "layer": In(descriptor_layout(TABLE_FIELDS)),
            "busy": Out(1),
            "x": In(data.ArrayLayout(8, config.act_word)),
            "select": In(1),
            "o": Out(data.ArrayLayout(signed(self.width), config.act_word)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config, layer = self.config, self.layer

        def register(name, shape):
            return Signal(shape, name=name, reset_less=True)

        # The command. x goes up from the zero point to 127, then down from there to -128.
        zero = register("zero", signed(8))
        half = register("half", 1)
        loading = Signal()  # of the next way
        walking = Signal()
        down = Signal()
        x = register("x", signed(8))
        at_end = register("at_end", 1)  # x is the last of this way
        next_x = Signal(signed(8))
        m.d.comb += next_x.eq(Mux(loading, zero, Mux(down, x - 1, x + 1)))
        m.d.sync += [x.eq(next_x), at_end.eq(next_x == Mux(down, -128, 127))]
        with m.If(self.start):
            m.d.sync += [zero.eq(layer.in_zero), half.eq(layer.half), loading.eq(1), down.eq(0)]
        with m.Elif(loading):
            m.d.sync += [loading.eq(0), walking.eq(1)]
        with m.Elif(walking & at_end):
            m.d.sync += [walking.eq(0), loading.eq(~down), down.eq(1)]

        # Beside both sources: the entry's address.
        s1_valid, s2_valid, w_valid = Signal(), Signal(), Signal()
        s1_x, s2_x = register("s1_x", 8), register("s2_x", 8)
        w_addr = register("w_addr", 9)
        m.d.sync += [
            s1_valid.eq(walking),
            s1_x.eq(x),
            s2_valid.eq(s1_valid),
            s2_x.eq(s1_x),
            w_valid.eq(s2_valid),
            w_addr.eq(Cat(s2_x, half)),
        ]
        m.d.comb += self.busy.eq(loading | walking | s1_valid | s2_valid | w_valid)

        copied = self._slots(m, register, x) if config.tables else None
        computed = self._scaled(m, register, loading, down) if config.adder else None
        entry = register("w_data", signed(self.width))
        if copied is None or computed is None:
            m.d.sync += entry.eq(computed if copied is None else copied)
        else:
            copy = register("copy", 1)
            with m.If(self.start):
                m.d.sync += copy.eq(layer.multiplier == 0)
            m.d.sync += entry.eq(Mux(copy, copied, computed))

        for n in range(config.act_word):
            m.submodules[f"table_{n}"] = table = Bank(width=self.width, depth=512)
            found = register(f"found_{n}", signed(self.width))
            m.d.sync += found.eq(table.r_data)
            m.d.comb += [
                table.w_en.eq(w_valid),
                table.w_addr.eq(w_addr),
                table.w_data.eq(entry),
                table.r_en.eq(1),
                table.r_addr.eq(Cat(self.x[n], self.select)),
                self.o[n].eq(found),
            ]
        return m

    def _slots(self, m, register, x):
        """The memory of slots; the chosen one's entry of x, two cycles after x."""
        depth = 256 * self.config.tables
        m.submodules.slots = slots = Bank(width=8, depth=depth, exclusive=True)
        w_valid = Signal(name="slot_valid")
        w_addr = register("slot_addr", range(depth))
        w_data = register("slot_data", 8)
        m.d.sync += [
            w_valid.eq(self.bus.valid & (self.bus.target == Target.TABLE)),
            w_addr.eq(self.bus.address),
            w_data.eq(self.bus.data),
        ]
        slot = register("slot", 8)
        with m.If(self.start):
            m.d.sync += slot.eq(self.layer.slot)
        entry = register("slot_entry", signed(8))
        m.d.sync += entry.eq(slots.r_data)
        m.d.comb += [
            slots.w_en.eq(w_valid),
            slots.w_addr.eq(w_addr),
            slots.w_data.eq(w_data),
            slots.r_en.eq(1),
            slots.r_addr.eq(Cat(x, slot)),
        ]
        return entry

    def _scaled(self, m, register, loading, down):
        """The scaled difference of x to the zero point, two cycles after x."""
        longest = COMPUTED_BITS  # it leaves zero, as any further would
        step = register("step", signed(32))
        shift = register("shift", range(longest + 1))
        scaled = register("scaled", signed(_POINT + COMPUTED_BITS + 1))
        start = Signal(scaled.shape())  # of a way: half for the rounding at the point ...
        m.d.comb += start[_POINT - 1].eq(1)
        for n in range(1, longest + 1):  # ... and half for the one of the shift, less one
            m.d.comb += start[_POINT + n - 1].eq(Mux(down, shift > n, shift == n))
        with m.If(self.start):
            too_long = self.layer.shift > longest
            m.d.sync += [
                step.eq(self.layer.multiplier),
                shift.eq(Mux(too_long, longest, self.layer.shift)),
            ]
        with m.If(loading):
            m.d.sync += scaled.eq(start)
            with m.If(down):
                m.d.sync += step.eq(~step)  # taken away: its complement and a carry
        with m.Else():
            total = Signal(signed(len(scaled) + 1))
            m.d.comb += total.eq(Cat(Const(1, 1), scaled).as_signed() + Cat(down, step).as_signed())
            m.d.sync += scaled.eq(total[1:])

        coarse = register("s1_scaled", signed(COMPUTED_BITS + 1))
        fine = register("s2_scaled", signed(COMPUTED_BITS))
        m.d.sync += [
            coarse.eq(scaled[_POINT:].as_signed() >> Cat(Const(0, 3), shift[3:])),
            fine.eq(coarse >> shift[:3]),
        ]
        return fine
