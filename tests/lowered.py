"""Graphs through plan, image and functional model, compared with what they mean."""

import numpy as np
from int8_graphs import samples

from prunus.compiler.assemble import assemble
from prunus.compiler.evaluate import run
from prunus.compiler.plan import Options, plan
from prunus.sim.machine import Machine


def check(graph, count=3, **options):
    """Every layer and the output are the graph's, bit for bit; the plan."""
    placed = plan(graph, Options(**options))
    machine = Machine(placed.config, assemble(placed).image)
    x = samples(graph, count)
    golden = run(graph, x)
    flat = np.pad(x.reshape(count, -1), ((0, 0), (0, 1)))
    flat[:, -1] = graph.tensors[graph.inputs[0]].zero_point  # which is element -1
    ran = machine.run_batch(flat[:, placed.input_index])
    assert len(ran.layers) == len(placed.layers)
    for number, layer in enumerate(placed.layers):
        wanted = golden[layer.work.tensor].reshape(count, -1)
        got = ran.layers[number].reshape(count, -1)
        assert np.array_equal(got, wanted), (layer.work.name, layer.descriptors)
    wanted = golden[graph.outputs[0]].reshape(count, -1)
    assert np.array_equal(ran.outputs[:, placed.output_index], wanted)
    return placed
