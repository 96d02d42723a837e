"""A functional model of the accelerator: it executes the bytes of the image."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunus.hw.config import Config
from prunus.hw.isa import Descriptor, Op

from .image import Memories, read_image
from .machine_eie import FullyConnected
from .machine_memory import DescriptorError
from .machine_systolic import Convolution, Depthwise, Grouped
from .machine_vector import Vector
from .machine_window import Tables, Window
from .machine_winograd import Winograd

__all__ = ["Batch", "DescriptorError", "Machine", "Run"]

Int8 = NDArray[np.int8]
Engine = FullyConnected | Convolution | Grouped | Depthwise | Window | Winograd
CHUNK = 16  # samples at a time: their windows fit the caches


@dataclass(frozen=True, slots=True)
class Run:
    """What one pass through the program left behind.

    ``outputs`` (n,) int8, as the host reads them: with what lies between the pixels. ``layers`` has
    the int8 outputs of each layer number, pixel after pixel without gaps; ``macs`` the
    multiplications of each: of inputs other than the zero point by stored, non-zero weights on the
    EIE array; on the systolic array all of each row of weights that is not zero throughout.
    """

    outputs: Int8
    layers: dict[int, Int8]
    macs: dict[int, int]


@dataclass(frozen=True, slots=True)
class Batch:
    """As :class:`Run`, of many samples: every array has them along its first axis."""

    outputs: Int8
    layers: dict[int, Int8]
    macs: dict[int, NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class _Step:
    """A descriptor, ready to be executed; TABLE has neither engine nor vector.

    ``places`` are the bytes that the layer has written up to here, passes before this included.
    """

    layer: Descriptor
    engine: Engine | None = None
    vector: Vector | None = None
    places: NDArray[np.int64] | None = None


class Machine:
    """Memories as the loader leaves them, and the program that runs on them.

    Equal to :class:`prunus.hw.accelerator.Accelerator`, byte for byte of the layers' outputs.

    Raises
    ------
    ImageError
        The image is damaged or was made for another configuration.
    """

    def __init__(self, config: Config, image: bytes):
        self.config = config
        self.memories: Memories = read_image(image, config)
        self._steps: list[_Step] = []

    def run(self, inputs: Int8) -> Run:
        """One inference of ``inputs`` (n,) int8."""
        batch = self.run_batch(inputs[None])
        return Run(
            batch.outputs[0],
            {number: values[0] for number, values in batch.layers.items()},
            {number: int(count[0]) for number, count in batch.macs.items()},
        )

    def run_batch(self, inputs: Int8) -> Batch:
        """Inferences of ``inputs`` (samples, n) int8.

        Raises
        ------
        ValueError
            The inputs are not what the network takes.
        DescriptorError
            The program asks for something that the accelerator cannot do; or a sum does not fit
            its accumulator.
        """
        network = self.memories.network
        if inputs.shape[1:] != (network.input_bytes,) or inputs.dtype != np.int8:
            raise ValueError(
                f"inputs must be int8 ({network.input_bytes},), "
                f"not {inputs.dtype} {inputs.shape[1:]}"
            )
        if not self._steps:
            self._steps = self._prepare()
        starts = range(0, max(1, len(inputs)), CHUNK)
        parts = [self._execute(inputs[start : start + CHUNK]) for start in starts]
        return Batch(
            np.concatenate([part.outputs for part in parts]),
            {n: np.concatenate([part.layers[n] for part in parts]) for n in parts[0].layers},
            {n: np.concatenate([part.macs[n] for part in parts]) for n in parts[0].macs},
        )

    def _execute(self, inputs: Int8) -> Batch:
        config, network = self.config, self.memories.network
        size = config.act_depth * config.act_word
        activations = np.zeros((len(inputs), size + 1), np.int8)
        base = network.input_base * config.act_word
        activations[:, base : base + network.input_bytes] = inputs
        tables = Tables(config)
        layers: dict[int, Int8] = {}
        macs: dict[int, NDArray[np.int64]] = {}
        for at, step in enumerate(self._steps):
            layer, number = step.layer, step.layer["layer"]
            with _naming(at, layer):
                if step.engine is None or step.vector is None:
                    tables.fill(layer, self.memories.tables)
                    continue
                values = step.vector(step.engine(activations, tables))
                count = macs.setdefault(number, np.zeros(len(inputs), np.int64))
                if isinstance(step.engine, FullyConnected):
                    count += step.engine.work(activations)
                else:
                    count += step.engine.macs
            activations[:, step.vector.addresses] = values
            layers[number] = activations[:, step.places]
        base = network.output_base * config.act_word
        return Batch(activations[:, base : base + network.output_bytes].copy(), layers, macs)

    def _prepare(self) -> list[_Step]:
        """Everything about the program that does not depend on the inputs."""
        steps = []
        places: dict[int, NDArray[np.int64]] = {}
        for at, layer in enumerate(self.memories.program):
            if layer["op"] == Op.END:
                break
            with _naming(at, layer):
                engine = self._engine(layer)
                if engine is None:
                    steps.append(_Step(layer))
                    continue
                vector = Vector(layer, self.memories)
                if isinstance(engine, Convolution | Grouped | Depthwise | Winograd):
                    both = np.intersect1d(engine.index, vector.addresses)
                    if both.size:
                        raise DescriptorError(f"writes byte {both[0]}, which it reads")
            # Passes of a layer write parts of one tensor, which is in the order of its addresses.
            before = places.get(layer["layer"], np.zeros(0, np.int64))
            places[layer["layer"]] = np.union1d(before, vector.own)
            steps.append(_Step(layer, engine, vector, places[layer["layer"]]))
        return steps

    def _engine(self, layer: Descriptor) -> Engine | None:
        config, memories = self.config, self.memories
        match layer["op"]:
            case Op.EIE:
                return FullyConnected(layer, memories)
            case Op.CONV if config.compact:
                return Grouped(layer, config, memories.tiles)
            case Op.CONV:
                return Convolution(layer, config, memories.tiles)
            case Op.DEPTHWISE:
                return Depthwise(layer, config, memories.tiles)
            case Op.WINOGRAD:
                return Winograd(layer, config, memories.filters)
            case Op.WINDOW:
                return Window(layer, config)
            case Op.TABLE:
                return None
        raise DescriptorError("unknown")


@contextmanager
def _naming(number: int, layer: Descriptor) -> Iterator[None]:
    """Say which descriptor an error is about."""
    try:
        yield
    except DescriptorError as error:
        raise DescriptorError(f"descriptor {number}, op {layer['op']}: {error}") from None
