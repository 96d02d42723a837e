"""Biases corrected after pruning and sharing: the means of the sums are those of before."""

import image_graphs
import numpy as np
import pytest
from graphs import float_mlp, samples

from prunus.compiler.evaluate import output, quantize_input, run
from prunus.compiler.ir import GraphError, equal
from prunus.compiler.operators import accumulate
from prunus.compiler.passes import correct
from prunus.compiler.passes.calibrate import calibrate
from prunus.compiler.passes.correct import correct_biases
from prunus.compiler.passes.layers import layers
from prunus.compiler.passes.prune import prune
from prunus.compiler.passes.share import share
from prunus.flow.compile import compile_graph


def networks():
    """Float and int8, fully-connected and residual with depthwise layers; and inputs off zero."""
    dense, image = float_mlp((20, 30, 10)), image_graphs.residual_network()
    for graph, x in ((dense, samples(dense)), (image, image_graphs.samples(image, 50))):
        x = x + np.float32(2 * x.std())
        yield graph, x
        yield calibrate(graph, x), x


def means(graph, x):
    """Of the sums of each output of each layer, bias included."""
    values = run(graph, quantize_input(graph, x))
    found = []
    for node in layers(graph):
        before = tuple(graph.tensors[name] for name in node.inputs)
        sums = accumulate(node, before, values[node.inputs[0]]) + node.consts["bias"]
        found.append(sums.reshape(-1, sums.shape[-1]).mean(axis=0))
    return found


@pytest.mark.parametrize("change", [lambda g: share(g, 2), lambda g: prune(g, 0.4)])
@pytest.mark.parametrize("graph, x", list(networks()))
def test_means_are_those_of_the_reference(graph, x, change):
    changed = change(graph)
    corrected = correct_biases(changed, graph, x)
    wanted, before, after = (means(each, x) for each in (graph, changed, corrected))
    rounding = 0.5 if graph.quantized else 1e-4
    for aim, off, hit in zip(wanted, before, after, strict=True):
        assert np.abs(off - aim).max() > 4 * rounding  # there was something to correct
        assert np.abs(hit - aim).max() <= rounding
    for old, new in zip(layers(changed), layers(corrected), strict=True):
        assert np.array_equal(old.consts["weight"], new.consts["weight"])
        assert old.consts["bias"].dtype == new.consts["bias"].dtype
    error = [np.square(output(each, quantize_input(each, x)).astype(float)
                       - output(graph, quantize_input(graph, x))).mean()
             for each in (changed, corrected)]  # fmt: skip
    assert error[1] < error[0]


def test_a_large_batch_is_thinned_out(monkeypatch):
    graph = float_mlp((20, 30, 10))
    x = samples(graph)
    changed = share(graph, 2)
    monkeypatch.setattr(correct, "_MOST", 1)
    assert equal(correct_biases(changed, graph, x), correct_biases(changed, graph, x[:1]))


def test_refused():
    graph = float_mlp((20, 30, 10))
    x = samples(graph)
    with pytest.raises(GraphError, match="the reference must have the same layers$"):
        correct_biases(graph, float_mlp((20, 30, 40, 10)), x)
    with pytest.raises(ValueError, match=r"x must have shape \(samples, 20\)"):
        correct_biases(graph, graph, x[:, :19])


def test_compilation_corrects_where_it_changes_weights_and_has_inputs():
    graph = float_mlp((20, 30, 10))
    x = samples(graph) + 1
    plain = calibrate(graph, x)
    shared = share(plain, 3)
    assert equal(compile_graph(plain, weight_bits=3).graph, shared)
    corrected = compile_graph(plain, weight_bits=3, calibration=x).graph
    assert equal(corrected, correct_biases(shared, plain, x))
    pruned = compile_graph(plain, density=0.5, calibration=x).graph
    assert equal(pruned, correct_biases(prune(plain, 0.5), plain, x))
    with pytest.raises(ValueError, match="already int8; calibration must be left out$"):
        compile_graph(plain, calibration=x)
    with pytest.raises(ValueError, match="^calibration: "):
        compile_graph(plain, weight_bits=3, calibration=x[:, :19])
