"""cocotb's part of :mod:`prunus.sim.network`: starts the clock and waits for the harness's end."""

import json
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from .streams import start

SUMMARY = "summary.json"


@cocotb.test()
async def run_script(dut: Any) -> None:
    """The wait is bounded by the watchdog of the harness; Python sleeps through it."""
    await start(dut, period_ns=10)
    begun, cpu_begun = time.perf_counter(), time.process_time()
    await RisingEdge(dut.done)
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu_begun
    summary: dict[str, float] = {
        name: int(getattr(dut, name).value)
        for name in ("problem", "samples", "replies", "mismatches", "cycles")
    }
    summary |= {"seconds": seconds, "cpu_seconds": cpu_seconds}
    Path(SUMMARY).write_text(json.dumps(summary))
