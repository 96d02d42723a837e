"""Inputs through the gates (or the golden model), compared with what the graph means."""

import dataclasses
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunus.compiler.evaluate import output, quantize_input, run, split_host
from prunus.hw.accelerator import Accelerator
from prunus.hw.asic import MEMORIES, REGISTERS, AsicTarget
from prunus.hw.config import Config
from prunus.hw.winograd.geometry import Geometry
from prunus.sim import network
from prunus.sim.generate import to_verilog
from prunus.sim.machine import Machine
from prunus.sim.verilator import Model

from .arrange import arrange_input
from .build import Build, LayerReport
from .dialogue import SimulationError, answers, script
from .outputs import OutputMap, output_map
from .results import LayerRun, Mismatch, Simulation, first_mismatch

__all__ = ["LayerRun", "Mismatch", "Simulation", "SimulationError", "build_model", "simulate"]

Array = NDArray[Any]
Progress = Callable[[str, int, int], None]  # what, done, of; of is 0 where it is not known
GOLDEN_BATCH = 16


def build_model(
    config: Config, *, asic: AsicTarget | None = None, cache_dir: Path | None = None
) -> Model:
    """The Verilated accelerator of a configuration inside its harness; compiled once.

    For an ``asic`` every register and memory starts with something else at each ``seed``.
    """
    config = dataclasses.replace(config, trace=True)
    verilog = to_verilog(Accelerator(config), "accelerator", asic, initial=asic is None)
    sources: list[Path | str] = [verilog, *([MEMORIES, REGISTERS] if asic else [])]
    return network.build_harness(
        sources, config, cache_dir=cache_dir, random_start=asic is not None
    )


def simulate(
    build: Build,
    inputs: Array,
    *,
    golden: bool = False,
    stall: float = 0.0,
    seed: int = 0,
    asic: AsicTarget | None = None,
    progress: Progress | None = None,
    cache_dir: Path | None = None,
) -> Simulation:
    """Run ``inputs`` (samples, *shape) through the gates and compare every layer.

    The golden integers are the graph's, on the golden operators. With ``golden`` it is not the
    gates that run but the functional model, which executes the bytes of the image. ``stall``
    inserts random pauses into the host's streams, with that probability. With ``asic`` the gates
    are those for standard cells, and what they hold before the reset is random.

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
    flat = arrange_input(build, vectors)
    expected = run(core, vectors)
    layers = [(layer.name, expected[layer.tensor].reshape(len(x), -1)) for layer in build.layers]
    final = expected[core.outputs[0]]
    places = output_map(build)
    work = _work(build, core.inputs[0], expected)
    if golden:
        return _golden(build, flat, layers, places, final, work, post, notify)

    notify("compiling the model", 0, 0)
    model = build_model(build.config, asic=asic, cache_dir=cache_dir)
    spans = [
        network.LayerSpan(number, layer.base_word, layer.outputs, layer.pixels, layer.pitch)
        for number, layer in enumerate(build.layers)
    ]
    crcs = [[zlib.crc32(values[n].tobytes()) for _, values in layers] for n in range(len(x))]
    with tempfile.TemporaryDirectory(prefix="prunus-") as folder:
        place = Path(folder)
        with _watch(place / "layers.txt", len(layers), len(x), notify):
            ran = network.simulate(
                model,
                script(build.image, build.config, flat, places.size),
                spans,
                crcs,
                stall=stall,
                seed=seed,
                watchdog=100_000 + 64 * len(build.image),
                work_dir=place,
            )
    notify("simulating", len(x), len(x))
    raw, cycles, load_cycles = answers(ran.replies, len(x), places.size)
    outputs = places(raw)
    mismatches = [
        first_mismatch(m.sample, layers[m.layer][0], layers[m.layer][1][m.sample], m.got, m.written)
        for m in ran.mismatches
    ]
    wrong = _wrong_outputs(outputs, final)
    if not mismatches:  # the layers were right, so what the host read is not
        mismatches = wrong
    table = ran.layer_cycles(len(x), spans)
    array = np.zeros(len(layers))
    for timing in ran.timings:
        array[timing.layer] += timing.array / len(x)
    return Simulation(
        outputs=_host_part(post, outputs),
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
                utilization=work[n] / _most(layer, build.config, float(table[:, n].mean())),
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
    places: OutputMap,
    final: Array,
    work: list[float],
    post: Any,
    notify: Progress,
) -> Simulation:
    """The image's bytes on the functional model, against the graph."""
    machine = Machine(build.config, build.image)
    outputs = np.empty(final.shape, np.int8)
    mismatches: list[Mismatch] = []
    count = 0
    for start in range(0, len(flat), GOLDEN_BATCH):
        samples = range(start, min(start + GOLDEN_BATCH, len(flat)))
        ran = machine.run_batch(flat[start : samples.stop])
        outputs[start : samples.stop] = places(ran.outputs)
        for n in samples:
            for number, (name, values) in enumerate(layers):
                got = ran.layers[number][n - start]
                if not np.array_equal(got, values[n]):
                    count += 1
                    mismatches.append(first_mismatch(n, name, values[n], got))
        notify("running the golden model", samples.stop, len(flat))
    wrong = _wrong_outputs(outputs, final)
    mismatches = mismatches or wrong
    return Simulation(
        outputs=_host_part(post, outputs),
        samples=len(flat),
        mismatches=count or len(wrong),
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


def _wrong_outputs(outputs: Array, final: Array) -> list[Mismatch]:
    """Samples whose outputs, as the host reads them, are not what they should be."""
    wrong = np.flatnonzero((outputs != final).reshape(len(final), -1).any(axis=1))
    return [
        first_mismatch(n, "output", final[n].ravel(), outputs[n].ravel().view(np.uint8))
        for n in wrong.tolist()
    ]


def _host_part(post: Any, outputs: Array) -> Array:
    return output(post, outputs) if post.nodes else outputs


def _work(build: Build, source: str, values: dict[str, Array]) -> list[float]:
    """Mean multiplications a sample that are work, for each layer."""
    nodes = {node.name: node for node in build.graph.nodes}
    result = []
    for layer in build.layers:
        if layer.engine != "eie":
            result.append(float(layer.macs))
            continue
        node = nodes[layer.name]
        before = build.graph.tensors[node.inputs[0]]
        live = (values[before.name] != before.zero_point).reshape(len(values[source]), -1)
        column_work = np.count_nonzero(node.consts["weight"], axis=0)
        result.append(float((live @ column_work).mean()))
    return result


def _most(layer: LayerReport, config: Config, cycles: float) -> float:
    """Multiplications that a layer's engine can do in so many cycles."""
    if layer.engine == "eie":
        return config.pes * cycles
    if layer.engine == "winograd":
        return Geometry.of(config).multipliers * cycles
    return max(1, config.act_word * config.tile_outputs) * cycles


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
