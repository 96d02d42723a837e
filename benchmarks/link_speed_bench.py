"""cocotb's part of link_speed.py: the host library at a simulated board, in three ways."""

import json
from pathlib import Path

import cocotb
import numpy as np
from cocotb.task import bridge

from prunus.flow.link import Link
from prunus.hw.host.protocol import Op, input_requests, output_requests
from prunus.sim.benches.pins import Wire


class Separate(Link):
    """The requests of version 1 of the protocol."""

    def separate(self, batch):
        """Outputs (samples, output bytes)."""
        hello = self.hello()
        outputs = []
        for sample in batch:
            raw = sample.tobytes()
            for payload in input_requests(raw, frame_bytes=hello.frame_bytes, lanes=hello.lanes):
                self._ask(Op.INPUT, payload)
            self._ask(Op.RUN)
            parts = output_requests(hello.output_bytes, hello.frame_bytes)
            outputs.append(b"".join(self._ask(Op.OUTPUT, payload) for payload in parts))
        return np.array([np.frombuffer(raw, np.int8) for raw in outputs])


@cocotb.test()
async def speed(dut):
    """Every wait is bounded by the link's own limits, in simulated time."""
    wire = Wire(dut)
    await wire.power_up()
    link = Separate(wire, clock=wire.clock)
    x, y = np.load("x.npy"), np.load("y.npy")

    def talk():
        ahead = link.infer(x)
        alone = [link.infer(x[n : n + 1]) for n in range(len(x))]
        begun = wire.clock()
        separate = link.separate(x)
        seconds = wire.clock() - begun
        one_by_one = np.concatenate([batch.outputs for batch in alone])
        assert all(np.array_equal(got, y) for got in (ahead.outputs, one_by_one, separate))
        times = {
            "sent ahead": ahead.seconds,
            "one by one": sum(batch.seconds for batch in alone),
            "separate": seconds,
            "latency": ahead.latency,
            "cycles": float(ahead.cycles.mean()),
        }
        Path("times.json").write_text(json.dumps(times))

    await bridge(talk)()
