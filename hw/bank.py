"""Scratchpad bank."""

from amaranth import Module, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.vendor import LatticeICE40Platform

__all__ = ["ICE40_SMALL", "Bank"]

ICE40_SMALL = 96  # bits; more take block RAM on an iCE40, where a bit is a logic cell otherwise


class Bank(wiring.Component):
    """One read and one write port on block RAM; read data is valid one cycle after ``addr``.

    The read value is undefined when the same row is written in the same cycle: the schedule must
    not do that, and tests watch for it. In return no bypass logic is built (see ``no_rw_check``
    in Yosys ``memory_dff``).

    A row may have ``parts`` that are written one by one: each has its bit of ``w_en``.

    Where the schedule never needs both ports in one cycle the bank is ``exclusive``: a platform may
    give it one port. What is read in a cycle that writes is undefined then, whichever the rows.

    A platform with a method ``get_bank`` implements it.
    """

    def __init__(self, *, width: int, depth: int, parts: int = 1, exclusive: bool = False):
        if width < 1:
            raise ValueError(f"width must be positive, not {width!r}")
        if depth < 2:
            raise ValueError(f"depth must be at least 2, not {depth!r}")  # 1 row = 0-bit address
        if parts < 1 or width % parts:
            raise ValueError(f"parts must divide width ({width}), not {parts!r}")
        self.depth = depth
        self.exclusive = exclusive
        self._part = width // parts
        self._data = memory.MemoryData(shape=unsigned(width), depth=depth, init=[])
        super().__init__(
            {
                "r_addr": In(range(depth)),
                "r_en": In(1),
                "r_data": Out(width),
                "w_addr": In(range(depth)),
                "w_en": In(parts),
                "w_data": In(width),
            }
        )

    def elaborate(self, platform):
        if hasattr(platform, "get_bank"):
            return platform.get_bank(self)
        m = Module()
        attrs: dict[str, int | str] = {"no_rw_check": 1}
        bits = self.depth * len(self.r_data)
        if isinstance(platform, LatticeICE40Platform) and bits >= ICE40_SMALL:
            attrs["ram_style"] = "block"
        m.submodules.mem = mem = memory.Memory(self._data, attrs=attrs)
        read = mem.read_port(domain="comb")
        write = mem.write_port(granularity=self._part)
        row = Signal(self.r_data.shape(), reset_less=True)
        m.d.comb += [
            read.addr.eq(self.r_addr),
            self.r_data.eq(row),
            write.addr.eq(self.w_addr),
            write.data.eq(self.w_data),
            write.en.eq(self.w_en),
        ]
        with m.If(self.r_en):
            m.d.sync += row.eq(read.data)
        return m
