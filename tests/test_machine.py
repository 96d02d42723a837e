"""Plan, assemble, execute the image: equal to the graph, layer by layer."""

import numpy as np
import pytest
from networks import random_network

from prunus.compiler.assemble import assemble
from prunus.compiler.evaluate import run, split_host
from prunus.compiler.plan import Options, plan
from prunus.hw.image import ImageError
from prunus.sim.machine import Machine

CASES = {
    "one of everything": ([1, 1], 1.0, {"pes": 1}),
    "one PE": ([7, 5, 3], 0.5, {"pes": 1, "act_word": 4}),
    "one output": ([33, 1], 1.0, {"pes": 4, "act_word": 8}),
    "dense": ([40, 24, 10], 1.0, {"pes": 8}),
    "sparse": ([64, 50, 10], 0.1, {"pes": 4}),
    "more PEs than outputs": ([20, 3], 0.8, {"pes": 16}),
    "several passes": ([30, 100, 17], 0.3, {"pes": 2, "acc_rows": 8}),
    "several dense passes": ([12, 70], 1.0, {"pes": 4, "acc_rows": 4, "act_word": 4}),
    "odd PEs": ([19, 23, 11], 0.6, {"pes": 3}),
    "all weights zero": ([16, 16, 4], 0.0, {"pes": 4}),
}


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bits", [None, 4, 1])
@pytest.mark.parametrize("case", CASES)
def test_image_computes_the_graph(case, bits, per_channel):
    sizes, density, options = CASES[case]
    graph = random_network(sizes, density=density, bits=bits, per_channel=per_channel)
    _, core, _ = split_host(graph)
    placed = plan(core, Options(**options))
    machine = Machine(placed.config, assemble(placed).image)
    x = np.random.default_rng(5).integers(-128, 128, (4, sizes[0])).astype(np.int8)
    x[1] = core.tensors[core.inputs[0]].zero_point  # no work at all
    golden = run(core, x)
    for n, sample in enumerate(x):
        got = machine.run(sample)
        for number, layer in enumerate(placed.layers):
            assert got.layers[number].tolist() == golden[layer.work.tensor][n].ravel().tolist()
        assert got.outputs.tolist() == golden[core.outputs[0]][n].ravel().tolist()


def test_damage_is_refused():
    graph = random_network([8, 4])
    placed = plan(graph, Options(pes=2))
    image = bytearray(assemble(placed).image)
    image[-9] ^= 1
    with pytest.raises(ImageError, match="CRC"):
        Machine(placed.config, bytes(image))
