"""Random int8 networks for the tests."""

import numpy as np

from prunus.compiler.ir import Graph, Node, Tensor, verify


def random_network(sizes, *, density=1.0, bits=None, per_channel=False, seed=0, double=False):
    """A chain of fully-connected layers; sums are scaled so that outputs spread over int8."""
    rng = np.random.default_rng([seed, *sizes])
    tensors = {"x": Tensor("x", (sizes[0],), 0.05, int(rng.integers(-128, 128)))}
    nodes = []
    for n, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
        source, target = list(tensors)[-1], f"t{n}"
        weight = rng.integers(-127, 128, (outputs, inputs))
        if bits is not None:
            weight = rng.choice(rng.integers(-127, 128, 1 << bits), (outputs, inputs))
        weight = np.where(rng.random(weight.shape) < density, weight, 0).astype(np.int8)
        channels = outputs if per_channel else 1
        shift = -int(np.log2(max(1, inputs * density))) - rng.integers(6, 8, channels)
        zero = -128 if n % 2 else int(rng.integers(-100, 100))
        tensors[target] = Tensor(target, (outputs,), 0.1, zero)
        nodes.append(
            Node(
                f"fc{n}",
                "fully_connected",
                (source,),
                target,
                attrs={
                    "rounding": "double" if double ^ bool(n % 2) else "single",
                    "clamp": (-128, 127) if n % 3 else (-120, 100),
                },
                consts={
                    "weight": weight,
                    "bias": rng.integers(-5000, 5000, outputs).astype(np.int32),
                    "multiplier": rng.integers(1 << 30, 1 << 31, channels),
                    "shift": shift.astype(np.int64),
                },
            )
        )
    last = list(tensors)[-1]
    return verify(Graph("random", ("x",), (last,), tensors, tuple(nodes)))
