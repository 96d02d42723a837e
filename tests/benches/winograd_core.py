"""cocotb bench: layers on a Winograd core, with gaps on every stream."""

import json
import os
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from winograd_model import Layer, Shape

from prunus.hw.winograd.core import WinogradCore

SETTINGS = json.loads(os.environ["SETTINGS"])
SHAPES = [
    Shape(size=(7, 5), channels=6, outputs=5),
    Shape(size=(1, 1), channels=1, outputs=1),
    Shape(size=(5, 6), channels=8, outputs=3, padding=(0, 2, 1, 0), extreme=True),
]


async def send(dut, name, values, rng, gap):
    port = {part: getattr(dut, f"{name}__{part}") for part in ("valid", "payload")}
    ready = getattr(dut, f"{name}__ready", None)
    for value in values:
        while rng.random() < gap:
            await RisingEdge(dut.clk)
        port["payload"].value = value
        port["valid"].value = 1
        while True:
            await RisingEdge(dut.clk)
            if ready is None or ready.value == 1:
                break
        port["valid"].value = 0


@cocotb.test(timeout_time=500, timeout_unit="us")
@cocotb.parametrize(stall=[0.0, 0.8])
async def layers(dut, stall):
    rng = random.Random(cocotb.RANDOM_SEED)
    core = WinogradCore(**SETTINGS)
    shapes = {name: getattr(core, name).payload.shape() for name in ("x", "w", "job", "o")}
    for name in ("x", "w", "job"):
        getattr(dut, f"{name}__valid").value = 0
    dut.o__ready.value = 0
    dut.rst.value = 1
    Clock(dut.clk, 10, unit="ns").start()
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    for n, shape in enumerate(SHAPES):
        layer = Layer(core.config, core.geometry, shape, n)
        memory = (layer.memory.reshape(-1, core.config.act_word) & 0xFF).astype(np.uint8)
        words = [
            {"address": i, "data": int.from_bytes(word.tobytes(), "little")}
            for i, word in enumerate(memory)
        ]
        weights = [
            {"unit": unit, "address": address, "data": byte}
            for _, unit, address, byte in layer.writes(core.config)
        ]
        for name, values in (("x", words), ("w", weights), ("job", [layer.fields])):
            packed = [shapes[name].const(value).as_bits() for value in values]
            await send(dut, name, packed, rng, 0.1)
            await RisingEdge(dut.clk)
            await RisingEdge(dut.clk)
        got = {}
        while len(got) < len(layer.beats) or dut.idle.value != 1:
            ready = rng.random() >= stall
            dut.o__ready.value = ready
            await RisingEdge(dut.clk)
            if ready and dut.o__valid.value == 1:
                beat = shapes["o"].from_bits(int(dut.o__payload.value))
                key = beat.channel, beat.address, beat.group
                assert key in layer.beats and key not in got
                got[key] = [beat.sums[lane] for lane in range(len(layer.beats[key]))]
        dut.o__ready.value = 0
        assert got == layer.beats
