"""Outputs with gaps between their pixels, joined from several layers, as the host takes them."""

import dataclasses

import numpy as np
import pytest
from dense_image import Image, conv_fields, dense_config

from prunus.compiler.assemble import LayerStatistics
from prunus.compiler.evaluate import output
from prunus.compiler.ir import Graph, Node, Tensor, verify
from prunus.flow.build import Build, BuildError, LayerReport
from prunus.flow.outputs import OutputMap, output_map
from prunus.flow.simulate import simulate
from prunus.hw.isa import Mode, Op

SIZE = (2, 3)
PLAIN = ((1, 1), (0, 0, 0, 0), (1, 1))


def joined_network():
    """Two pointwise convolutions, of 5 and 6 channels, joined and made a vector."""
    rng = np.random.default_rng(0)
    tensors = {"x": Tensor("x", (*SIZE, 4), 0.1, -3)}
    nodes = []
    for name, outputs in (("a", 5), ("b", 6)):
        tensors[name] = Tensor(name, (*SIZE, outputs), 0.2, 7)
        consts = {
            "weight": rng.integers(-127, 128, (outputs, 1, 1, 4)).astype(np.int8),
            "bias": rng.integers(-3000, 3000, outputs).astype(np.int32),
            "multiplier": rng.integers(1 << 30, 1 << 31, outputs),
            "shift": rng.integers(-8, -5, outputs),
        }
        attrs = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1)}
        attrs |= {"rounding": "double", "clamp": (-128, 127)}
        nodes.append(Node(f"conv_{name}", "conv_2d", ("x",), name, attrs, consts))
    tensors["c"] = Tensor("c", (*SIZE, 11), 0.2, 7)
    nodes.append(Node("join", "concatenation", ("a", "b"), "c", {"axis": 2}))
    tensors["y"] = Tensor("y", (66,), 0.2, 7)
    nodes.append(Node("flat", "reshape", ("c",), "y"))
    return verify(Graph("joined", ("x",), ("y",), tensors, tuple(nodes)))


def joined_build():
    """Its image: b is made inside the joined tensor, a is copied there."""
    config = dense_config()
    image = Image(config, 24)
    graph = joined_network()
    pixels = {"out_width": 3, "out_pixels": 6, "in_height": 2, "clamp_min": -128, "clamp_max": 127}

    def convolution(node, base, out_words):
        weight = node.consts["weight"]
        bias = node.consts["bias"] + 3 * weight.astype(np.int64).sum(axis=(1, 2, 3))
        image.layer(
            bias, node.consts["multiplier"], node.consts["shift"], op=Op.CONV, double_round=1,
            in_zero=-3, out_zero=7, out_base=base, out_words=out_words, **pixels,
            **conv_fields(image, weight, PLAIN, pitch=4, width=3, folded=False),
        )  # fmt: skip

    convolution(graph.nodes[0], 40, 1)
    image.layer(
        np.zeros(5, int), 1 << 30, 1, op=Op.WINDOW, mode=Mode.SUM, in_base=40, outputs=5,
        line_bytes=3, step_x=1, step_y=1, taps_x=1, taps_y=1, blocks=1, out_base=3, out_words=2,
        **pixels,
    )  # fmt: skip
    convolution(graph.nodes[1], 4, 2)
    none = LayerStatistics(0, 0, 0, 0, 0.0)
    reports = [
        LayerReport(
            name, op, engine, tensor, macs, 20, 20, True, 9, 1, 1, base, outputs, none, 6, pitch
        )
        for name, op, engine, tensor, macs, base, outputs, pitch in (
            ("conv_a", "conv_2d", "systolic", "a", 120, 40, 5, 1),
            ("a.copy", "copy", "window", "a", 0, 3, 5, 2),
            ("conv_b", "conv_2d", "systolic", "b", 144, 4, 6, 2),
        )
    ]
    raw = image.bytes(3, 5 * 32 + 16 + 6)
    return Build(graph, config, raw, tuple(reports), True, 11, {})


def test_joined_outputs_are_found_among_the_bytes():
    places = output_map(joined_build())
    assert places.size == 182
    assert places.positions.shape == (66,)
    expected = [32 * p + (c if c < 5 else 11 + c) for p in range(6) for c in range(11)]
    assert places.positions.tolist() == expected
    raw = np.arange(2 * 182).reshape(2, 182).astype(np.int8)
    assert (places(raw) == raw[:, expected]).all()
    with pytest.raises(ValueError, match=r"^raw must be \(samples, 182\), not \(2, 181\)$"):
        places(raw[:, 1:])


def test_the_golden_model_agrees_with_the_graph():
    build = joined_build()
    x = np.random.default_rng(1).integers(-128, 128, (21, *SIZE, 4)).astype(np.int8)
    ran = simulate(build, x, golden=True)
    assert ran.bit_exact
    assert (ran.outputs == output(build.graph, x)).all()
    assert [layer.work for layer in ran.layers] == [120.0, 0.0, 144.0]


def test_a_layer_that_is_elsewhere_or_wrong_is_found():
    build = joined_build()
    x = np.random.default_rng(2).integers(-128, 128, (3, *SIZE, 4)).astype(np.int8)
    moved = dataclasses.replace(build.layers[2], base_word=100)
    elsewhere = dataclasses.replace(build, layers=(*build.layers[:2], moved))
    with pytest.raises(BuildError, match=r"^joined: no layer makes b where the image has the out"):
        output_map(elsewhere)
    node = build.graph.nodes[1]
    other = node.consts | {"bias": node.consts["bias"] + 20_000}
    nodes = (build.graph.nodes[0], dataclasses.replace(node, consts=other), *build.graph.nodes[2:])
    changed = dataclasses.replace(build, graph=build.graph.with_nodes(nodes))
    ran = simulate(changed, x, golden=True)
    assert ran.mismatches == 3
    assert {m.layer for m in ran.first_mismatches} == {"conv_b"}


def test_a_map_keeps_the_shape_of_the_tensor():
    places = OutputMap(5, np.array([[0, 1], [3, 4]]))
    assert places(np.arange(10, dtype=np.int8).reshape(2, 5)).tolist() == [
        [[0, 1], [3, 4]],
        [[5, 6], [8, 9]],
    ]
