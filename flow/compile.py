"""From a model to a build."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from prunus.boards.board import Board
from prunus.compiler.assemble import LayerStatistics, assemble
from prunus.compiler.evaluate import split_host
from prunus.compiler.ir import Graph, GraphError
from prunus.compiler.load import load_model
from prunus.compiler.passes.calibrate import calibrate
from prunus.compiler.passes.correct import correct_biases
from prunus.compiler.passes.fold_constants import fold_constants
from prunus.compiler.passes.fold_pad import fold_pad
from prunus.compiler.passes.prune import prune
from prunus.compiler.passes.share import share
from prunus.compiler.plan import LayerPlan, Options, plan

from .build import Build, LayerReport
from .fit import choose_options

__all__ = ["compile_graph", "compile_model"]

Density = float | Mapping[str, float]
Bits = int | Mapping[str, int]


def compile_model(
    model: str | Path | Any,
    *,
    calibration: NDArray[np.floating[Any]] | None = None,
    density: Density | None = None,
    density_scope: Literal["layer", "network"] = "layer",
    weight_bits: Bits | None = None,
    share_init: Literal["linear", "density", "random"] = "linear",
    engine: str | None = None,
    options: Options | None = None,
    board: Board | None = None,
    fixed: Collection[str] = (),
) -> Build:
    """Import, compress where asked to, quantize where needed, and lay out for the hardware.

    Parameters
    ----------
    model
        Path of a ``.tflite`` or ``.onnx`` file, a fitted scikit-learn MLP, or a graph.
    calibration
        A batch of inputs, (samples, *shape). Float models need it. Where weights are pruned or
        shared it corrects the biases; an int8 model takes it only then.
    density, density_scope
        Fraction of the weights that is kept, in each layer or in the ``"network"`` as a whole.
    weight_bits, share_init
        Bits of the codebook that each layer's weights are restricted to.
    engine
        Which engine runs fully-connected layers: ``"eie"``, ``"systolic"``, or ``"auto"`` for what
        takes the fewest cycles. Convolutions run on the systolic array, and with ``"winograd"`` or
        ``"auto"`` on a Winograd unit beside it where that is faster.
    board
        Choose the number of PEs or the size of the systolic array, and what goes with them, for
        this board.
    fixed
        Fields of ``options`` that ``board`` does not decide.

    Raises
    ------
    ModelError, GraphError, ValueError
        One line that names the file, layer or argument.
    """
    graph = model if isinstance(model, Graph) else load_model(model)
    return compile_graph(
        graph,
        calibration=calibration,
        density=density,
        density_scope=density_scope,
        weight_bits=weight_bits,
        share_init=share_init,
        engine=engine,
        options=options,
        board=board,
        fixed=fixed,
    )


def compile_graph(
    graph: Graph,
    *,
    calibration: NDArray[np.floating[Any]] | None = None,
    density: Density | None = None,
    density_scope: Literal["layer", "network"] = "layer",
    weight_bits: Bits | None = None,
    share_init: Literal["linear", "density", "random"] = "linear",
    engine: str | None = None,
    options: Options | None = None,
    board: Board | None = None,
    fixed: Collection[str] = (),
) -> Build:
    """:func:`compile_model` of a graph."""
    imported, options = graph, options or Options()
    if engine is not None:
        options = replace(options, engine=engine)
    changed = density is not None or weight_bits is not None
    if density is not None:
        graph = prune(graph, density, scope=density_scope)
        if calibration is not None:
            graph = _corrected(graph, imported, calibration)
    if not graph.quantized:
        if graph.tensors[graph.inputs[0]].quantized:
            raise ValueError(f"{graph.name}: the graph has no layer with weights")
        if calibration is None:
            raise ValueError(
                f"{graph.name}: a float model; give a batch of inputs to calibrate it (calibration)"
            )
        try:
            graph = calibrate(graph, calibration, per_channel=_per_channel(graph, weight_bits))
        except GraphError:
            raise
        except ValueError as error:
            raise ValueError(f"calibration: {error}") from None
    elif calibration is not None and not changed:
        raise ValueError(f"{graph.name}: already int8; calibration must be left out")
    if weight_bits is not None:
        reference, graph = graph, share(graph, weight_bits, init=share_init)
        if calibration is not None:
            graph = _corrected(graph, reference, calibration)
    graph = folded(graph)
    _, core, _ = split_host(graph)
    if board is not None:
        options = choose_options(core, board, options, fixed)
    placed = plan(core, options)
    assembly = assemble(placed)
    settings: dict[str, Any] = {
        "density": density if density is None or isinstance(density, float) else dict(density),
        "weight_bits": weight_bits if not isinstance(weight_bits, Mapping) else dict(weight_bits),
        "board": None if board is None else board.name,
        "engine": options.engine,
    }
    natural = np.array_equal(placed.input_index, np.arange(len(placed.input_index)))
    return Build(
        graph=graph,
        config=placed.config,
        image=assembly.image,
        layers=tuple(
            _report(layer, statistics)
            for layer, statistics in zip(placed.layers, assembly.layers, strict=True)
        ),
        lossless=imported.quantized and _weights_equal(folded(imported), core),
        parameters=sum(
            node.consts[key].size
            for node in imported.nodes
            if "weight" in node.consts
            for key in ("weight", "bias")
        ),
        settings=settings,
        input_index=() if natural else tuple(placed.input_index.tolist()),
    )


def _corrected(graph: Graph, reference: Graph, calibration: NDArray[Any]) -> Graph:
    try:
        return correct_biases(graph, reference, calibration)
    except GraphError:
        raise
    except ValueError as error:
        raise ValueError(f"calibration: {error}") from None


def _per_channel(graph: Graph, weight_bits: Bits | None) -> bool:
    """Whether fully-connected layers get a scale for each output, which is the more accurate way.

    Not where few values are a layer's weights, or are to be: one scale keeps them few.
    """
    if any(len(tensor.shape) == 3 for tensor in graph.tensors.values()):
        return True
    weights = [node.consts["weight"] for node in graph.nodes if "weight" in node.consts]
    few = any(len(np.unique(weight)) <= min(256, weight.size // 4) for weight in weights)
    return weight_bits is None and not few


def folded(graph: Graph) -> Graph:
    """The graph without channels that are constant: the same function, bit for bit."""
    return fold_constants(fold_pad(graph))


def _report(planned: LayerPlan, statistics: LayerStatistics) -> LayerReport:
    work, matrix = planned.work, planned.matrix
    weight = np.zeros(0, np.int8) if work.weight is None else work.weight
    return LayerReport(
        name=work.name,
        op=work.op,
        engine=work.engine,
        tensor=work.tensor,
        macs=work.macs,
        weights=int(weight.size),
        nonzeros=int(np.count_nonzero(weight)),
        dense=matrix is None or matrix.dense,
        distinct=len(np.unique(weight)),
        rows=0 if matrix is None else max(step.rows for step in matrix.passes),
        passes=len(planned.descriptors),
        base_word=planned.base_word,
        outputs=work.outputs,
        rom=statistics,
        pixels=work.pixels,
        pitch=work.pitch,
        cycles=planned.cycles,
        costs={**work.costs, **({"eie": planned.cycles} if matrix else {})},
    )


def _weights_equal(graph: Graph, core: Graph) -> bool:
    """Whether every weight in the gates is that of a graph's layer of the same name."""
    others = {node.name: node.consts["weight"] for node in graph.nodes if "weight" in node.consts}
    return all(
        node.name in others and np.array_equal(others[node.name], node.consts["weight"])
        for node in core.nodes
        if "weight" in node.consts
    )
