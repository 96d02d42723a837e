"""Inference over the link, with the functional model as the board."""

import numpy as np
import pytest
from graphs import float_mlp, samples
from host_model import Device

from prunus.compiler.evaluate import output, quantize_input
from prunus.compiler.plan import Options
from prunus.flow.compile import compile_graph
from prunus.flow.infer import infer
from prunus.flow.link import LinkError
from prunus.sim.machine import Machine


class Board(Device):
    """A device that runs the image that it is sent, as the functional model does; a transport."""

    def __init__(self, build):
        super().__init__(build.config, image_bytes=len(build.image))
        self.waiting = b""
        network = Machine(build.config, build.image).memories.network
        self.input_base, self.input_bytes = network.input_base, network.input_bytes
        self.output_base, self.output_bytes = network.output_base, network.output_bytes

    def run(self):
        self.runs += 1
        first, last = (base * self.config.act_word for base in (self.input_base, self.output_base))
        vector = np.frombuffer(self.memory[first : first + self.input_bytes], np.int8)
        ran = Machine(self.config, bytes(self.image)).run(vector)
        self.memory[last : last + self.output_bytes] = ran.outputs.tobytes()

    def write(self, raw):
        self.waiting += self.receive(raw)

    def read(self, size, timeout):
        some, self.waiting = self.waiting[:size], self.waiting[size:]
        return some


@pytest.fixture(scope="module")
def build():
    graph = float_mlp((6, 9, 4), close="softmax")
    return compile_graph(graph, calibration=samples(graph), options=Options(pes=2))


def test_outputs_are_the_graphs(build):
    x = samples(build.graph, 5, seed=2)
    steps = []
    board = Board(build)
    ran = infer(
        board, x, build=build, progress=lambda what, done, of: steps.append((what, done == of))
    )
    assert np.array_equal(ran.outputs, output(build.graph, quantize_input(build.graph, x)))
    assert len(ran.cycles) == board.runs == 5
    assert 0 < ran.latency and 0 < ran.throughput
    assert {("loading the image", True), ("running", True)} <= set(steps)


def test_without_a_build_the_bytes_go_through(build):
    board = Board(build)
    x = np.random.default_rng(0).integers(-128, 128, (3, 6)).astype(np.int8)
    with pytest.raises(LinkError, match="load an image first"):
        infer(board, x)
    infer(board, samples(build.graph, 1), build=build)
    ran = infer(board, x)
    machine = Machine(build.config, build.image)
    assert np.array_equal(ran.outputs, [machine.run(vector).outputs for vector in x])
    assert len(ran.cycles) == 3


def test_floats_need_a_build(build):
    with pytest.raises(ValueError, match=r"^inputs must be int8, samples first, not float32"):
        infer(Board(build), samples(build.graph))


def test_wrong_inputs_are_refused_before_anything_is_sent(build):
    board = Board(build)
    with pytest.raises(ValueError, match="x must have shape"):
        infer(board, np.zeros((2, 7), np.float32), build=build)
    assert not board.image
