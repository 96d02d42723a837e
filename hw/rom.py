"""A ROM image in block RAM."""

from amaranth import Cat, Module, Signal, unsigned
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Rom"]

DEEP = 1 << 14  # bytes from which each bit has memories of its own


class Rom(wiring.Component):
    """Stream ``contents``, once, from reset on; a byte every third cycle.

    A large image is stored by bits: block RAM is at its deepest when it is one bit wide, which
    leaves an eighth of the multiplexers behind it. These are followed by a register. A platform
    with a method ``get_rom`` gives the bytes instead, a cycle after their address.

    Members
    -------
    stop : In(1)
        Ends the stream for good: an image from the host takes its place.
    o : Out(stream.Signature(8))
    """

    def __init__(self, contents: bytes):
        if len(contents) < 2:
            raise ValueError(f"contents must be at least 2 bytes, not {len(contents)}")
        self.depth = len(contents)
        width = 1 if self.depth > DEEP else 8
        self._slices = [
            memory.MemoryData(
                shape=unsigned(width),
                depth=self.depth,
                init=[byte >> low & (1 << width) - 1 for byte in contents],
            )
            for low in range(0, 8, width)
        ]
        super().__init__({"stop": In(1), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        address = Signal(range(self.depth))
        left = Signal(range(self.depth + 1), init=self.depth)
        parts = []
        if hasattr(platform, "get_rom"):
            parts.append(Signal(8, name="rows_data"))
            m.submodules.rows = platform.get_rom(self.depth, address, parts[0])
        else:
            for n, contents in enumerate(self._slices):
                m.submodules[f"slice_{n}"] = rows = memory.Memory(contents)
                read = rows.read_port()
                m.d.comb += [read.en.eq(1), read.addr.eq(address)]
                parts.append(read.data)
        byte = Signal(8, reset_less=True)
        m.d.sync += byte.eq(Cat(*parts))
        m.d.comb += self.o.payload.eq(byte)

        # Two cycles after its address, a byte is there: in its register with the second.
        on_its_way = Signal()
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [address.eq(address + 1), left.eq(left - 1), on_its_way.eq(0)]
            m.d.sync += self.o.valid.eq(0)
        with m.Else():
            m.d.sync += on_its_way.eq(1)
            m.d.sync += self.o.valid.eq(self.o.valid | on_its_way & (left != 0) & ~self.stop)
        with m.If(self.stop):
            m.d.sync += left.eq(0)
        return m
