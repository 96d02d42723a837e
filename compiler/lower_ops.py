"""The operators on images and vectors, each as layers of the hardware."""

import numpy as np

from prunus.hw.isa import Mode
from prunus.hw.systolic_geometry import stream_lines, stream_pitch

from .cost import best_tile, depthwise_cycles, matrix_cycles
from .ir import GraphError, Node
from .layers import matrix
from .layout import Image
from .lower_compact import by_words, first_word
from .lower_conv import LEFT_SHIFTS, convolve, node_scaling, stream
from .lower_copy import aligned, gather
from .lower_window import EXACT, average_scaling, averages, window
from .lower_winograd import winograd, winograd_costs
from .lowering import Lowering
from .passes.layers import macs
from .steps import Place, Scaling, Sizes, Step, signed_bits

__all__ = [
    "average_pool",
    "convolution",
    "depthwise",
    "fully_connected",
    "max_pool",
    "mean",
    "pad",
]

STREAM_LINES = 3  # most of a depthwise kernel that is streamed
STREAM_BYTES = 8  # least of an activation word then
STREAM_DELAY = 1 << 12  # longest of its lines


def fully_connected(low: Lowering, node: Node) -> None:
    """On the EIE array, or a convolution with one output pixel."""
    source, word = low.layouts[node.inputs[0]], low.sizes.word
    first = int(source.positions.min()) // word * word
    positions = source.positions.ravel() - first
    weight = node.consts["weight"]
    target = low.target(node.output)
    costs = _matrix_costs(low.sizes, len(weight), len(positions), int(positions.max()) + 1)
    if low.sizes.matrices:
        where = matrix(low.core, node, positions), Place(source.buffer, first // word)
        low.emit("eie", node, target, matrix=where, macs=macs(low.core, node), costs=costs)
        return
    scaling, bits = node_scaling(low, node, weight)
    seen = Image(source.buffer, first, 1, 1, int(positions.max()) + 1, positions)
    step = convolve(
        low.sizes, node.name, seen, low.made(target), weight[:, None, None, :], scaling, bits,
        zero=low.zero(node.inputs[0]),
    )  # fmt: skip
    low.emit("systolic", node, target, [step], macs=macs(low.core, node), costs=costs)


def _matrix_costs(sizes: Sizes, outputs: int, inputs: int, length: int) -> dict[str, int]:
    """Cycles of a matrix on both engines: dense on the EIE array, whose zeros take cycles then; on
    the systolic array of as many bytes as there are up to the last input."""
    entries = -(-outputs // sizes.pes) * inputs
    return {
        "eie": matrix_cycles([(entries, outputs)], inputs, sizes.lanes),
        "systolic": best_tile(sizes, 1, -(-length // sizes.word), outputs)[1],
    }


def convolution(low: Lowering, node: Node) -> None:
    """On the systolic array, whatever its input's layout, or on the Winograd unit."""
    source = low.image(node, node.inputs[0])
    weight = node.consts["weight"]
    scaling, bits = node_scaling(low, node, weight)
    target = low.target(node.output)
    made, zero = low.made(target), low.zero(node.inputs[0])
    stride, dilation = node.attrs["stride"], node.attrs["dilation"]
    top, _, left, _ = node.attrs["padding"]
    costs = winograd_costs(low.sizes, source, made, weight, stride, dilation)
    unit = low.sizes.winograd
    engine, step = "systolic", convolve(
        low.sizes, node.name, source, made, weight, scaling, bits,
        zero=zero, stride=stride, padding=(top, left), dilation=dilation,
    )  # fmt: skip
    direct = step.cycles
    if unit is not None and costs and stride == (1, 1):
        other = winograd(
            low.sizes, unit, source, made, weight, scaling, bits, zero=zero, padding=(top, left)
        )
        if other.cycles < direct:
            engine, step = "winograd", other
    costs = {"systolic": direct, **costs}
    low.emit(engine, node, target, [step], macs=macs(low.core, node), costs=costs)


def depthwise(low: Lowering, node: Node) -> None:
    """Streamed through the array's lines, or as convolutions of a word of channels each."""
    source = low.image(node, node.inputs[0])
    weight = node.consts["weight"][0]
    scaling, bits = node_scaling(low, node, np.moveaxis(weight, -1, 0))
    target = low.target(node.output)
    made, zero = low.made(target), low.zero(node.inputs[0])
    stride, (top, _, left, _) = node.attrs["stride"], node.attrs["padding"]
    if low.sizes.compact and weight.shape[-1] == len(source.channels):
        step = convolve(
            low.sizes, node.name, first_word(aligned(low, source, node.inputs[0]), low.sizes),
            made, by_words(weight, low.sizes), scaling, bits, zero=zero, stride=stride,
            padding=(top, left), dilation=node.attrs["dilation"], group=1,
        )  # fmt: skip
        low.emit("systolic", node, target, [step], macs=macs(low.core, node))
        return
    steps: list[Step] = []
    per_channel = len(source.channels)
    for first in range(0, weight.shape[-1], low.sizes.word):
        outputs = np.arange(first, min(first + low.sizes.word, weight.shape[-1]))
        seen = outputs // (weight.shape[-1] // per_channel)
        channels = np.unique(seen)
        taps = np.zeros((len(outputs), *weight.shape[:2], len(channels)), np.int8)
        taps[np.arange(len(outputs)), :, :, seen - seen[0]] = np.moveaxis(weight, -1, 0)[outputs]
        steps.append(
            convolve(
                low.sizes, node.name, source.part(channels, low.sizes.word),
                made.part(outputs, low.sizes.word), taps, scaling.part(outputs), bits,
                zero=zero, stride=stride, padding=(top, left), dilation=node.attrs["dilation"],
            )
        )  # fmt: skip
    streamed = _streamed_cycles(low, node, source, made)
    if streamed is not None and streamed < sum(step.cycles for step in steps):
        words = aligned(low, source, node.inputs[0])
        steps = [
            stream(
                low.sizes, words, made, weight, scaling, bits,
                zero=zero, stride=stride, padding=(top, left),
            )
        ]  # fmt: skip
    low.emit("systolic", node, target, steps, macs=macs(low.core, node))


def _streamed_cycles(low: Lowering, node: Node, source: Image, made: Image) -> int | None:
    """Cycles of a depthwise layer that is streamed, with a copy if needed; None if it cannot be."""
    sizes, weight = low.sizes, node.consts["weight"][0]
    height, width, channels = weight.shape
    stride = node.attrs["stride"]
    pitch = stream_pitch(source.width, made.width, width, stride[1], node.attrs["padding"][2])
    if (
        sizes.word < STREAM_BYTES
        or height > STREAM_LINES
        or width > sizes.line_taps
        or channels != len(source.channels)
        or node.attrs["dilation"] != (1, 1)
        or (weight == -128).any()
        or pitch + sizes.line_taps >= STREAM_DELAY
    ):
        return None
    lines = stream_lines(made.height, height, stride[0])
    cycles = depthwise_cycles(sizes, -(-channels // sizes.lanes), lines, pitch)
    if not source.aligned(sizes.word):
        every = np.arange(channels)
        cycles += sum(
            step.cycles for step in gather(sizes, node.name, source, source, every, zero=0)
        )
    return cycles


def max_pool(low: Lowering, node: Node) -> None:
    """Padding is the lowest value, which wins only where it is equal to another."""
    source = aligned(low, low.image(node, node.inputs[0]), node.inputs[0])
    target = low.target(node.output)
    top, _, left, _ = node.attrs["padding"]
    scaling = EXACT.clamped(node.attrs["clamp"])
    step = window(
        low.sizes, source, low.made(target), scaling, 8,
        mode=Mode.MAX, kernel=node.attrs["kernel"], stride=node.attrs["stride"],
        padding=(top, left), fill=-128,
    )  # fmt: skip
    low.emit("window", node, target, [step])


def average_pool(low: Lowering, node: Node) -> None:
    """Sums, and a division for each number of values that a window may have."""
    source = aligned(low, low.image(node, node.inputs[0]), node.inputs[0])
    target = low.target(node.output)
    attrs = node.attrs
    top, _, left, _ = attrs["padding"]
    steps = [
        window(
            low.sizes, seen, made, average_scaling(count, attrs["clamp"]),
            signed_bits(-128 * count, 127 * count),
            kernel=kernel, stride=attrs["stride"], padding=padding,
        )
        for count, seen, made, kernel, padding in averages(
            source, low.made(target), attrs["kernel"], attrs["stride"], (top, left)
        )
    ]  # fmt: skip
    low.emit("window", node, target, steps)


def mean(low: Lowering, node: Node) -> None:
    """One window as large as the image."""
    source = aligned(low, low.image(node, node.inputs[0]), node.inputs[0])
    target = low.target(node.output)
    count, zero = source.pixels, low.zero(node.inputs[0])
    scaling = Scaling(
        bias=np.array([-zero * count]),
        multiplier=np.array([node.attrs["multiplier"]]),
        shift=np.array([-node.attrs["shift"]]),
        zero=low.zero(node.output),
    )
    bits = max(signed_bits(-128 * count, 127 * count),
               signed_bits((-128 - zero) * count, (127 - zero) * count))  # fmt: skip
    if scaling.left > LEFT_SHIFTS or bits + scaling.left > 32:
        raise GraphError(f"{node.name}: sums need {bits + scaling.left} bits, int32 would overflow")
    step = window(
        low.sizes, source, low.made(target), scaling, bits, kernel=(source.height, source.width)
    )
    low.emit("window", node, target, [step])


def pad(low: Lowering, node: Node) -> None:
    """A copy to a larger image, whose outside is the zero point."""
    source = low.image(node, node.inputs[0])
    target = low.target(node.output)
    made, zero = low.made(target), low.zero(node.output)
    top, _, left, _ = node.attrs["padding"]
    front, back = node.attrs["channels"]
    if source.aligned(low.sizes.word) and not front + back:
        steps = [window(low.sizes, source, made, EXACT, 8, padding=(top, left), fill=zero)]
        low.emit("window", node, target, steps)
        return
    inner = np.arange(len(source.channels))
    channels = np.pad(inner, (front, back), constant_values=-1)
    steps = gather(low.sizes, node.name, source, made, channels, zero=zero, padding=(top, left))
    low.emit("systolic", node, target, steps)
