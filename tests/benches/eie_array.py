"""cocotb bench of the EIE array: layers after one another, sums asked for now and then."""

import cocotb
from amaranth import signed
from amaranth.lib import data
from bench_support import RATES, generators, pulse, serve, settings, write
from eie_model import small, words
from test_eie_array import Layer, single

from prunus.hw.eie.layer import layer_layout
from prunus.hw.location import location_layout
from prunus.sim.benches.streams import Sink, Source, pack, start, unpack
from prunus.sim.ops import fully_connected

CONFIG = small(**settings())
SUMS = data.ArrayLayout(signed(32), CONFIG.lanes)


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(RATES)
async def multiplies(dut, gap, stall):
    rng, numbers = generators()
    contents = {}
    dut.start.value = dut.bus__valid.value = 0
    locate = Source(dut, "locate", rng=rng, gap=stall)
    sums = Sink(dut, "sums")  # must be taken at once
    cocotb.start_soon(serve(dut, contents))
    await start(dut)
    for n in range(6):
        layer = Layer(
            CONFIG,
            numbers,
            int(numbers.integers(1, CONFIG.pes * CONFIG.acc_rows + 1)),
            int(numbers.integers(1, 30)),
            dense=not CONFIG.sparse or n % 3 == 1,
            density=numbers.choice([0.1, 0.5, 1]),
            keep=numbers.choice([0.1, 0.5, 1]),
            zero=int(numbers.integers(-128, 128)),
        )
        bases = {
            "weight_base": int(numbers.integers(0, 100)),
            "pointer_base": int(numbers.integers(0, 30)),
            "slot": int(numbers.integers(CONFIG.codebooks)),
        }
        _, fields, items = single(CONFIG, layer, **bases)
        await write(dut, items, rng=rng, gap=gap)
        contents.clear()
        for i, word in enumerate(words(layer.activations, CONFIG, numbers)):
            contents[fields["in_base"] + i] = word
        dut.layer.value = pack(layer_layout(CONFIG), fields)
        sums.received.clear()
        await pulse(dut, dut.start)
        assert dut.done.value == 0
        beats = list(layer.locations())
        await locate.send(pack(location_layout(CONFIG), beat) for beat in beats)
        found = [s for word in await sums.receive(len(beats)) for s in unpack(SUMS, word)]
        expected = fully_connected(layer.activations, layer.weights, layer.zero)
        assert found[: layer.outputs] == expected.tolist()
