"""Inputs through the gates (or the golden model), compared with what the graph means."""

import dataclasses
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunus.compiler.evaluate import output, quantize_input, run, split_host
from prunus.hw.accelerator import Accelerator
from prunus.hw.config import Config
from prunus.hw.host.frames import Deframer
from prunus.hw.host.protocol import (
    CYCLES_BYTES,
    Hello,
    Op,
    Reply,
    Request,
    State,
    Status,
    input_requests,
    load_requests,
    output_requests,
)
from prunus.sim import network
from prunus.sim.generate import to_verilog
from prunus.sim.machine import Machine
from prunus.sim.verilator import Model

from .build import Build

__all__ = ["LayerRun", "Mismatch", "Simulation", "SimulationError", "build_model", "simulate"]

Array = NDArray[Any]
Progress = Callable[[str, int, int], None]  # what, done, of; of is 0 where it is not known


class SimulationError(RuntimeError):
    """The simulated accelerator did not do what the protocol promises."""


@dataclass(frozen=True, slots=True)
class LayerRun:
    """A layer over all samples: mean ``cycles`` a sample, and ``utilization`` of the PEs.

    Utilization is multiplications of non-zero weights by activations other than the zero point,
    over PEs times cycles: padding and stored zeros are not work. ``array_cycles`` leaves out the
    drain of the accumulators. Where only the golden model ran there are no cycles.
    """

    name: str
    engine: str
    work: float
    cycles: float = 0.0
    array_cycles: float = 0.0
    utilization: float = 0.0


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Where a layer's outputs first differ from the golden model's; ``got`` None: not written."""

    sample: int
    layer: str
    position: int
    expected: int
    got: int | None

    def __str__(self) -> str:
        found = "nothing" if self.got is None else str(self.got)
        return (
            f"sample {self.sample}, layer {self.layer}, position {self.position}: "
            f"expected {self.expected}, got {found}"
        )


@dataclass(frozen=True, slots=True)
class Simulation:
    """What came out.

    ``outputs`` are the network's own, with what the host does last (softmax, dequantize);
    ``cycles`` has an entry for each sample, from the start of the program to the last activation
    written; ``load_cycles`` is what the image took from its first byte until it was decoded.
    """

    outputs: Array
    samples: int
    mismatches: int
    first_mismatches: tuple[Mismatch, ...]
    cycles: tuple[int, ...]
    load_cycles: int
    layers: tuple[LayerRun, ...]
    sim_cycles_per_second: float
    build_seconds: float
    golden: bool

    @property
    def bit_exact(self) -> bool:
        return not self.mismatches

    def summary(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        return {
            "samples": self.samples,
            "bit_exact": self.bit_exact,
            "mismatches": self.mismatches,
            "first_mismatches": [dataclasses.asdict(m) for m in self.first_mismatches],
            "cycles": list(self.cycles),
            "load_cycles": self.load_cycles,
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
            "sim_cycles_per_second": round(self.sim_cycles_per_second),
            "build_seconds": round(self.build_seconds, 2),
            "golden": self.golden,
        }


def build_model(config: Config, *, cache_dir: Path | None = None) -> Model:
    """The Verilated accelerator of a configuration inside its harness; compiled once."""
    config = dataclasses.replace(config, trace=True)
    verilog = to_verilog(Accelerator(config), "accelerator")
    return network.build_harness([verilog], config, cache_dir=cache_dir)


def simulate(
    build: Build,
    inputs: Array,
    *,
    golden: bool = False,
    stall: float = 0.0,
    seed: int = 0,
    progress: Progress | None = None,
    cache_dir: Path | None = None,
) -> Simulation:
    """Run ``inputs`` (samples, *shape) through the gates and compare every layer.

    The golden integers are the graph's, on the golden operators. With ``golden`` it is not the
    gates that run but the functional model, which executes the bytes of the image. ``stall``
    inserts random pauses into the host's streams, with that probability.

    Raises
    ------
    ValueError
        The inputs have the wrong shape or type.
    BuildError, BenchError, SimulationError
        The model cannot be built, or the accelerator does not answer.
    """
    notify = progress or (lambda what, done, of: None)
    x = quantize_input(build.graph, inputs)
    if not len(x):
        raise ValueError("inputs must hold at least one sample")
    pre, core, post = split_host(build.graph)
    vectors = output(pre, x) if pre.nodes else x
    flat = np.ascontiguousarray(vectors.reshape(len(x), -1))
    expected = run(core, vectors)
    layers = [(layer.name, expected[layer.tensor].reshape(len(x), -1)) for layer in build.layers]
    final = expected[core.outputs[0]]
    work = _work(build, core.inputs[0], expected)
    if golden:
        return _golden(build, flat, layers, final, work, post, notify)

    notify("compiling the model", 0, 0)
    model = build_model(build.config, cache_dir=cache_dir)
    spans = [
        network.LayerSpan(number, layer.base_word, layer.outputs)
        for number, layer in enumerate(build.layers)
    ]
    crcs = [[zlib.crc32(values[n].tobytes()) for _, values in layers] for n in range(len(x))]
    with tempfile.TemporaryDirectory(prefix="prunus-") as folder:
        place = Path(folder)
        with _watch(place / "layers.txt", len(layers), len(x), notify):
            ran = network.simulate(
                model,
                _script(build, flat),
                spans,
                crcs,
                stall=stall,
                seed=seed,
                watchdog=100_000 + 64 * len(build.image),
                work_dir=place,
            )
    notify("simulating", len(x), len(x))
    outputs, cycles, load_cycles = _answers(build, ran.replies, len(x))
    mismatches = [
        _first(m.sample, build.layers[m.layer].name, layers[m.layer][1][m.sample], m.got, m.written)
        for m in ran.mismatches
    ]
    wrong = np.flatnonzero((outputs != final.reshape(len(x), -1)).any(axis=1))
    if not mismatches:  # the layers were right, so what the host read is not
        mismatches = [
            _first(int(n), "output", final[n].ravel(), outputs[n].view(np.uint8), None)
            for n in wrong
        ]
    table = ran.layer_cycles(len(x), spans)
    array = np.zeros(len(layers))
    for timing in ran.timings:
        array[timing.layer] += timing.array / len(x)
    return Simulation(
        outputs=_host_part(post, outputs, final),
        samples=len(x),
        mismatches=ran.mismatch_count or len(wrong),
        first_mismatches=tuple(mismatches[:16]),
        cycles=cycles,
        load_cycles=load_cycles,
        layers=tuple(
            LayerRun(
                name=layer.name,
                engine=layer.engine,
                work=work[n],
                cycles=float(table[:, n].mean()),
                array_cycles=float(array[n]),
                utilization=work[n] / (build.config.pes * float(table[:, n].mean())),
            )
            for n, layer in enumerate(build.layers)
        ),
        sim_cycles_per_second=ran.sim_cycles_per_second,
        build_seconds=ran.build_seconds,
        golden=False,
    )


def _golden(
    build: Build,
    flat: Array,
    layers: list[tuple[str, Array]],
    final: Array,
    work: list[float],
    post: Any,
    notify: Progress,
) -> Simulation:
    """The image's bytes on the functional model, against the graph."""
    machine = Machine(build.config, build.image)
    outputs = np.empty((len(flat), final[0].size), np.int8)
    mismatches: list[Mismatch] = []
    count = 0
    for n, vector in enumerate(flat):
        ran = machine.run(vector)
        outputs[n] = ran.outputs
        for number, (name, values) in enumerate(layers):
            if not np.array_equal(ran.layers[number], values[n]):
                count += 1
                got = ran.layers[number].view(np.uint8)
                mismatches.append(_first(n, name, values[n], got, None))
        notify("running the golden model", n + 1, len(flat))
    return Simulation(
        outputs=_host_part(post, outputs, final),
        samples=len(flat),
        mismatches=count,
        first_mismatches=tuple(mismatches[:16]),
        cycles=(),
        load_cycles=0,
        layers=tuple(
            LayerRun(layer.name, layer.engine, work[n]) for n, layer in enumerate(build.layers)
        ),
        sim_cycles_per_second=0.0,
        build_seconds=0.0,
        golden=True,
    )


def _host_part(post: Any, outputs: Array, final: Array) -> Array:
    shaped = outputs.reshape(final.shape)
    return output(post, shaped) if post.nodes else shaped


def _work(build: Build, source: str, values: dict[str, Array]) -> list[float]:
    """Mean multiplications a sample that are work, for each layer."""
    nodes = {node.name: node for node in build.graph.nodes}
    result = []
    for layer in build.layers:
        node = nodes[layer.name]
        before = build.graph.tensors[node.inputs[0]]
        live = (values[before.name] != before.zero_point).reshape(len(values[source]), -1)
        column_work = np.count_nonzero(node.consts["weight"], axis=0)
        result.append(float((live @ column_work).mean()))
    return result


def _script(build: Build, flat: Array) -> bytes:
    """The host's requests: load the image, then input, run and output for each sample."""
    config = build.config
    requests: list[tuple[Op, bytes]] = [
        (Op.LOAD, payload) for payload in load_requests(build.image, config.frame_bytes)
    ]
    requests.append((Op.HELLO, b""))
    size = build.layers[-1].outputs
    for vector in flat:
        for payload in input_requests(
            vector.tobytes(), frame_bytes=config.frame_bytes, lanes=config.lanes
        ):
            requests.append((Op.INPUT, payload))
        requests.append((Op.RUN, b""))
        requests.extend((Op.OUTPUT, p) for p in output_requests(size, config.frame_bytes))
    return b"".join(
        Request(op, tag & 0xFF, payload).frame() for tag, (op, payload) in enumerate(requests)
    )


def _answers(build: Build, replies: bytes, samples: int) -> tuple[Array, tuple[int, ...], int]:
    """Outputs (samples, n) int8, cycles, and the cycles of loading, from the reply bytes."""
    cycles: list[int] = []
    data = bytearray()
    load_cycles = 0
    for contents in Deframer().push(replies):
        reply = Reply.parse(contents)
        if reply.status != Status.OK:
            raise SimulationError(
                f"{Op(reply.op).name} was answered with {Status(reply.status).name}"
            )
        if reply.op == Op.HELLO:
            hello = Hello.unpack(reply.payload)
            if hello.state != State.READY:
                raise SimulationError(
                    f"the image was refused: state {State(hello.state).name}, "
                    f"load error {hello.load_error}"
                )
            load_cycles = hello.load_cycles
        elif reply.op == Op.RUN:
            cycles.append(int.from_bytes(reply.payload[:CYCLES_BYTES], "big"))
        elif reply.op == Op.OUTPUT:
            data += reply.payload
    size = build.layers[-1].outputs
    if len(cycles) != samples or len(data) != samples * size:
        raise SimulationError(
            f"{len(cycles)} runs and {len(data)} bytes were answered, "
            f"of {samples} and {samples * size}"
        )
    return np.frombuffer(bytes(data), np.int8).reshape(samples, size), tuple(cycles), load_cycles


def _first(sample: int, name: str, expected: Array, got: Array, written: Array | None) -> Mismatch:
    """The first position at which a layer is wrong."""
    values = got.view(np.int8)
    bad = values != expected.ravel()
    if written is not None:
        bad |= ~written
    where = int(np.argmax(bad)) if bad.any() else 0
    known = written is None or bool(written[where])
    return Mismatch(
        sample, name, where, int(expected.ravel()[where]), int(values[where]) if known else None
    )


@contextmanager
def _watch(path: Path, layers: int, samples: int, notify: Progress) -> Iterator[None]:
    """Report progress while the simulator appends a line for each layer that has ended."""
    stop = threading.Event()

    def poll() -> None:
        while not stop.wait(0.25):
            lines = path.read_bytes().count(b"\n") if path.is_file() else 0
            notify("simulating", min(lines // layers, samples), samples)

    thread = threading.Thread(target=poll, daemon=True)
    notify("simulating", 0, samples)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
