"""The design that goes on a board: a core, its clock and reset, and the UART around it."""

from amaranth import (
    ClockDomain,
    ClockSignal,
    Const,
    DomainRenamer,
    Elaboratable,
    Instance,
    Module,
    ResetSignal,
    Signal,
)
from amaranth.build import Resource, ResourceError
from amaranth.lib import cdc, io, wiring
from amaranth.lib.wiring import In, Out

from prunus.hw.host.uart import Uart, uart_divisor
from prunus.hw.load.flash_reader import FlashReader, flash_timing

from .board import Board
from .clock import BoardClock, made_hz

__all__ = ["BoardTop", "PowerOnReset"]

# iCE40 block RAM reads as zero for some 3 us after configuration; five times that is waited.
RESET_SECONDS = 15e-6


class PowerOnReset(wiring.Component):
    """Holds ``reset`` from configuration until the clock was good for ``cycles`` cycles.

    Runs in a domain without reset. ``locked`` may be asynchronous; when it falls, ``reset``
    rises again four cycles later.
    """

    locked: In(1)
    reset: Out(1, init=1)

    def __init__(self, cycles: int):
        if cycles < 1:
            raise ValueError(f"cycles must be positive, not {cycles!r}")
        self._cycles = cycles
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        locked = Signal()
        # The top bit is set when the count is over: no comparison, no long path.
        width = self._cycles.bit_length() + 1
        start = 2 ** (width - 1) - self._cycles
        count = Signal(width, init=start)
        m.submodules.sync = cdc.FFSynchronizer(self.locked, locked)
        with m.If(~locked):
            m.d.sync += count.eq(start)
        with m.Elif(~count[-1]):
            m.d.sync += count.eq(count + 1)
        m.d.sync += self.reset.eq(~count[-1])
        return m


class BoardTop(Elaboratable):
    """``core`` on ``board``: everything in domain ``sync`` at about ``clock_hz``.

    ``core`` is a component with the byte streams ``host_i`` and ``host_o`` and the status outputs
    ``ready`` and ``failed``, which light one LED each. With the stream ``image_i`` and the output
    ``image_stop`` it gets the bytes of the flash from ``board.image_offset`` on.

    ``clock_hz`` of the object is what the PLL really makes.
    """

    def __init__(self, board: Board, core, *, clock_hz: int | None = None):
        missing = [n for n in ("host_i", "host_o", "ready", "failed") if not hasattr(core, n)]
        if missing:
            raise TypeError(f"core must have {', '.join(missing)}, not {type(core).__name__}")
        if hasattr(core, "image_i") and board.image_offset is None:
            raise ValueError(f"{board.name} has no flash that an image could be read from")
        self._board = board
        self._core = core
        requested = board.clock_hz if clock_hz is None else clock_hz
        self._requested = requested
        self.clock_hz = made_hz(board, requested)
        self._divisor = uart_divisor(self.clock_hz, board.baud)

    def _flash_pins(self, m, platform, flash):
        """Connect the flash that the bitstream came from."""
        try:
            known = platform.lookup("spi_flash_1x", 0)
        except ResourceError:
            known = platform.lookup("spi_flash", 0)
        lines = known.ios
        if self._board.family == "ecp5":  # its clock pin is reached through a primitive only
            lines = [line for line in lines if line.name != "clk"]
            m.submodules.flash_clk = Instance("USRMCLK", i_USRMCLKI=flash.clk, i_USRMCLKTS=Const(0))
        platform.add_resources([Resource("image_flash", 0, *lines, known.attrs)])
        names = [line.name for line in lines]
        pins = platform.request("image_flash", 0, dir=dict.fromkeys(names, "-"))
        # Write protection and hold are for flashes with four data lines; both stay inactive.
        levels = {"cs": flash.cs, "clk": flash.clk, "copi": flash.copi, "wp": 0, "hold": 0}
        for name in names:
            pin = io.Buffer("i" if name == "cipo" else "o", getattr(pins, name))
            m.submodules[f"flash_{name}_pin"] = pin
            m.d.comb += flash.cipo.eq(pin.i) if name == "cipo" else pin.o.eq(levels[name])

    def elaborate(self, platform):
        m = Module()
        board, core = self._board, self._core
        m.submodules.source = source = BoardClock(board, self._requested)
        clock = Signal(name="clock")
        m.d.comb += clock.eq(source.o)
        platform.add_clock_constraint(clock, self.clock_hz)

        # An ECP5 is too wide for a reset that reaches every flip-flop in one cycle: there the clock
        # starts late instead, and the state is that of the bitstream.
        gated = board.family == "ecp5"
        m.domains.sync = ClockDomain(reset_less=gated)
        m.domains.por = ClockDomain(reset_less=True, local=True)
        por = PowerOnReset(round(RESET_SECONDS * self.clock_hz))
        m.submodules.por = DomainRenamer("por")(por)
        m.d.comb += [ClockSignal("por").eq(clock), por.locked.eq(source.locked)]
        if gated:
            started = Signal(name="started_clock")
            platform.add_clock_constraint(started, self.clock_hz)
            m.submodules.gate = Instance("DCCA", i_CLKI=clock, i_CE=~por.reset, o_CLKO=started)
            m.d.comb += ClockSignal("sync").eq(started)
        else:
            m.d.comb += [ClockSignal("sync").eq(clock), ResetSignal("sync").eq(por.reset)]

        pins = platform.request("uart", 0, dir=dict.fromkeys(_subsignals(platform), "-"))
        m.submodules.rx = rx = io.Buffer("i", pins.rx)
        m.submodules.tx = tx = io.Buffer("o", pins.tx)
        m.submodules.uart = uart = Uart(self._divisor)
        m.d.comb += [uart.rx.eq(rx.i), tx.o.eq(uart.tx)]

        m.submodules.core = core
        wiring.connect(m, uart.o, core.host_i)
        wiring.connect(m, core.host_o, uart.i)

        if board.image_offset is not None and hasattr(core, "image_i"):
            timing = flash_timing(self.clock_hz)
            m.submodules.flash = flash = FlashReader(board.image_offset, **timing)
            wiring.connect(m, flash.o, core.image_i)
            m.d.comb += flash.stop.eq(core.image_stop)
            self._flash_pins(m, platform, flash)

        for name, light, lit in (
            ("ready", board.ready_led, core.ready),
            ("failed", board.failed_led, core.failed),
        ):
            if light is None:
                continue
            resource, number = light
            m.submodules[f"{name}_led"] = led = io.Buffer(
                "o", platform.request(resource, number, dir="-")
            )
            m.d.comb += led.o.eq(lit)
        for resource in board.tie_high:
            m.submodules[resource] = high = io.Buffer("o", platform.request(resource, dir="-"))
            m.d.comb += high.o.eq(1)
        return m


def _subsignals(platform) -> list[str]:
    """Names of the lines of the board's UART; some have handshakes that stay unused."""
    return [line.name for line in platform.lookup("uart", 0).ios]
