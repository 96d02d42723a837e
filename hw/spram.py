"""A memory with a single port."""

from amaranth import ClockSignal, Const, Instance, Module, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.vendor import LatticeICE40Platform

__all__ = ["SPRAM_DEPTH", "SPRAM_WIDTH", "SinglePort"]

SPRAM_DEPTH, SPRAM_WIDTH = 1 << 14, 16  # of an iCE40UP's block
NIBBLE = 4  # its smallest part that can be written


class SinglePort(wiring.Component):
    """Rows that are read or written, one a cycle; read data is valid one cycle after ``addr``.

    It holds until the next access; behind a write it is undefined, as are rows that were never
    written. A row has ``parts`` that are written one by one: each has its bit of ``w_en``.

    On an iCE40UP these are its SPRAM blocks of 16k x 16 bit, which synthesis does not find by
    itself; a platform with a method ``get_single_port`` implements it; elsewhere synthesis chooses.
    """

    def __init__(self, *, width: int, depth: int, parts: int = 1):
        if width < 1:
            raise ValueError(f"width must be positive, not {width!r}")
        if not 2 <= depth <= SPRAM_DEPTH:
            raise ValueError(f"depth must be 2 to {SPRAM_DEPTH}, not {depth!r}")
        if parts < 1 or width % parts:
            raise ValueError(f"parts must divide width ({width}), not {parts!r}")
        self.width, self.depth, self.parts = width, depth, parts
        self._data = memory.MemoryData(shape=unsigned(width), depth=depth, init=[])
        super().__init__({
            "addr": In(range(depth)),
            "en": In(1),
            "w_en": In(parts),
            "w_data": In(width),
            "r_data": Out(width),
        })  # fmt: skip

    @property
    def blocks(self) -> int:
        """SPRAM blocks that it takes."""
        return -(-self.width // SPRAM_WIDTH)

    def elaborate(self, platform):
        if hasattr(platform, "get_single_port"):
            return platform.get_single_port(self)
        if isinstance(platform, LatticeICE40Platform) and self.width // self.parts % NIBBLE == 0:
            return self._ice40()
        m = Module()
        m.submodules.mem = mem = memory.Memory(self._data, attrs={"no_rw_check": 1})
        read = mem.read_port(domain="comb")
        write = mem.write_port(granularity=self.width // self.parts)
        row = Signal(self.width, reset_less=True)
        m.d.comb += [
            read.addr.eq(self.addr),
            self.r_data.eq(row),
            write.addr.eq(self.addr),
            write.data.eq(self.w_data),
            write.en.eq(self.w_en & self.en.replicate(self.parts)),
        ]
        with m.If(self.en & ~self.w_en.any()):
            m.d.sync += row.eq(read.data)
        return m

    def _ice40(self):
        """SB_SPRAM256KA. Source: Lattice FPGA-TN-02022, iCE40 SPRAM usage guide."""
        m = Module()
        width = SPRAM_WIDTH * self.blocks
        address = Signal(range(SPRAM_DEPTH))
        w_data, r_data = Signal(width), Signal(width)
        nibbles = Signal(width // NIBBLE)
        each = self.width // self.parts // NIBBLE
        m.d.comb += [
            address.eq(self.addr),
            w_data.eq(self.w_data),
            self.r_data.eq(r_data),
            *(nibbles[n].eq(self.w_en[n // each]) for n in range(self.parts * each)),
        ]
        for n in range(self.blocks):
            mine = slice(n * SPRAM_WIDTH, (n + 1) * SPRAM_WIDTH)
            m.submodules[f"block_{n}"] = Instance(
                "SB_SPRAM256KA",
                i_CLOCK=ClockSignal(),
                i_ADDRESS=address,
                i_DATAIN=w_data[mine],
                i_MASKWREN=nibbles[n * 4 : n * 4 + 4],
                i_WREN=self.w_en.any(),
                i_CHIPSELECT=self.en,
                i_STANDBY=Const(0, 1),
                i_SLEEP=Const(0, 1),
                i_POWEROFF=Const(1, 1),  # active low
                o_DATAOUT=r_data[mine],
            )
        return m
