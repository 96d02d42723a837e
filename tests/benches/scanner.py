"""cocotb bench of the scanner: whole layers, and a reader that stalls."""

import cocotb
import numpy as np
from bench_support import RATES, generators, pulse, serve, settings, until
from eie_model import small, words

from prunus.hw.eie.layer import broadcast_layout, layer_layout
from prunus.sim.benches.streams import Sink, pack, start, unpack

CONFIG = small(**settings())


def random_pass(numbers):
    """A layer, its activations, and the non-zeros that must come out."""
    columns = int(numbers.integers(1, 8 * CONFIG.act_word))
    rows = int(numbers.integers(1, CONFIG.acc_rows + 1))
    layer = {
        "dense": int(not CONFIG.sparse or numbers.random() < 0.5),
        "in_base": int(numbers.integers(0, CONFIG.act_depth - 8)),
        "in_zero": int(numbers.choice([-128, 127, numbers.integers(-128, 128)])),
        "columns": columns,
        "rows": rows,
        "weight_base": int(numbers.integers(0, CONFIG.weight_depth - rows * columns)),
        "pointer_base": int(numbers.integers(0, CONFIG.pointer_depth - columns)),
        "codebook": 0,
    }
    zero = layer["in_zero"]
    kept = numbers.random(columns) < numbers.choice([0, 0.05, 0.5, 1])
    activations = np.where(kept, numbers.integers(-128, 128, columns), zero).astype(np.int8)
    base, step = layer["pointer_base"], 1
    if layer["dense"]:
        base, step = layer["weight_base"], rows
    expected = [
        {"value": a - zero, "address": base + j * step}
        for j, a in enumerate(activations.tolist())
        if a != zero
    ]
    return layer, activations, expected


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(RATES)
async def emits_the_non_zeros(dut, gap, stall):
    rng, numbers = generators()
    contents = {}
    dut.start.value = 0
    sink = Sink(dut, "o", rng=rng, stall=stall)
    cocotb.start_soon(serve(dut, contents))
    await start(dut)
    for _ in range(25):
        layer, activations, expected = random_pass(numbers)
        contents.clear()
        for i, word in enumerate(words(activations, CONFIG, numbers)):
            contents[layer["in_base"] + i] = word
        dut.layer.value = pack(layer_layout(CONFIG), layer)
        sink.received.clear()
        await pulse(dut, dut.start)
        assert dut.done.value == 0
        await until(dut, dut.done)
        assert [unpack(broadcast_layout(CONFIG), word) for word in sink.received] == expected
