"""cocotb's part of :mod:`prunus.sim.eie_core`: starts the clock and waits for the end."""

from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from .streams import start


@cocotb.test()
async def run_passes(dut: Any) -> None:
    """The bench has its own watchdog, so the wait is bounded."""
    await start(dut)
    await RisingEdge(dut.done)
    assert not int(dut.problem.value), "a pass did not end"
