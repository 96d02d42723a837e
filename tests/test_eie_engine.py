# amaranth: UnusedElaboratable=no
"""The EIE array and its drain, against plain integers and in the order that was asked for."""

import numpy as np
import pytest
from eie_model import load, serve, simulate, small, until, words
from test_eie_array import Layer, single

from prunus.hw.bus import Target
from prunus.hw.eie.array import EieArray
from prunus.hw.eie.engine import EieEngine


def run(config, passes):
    """Beats (place, sums) of each (layer, fields, writes), and cycles from computed to done."""
    rng = np.random.default_rng(0)
    dut = EieEngine(config)
    contents, results, beats, computed = {}, [], [], []

    async def bench(ctx):
        for layer, fields, items in passes:
            await load(ctx, dut.bus, items)
            contents.clear()
            for i, word in enumerate(words(layer.activations, config, rng)):
                contents[fields["in_base"] + i] = word
            assert ctx.get(dut.done)
            ctx.set(dut.layer, fields)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            assert not ctx.get(dut.done)
            beats.clear(), computed.clear()
            await until(ctx, dut.computed)
            drained = await until(ctx, dut.done)
            assert len(beats) == -(-layer.outputs // config.lanes)  # all of them were seen
            assert len(computed) == 1
            results.append((list(beats), drained))
            await ctx.tick().repeat(5)
            assert ctx.get(dut.done) and len(computed) == 1

    async def watch(ctx):
        tick = ctx.tick().sample(dut.sums.valid, dut.sums.p, dut.computed)
        while True:
            _, _, valid, beat, pulse = await tick
            if pulse:
                computed.append(not beats)
            if valid:
                place = (beat.channel, beat.address, beat.group)
                beats.append((place, [int(beat.sums[n]) for n in range(config.lanes)]))

    simulate(dut, bench, processes=[serve(contents)(dut)], watchers=[watch])
    return results


def a_pass(config, layer, *, channel_base, out_base, **bases):
    """The pass with the fields of its drain, and the writes of its places."""
    _, fields, items = single(config, layer, **bases)
    drain = dict(channel_base=channel_base, out_base=out_base, outputs=layer.outputs)
    for n, beat in enumerate(layer.locations()):
        for lane, place in enumerate(beat):
            data = (place["pe"] << config.row_bits | place["row"]) << 32 | 0x5A5A5A5A
            items.append((Target.CHANNEL, lane, channel_base + n, data))
    return layer, fields | drain, items


def places(config, layer, out_base):
    """Channel, word and group of every beat."""
    for n in range(-(-layer.outputs // config.lanes)):
        yield n, out_base + n // config.groups, n % config.groups


SHAPES = [
    dict(pes=1, lanes=1, acc_rows=16),
    dict(pes=2, lanes=2, act_word=8, acc_rows=8),
    dict(pes=8, lanes=4, act_word=8, code_bits=4, codebooks=2),
    dict(pes=34, lanes=2, queue_depth=2),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: f"{s['pes']}-{s['lanes']}")
def test_passes_in_natural_order(shape):
    config = small(**shape)
    rng = np.random.default_rng(config.pes)
    passes = [
        a_pass(
            config,
            Layer(config, rng, outputs, columns, dense=dense, density=0.5),
            channel_base=channel_base,
            out_base=out_base,
        )
        for outputs, columns, dense, channel_base, out_base in (
            (13, 9, False, 1, 40),
            (1, 1, True, 0, 63),
            (config.lanes, 20, False, 15, 7),
            (16, 12, True, 0, 20),
        )
    ]
    found = run(config, passes)
    latency = EieArray(config).drain_latency
    for (layer, fields, _), (beats, drained) in zip(passes, found, strict=True):
        assert [place for place, _ in beats] == list(places(config, layer, fields["out_base"]))
        sums = [value for _, values in beats for value in values]
        assert sums[: layer.outputs] == layer.expected()
        assert drained == len(beats) + latency + 2


def test_no_array_is_refused():
    config = small(pes=0, columns=8, lanes=8, act_word=16)
    with pytest.raises(ValueError, match="^pes must be positive in config, not 0$"):
        EieEngine(config)
