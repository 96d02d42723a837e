"""From a model to a build."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from prunus.boards.board import Board
from prunus.compiler.assemble import LayerStatistics, assemble
from prunus.compiler.evaluate import split_host
from prunus.compiler.ir import Graph
from prunus.compiler.layers import Layer, core_layers
from prunus.compiler.load import load_model
from prunus.compiler.passes.calibrate import calibrate
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
    options: Options | None = None,
    board: Board | None = None,
) -> Build:
    """Import, compress where asked to, quantize where needed, and lay out for the hardware.

    Parameters
    ----------
    model
        Path of a ``.tflite`` or ``.onnx`` file, a fitted scikit-learn MLP, or a graph.
    calibration
        A batch of inputs, (samples, *shape); float models need it, int8 models take none.
    density, density_scope
        Fraction of the weights that is kept, in each layer or in the ``"network"`` as a whole.
    weight_bits, share_init
        Bits of the codebook that each layer's weights are restricted to.
    board
        Choose the number of PEs, and what goes with it, for this board.

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
        options=options,
        board=board,
    )


def compile_graph(
    graph: Graph,
    *,
    calibration: NDArray[np.floating[Any]] | None = None,
    density: Density | None = None,
    density_scope: Literal["layer", "network"] = "layer",
    weight_bits: Bits | None = None,
    share_init: Literal["linear", "density", "random"] = "linear",
    options: Options | None = None,
    board: Board | None = None,
) -> Build:
    """:func:`compile_model` of a graph."""
    imported = graph
    if density is not None:
        graph = prune(graph, density, scope=density_scope)
    if not graph.quantized:
        if calibration is None:
            raise ValueError(
                f"{graph.name}: a float model; give a batch of inputs to calibrate it (calibration)"
            )
        graph = calibrate(graph, calibration)
    elif calibration is not None:
        raise ValueError(f"{graph.name}: already int8; calibration must be left out")
    if weight_bits is not None:
        graph = share(graph, weight_bits, init=share_init)
    _, core, _ = split_host(graph)
    layers = core_layers(core)
    if board is not None:
        options = choose_options(layers, board, options)
    placed = plan(layers, options or Options())
    assembly = assemble(placed)
    settings: dict[str, Any] = {
        "density": density if density is None or isinstance(density, float) else dict(density),
        "weight_bits": weight_bits if not isinstance(weight_bits, Mapping) else dict(weight_bits),
        "board": None if board is None else board.name,
    }
    return Build(
        graph=graph,
        config=placed.config,
        image=assembly.image,
        layers=tuple(
            _report(layer, statistics)
            for layer, statistics in zip(placed.layers, assembly.layers, strict=True)
        ),
        lossless=_lossless(imported, layers),
        biases=sum(layer.outputs for layer in layers),
        settings=settings,
    )


def _report(planned: LayerPlan, statistics: LayerStatistics) -> LayerReport:
    layer = planned.layer
    return LayerReport(
        name=layer.name,
        op=layer.op,
        engine="eie",
        tensor=layer.target,
        macs=layer.outputs * layer.columns,
        weights=int(layer.weight.size),
        nonzeros=int(np.count_nonzero(layer.weight)),
        dense=planned.dense,
        distinct=len(np.unique(layer.weight)),
        rows=max(step.rows for step in planned.passes),
        passes=len(planned.passes),
        base_word=planned.out_base,
        outputs=layer.outputs,
        rom=statistics,
    )


def _lossless(imported: Graph, layers: tuple[Layer, ...]) -> bool:
    """Whether every weight in the gates is the imported model's."""
    if not imported.quantized:
        return False
    originals = {
        node.name: node.consts["weight"] for node in imported.nodes if "weight" in node.consts
    }
    return all(
        layer.name in originals and np.array_equal(originals[layer.name], layer.weight)
        for layer in layers
    )
