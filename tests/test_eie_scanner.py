import numpy as np
import pytest
from eie_model import LIMIT, serve, simulate, small, words

from prunus.hw.eie.scanner import Scanner


def scan(config, passes, *, stall=0.0, seed=0):
    """What the scanner emits for each (layer, activations), and the cycle of each after start."""
    rng = np.random.default_rng(seed)
    dut = Scanner(config)
    contents = {}
    results = []

    async def bench(ctx):
        for layer, activations in passes:
            for i, word in enumerate(words(activations, config, rng)):
                contents[layer["in_base"] + i] = word
            assert ctx.get(dut.done)
            ctx.set(dut.layer, layer | {"columns": len(activations)})
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            emitted = []
            held = None
            for cycle in range(1, LIMIT):
                ready = rng.random() >= stall
                ctx.set(dut.o.ready, ready)
                if ctx.get(dut.done):
                    break
                valid = ctx.get(dut.o.valid)
                payload = ctx.get(dut.o.payload)
                item = (payload.value, payload.address)
                assert held is None or (valid and item == held), "payload not held"
                held = item if valid and not ready else None
                if valid and ready:
                    emitted.append((cycle, *item))
                await ctx.tick()
            else:
                raise TimeoutError("scanner never done")
            results.append(emitted)
            contents.clear()

    simulate(dut, bench, processes=[serve(contents)(dut)])
    return results


def expected(layer, activations):
    step, base = (
        (layer["rows"], layer["weight_base"]) if layer["dense"] else (1, layer["pointer_base"])
    )
    zero = layer["in_zero"]
    return [(int(a) - zero, base + j * step) for j, a in enumerate(activations) if a != zero]


def layer(**fields):
    return dict(dense=0, in_base=0, in_zero=0, rows=1, weight_base=0, pointer_base=0) | fields


def vector(rng, columns, density, zero):
    values = rng.integers(-128, 128, columns)
    return np.where(rng.random(columns) < density, values, zero).astype(np.int8)


@pytest.mark.parametrize("word", [1, 2, 4, 16])
@pytest.mark.parametrize("stall", [0, 0.5])
def test_emits_the_non_zeros(word, stall):
    config = small(act_word=word, pointer_depth=256, act_depth=256, weight_depth=4096, acc_rows=13)
    rng = np.random.default_rng(word)
    passes = []
    for columns in (1, 2, word, word + 1, 3 * word - 1, 61):
        for density in (0, 0.03, 0.4, 1):
            zero = int(rng.integers(-128, 128))
            fields = layer(
                in_zero=zero, in_base=int(rng.integers(0, 64)), dense=int(rng.integers(2))
            )
            fields |= dict(rows=int(rng.integers(1, 14)), weight_base=57, pointer_base=31)
            passes.append((fields, vector(rng, columns, density, zero)))
    found = scan(config, passes, stall=stall)
    for (fields, activations), emitted in zip(passes, found, strict=True):
        assert [item for _, *item in emitted] == [list(e) for e in expected(fields, activations)]


@pytest.mark.parametrize("zero", [-128, 127])
def test_extreme_values(zero):
    activations = np.array([-128, 127, 0, -1, zero], dtype=np.int8)
    fields = layer(in_zero=zero)
    (emitted,) = scan(small(), [(fields, activations)])
    assert [(v, a) for _, v, a in emitted] == expected(fields, activations)
    assert 255 in {abs(v) for _, v, _ in emitted}


@pytest.mark.parametrize(("word", "columns"), [(1, 0), (4, 0), (16, 0), (2, 1), (4, 1)])
def test_one_a_cycle(word, columns):
    """No gap between words that hold at least one; words without cost a cycle each, or none."""
    config = small(act_word=word, columns=columns, act_depth=256, pointer_depth=2048)
    full = np.ones(8 * word, dtype=np.int8)
    single = np.zeros(8 * word, dtype=np.int8)
    single[word - 1 :: word] = 5
    spread = np.zeros(32 * word, dtype=np.int8)
    spread[::word][::2] = 7
    latency = 8 + config.read_latency
    found = scan(config, [(layer(), full), (layer(), single), (layer(), spread)])
    for emitted, gap in zip(found, (1, 1, 2), strict=True):
        cycles = [cycle for cycle, *_ in emitted]
        assert cycles == [latency + gap * i for i in range(len(emitted))]


def test_zero_words_hide_behind_work():
    config = small(act_word=4, act_depth=256)
    pattern = np.array([1, 1, 1, 1] + [0] * 12, dtype=np.int8)
    (emitted,) = scan(config, [(layer(), np.tile(pattern, 8))])
    assert [cycle for cycle, *_ in emitted] == [8 + config.read_latency + i for i in range(32)]


def test_longest_layer():
    config = small(act_word=32, act_depth=2048, pointer_depth=1 << 16, lanes=1)
    activations = np.zeros(65535, dtype=np.int8)
    activations[[0, 40000, 65534]] = 3, -4, 5
    (emitted,) = scan(config, [(layer(), activations)])
    assert [item for _, *item in emitted] == [[3, 0], [-4, 40000], [5, 65534]]
