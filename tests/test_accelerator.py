"""Whole networks through the Verilog of the accelerator, every layer compared with the graph."""

import dataclasses

import numpy as np
import pytest
from networks import random_network

from prunus.compiler.plan import Options
from prunus.flow.compile import compile_graph
from prunus.flow.simulate import build_model, simulate
from prunus.hw.accelerator import Accelerator
from prunus.hw.host.frames import Deframer
from prunus.hw.host.protocol import (
    Health,
    Hello,
    Op,
    Reply,
    Request,
    State,
    Status,
    load_requests,
)
from prunus.hw.image import LoadError
from prunus.sim import lint, network, tools
from prunus.sim.generate import to_verilog

CASES = {
    "one PE, one output": ([9, 5, 1], {}, {"pes": 1, "act_word": 4, "queue_depth": 1}),
    "dense, odd PEs": ([19, 23, 11], {}, {"pes": 3}),
    "sparse with codebooks": ([64, 50, 10], {"density": 0.12, "bits": 4}, {"pes": 8}),
    "several passes": (
        [30, 100, 17],
        {"density": 0.3, "per_channel": True, "double": True},
        {"pes": 4, "acc_rows": 8, "act_word": 4},
    ),
}  # fmt: skip


def make(case):
    sizes, network_options, options = CASES[case]
    build = compile_graph(random_network(sizes, **network_options), options=Options(**options))
    x = np.random.default_rng(3).integers(-128, 128, (6, sizes[0])).astype(np.int8)
    x[2] = build.graph.tensors["x"].zero_point  # no non-zero activation in the first layer
    x[3], x[4] = -128, 127
    return build, x


@pytest.mark.parametrize("case", CASES)
def test_every_layer_is_equal(case):
    build, x = make(case)
    free = simulate(build, x)
    assert free.bit_exact, free.first_mismatches[0]
    assert len(set(map(bytes, free.outputs))) > 1
    stalled = simulate(build, x, stall=0.4, seed=7)
    assert stalled.bit_exact, stalled.first_mismatches[0]
    # The host's pauses do not show in the time from start to end.
    assert stalled.cycles == free.cycles
    golden = simulate(build, x, golden=True)
    assert golden.bit_exact and np.array_equal(golden.outputs, free.outputs)


def test_the_bench_sees_a_difference():
    build, x = make("dense, odd PEs")
    layer = next(node for node in build.graph.nodes if node.name == "fc1")
    bias = layer.consts["bias"].copy()
    bias[4] += 100_000
    nodes = [n.with_consts(bias=bias) if n is layer else n for n in build.graph.nodes]
    wrong = dataclasses.replace(build, graph=build.graph.with_nodes(nodes))
    result = simulate(wrong, x)
    assert not result.bit_exact and result.mismatches == len(x)
    first = result.first_mismatches[0]
    assert (first.sample, first.layer, first.position) == (0, "fc1", 4)


def converse(model, config, requests, layers, stall=0.0):
    """Replies to requests, with no run expected."""
    script = b"".join(Request(op, n & 0xFF, data).frame() for n, (op, data) in enumerate(requests))
    spans = [network.LayerSpan(n, la.base_word, la.outputs) for n, la in enumerate(layers)]
    nothing = np.zeros((0, len(spans)), np.uint32)
    ran = network.simulate(model, script, spans, nothing, stall=stall)
    return [Reply.parse(contents) for contents in Deframer().push(ran.replies)]


def loading(image, config):
    return [(Op.LOAD, payload) for payload in load_requests(image, config.frame_bytes)]


@pytest.mark.parametrize("where", ["magic", "config", "middle", "end", "cut"])
def test_damaged_image_is_refused_and_a_good_one_is_taken_after_it(where):
    build, _ = make("dense, odd PEs")
    bad = bytearray(build.image)
    position = {"magic": 0, "config": 9, "middle": len(bad) // 2, "end": len(bad) - 1, "cut": 0}
    if where == "cut":
        del bad[-20:]
    else:
        bad[position[where]] ^= 0x10
    ask = [(Op.HELLO, b""), (Op.RUN, b"")]
    requests = [*loading(bytes(bad), build.config), *ask, *loading(build.image, build.config)]
    replies = converse(
        build_model(build.config), build.config, [*requests, (Op.HELLO, b"")], build.layers
    )
    hello, refused = [r for r in replies if r.op in (Op.HELLO, Op.RUN)][:2]
    state = Hello.unpack(hello.payload)
    if where == "cut":
        assert State(state.state) is State.LOADING
    else:
        assert State(state.state) is State.FAILED
        expected = {"magic": LoadError.MAGIC, "config": LoadError.HEADER_CRC}
        assert LoadError(state.load_error) is expected.get(where, LoadError.SECTION_CRC) or (
            where == "middle" and state.load_error != LoadError.NONE
        )
    assert Status(refused.status) is Status.STATE
    assert State(Hello.unpack(replies[-1].payload).state) is State.READY


def test_image_in_rom():
    build, x = make("dense, odd PEs")
    config = dataclasses.replace(build.config, trace=True)
    verilog = to_verilog(Accelerator(config, build.image), "accelerator")
    model = network.build_harness([verilog], config)
    spans = [network.LayerSpan(n, la.base_word, la.outputs) for n, la in enumerate(build.layers)]
    script = Request(Op.STATUS, 1).frame()
    nothing = np.zeros((0, len(spans)), np.uint32)
    ran = network.simulate(model, script, spans, nothing, wait_ready=True)
    (reply,) = [Reply.parse(contents) for contents in Deframer().push(ran.replies)]
    assert State(Health.unpack(reply.payload).state) is State.READY
    assert len(x)


@pytest.mark.parametrize(
    "case, trace", [("dense, odd PEs", False), ("sparse with codebooks", True)]
)
def test_verilog_is_clean(case, trace):
    build, _ = make(case)
    config = dataclasses.replace(build.config, trace=trace)
    verilog = to_verilog(Accelerator(config), "accelerator")
    assert verilog == to_verilog(Accelerator(config), "accelerator")
    assert lint.lint([verilog], "accelerator") == []
    assert lint.read_with_yosys([verilog], "accelerator") == []
    try:
        tools.find("iverilog")
    except tools.ToolMissing:
        pytest.skip("iverilog is not installed")
    assert lint.read_with_icarus([verilog], "accelerator") == []
