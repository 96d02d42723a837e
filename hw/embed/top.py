"""The accelerator with the pins that block-design tools know."""

from typing import Any

from amaranth import Cat, ClockDomain, ClockSignal, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..accelerator import Accelerator, trace_signature
from ..config import Config
from .axi_lite import AxiLite
from .port import EmbedPort
from .wishbone import Wishbone

__all__ = ["BUSES", "EmbeddedAccelerator"]

# The bus of the registers: prefix of its pins, and what the clock and the reset are called.
BUSES: dict[str, tuple[Any, str, str, str]] = {
    "axi": (AxiLite, "s_axil", "aclk", "aresetn"),
    "wishbone": (Wishbone, "wb", "clk_i", "rst_i"),
}


class EmbeddedAccelerator(wiring.Component):
    """An accelerator behind AXI4-Stream and registers, with flat pins; docs/registers.md.

    Members
    -------
    aclk, aresetn : In(1)
        Clock, and reset, synchronous and active low; for Wishbone ``clk_i`` and ``rst_i``, active
        high.
    s_axis_*, m_axis_*
        Images and inputs; outputs: tdata, tkeep, tlast, tvalid, tready.
    s_axil_*, wb_*
        The registers; see :class:`AxiLite` and :class:`Wishbone`.
    irq : Out(1)
        Interrupt request, until it is cleared.
    trace : Out
        See :func:`prunus.hw.accelerator.trace_signature`; only with ``config.trace``.
    """

    def __init__(
        self, config: Config, image: bytes | None = None, *, bus: str = "axi", stream_bits: int = 32
    ):
        if bus not in BUSES:
            raise ValueError(f"bus must be {' or '.join(BUSES)}, not {bus!r}")
        if stream_bits not in (8, 16, 32, 64, 128, 256, 512):
            raise ValueError(
                f"stream_bits must be a power of two from 8 to 512, not {stream_bits!r}"
            )
        self.bus = bus
        self._bytes = stream_bits // 8
        port = EmbedPort(config, stream_bytes=self._bytes, rom=image is not None)
        self._accelerator = Accelerator(config, image, host=port)
        pins, prefix, clock, reset = BUSES[bus]
        beat = {"tdata": Out(stream_bits), "tkeep": Out(self._bytes), "tlast": Out(1)}
        handshake = {"tvalid": Out(1), "tready": In(1)}
        out = beat | handshake
        members = {
            clock: In(1),
            reset: In(1),
            **{f"{prefix}_{name}": member for name, member in pins.PINS.items()},
            **{f"s_axis_{name}": member.flip() for name, member in out.items()},
            **{f"m_axis_{name}": member for name, member in out.items()},
            "irq": Out(1),
        }
        if config.trace:
            members["trace"] = Out(trace_signature(config))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        make_bus, prefix, clock, reset = BUSES[self.bus]
        m.domains.sync = ClockDomain()
        m.d.comb += [
            ClockSignal().eq(getattr(self, clock)),
            ResetSignal().eq(~self.aresetn if reset == "aresetn" else self.rst_i),
        ]
        m.submodules.accelerator = accelerator = self._accelerator
        m.submodules.bus = bus = make_bus()
        connect(m, bus.access, accelerator.host_registers)
        m.d.comb += self.irq.eq(accelerator.host_registers.irq)
        for name, member in make_bus.PINS.items():
            pin, inner = getattr(self, f"{prefix}_{name}"), getattr(bus, name)
            m.d.comb += inner.eq(pin) if member.flow is In else pin.eq(inner)

        # TKEEP and the number of the last byte that counts.
        i, o, size = accelerator.host_i, accelerator.host_o, self._bytes
        keep = self.s_axis_tkeep
        with m.If(self.s_axis_tlast):
            gaps = [keep[n] & ~keep[n - 1] for n in range(1, size)]
            m.d.comb += i.p.bad.eq(Cat(*gaps, ~keep[0]).any())
            for n in range(1, size):
                with m.If(keep[n]):
                    m.d.comb += i.p.top.eq(n)
        with m.Else():
            m.d.comb += [i.p.bad.eq(~keep.all()), i.p.top.eq(size - 1)]
        m.d.comb += [
            i.p.data.eq(self.s_axis_tdata),
            i.p.last.eq(self.s_axis_tlast),
            i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(i.ready),
            self.m_axis_tdata.eq(o.p.data),
            self.m_axis_tkeep.eq(Cat(o.p.top >= n for n in range(size))),
            self.m_axis_tlast.eq(o.p.last),
            self.m_axis_tvalid.eq(o.valid),
            o.ready.eq(self.m_axis_tready),
        ]
        if hasattr(self, "trace"):
            connect(m, accelerator.trace, flipped(self.trace))
        return m
