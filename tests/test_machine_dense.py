"""Hand-written descriptors of the dense engines on the functional model, against the operators."""

import numpy as np
import pytest
from dense_image import SHAPES, Image, conv_fields, dense_config, depthwise_fields, words_of

from prunus.compiler import image as sections
from prunus.hw.isa import Mode, Op
from prunus.sim import ops, ops_conv, ops_join, ops_pool
from prunus.sim.machine import DescriptorError, Machine

IDENTITY = 1 << 30, 1  # multiplier and shift
PLAIN = ((1, 1), (0, 0, 0, 0), (1, 1))  # stride, padding, dilation

# (h, w, c), outputs, kernel, stride, padding (top, bottom, left, right), dilation, packed, folded
CONVOLUTIONS = {
    "pointwise": ((5, 4, 16), 16, (1, 1), *PLAIN, False, False),
    "pointwise, channels over a word": ((3, 4, 19), 21, (1, 1), *PLAIN, False, False),
    "one byte": ((1, 1, 1), 1, (1, 1), *PLAIN, True, False),
    "3x3": ((6, 5, 8), 9, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), False, False),
    "3x3, packed and folded": ((7, 6, 3), 8, (3, 3), (2, 2), (0, 1, 0, 1), (1, 1), True, True),
    "line of several words": ((4, 9, 5), 4, (2, 5), (1, 2), (1, 0, 2, 2), (1, 1), True, True),
    "kws": ((9, 7, 1), 16, (5, 4), (2, 2), (4, 2, 1, 1), (1, 1), True, True),
    "packed, not folded": ((5, 5, 3), 5, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), True, False),
    "dilated": ((8, 9, 4), 6, (3, 2), (1, 2), (2, 2, 3, 3), (2, 3), False, False),
    "fully connected": ((1, 1, 70), 40, (1, 1), *PLAIN, True, False),
    "more padding than image": ((1, 2, 4), 3, (5, 5), (1, 1), (2, 2, 2, 2), (1, 1), False, False),
}  # fmt: skip


def requantization(rng, outputs, spread, *, per_channel=True):
    count = outputs if per_channel else 1
    multiplier = rng.integers(1 << 30, 1 << 31, count)
    shift = -int(np.log2(spread)) + 5 + rng.integers(-1, 2, count)
    return (multiplier, shift) if per_channel else (int(multiplier[0]), int(shift[0]))


def store(x, config, *, packed):
    """Images (n, h, w, c) as the bytes of the activation memory, junk between the pixels."""
    n, h, w, c = x.shape
    if packed:
        return x.reshape(n, -1)
    pitch = words_of(c, config) * config.act_word
    junk = np.random.default_rng(9).integers(-128, 128, (n, h, w, pitch)).astype(np.int8)
    junk[..., :c] = x
    return junk.reshape(n, -1)


def random_images(rng, shape, samples=3):
    return rng.integers(-128, 128, (samples, *shape)).astype(np.int8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions(case, shape):
    size, outputs, kernel, stride, padding, dilation, packed, folded = CONVOLUTIONS[case]
    rng = np.random.default_rng([len(case), len(shape)])
    config = dense_config(**SHAPES[shape])
    x = random_images(rng, size)
    weight = rng.integers(-127, 128, (outputs, *kernel, size[2])).astype(np.int8)
    bias = rng.integers(-3000, 3000, outputs)
    zero, out_zero = (int(v) for v in rng.integers(-128, 128, 2))
    multiplier, shift = requantization(rng, outputs, 127 * np.sqrt(weight[0].size))
    acc = ops_conv.conv_2d(x, weight, zero, stride, padding, dilation) + bias
    expected = ops.requantize(acc, multiplier, shift, "double", out_zero, -100, 120)

    stored = store(x, config, packed=packed)
    image = Image(config, stored.shape[1], input_base=5)
    pixel = size[2] if packed else words_of(size[2], config) * config.act_word
    geometry = stride, padding, dilation
    fields = conv_fields(image, weight, geometry, pitch=pixel, width=size[1], folded=folded)
    out_words = words_of(outputs, config) + 1
    image.layer(
        bias - zero * weight.astype(np.int64).sum(axis=(1, 2, 3)), multiplier, shift,
        op=Op.CONV, double_round=1, in_base=5, in_zero=zero, in_height=size[0], out_base=1000,
        out_width=expected.shape[2], out_pixels=expected.shape[1] * expected.shape[2],
        out_words=out_words, out_zero=out_zero, clamp_min=-100, clamp_max=120, **fields,
    )  # fmt: skip
    gap = out_words * config.act_word
    pixels = expected.shape[1] * expected.shape[2]
    machine = Machine(config, image.bytes(1000, pixels * gap))
    ran = machine.run_batch(stored)
    assert (ran.layers[0] == expected.reshape(len(x), -1)).all()
    assert (ran.outputs.reshape(len(x), pixels, gap)[..., :outputs].reshape(len(x), -1)
            == ran.layers[0]).all()  # fmt: skip
    assert ran.macs[0].tolist() == [pixels * weight.size] * len(x)


DEPTHWISE = {
    "3x3": ((5, 6, 8), (3, 3), (1, 1), (1, 1, 1, 1)),
    "channels over a word": ((5, 4, 19), (3, 3), (1, 1), (1, 1, 1, 1)),
    "stride 2": ((6, 6, 4), (3, 3), (2, 2), (0, 1, 0, 1)),
    "two strides": ((7, 8, 3), (2, 3), (2, 3), (1, 0, 2, 1)),
    "a line": ((4, 9, 5), (1, 2), (1, 1), (0, 0, 0, 0)),
    "a column": ((4, 3, 5), (3, 1), (1, 1), (0, 0, 0, 0)),
    "one channel": ((3, 3, 1), (3, 2), (1, 1), (1, 1, 0, 1)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", DEPTHWISE)
def test_depthwise_convolutions(case, shape):
    size, kernel, stride, padding = DEPTHWISE[case]
    rng = np.random.default_rng([len(case), len(shape)])
    config = dense_config(**SHAPES[shape])
    if kernel[1] > config.line_taps:
        kernel = kernel[0], config.line_taps
    channels = size[2]
    x = random_images(rng, size)
    weight = rng.integers(-127, 128, (*kernel, channels)).astype(np.int8)
    bias = rng.integers(-3000, 3000, channels)
    zero, out_zero = (int(v) for v in rng.integers(-128, 128, 2))
    multiplier, shift = requantization(rng, channels, 127 * 3)
    acc = ops_conv.depthwise_conv_2d(x, weight[None], zero, stride, padding) + bias
    expected = ops.requantize(acc, multiplier, shift, "double", out_zero, -128, 127)
    out = expected.shape[1:3]

    stored = store(x, config, packed=False)
    image = Image(config, stored.shape[1])
    geometry = stride, padding, (1, 1)
    fields = depthwise_fields(image, weight, geometry, size=size[:2], out=out)
    image.layer(
        bias - zero * weight.astype(np.int64).sum(axis=(0, 1)), multiplier, shift,
        op=Op.DEPTHWISE, double_round=1, in_zero=zero, out_base=1024, out_width=out[1],
        out_pixels=out[0] * out[1], out_words=words_of(channels, config), out_zero=out_zero,
        clamp_min=-128, clamp_max=127, **fields,
    )  # fmt: skip
    ran = Machine(config, image.bytes()).run_batch(stored)
    assert (ran.layers[0] == expected.reshape(len(x), -1)).all()
    assert ran.macs[0].tolist() == [out[0] * out[1] * weight.size] * len(x)


def window_layer(image, x, kernel, stride, padding, out, mode, *, multiplier, shift, bias, **more):
    """Fields of WINDOW on images (n, h, w, c) that are pitched."""
    config = image.config
    words = words_of(x.shape[3], config)
    image.layer(
        np.full(x.shape[3], bias), multiplier, shift,
        op=Op.WINDOW, mode=mode, outputs=x.shape[3], line_bytes=x.shape[2] * words,
        in_height=x.shape[1], pad_x=padding[2] * words, pad_y=padding[0], step_x=stride[1] * words,
        step_y=stride[0], tap_x=words, tap_y=1, taps_x=kernel[1], taps_y=kernel[0], blocks=words,
        out_width=out[1], out_pixels=out[0] * out[1], out_words=words, clamp_min=-128,
        clamp_max=127, **more,
    )  # fmt: skip


POOLS = {
    "2x2": ((6, 4, 8), (2, 2), (2, 2), (0, 0, 0, 0)),
    "overlapping and padded": ((5, 6, 19), (3, 2), (2, 1), (1, 1, 1, 0)),
    "global": ((5, 5, 33), (5, 5), (1, 1), (0, 0, 0, 0)),
    "copy": ((2, 3, 4), (1, 1), (1, 1), (0, 0, 0, 0)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", POOLS)
def test_pools(case, shape):
    size, kernel, stride, padding = POOLS[case]
    rng = np.random.default_rng([len(case), len(shape)])
    config = dense_config(**SHAPES[shape])
    x = random_images(rng, size)
    largest = ops_pool.max_pool_2d(x, kernel, stride, padding)
    out = largest.shape[1:3]
    sums = ops_conv.windows(x.astype(np.int64), kernel, stride, padding, fill=-7).sum(axis=(3, 4))
    small = (1 << 30) // (kernel[0] * kernel[1])
    averages = ops.requantize(sums + 9, small, 0, "double", 4, -128, 127)

    stored = store(x, config, packed=False)
    image = Image(config, stored.shape[1])
    multiplier, shift = IDENTITY
    window_layer(
        image, x, kernel, stride, padding, out, Mode.MAX, multiplier=multiplier, shift=shift,
        bias=0, in_zero=-128, out_base=700,
    )  # fmt: skip
    top = {"out_zero": 4, "double_round": 1, "small": small < 1 << 30}
    window_layer(
        image, x, kernel, stride, padding, out, Mode.SUM,
        multiplier=small, shift=0, bias=9, in_zero=-7, out_base=1400, **top,
    )  # fmt: skip
    ran = Machine(config, image.bytes()).run_batch(stored)
    assert (ran.layers[0] == largest.reshape(len(x), -1)).all()
    assert (ran.layers[1] == averages.reshape(len(x), -1)).all()
    assert ran.macs[1].tolist() == [0] * len(x)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scales", [(0.02, 0.013, 0.03), (0.01, 0.09, 0.07)])
def test_sums_of_tensors(scales, shape):
    rng = np.random.default_rng(len(shape))
    config = dense_config(**SHAPES[shape])
    a, b = (random_images(rng, (3, 4, 18)) for _ in range(2))
    parameters = ops_join.add_parameters(*scales)
    expected = ops_join.add(a, b, (-5, 17), parameters, 3, -110, 127)

    stored = [store(x, config, packed=False) for x in (a, b)]
    image = Image(config, 2 * stored[0].shape[1])
    for half, zero in enumerate((-5, 17)):
        image.program.append({
            "op": Op.TABLE, "half": half, "in_zero": zero,
            "multiplier": parameters.multipliers[half], "shift": -parameters.shifts[half],
        })  # fmt: skip
    window_layer(
        image, a, (1, 1), (1, 1), (0, 0, 0, 0), (3, 4), Mode.ADD,
        multiplier=parameters.multiplier, shift=parameters.shift, bias=0, double_round=1,
        in2_base=stored[0].shape[1] // config.act_word, out_base=1000, out_zero=3,
    )  # fmt: skip
    image.program[-1]["clamp_min"] = -110
    ran = Machine(config, image.bytes()).run_batch(np.concatenate(stored, axis=1))
    assert (ran.layers[2] == expected.reshape(len(a), -1)).all()
    assert set(ran.layers) == {2}


def test_functions_that_are_tables():
    rng = np.random.default_rng(3)
    config = dense_config()
    x = random_images(rng, (2, 3, 21))
    functions = rng.integers(-128, 128, (2, 256))
    stored = store(x, config, packed=False)
    image = Image(config, stored.shape[1])
    image.parts += [sections.tables(slot, functions[slot], config) for slot in (0, 1)]
    for slot in (1, 0):
        image.program.append({"op": Op.TABLE, "slot": slot, "half": 1 - slot})
    for slot in (0, 1):
        window_layer(
            image, x, (1, 1), (1, 1), (0, 0, 0, 0), (2, 3), Mode.LUT, multiplier=IDENTITY[0],
            shift=IDENTITY[1], bias=0, half=1 - slot, out_base=500 * (1 + slot),
        )  # fmt: skip
    ran = Machine(config, image.bytes()).run_batch(stored)
    for slot in (0, 1):
        expected = functions[slot][x.astype(int) + 128]
        assert (ran.layers[2 + slot] == expected.reshape(len(x), -1)).all()


def pointwise(config, x, weight, passes, *, out_words, number=None, base=1000):
    """A 1x1 convolution in passes of (first output, count)."""
    image = Image(config, x.shape[1] * x.shape[2] * x.shape[3])
    for first, count in passes:
        part = weight[first : first + count]
        fields = conv_fields(image, part, PLAIN, pitch=x.shape[3], width=x.shape[2], folded=False)
        image.layer(
            np.zeros(count, int), 1 << 30, -5, op=Op.CONV, in_height=x.shape[1],
            out_base=base + first // config.act_word, out_width=x.shape[2],
            out_pixels=x.shape[1] * x.shape[2], out_words=out_words, clamp_min=-128, clamp_max=127,
            **fields,
        )  # fmt: skip
        if number is not None:
            image.program[-1]["layer"] = number
    return image


@pytest.mark.parametrize("samples", [1, 16, 37])
def test_passes_of_a_layer_are_put_together(samples):
    rng = np.random.default_rng(samples)
    config = dense_config()
    x = random_images(rng, (2, 5, 4), samples)
    weight = rng.integers(-127, 128, (40, 1, 1, 4)).astype(np.int8)
    acc = ops_conv.conv_2d(x, weight, 0)
    expected = ops.requantize(acc, 1 << 30, -5, "single", 0, -128, 127).reshape(samples, -1)
    image = pointwise(config, x, weight, [(32, 8), (0, 16), (16, 16)], out_words=3, number=7)
    machine = Machine(config, image.bytes(1000, 2 * 5 * 48))
    ran = machine.run_batch(x.reshape(samples, -1))
    assert (ran.layers[7] == expected).all()
    one = machine.run(x[-1].ravel())
    assert one.layers[7].tolist() == expected[-1].tolist()
    assert one.outputs.tolist() == ran.outputs[-1].tolist()
    assert one.macs == {7: 10 * 160}


def test_lanes_behind_the_last_channel_hold_anything_but_are_not_checked():
    config = dense_config(acc_width=17)
    x = np.full((1, 1, 1, 16), 127, np.int8)
    image = pointwise(config, x, np.ones((3, 1, 1, 16), np.int8), [(0, 3)], out_words=1)
    # The rest of the tile's outputs: sums that do not fit.
    words = np.full((16, config.tile_outputs), 127, np.int8)
    words[:, :3] = 1
    image.tiles = 0
    image.weights(words)
    ran = Machine(config, image.bytes()).run(x.ravel())
    assert ran.layers[0].tolist() == [round(127 * 16 / 64)] * 3


def test_all_weights_zero():
    config = dense_config()
    x = np.ones((1, 2, 2, 4), np.int8)
    image = pointwise(config, x, np.zeros((3, 1, 1, 4), np.int8), [(0, 3)], out_words=1)
    ran = Machine(config, image.bytes()).run(x.ravel())
    assert ran.layers[0].tolist() == [0] * 12
    assert ran.macs == {0: 0}


def test_the_systolic_and_the_eie_array_side_by_side():
    rng = np.random.default_rng(8)
    config = dense_config(pes=8, weight_depth=64)
    x = random_images(rng, (1, 1, 6))
    weight = rng.integers(-127, 128, (5, 1, 1, 6)).astype(np.int8)
    image = pointwise(config, x, weight, [(0, 5)], out_words=1)
    matrix = rng.integers(-127, 128, (8, 5))
    codes = (matrix & 0xFF)[:, :, None].astype(np.uint8)
    image.parts.append(sections.weights(sections.WeightLayout(codes), config)[0])
    image.layer(
        np.zeros(8, int), 1 << 30, -7, op=Op.EIE, dense=1, in_base=1000, in_zero=-3, columns=5,
        out_base=1500, outputs=8, rows=1, clamp_min=-128, clamp_max=127,
    )  # fmt: skip
    ran = Machine(config, image.bytes(1500, 8)).run_batch(x.reshape(3, -1))
    hidden = ops.requantize(ops_conv.conv_2d(x, weight, 0), 1 << 30, -5, "single", 0, -128, 127)
    acc = ops.fully_connected(hidden.reshape(3, -1), matrix, -3)
    expected = ops.requantize(acc, 1 << 30, -7, "single", 0, -128, 127)
    assert ran.layers[1].tolist() == ran.outputs.tolist() == expected.tolist()
    assert (ran.macs[1] <= 40).all()


BAD = {
    "writes byte 0, which it reads": {"out_base": 0},
    "writes word 2048 of 2048": {"out_base": 2043},
    "reads byte 32775 of 32768": {"in_base": 2047},
    "4 words of weights from 4093 on, of 4096": {"weight_base": 4093},
    "channel word 64 of 64": {"channel_base": 63},
    "record word 64 of 64": {"record_base": 64},
    "2 blocks for 12 outputs": {"blocks": 2},
    "17 rows of 16": {"rows": 17},
    "65 pixels at a time, of 64": {"tile": 65},
    "no output pixels": {"out_pixels": 0},
    "no outputs": {"outputs": 0, "blocks": 0},
    "lines of 1 and 5 pixels, of 0": {"op": Op.DEPTHWISE, "blocks": 2},
}


@pytest.mark.parametrize("message", BAD)
def test_descriptors_that_cannot_be_are_refused(message):
    config = dense_config(line_depth=0)
    x = np.ones((1, 2, 3, 4), np.int8)
    weight = np.ones((12, 1, 1, 4), np.int8)
    image = pointwise(config, x, weight, [(0, 12)], out_words=1)
    image.program[0] |= BAD[message]
    with pytest.raises(DescriptorError, match=f"^descriptor 0, op [23]: {message}$"):
        Machine(config, image.bytes()).run(x.ravel())


def test_engines_that_are_not_there_are_refused():
    small = dict(columns=0, line_depth=0, pes=8)
    for op, changes, message in (
        (Op.CONV, small, "there is no systolic array"),
        (Op.DEPTHWISE, small, "there is no systolic array"),
        (Op.WINDOW, {"window": False, "adder": False, "tables": 0}, "there is no window engine"),
        (Op.EIE, {}, "there are no PEs"),
        (Op.TABLE, {"tables": 0}, "table 0 of 0"),
    ):
        config = dense_config(**changes)
        image = Image(config, 4)
        image.program.append({"op": op, "outputs": 1, "out_pixels": 1, "out_width": 1})
        with pytest.raises(DescriptorError, match=f"^descriptor 0, op {int(op)}: {message}"):
            Machine(config, image.bytes()).run(np.zeros(4, np.int8))


def test_sums_that_do_not_fit_are_found():
    config = dense_config(acc_width=17)
    x = np.full((1, 1, 1, 16), 127, np.int8)
    image = pointwise(config, x, np.full((1, 1, 1, 16), 127, np.int8), [(0, 1)], out_words=1)
    with pytest.raises(DescriptorError, match=r"op 2: a sum of 258064 in 17 bits$"):
        Machine(config, image.bytes()).run(x.ravel())


def test_inputs_are_checked():
    config = dense_config()
    image = pointwise(config, np.ones((1, 1, 1, 4)), np.ones((1, 1, 1, 4)), [(0, 1)], out_words=1)
    machine = Machine(config, image.bytes())
    with pytest.raises(ValueError, match=r"^inputs must be int8 \(4,\), not int8 \(5,\)$"):
        machine.run(np.zeros(5, np.int8))
    assert machine.run_batch(np.zeros((0, 4), np.int8)).layers[0].shape == (0, 1)
