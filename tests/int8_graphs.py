"""Random int8 graphs of single operators and of whole networks, for the tests of the lowering."""

import numpy as np

from prunus.compiler.ir import Graph, Node, Tensor, verify
from prunus.sim.ops_conv import output_size
from prunus.sim.ops_join import add_parameters
from prunus.sim.ops_pool import mean_parameters


class Int8:
    """A graph that grows node by node; each method returns the name of what it makes."""

    def __init__(self, shape, seed=0, grid=None):
        self.rng = np.random.default_rng(seed)
        self.grid = grid  # scale and zero point of every tensor
        self.tensors = {}
        self.nodes = []
        self.x = self.tensor("x", shape)

    def tensor(self, name, shape, like=None):
        scale, zero = float(self.rng.uniform(0.02, 0.3)), int(self.rng.integers(-128, 128))
        if self.grid is not None:
            scale, zero = self.grid
        if like is not None:
            scale, zero = self.tensors[like].scale, self.tensors[like].zero_point
        self.tensors[name] = Tensor(name, tuple(int(size) for size in shape), scale, zero)
        return name

    def node(self, op, inputs, shape, attrs=None, consts=None, same_grid=False):
        name = f"{op}_{len(self.nodes)}"
        target = self.tensor(f"t{len(self.nodes)}", shape, inputs[0] if same_grid else None)
        self.nodes.append(Node(name, op, tuple(inputs), target, attrs or {}, consts or {}))
        return target

    def clamp(self):
        return (-128, 127) if self.rng.integers(2) else (int(self.rng.integers(-128, 0)), 100)

    def scaling(self, outputs, reduced, per_channel):
        """Bias and requantization that spread the sums of ``reduced`` products over int8."""
        count = outputs if per_channel else 1
        shift = -int(np.log2(np.sqrt(reduced))) - self.rng.integers(6, 9, count)
        return {
            "bias": self.rng.integers(-5000, 5000, outputs).astype(np.int32),
            "multiplier": self.rng.integers(1 << 30, 1 << 31, count),
            "shift": shift.astype(np.int64),
        }

    def window(self, source, kernel, stride, padding, dilation=(1, 1)):
        h, w, _ = self.tensors[source].shape
        top, bottom, left, right = padding
        return (
            output_size(h, kernel[0], stride[0], dilation[0], top, bottom),
            output_size(w, kernel[1], stride[1], dilation[1], left, right),
        )

    def conv(
        self, source, outputs, kernel=(1, 1), stride=(1, 1), padding=(0, 0, 0, 0),
        dilation=(1, 1), depthwise=False, per_channel=True, rounding="double",
    ):  # fmt: skip
        channels = self.tensors[source].shape[2]
        dims = (1, *kernel, outputs) if depthwise else (outputs, *kernel, channels)
        weight = self.rng.integers(-127, 128, dims).astype(np.int8)
        reduced = kernel[0] * kernel[1] * (1 if depthwise else channels)
        consts = {"weight": weight, **self.scaling(outputs, reduced, per_channel)}
        attrs = {
            "stride": stride, "padding": padding, "dilation": dilation,
            "rounding": rounding, "clamp": self.clamp(),
        }  # fmt: skip
        size = self.window(source, kernel, stride, padding, dilation)
        op = "depthwise_conv_2d" if depthwise else "conv_2d"
        return self.node(op, [source], (*size, outputs), attrs, consts)

    def fully_connected(self, source, outputs, rounding="single"):
        inputs = self.tensors[source].size
        weight = self.rng.integers(-127, 128, (outputs, inputs)).astype(np.int8)
        consts = {"weight": weight, **self.scaling(outputs, inputs, False)}
        attrs = {"rounding": rounding, "clamp": self.clamp()}
        return self.node("fully_connected", [source], (outputs,), attrs, consts)

    def pool(self, source, kind, kernel, stride=(1, 1), padding=(0, 0, 0, 0)):
        channels = self.tensors[source].shape[2]
        attrs = {"kernel": kernel, "stride": stride, "padding": padding, "clamp": self.clamp()}
        shape = (*self.window(source, kernel, stride, padding), channels)
        return self.node(f"{kind}_pool_2d", [source], shape, attrs, same_grid=True)

    def mean(self, source, flat=False):
        h, w, channels = self.tensors[source].shape
        multiplier, shift = mean_parameters(int(self.rng.integers(1 << 30, 1 << 31)), 0, h * w)
        shape = (channels,) if flat else (1, 1, channels)
        return self.node("mean", [source], shape, {"multiplier": multiplier, "shift": shift})

    def add(self, first, second):
        target = self.node("add", [first, second], self.tensors[first].shape)
        scales = (self.tensors[name].scale for name in (first, second))
        out = max(self.tensors[first].scale, self.tensors[second].scale) * 1.3
        p = add_parameters(*scales, out)
        attrs = {
            "left_shift": p.left_shift, "multipliers": p.multipliers, "shifts": p.shifts,
            "multiplier": p.multiplier, "shift": p.shift, "clamp": self.clamp(),
        }  # fmt: skip
        node = self.nodes.pop()
        self.nodes.append(Node(node.name, node.op, node.inputs, target, attrs))
        return target

    def lut(self, source):
        table = self.rng.integers(-128, 128, 256).astype(np.int8)
        return self.node("lut", [source], self.tensors[source].shape, {}, {"table": table})

    def rescale(self, source):
        attrs = {"multiplier": int(self.rng.integers(1 << 30, 1 << 31)), "clamp": self.clamp()}
        attrs["shift"] = int(self.rng.integers(-2, 2))
        return self.node("rescale", [source], self.tensors[source].shape, attrs)

    def pad(self, source, padding=(0, 0, 0, 0), channels=(0, 0)):
        h, w, c = self.tensors[source].shape
        top, bottom, left, right = padding
        shape = (h + top + bottom, w + left + right, c + sum(channels))
        attrs = {"padding": padding, "channels": channels}
        return self.node("pad", [source], shape, attrs, same_grid=True)

    def concatenation(self, sources, axis=2):
        shape = list(self.tensors[sources[0]].shape)
        shape[axis] = sum(self.tensors[name].shape[axis] for name in sources)
        return self.node("concatenation", sources, shape, {"axis": axis}, same_grid=True)

    def reshape(self, source, shape):
        return self.node("reshape", [source], shape, same_grid=True)

    def graph(self, *outputs):
        outputs = outputs or (self.nodes[-1].output,)
        return verify(Graph("random", ("x",), outputs, self.tensors, tuple(self.nodes)))


def samples(graph, count=3, seed=1):
    """Int8 inputs, one of which is the zero point throughout."""
    source = graph.tensors[graph.inputs[0]]
    shape = (count, *source.shape)
    x = np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)
    x[-1] = source.zero_point
    return x
