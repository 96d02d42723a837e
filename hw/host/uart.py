"""An asynchronous serial port: 8 data bits, no parity, one stop bit, lowest bit first."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["Uart", "uart_divisor"]

_SMALLEST = 4
_WORST = 0.02  # of a bit; a receiver samples the stop bit 9.5 bits after the edge it started from


def uart_divisor(clk_hz: float, baud: float) -> int:
    """Clock cycles in a bit.

    Raises
    ------
    ValueError
        The clock is too slow for the rate, or cannot be divided to within 2 % of it.

    >>> uart_divisor(25e6, 115200)
    217
    """
    if not baud > 0:
        raise ValueError(f"baud must be positive, not {baud!r}")
    divisor = round(clk_hz / baud)
    if divisor < _SMALLEST or abs(clk_hz / divisor / baud - 1) >= _WORST:
        raise ValueError(
            f"baud must divide the clock of {clk_hz:.0f} Hz by at least {_SMALLEST} and to within "
            f"2 %, not {baud!r}"
        )
    return divisor


class Uart(wiring.Component):
    """Serial lines on one side, byte streams on the other.

    A byte takes ``10 * divisor`` cycles each way. The receiver samples in the middle of a bit,
    ignores low pulses shorter than half a bit, and drops a byte without a stop bit. A byte that
    arrives while the last one was not taken is lost: the frames around it notice.

    Members
    -------
    rx, tx : In(1), Out(1)
        The lines, high when idle; ``rx`` may be asynchronous.
    i, o : streams
        Bytes to send, bytes received.
    """

    def __init__(self, divisor: int):
        if isinstance(divisor, bool) or not isinstance(divisor, int):
            raise TypeError(f"divisor must be an int, not {divisor!r}")
        if divisor < _SMALLEST:
            raise ValueError(f"divisor must be at least {_SMALLEST}, not {divisor!r}")
        self.divisor = divisor
        super().__init__({
            "rx": In(1, init=1),
            "tx": Out(1, init=1),
            "i": In(stream.Signature(8)),
            "o": Out(stream.Signature(8)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        self._receive(m)
        self._transmit(m)
        return m

    def _receive(self, m):
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, line, init=1)
        timer = Signal(range(self.divisor))
        # A one marks the end: it reaches the lowest bit when the eighth data bit has come in.
        bits = Signal(9, reset_less=True)
        byte = Signal(8, reset_less=True)
        m.d.comb += self.o.payload.eq(byte)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        m.d.sync += timer.eq(timer - 1)
        with m.FSM(name="receiver"):
            with m.State("IDLE"):
                m.d.sync += timer.eq((self.divisor - 1) // 2)
                with m.If(~line):
                    m.next = "START"
            with m.State("START"):
                m.d.sync += bits.eq(1 << 8)
                with m.If(line):
                    m.next = "IDLE"
                with m.Elif(timer == 0):
                    m.d.sync += timer.eq(self.divisor - 1)
                    m.next = "DATA"
            with m.State("DATA"):
                with m.If(timer == 0):
                    m.d.sync += [timer.eq(self.divisor - 1), bits.eq(Cat(bits[1:], line))]
                    with m.If(bits[1]):
                        m.next = "STOP"
            with m.State("STOP"):
                with m.If(timer == 0):
                    m.next = "IDLE"
                    with m.If(~line):
                        m.next = "BREAK"
                    with m.Elif(~self.o.valid | self.o.ready):
                        m.d.sync += [self.o.valid.eq(1), byte.eq(bits[1:])]
            with m.State("BREAK"):
                with m.If(line):
                    m.next = "IDLE"

    def _transmit(self, m):
        timer = Signal(range(self.divisor))
        bits = Signal(10, init=-1)
        count = Signal(range(11))
        m.d.comb += [self.tx.eq(bits[0]), self.i.ready.eq(count == 0)]
        with m.If(self.i.ready):
            m.d.sync += timer.eq(self.divisor - 1)
            with m.If(self.i.valid):
                m.d.sync += [bits.eq(Cat(Const(0, 1), self.i.payload, Const(1, 1))), count.eq(10)]
        with m.Else():
            m.d.sync += timer.eq(timer - 1)
            with m.If(timer == 0):
                m.d.sync += [
                    timer.eq(self.divisor - 1),
                    bits.eq(Cat(bits[1:], Const(1, 1))),
                    count.eq(count - 1),
                ]
