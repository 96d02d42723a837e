# amaranth: UnusedElaboratable=no
import numpy as np
import pytest
from window_model import check, computed_table, cycles, memory, run, small, table_writes, window

from prunus.hw.config import Config
from prunus.hw.isa import Mode
from prunus.hw.window.engine import WindowEngine
from prunus.sim.fixed_point import divide_by_pot, high_mul
from prunus.sim.ops_conv import windows
from prunus.sim.ops_join import add, add_parameters, pad
from prunus.sim.ops_pool import max_pool_2d

POOLS = [
    # height, width, channels, kernel, stride, padding
    (1, 1, 1, (1, 1), (1, 1), (0, 0, 0, 0)),
    (4, 1, 3, (2, 1), (2, 1), (0, 0, 0, 0)),
    (1, 5, 4, (1, 2), (1, 3), (0, 0, 0, 1)),
    (4, 6, 8, (2, 2), (2, 2), (0, 0, 0, 0)),
    (5, 4, 5, (3, 3), (2, 1), (1, 1, 1, 1)),
    (3, 3, 9, (3, 2), (1, 2), (2, 1, 0, 1)),
    (2, 3, 2, (5, 4), (1, 1), (3, 2, 1, 2)),
    (5, 5, 7, (5, 5), (1, 1), (0, 0, 0, 0)),
]


def tensor(rng, *shape):
    return rng.integers(-128, 128, shape, dtype=np.int8)


@pytest.mark.parametrize("lanes, word", [(2, 4), (1, 4), (4, 4), (1, 1)])
@pytest.mark.parametrize("tables", [0, 1])
def test_pools(lanes, word, tables):
    rng = np.random.default_rng(lanes)
    config = small(lanes=lanes, act_word=word, tables=tables)
    layers, expected, contents = [], [], {}
    base = 0
    for height, width, channels, kernel, stride, padding in POOLS:
        if word == 1:
            channels = min(channels, 2)
        x = tensor(rng, height, width, channels)
        zero = int(rng.integers(-128, 128))
        fields = window(x, config, kernel, stride, padding, in_base=base, in_zero=zero)
        fields |= dict(out_base=int(rng.integers(99)), out_words=fields["out_words"] + 1)
        base += memory(x, config, base, rng, contents) * height * width
        sums = windows(x[None].astype(np.int64), kernel, stride, padding, fill=zero)
        sums = sums.sum(axis=(3, 4))
        layers.append(fields)
        expected.append(sums.reshape(-1, channels))
        layers.append(fields | dict(mode=Mode.MAX, in_zero=-128))
        largest = max_pool_2d(x[None], kernel, stride, padding)
        expected.append(largest.reshape(-1, channels))
    assert base <= config.act_depth
    found = run(config, layers, contents)
    for result, totals, fields in zip(found, expected, layers, strict=True):
        check(result, totals, fields, config)
        assert result[1] == cycles(fields, config) + WindowEngine(config).overhead(fields["mode"])


def test_copy_with_padding():
    """PAD, and one tensor behind the other in the channels."""
    rng = np.random.default_rng(1)
    config = small()
    x = tensor(rng, 3, 2, 4)
    contents = {}
    memory(x, config, 7, rng, contents)
    padding = (1, 2, 0, 3)
    fields = window(x, config, (1, 1), (1, 1), padding, in_base=7, in_zero=-77)
    fields |= dict(out_base=5, out_words=3)
    (result,) = run(config, [fields], contents)
    padded = pad(x[None], padding, (0, 0), -77).reshape(-1, 4)
    check(result, padded, fields, config)


def test_a_sum_of_24_bits():
    """The same pixel over and over: taps that are nothing apart."""
    config = small(lanes=1, act_word=1)
    layer = window(np.zeros((1, 1, 1)), config, (1, 1), (1, 1), (0, 0, 0, 0))
    layer |= dict(tap_x=0, tap_y=0, taps_x=255, taps_y=130)
    (result,) = run(config, [layer], {0: -128 & 0xFF})
    check(result, np.array([[255 * 130 * -128]]), layer, config)


@pytest.mark.parametrize("seed", range(3))
def test_add(seed):
    rng = np.random.default_rng(seed)
    config = small(adder=True)
    shape = (3, 2, 5)
    a, b = tensor(rng, *shape), tensor(rng, *shape)
    a.flat[:4] = b.flat[:4] = -128, 127, -128, 127
    b.flat[2:4] = 127, -128
    contents = {}
    memory(a, config, 3, rng, contents)
    memory(b, config, 120, rng, contents)
    scales = np.exp(rng.uniform(-4, 4, 2))
    parameters = add_parameters(*scales, float(scales.max() * 1.3))
    zeros = [int(z) for z in rng.integers(-128, 128, 2)]
    steps = [
        ("table", dict(half=n, in_zero=zeros[n], shift=-shift, multiplier=multiplier))
        for n, (multiplier, shift) in enumerate(
            zip(parameters.multipliers, parameters.shifts, strict=True)
        )
    ]
    layer = window(a, config, (1, 1), (1, 1), (0, 0, 0, 0), in_base=3, in2_base=120, out_base=9)
    layer["mode"] = Mode.ADD
    first, second = run(config, [*steps, layer, layer | dict(taps_x=0, taps_y=2)], contents)
    sums = sum(
        computed_table(zero, multiplier, -shift)[x.astype(np.int64) + 128]
        for x, zero, multiplier, shift in zip(
            (a, b), zeros, parameters.multipliers, parameters.shifts, strict=True
        )
    )
    check(first, sums.reshape(-1, 5), layer, config)
    check(second, sums.reshape(-1, 5), layer, config)
    assert second[1] == cycles(layer, config) + WindowEngine(config).overhead(Mode.ADD)
    # What the vector unit makes of these sums is the golden operator.
    outputs = divide_by_pot(high_mul(sums, parameters.multiplier), -parameters.shift)
    assert (np.clip(outputs + 3, -128, 127) == add(a, b, tuple(zeros), parameters, 3)).all()


def test_largest_and_smallest_sums_of_entries():
    config = small(adder=True)
    x = np.array([[[-128, 127, -1, 0]]], np.int8)
    contents = {}
    memory(x, config, 0, np.random.default_rng(0), contents)
    layer = window(x, config, (1, 1), (1, 1), (0, 0, 0, 0), mode=Mode.ADD)
    multiplier = (1 << 31) - 1
    for zero in (-128, 127):
        steps = [
            ("table", dict(half=half, in_zero=zero, multiplier=multiplier)) for half in range(2)
        ]
        (result,) = run(config, [*steps, layer], contents)
        sums = 2 * computed_table(zero, multiplier, 0)[x.astype(np.int64) + 128]
        check(result, sums.reshape(1, 4), layer, config)


def test_tables_are_filled_beside_a_layer():
    """A layer waits for tables only if it looks something up."""
    rng = np.random.default_rng(8)
    config = small(tables=1)
    x = tensor(rng, 2, 2, 4)
    contents = {}
    memory(x, config, 0, rng, contents)
    entries = rng.integers(-128, 128, 256)
    copy = window(x, config, (1, 1), (1, 1), (0, 0, 0, 0))
    look_up = copy | dict(mode=Mode.LUT)
    results = run(
        config, [("table", dict(half=0)), copy, look_up], contents, table_writes(0, entries)
    )
    check(results[0], x.reshape(-1, 4), copy, config)
    assert results[0][1] == cycles(copy, config) + WindowEngine(config).overhead(Mode.SUM)
    check(results[1], entries[x.astype(np.int64).reshape(-1, 4) + 128], look_up, config)


@pytest.mark.parametrize("adder", [False, True])
@pytest.mark.parametrize("lanes", [1, 4])
def test_look_up(adder, lanes):
    """Both halves, of several slots; what is outside of the image is looked up as well."""
    rng = np.random.default_rng(5)
    config = small(lanes=lanes, tables=3, adder=adder)
    entries = rng.integers(-128, 128, (3, 256))
    writes = [write for slot in range(3) for write in table_writes(slot, entries[slot])]
    x = tensor(rng, 4, 2, 7)
    contents = {}
    memory(x, config, 0, rng, contents)
    layer = window(x, config, (1, 1), (1, 2), (0, 1, 0, 0), in_zero=-5, mode=Mode.LUT)
    steps, expected = [], []
    for slot, half in ((2, 0), (0, 1), (1, 0)):
        steps += [("table", dict(slot=slot, half=half)), layer | dict(half=half)]
        padded = np.pad(x, ((0, 1), (0, 0), (0, 0)), constant_values=-5)[:, ::2]
        expected.append(entries[slot][padded.astype(np.int64).reshape(-1, 7) + 128])
    steps.append(layer | dict(half=1))
    expected.append(expected[1])
    found = run(config, steps, contents, writes)
    for result, totals in zip(found, expected, strict=True):
        check(result, totals, layer, config)
    assert found[-1][1] == cycles(layer, config) + WindowEngine(config).overhead(Mode.LUT)


def test_rates():
    """At lanes = act_word / 2 a 2x2 pool takes 4 cycles a word, ADD and a copy 2."""
    rng = np.random.default_rng(6)
    config = Config(pes=8, lanes=8, act_word=16, act_depth=1024, window=True, adder=True, tables=2)
    x = tensor(rng, 6, 4, 40)
    contents = {}
    memory(x, config, 0, rng, contents)
    none = (0, 0, 0, 0)
    pool = window(x, config, (2, 2), (2, 2), none, mode=Mode.MAX)
    copy = window(x, config, (1, 1), (1, 1), none)
    join = copy | dict(mode=Mode.ADD)
    zeros = ("table", dict(half=0)), ("table", dict(half=1))
    results = run(config, [pool, copy, *zeros, join, join], contents, table_writes(0, [0] * 256))
    check(results[0], max_pool_2d(x[None], (2, 2), (2, 2)).reshape(-1, 40), pool, config)
    check(results[1], x.reshape(-1, 40), copy, config)
    overhead = WindowEngine(config).overhead
    assert results[0][1] == 3 * 6 * 4 + 1 + overhead(Mode.MAX)  # one beat in the last block
    assert results[1][1] == 2 * 24 * 2 + 24 + 1 + overhead(Mode.SUM)
    assert results[3][1] == 3 * 24 * 2 + 1 + overhead(Mode.ADD)


def test_random_layers():
    """Any strides between taps, windows and lines, against a plain loop."""
    rng = np.random.default_rng(7)
    config = small(act_word=2, lanes=1)
    contents = {n: int(rng.integers(1 << 16)) for n in range(256)}
    values = np.array([[c & 0xFF, c >> 8] for c in contents.values()], np.uint8).view(np.int8)
    layers, expected = [], []
    for _ in range(25):
        line, height = (int(n) for n in rng.integers(1, 12, 2))
        blocks = int(rng.integers(1, 3))
        low = dict(
            in_base=int(rng.integers(100)), in_zero=int(rng.integers(-128, 128)),
            line_bytes=line, in_height=height, pad_x=int(rng.integers(12)),
            outputs=2 * blocks, blocks=blocks, out_words=blocks,
        )  # fmt: skip
        ranges = dict(
            pad_y=4, step_x=5, step_y=4, tap_x=5, tap_y=5, out_width=5, out_pixels=9, out_base=99
        )
        layer = low | {
            name: int(rng.integers(n)) + (name[:3] == "out") for name, n in ranges.items()
        }
        layer |= dict(taps_x=int(rng.integers(1, 5)), taps_y=int(rng.integers(1, 5)))
        layer["mode"] = mode = Mode(int(rng.integers(2)))
        totals = np.zeros((layer["out_pixels"], 2 * blocks), np.int64)
        for pixel in range(layer["out_pixels"]):
            oy, ox = divmod(pixel, layer["out_width"])
            taps = []
            for ky in range(layer["taps_y"]):
                for kx in range(layer["taps_x"]):
                    y = oy * layer["step_y"] + ky * layer["tap_y"] - layer["pad_y"]
                    x = ox * layer["step_x"] + kx * layer["tap_x"] - layer["pad_x"]
                    if 0 <= x < line and 0 <= y < height:
                        at = layer["in_base"] + y * line + x
                        taps.append(values[at : at + blocks].ravel().astype(np.int64))
                    else:
                        taps.append(np.full(2 * blocks, layer["in_zero"]))
            totals[pixel] = np.sum(taps, axis=0) if mode == Mode.SUM else np.max(taps, axis=0)
        layers.append(layer)
        expected.append(totals)
    for result, totals, layer in zip(run(config, layers, contents), expected, layers, strict=True):
        check(result, totals, layer, config)
        assert result[1] == cycles(layer, config) + WindowEngine(config).overhead(layer["mode"])


def test_refuses_a_config_without_window():
    with pytest.raises(ValueError, match=r"^window must be True in config, not False$"):
        WindowEngine(Config())
