"""Memories for standard cells: each is an instance of a wrapper that SRAM macros are bound to."""

from pathlib import Path

from amaranth import ClockSignal, Instance, Module, Signal

__all__ = ["MEMORIES", "REGISTERS", "SRAM_BITS", "AsicTarget"]

MEMORIES = Path(__file__).with_name("memories.v")
REGISTERS = Path(__file__).with_name("registers.v")

SRAM_BITS = 1024  # below, the decoders of a macro take more area than its bits save


class AsicTarget:
    """Platform that puts every memory into a wrapper; docs/asic.md lists their ports.

    ``prunus_ram_1r1w``, ``prunus_ram_1rw`` and ``prunus_rom`` are meant for macros, and
    ``prunus_registers`` for flip-flops: a memory of fewer than ``sram_bits``, and one that is read
    without a clock, which no SRAM can be. :data:`MEMORIES` and :data:`REGISTERS` implement
    them. It is no platform of an FPGA, so multipliers are inferred.

    Parameters
    ----------
    sram_bits : int
    rom_file : str
        What ``prunus_rom`` is filled from, a byte a line.
    """

    def __init__(self, sram_bits: int = SRAM_BITS, rom_file: str = "image.hex"):
        if sram_bits < 0:
            raise ValueError(f"sram_bits must not be negative, not {sram_bits!r}")
        self.sram_bits = sram_bits
        self.rom_file = rom_file

    def get_bank(self, bank):
        """The contents of a :class:`.bank.Bank`."""
        width, parts = len(bank.r_data), len(bank.w_en)
        depth = bank.depth
        write = {"i_w_en": bank.w_en, "i_w_data": bank.w_data}
        if width * depth < self.sram_bits:
            return _registers(
                width, depth, parts, bank.r_en, bank.r_data, **write,
                i_w_addr=bank.w_addr, i_r_addr=bank.r_addr,
            )  # fmt: skip
        m = Module()
        if bank.exclusive:
            writes = bank.w_en.any()
            address = Signal.like(bank.r_addr, name="addr")
            m.d.comb += address.eq(bank.r_addr)
            with m.If(writes):
                m.d.comb += address.eq(bank.w_addr)
            m.submodules.mem = _instance(
                "ram_1rw", width, depth, parts, **write,
                i_en=bank.r_en | writes, i_addr=address, o_r_data=bank.r_data,
            )  # fmt: skip
        else:
            m.submodules.mem = _instance(
                "ram_1r1w", width, depth, parts, **write,
                i_w_addr=bank.w_addr, i_r_en=bank.r_en, i_r_addr=bank.r_addr,
                o_r_data=bank.r_data,
            )  # fmt: skip
        return m

    def get_single_port(self, ram):
        """The contents of a :class:`.spram.SinglePort`."""
        if ram.width * ram.depth < self.sram_bits:
            return _registers(
                ram.width, ram.depth, ram.parts, ram.en & ~ram.w_en.any(), ram.r_data,
                i_w_en=ram.w_en & ram.en.replicate(ram.parts), i_w_addr=ram.addr,
                i_w_data=ram.w_data, i_r_addr=ram.addr,
            )  # fmt: skip
        m = Module()
        m.submodules.mem = _instance(
            "ram_1rw", ram.width, ram.depth, ram.parts, i_en=ram.en, i_addr=ram.addr,
            i_w_en=ram.w_en, i_w_data=ram.w_data, o_r_data=ram.r_data,
        )  # fmt: skip
        return m

    def get_rom(self, depth, address, byte):
        """Read ``byte`` at ``address``, a cycle later."""
        return Instance(
            "prunus_rom",
            p_WIDTH=len(byte),
            p_DEPTH=depth,
            p_ADDRESS=len(address),
            p_FILE=self.rom_file,
            i_clk=ClockSignal(),
            i_r_en=1,
            i_r_addr=address,
            o_r_data=byte,
        )

    def get_memory(self, memory):
        """A memory of Amaranth's library, as its FIFOs have: one port each, which never collide.

        With a read port in no clock domain it is registers, whatever its size.
        """
        if list(memory.init) != [0] * memory.depth:
            raise ValueError("contents must be zeros; those of a Rom come from a file")
        (read,), (write,) = memory.read_ports, memory.write_ports
        width = len(read.data)
        ports = {
            "i_w_en": write.en,
            "i_w_addr": write.addr,
            "i_w_data": write.data,
            "i_r_addr": read.addr,
        }
        if read.domain == "comb":
            return _instance(
                "registers", width, memory.depth, len(write.en), **ports, o_r_data=read.data
            )
        if width * memory.depth >= self.sram_bits:
            return _instance(
                "ram_1r1w", width, memory.depth, len(write.en), **ports,
                i_r_en=read.en, o_r_data=read.data,
            )  # fmt: skip
        return _registers(width, memory.depth, len(write.en), read.en, read.data, **ports)


def _registers(width, depth, parts, r_en, r_data, **ports):
    """A memory of flip-flops that is read like a RAM: ``r_data`` a cycle after ``r_en``."""
    m = Module()
    found = Signal(width)
    row = Signal(width, reset_less=True)
    m.submodules.mem = _instance("registers", width, depth, parts, **ports, o_r_data=found)
    with m.If(r_en):
        m.d.sync += row.eq(found)
    m.d.comb += r_data.eq(row)
    return m


def _instance(kind, width, depth, parts, **ports):
    return Instance(
        f"prunus_{kind}",
        p_WIDTH=width,
        p_DEPTH=depth,
        p_ADDRESS=(depth - 1).bit_length(),
        p_PARTS=parts,
        i_clk=ClockSignal(),
        **ports,
    )
