"""A ROM image in block RAM."""

from amaranth import Module, Signal, unsigned
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Rom"]


class Rom(wiring.Component):
    """Stream ``contents``, once, from reset on; a byte every other cycle.

    Members
    -------
    stop : In(1)
        Ends the stream for good: an image from the host takes its place.
    o : Out(stream.Signature(8))
    """

    def __init__(self, contents: bytes):
        if len(contents) < 2:
            raise ValueError(f"contents must be at least 2 bytes, not {len(contents)}")
        self._data = memory.MemoryData(shape=unsigned(8), depth=len(contents), init=contents)
        super().__init__({"stop": In(1), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = rows = memory.Memory(self._data)
        read = rows.read_port()
        left = Signal(range(self._data.depth + 1), init=self._data.depth)
        m.d.comb += [read.en.eq(1), self.o.payload.eq(read.data)]
        # The byte is there in the cycle after its address; the address moves on with the transfer.
        transfer = self.o.valid & self.o.ready
        m.d.sync += self.o.valid.eq((left != 0) & ~transfer & ~self.stop)
        with m.If(transfer):
            m.d.sync += [read.addr.eq(read.addr + 1), left.eq(left - 1)]
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.stop):
            m.d.sync += left.eq(0)
        return m
