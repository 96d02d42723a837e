"""What component benches share: clock and reset, stream drivers, payload packing.

A bench for a component with streams ``i`` and ``o``, in ``tests/benches/<dut>.py``::

    @cocotb.test(timeout_time=1, timeout_unit="ms")
    async def equals_golden(dut):
        rng = random.Random(cocotb.RANDOM_SEED)
        await start(dut)
        source = Source(dut, "i", rng=rng, gap=0.3)
        sink = Sink(dut, "o", rng=rng, stall=0.3)
        cocotb.start_soon(source.send(pack(LAYOUT, step) for step in steps))
        assert await sink.receive(len(expected)) == expected

``prunus.sim.verilator`` builds and runs it. Sizes reach the bench through ``os.environ``. Every
test needs a ``timeout_time``: a wait in here has no limit of its own.
"""

import random
from collections.abc import Iterable
from typing import Any

import cocotb
from amaranth import Shape
from amaranth.lib import data
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

__all__ = ["Sink", "Source", "pack", "start", "unpack"]


async def start(dut: Any, *, reset_cycles: int = 2, period_ns: int = 10) -> None:
    """Start ``clk`` and hold ``rst``, where there is one, for some cycles."""
    Clock(dut.clk, period_ns, unit="ns").start()
    reset = getattr(dut, "rst", None)
    if reset is not None:
        reset.value = 1
    for _ in range(reset_cycles):
        await RisingEdge(dut.clk)
    if reset is not None:
        reset.value = 0


class Source:
    """Drives the stream ``<name>__payload/valid/ready`` into the design.

    ``gap`` is the probability of a cycle without ``valid`` before each transfer, drawn from
    ``rng``.
    """

    def __init__(self, dut: Any, name: str, *, rng: random.Random | None = None, gap: float = 0.0):
        self._clk = dut.clk
        self._payload = getattr(dut, f"{name}__payload", None)  # absent: a stream of bare events
        self._valid, self._ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
        self._rng, self._gap = rng or random.Random(0), gap
        self._valid.value = 0

    async def send(self, payloads: Iterable[int]) -> None:
        """Send every payload (bits, as :func:`pack` makes them); returns after the last went."""
        for payload in payloads:
            while self._rng.random() < self._gap:
                self._valid.value = 0
                await RisingEdge(self._clk)
            if self._payload is not None:
                self._payload.value = payload
            self._valid.value = 1
            await RisingEdge(self._clk)
            while self._ready.value != 1:
                await RisingEdge(self._clk)
        self._valid.value = 0


class Sink:
    """Collects the stream ``<name>__payload/valid/ready`` out of the design, from construction on.

    ``stall`` is the probability of a cycle without ``ready``, drawn from ``rng``. Every transfer's
    payload, as unsigned bits, is appended to ``received``. A ``valid`` that is withdrawn, or a
    payload that changes while it waits, fails the test.
    """

    def __init__(
        self, dut: Any, name: str, *, rng: random.Random | None = None, stall: float = 0.0
    ):
        self.received: list[int] = []
        self._name, self._clk = name, dut.clk
        self._payload = getattr(dut, f"{name}__payload", None)
        self._valid, self._ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
        self._rng, self._stall = rng or random.Random(0), stall
        self._reset = getattr(dut, "rst", None)
        self._ready.value = 0
        cocotb.start_soon(self._collect())

    async def receive(self, count: int) -> list[int]:
        """Wait until ``count`` payloads have come since construction; all of them."""
        while len(self.received) < count:
            await RisingEdge(self._clk)
        return self.received

    async def _collect(self) -> None:
        waiting = None
        while True:
            await RisingEdge(self._clk)
            if self._reset is not None and self._reset.value == 1:
                waiting = None
                continue
            valid = self._valid.value == 1
            payload = int(self._payload.value) if valid and self._payload is not None else 0
            if waiting is not None:
                assert valid, f"{self._name}: valid fell before ready"
                assert payload == waiting, f"{self._name}: payload changed before ready"
            taken = valid and self._ready.value == 1
            if taken:
                self.received.append(payload)
            waiting = payload if valid and not taken else None
            self._ready.value = int(self._rng.random() >= self._stall)


def pack(shape: Any, value: Any) -> int:
    """The bits of ``value``: a dict for a struct, a list for an array, else an int.

    >>> pack(data.StructLayout({"a": Shape(4, signed=True), "last": 1}), {"a": -1, "last": 1})
    31
    """
    if isinstance(shape, data.StructLayout | data.ArrayLayout):
        keys = value.keys() if isinstance(shape, data.StructLayout) else range(len(value))
        if set(keys) != {key for key, _ in shape}:
            raise ValueError(f"value must have {[key for key, _ in shape]}, not {list(keys)}")
        word = 0
        for key, field in shape:
            word |= pack(field.shape, value[key]) << field.offset
        return word
    plain = Shape.cast(shape)
    low = -(1 << plain.width - 1) if plain.signed else 0
    high = low + (1 << plain.width) - 1
    if not low <= int(value) <= high:
        raise ValueError(f"value must be {low} to {high}, not {value!r}")
    return int(value) & ((1 << int(plain.width)) - 1)


def unpack(shape: Any, word: int) -> Any:
    """The inverse of :func:`pack`.

    >>> unpack(data.ArrayLayout(Shape(4, signed=True), 2), 0x7F)
    [-1, 7]
    """
    if isinstance(shape, data.StructLayout):
        return {key: unpack(field.shape, word >> field.offset) for key, field in shape}
    if isinstance(shape, data.ArrayLayout):
        return [unpack(field.shape, word >> field.offset) for _, field in shape]
    plain: Any = Shape.cast(shape)
    word &= (1 << plain.width) - 1
    return word - (1 << plain.width) if plain.signed and word >> plain.width - 1 else word
