"""What benches of a board's pins share: the wire that the host library talks over.

A test runs the host's code, which waits, in a thread of its own::

    @cocotb.test(timeout_time=1, timeout_unit="sec")
    async def answers(dut):
        wire = Wire(dut)
        await wire.power_up()
        link = Link(wire, clock=wire.clock)
        await cocotb.task.bridge(link.hello)()

The simulation rests while the thread computes, and the thread while it simulates: what it measures
with ``wire.clock`` is the board's time.
"""

from typing import Any

from cocotb.task import resume
from cocotb.triggers import Edge, First, Timer
from cocotb.utils import get_sim_time

__all__ = ["Wire"]

CHUNK = 64
RING = 65536


class Wire:
    """Bytes to and from the serial host of ``pins_bench.sv``; a transport of the host library.

    ``sent`` and ``received`` count bytes. All that is awaited here belongs to the simulator's
    thread; :meth:`read`, :meth:`write` and :meth:`clock` to that of the host's code.
    """

    def __init__(self, dut: Any):
        self.sent = 0
        self.received = int(dut.rx_total.value)  # another test may have run before
        self._dut = dut
        self._pushed = int(dut.push.value)
        dut.stop_oscillator.value = dut.disturb.value = 0

    async def power_up(self, timeout_us: int = 100_000) -> None:
        """Wait until the image is loaded, or was refused."""
        await Timer(1, "us")
        if not (self._dut.ready.value or self._dut.failed.value):
            await First(Edge(self._dut.ready), Edge(self._dut.failed), Timer(timeout_us, "us"))
        assert self._dut.ready.value or self._dut.failed.value, "the image was not loaded in time"

    async def send(self, raw: bytes) -> None:
        """Queue bytes; returns at once."""
        for at in range(0, len(raw), CHUNK):
            some = raw[at : at + CHUNK]
            self._dut.tx_bytes.value = int.from_bytes(some, "little")
            self._dut.tx_count.value = len(some)
            self._pushed ^= 1
            self._dut.push.value = self._pushed
            await Timer(1, "ns")
        self.sent += len(raw)

    async def flush(self) -> None:
        """Wait until the last queued byte is on the wire."""
        if not self._dut.tx_idle.value:
            await Edge(self._dut.tx_idle)

    async def receive(self, size: int, timeout: float) -> bytes:
        """What the board has sent, 1 to ``size`` bytes; nothing after ``timeout`` seconds."""
        waiting = int(self._dut.rx_total.value) - self.received
        if not waiting:
            await First(Edge(self._dut.frames), Timer(max(1, round(timeout * 1e9)), "ns"))
            waiting = int(self._dut.rx_total.value) - self.received
        assert waiting <= RING, "the bench forgot some bytes"
        raw = b""
        while len(raw) < min(size, waiting):
            self._dut.rx_at.value = self.received
            await Timer(1, "ns")
            part = min(CHUNK, min(size, waiting) - len(raw))
            window = int(self._dut.rx_bytes.value).to_bytes(CHUNK, "little")
            raw += window[:part]
            self.received += part
        return raw

    def write(self, raw: bytes) -> None:
        """Send everything."""
        resume(self.send)(raw)

    def read(self, size: int, timeout: float) -> bytes:
        """What has arrived, 1 to ``size`` bytes; nothing when ``timeout`` seconds went by."""
        return bytes(resume(self.receive)(size, timeout))

    @staticmethod
    def clock() -> float:
        """Seconds of the simulation."""
        return float(get_sim_time("ns")) / 1e9
