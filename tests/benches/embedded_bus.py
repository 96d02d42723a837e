"""Both ends of the embedded accelerator's buses, and monitors of its own signals."""

import random
import re

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamSink, AxiStreamSource

from prunus.hw.embed.registers import find

POLLS = 1000


class Axi:
    """Registers over AXI4-Lite."""

    def __init__(self, dut, pauses):
        bus = AxiLiteBus.from_prefix(dut, "s_axil")
        self.master = AxiLiteMaster(bus, dut.aclk, dut.aresetn, reset_active_level=False)
        write, read = self.ends = self.master.write_if, self.master.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel,
                        read.ar_channel, read.r_channel):  # fmt: skip
            if pauses is not None:
                channel.set_pause_generator(pauses())

    async def read(self, address):
        got = await self.master.read(address, 4)
        return int.from_bytes(got.data, "little"), got.resp != 0

    async def write(self, address, value, strobe):
        error = False
        for run in re.finditer("1+", f"{strobe:04b}"[::-1]):  # the master makes the strobes itself
            low, high = run.span()
            part = value.to_bytes(4, "little")[low:high]
            error |= (await self.master.write(address + low, part)).resp != 0
        return error


class Wishbone:
    """Registers over Wishbone, classic cycles."""

    ends = ()

    def __init__(self, dut, pauses):
        self.dut = dut
        self.pauses = pauses() if pauses is not None else iter(lambda: False, True)
        for name in ("adr_i", "dat_i", "sel_i", "we_i", "cyc_i", "stb_i"):
            getattr(dut, f"wb_{name}").value = 0

    async def _access(self, address, *, write, value=0, strobe=0xF):
        dut = self.dut
        while next(self.pauses):
            await RisingEdge(dut.clk_i)
        dut.wb_adr_i.value = address
        dut.wb_dat_i.value = value
        dut.wb_sel_i.value = strobe
        dut.wb_we_i.value = write
        dut.wb_cyc_i.value = 1
        dut.wb_stb_i.value = 1
        for _ in range(10):
            await RisingEdge(dut.clk_i)
            acknowledged, error = dut.wb_ack_o.value == 1, dut.wb_err_o.value == 1
            if acknowledged or error:
                assert acknowledged != error
                dut.wb_stb_i.value = 0
                dut.wb_cyc_i.value = next(self.pauses)  # the next access may be of the same cycle
                return int(dut.wb_dat_o.value), error
        raise AssertionError("no answer")

    async def read(self, address):
        return await self._access(address, write=0)

    async def write(self, address, value, strobe):
        return (await self._access(address, write=1, value=value, strobe=strobe))[1]


class Board:
    """Streams, registers, clock and reset; ``pauses`` is how often each channel pauses."""

    def __init__(self, dut, *, pauses=0.0):
        axi = hasattr(dut, "aclk")
        self.clk, self._reset = (dut.aclk, dut.aresetn) if axi else (dut.clk_i, dut.rst_i)
        self._asserted = 0 if axi else 1
        self.irq = dut.irq
        self.dut = dut
        rng = cocotb.RANDOM_SEED
        seeds = iter(range(rng, rng + 100))

        def generator():
            own = random.Random(next(seeds))
            return iter(lambda: own.random() < pauses, None)

        with_reset = (self.clk, self._reset, bool(self._asserted))
        self._reset.value = self._asserted
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), *with_reset)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), *with_reset)
        self.bus = (Axi if axi else Wishbone)(dut, generator if pauses else None)
        if pauses:
            self.source.set_pause_generator(generator())
            self.sink.set_pause_generator(generator())
        for end in (self.source, self.sink, *self.bus.ends):
            end.log.setLevel("WARNING")  # not a line for each transfer
        Clock(self.clk, 10, unit="ns").start()
        cocotb.start_soon(self._steady("m_axis_tvalid", "m_axis_tready", "m_axis_t"))
        if axi:
            cocotb.start_soon(self._steady("s_axil_bvalid", "s_axil_bready", "s_axil_bresp"))
            cocotb.start_soon(self._steady("s_axil_rvalid", "s_axil_rready", "s_axil_r"))
        else:
            cocotb.start_soon(self._answers_once())

    async def reset(self):
        """Reset for some cycles."""
        self._reset.value = self._asserted
        await ClockCycles(self.clk, 4)
        self._reset.value = 1 - self._asserted
        await ClockCycles(self.clk, 2)

    async def _steady(self, valid, ready, prefix):
        """What is offered stays until it is taken."""
        dut = self.dut
        names = {"m_axis_t": ("m_axis_tdata", "m_axis_tkeep", "m_axis_tlast"),
                 "s_axil_r": ("s_axil_rdata", "s_axil_rresp")}.get(prefix, (prefix,))  # fmt: skip
        waiting = None
        while True:
            await RisingEdge(self.clk)
            if self._reset.value == self._asserted:
                waiting = None
                continue
            offered = getattr(dut, valid).value == 1
            payload = [int(getattr(dut, name).value) for name in names]
            if waiting is not None:
                assert offered, f"{valid} fell"
                assert payload == waiting, f"{prefix} changed"
            waiting = payload if offered and getattr(dut, ready).value == 0 else None

    async def _answers_once(self):
        """An answer only to a strobe, and one to each."""
        dut, before = self.dut, 0
        while True:
            await RisingEdge(self.clk)
            ended = int(dut.wb_ack_o.value) + int(dut.wb_err_o.value)
            assert ended + before < 2
            assert not ended or (dut.wb_stb_i.value == 1 and dut.wb_cyc_i.value == 1)
            before = ended

    @staticmethod
    def mask(register, *fields):
        """The bits of some fields."""
        return sum(find(register)[field].mask for field in fields)

    async def read(self, register):
        value, error = await self.bus.read(find(register).address)
        assert not error, register
        return value

    async def write(self, register, value):
        """Write a whole register; whether it was refused."""
        return await self.bus.write(find(register).address, value, 0xF)

    async def field(self, register, name):
        field = find(register)[name]
        return (await self.read(register) & field.mask) >> field.low

    async def until(self, register, name, value):
        """Poll a field, for a while."""
        for _ in range(POLLS):
            if await self.field(register, name) == value:
                return
            await ClockCycles(self.clk, 10)
        raise AssertionError(f"{register}.{name} is {await self.field(register, name)}")

    async def begin(self, packet):
        """Send a packet's first bytes, without TLAST."""
        dut, size = self.dut, len(self.dut.s_axis_tdata) // 8
        for n in range(0, len(packet), size):
            dut.s_axis_tdata.value = int.from_bytes(packet[n : n + size], "little")
            dut.s_axis_tkeep.value = (1 << size) - 1
            dut.s_axis_tlast.value = 0
            dut.s_axis_tvalid.value = 1
            await RisingEdge(self.clk)
            while dut.s_axis_tready.value == 0:
                await RisingEdge(self.clk)
        dut.s_axis_tvalid.value = 0
