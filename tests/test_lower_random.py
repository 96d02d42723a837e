"""Whole random networks of every operator, on several sizes of accelerators."""

import numpy as np
import pytest
from int8_graphs import Int8
from lowered import check

OPTIONS = [{}, {"act_word": 8}, {"act_word": 16, "lanes": 2, "tile_pixels": 16}, {"act_word": 32},
           {"engine": "eie", "pes": 8}]  # fmt: skip


def random_graph(seed):
    """A network with branches; tensors share a grid, so that any two can be joined."""
    rng = np.random.default_rng([7, seed])
    shape = (int(rng.integers(4, 9)), int(rng.integers(4, 9)), int(rng.choice([1, 3, 8, 16])))
    g = Int8(shape, seed, grid=(0.1, int(rng.integers(-128, 128))))
    images = [g.x]

    def channels():
        return int(rng.choice([1, 4, 7, 8, 16, 17, 24]))

    for _ in range(int(rng.integers(3, 9))):
        t = images[int(rng.integers(len(images)))]
        h, w, c = g.tensors[t].shape
        small = int(rng.integers(1, 1 + min(3, h, w)))
        match rng.integers(10):
            case 0:
                images.append(g.conv(t, channels(), (small, small)))
            case 1:
                pad = (small // 2,) * 4 if small > 1 else (0, 0, 0, 0)
                images.append(g.conv(t, c, (small, small), (1, 1), pad, depthwise=True))
            case 2:
                images.append(g.conv(t, channels(), (small, 1), (min(2, h), 1)))
            case 3:
                images.append(g.pool(t, "max", (small, small), (min(2, h), min(2, w))))
            case 4:
                pad = (small // 2, 0, 0, small // 2)
                images.append(g.pool(t, "average", (small, small), (1, 1), pad))
            case 5:
                images.append(g.lut(t))
            case 6:
                images.append(g.add(t, g.conv(t, c)))
            case 7:
                images.append(g.pad(t, tuple(rng.integers(0, 3, 4).tolist()), (0, 1)))
            case 8:
                images.append(g.rescale(t))
            case 9:
                axis = int(rng.integers(3))
                same = [name for name in images if g.tensors[name].shape == (h, w, c)]
                images.append(g.concatenation([t, *same[:2]], axis))
    last = images[-1]
    if rng.integers(2):
        size = g.tensors[last].size
        last = g.fully_connected(g.reshape(last, (size,)), int(rng.integers(1, 40)))
    elif rng.integers(2):
        last = g.mean(last)
    return g.graph(last)


@pytest.mark.parametrize("seed", range(80))
def test_networks(seed):
    check(random_graph(seed), **OPTIONS[seed % len(OPTIONS)])
