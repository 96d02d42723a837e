"""Images through the loader, and what it writes compared with the model."""

import random

from amaranth.sim import Simulator
from load_support import apply_writes, differences

from prunus.hw.image import ImageError, LoadError
from prunus.hw.load.loader import Loader
from prunus.sim.image import Network, read_image


class Result:
    """How a load ended."""

    def __init__(self, error, done, writes, network, image_id, cycles):
        self.error = LoadError(error)
        self.done = done
        self.writes = writes
        self.network = Network(**network)
        self.image_id = image_id
        self.cycles = cycles


def load(config, *images, gaps=0.0, seed=0, settle=2500) -> list[Result]:
    """Load one image after the other into one loader; a restart between them."""
    dut = Loader(config)
    results = []
    rng = random.Random(seed)

    async def testbench(ctx):
        for number, image in enumerate(images):
            if number:
                ctx.set(dut.i.valid, 0)
                ctx.set(dut.restart, 1)
                await ctx.tick()
                ctx.set(dut.restart, 0)
            writes = []
            sent, quiet = 0, 0
            while quiet < settle:
                valid = sent < len(image) and rng.random() >= gaps
                ctx.set(dut.i.valid, valid)
                ctx.set(dut.i.payload, image[sent] if valid else 0xA5)
                _, _, ready, valid_write, *write, error, done = await ctx.tick().sample(
                    dut.i.ready,
                    dut.bus.valid,
                    dut.bus.target,
                    dut.bus.unit,
                    dut.bus.address,
                    dut.bus.data,
                    dut.error,
                    dut.done,
                )
                if valid_write:
                    writes.append((write[0].value, *write[1:]))
                sent += valid and ready
                quiet = 0 if valid and ready or valid_write else quiet + 1
                if error or done:
                    break
            assert not (error and done)
            assert sent == len(image) or not done
            network = {name: ctx.get(dut.network[name]) for name in Network.__slots__}
            results.append(
                Result(error, done, writes, network, ctx.get(dut.image_id), ctx.get(dut.cycles))
            )

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    return results


def check(config, *images, **how):
    results = load(config, *images, **how)
    for image, result in zip(images, results, strict=True):
        assert result.error == LoadError.NONE
        assert result.done
        found = apply_writes(result.writes, result.network, config)
        assert differences(found, read_image(image, config)) == []
    return results


def check_damaged(config, *images, settle):
    """Images whose CRCs are good: refused where the model refuses them, else loaded as by it."""
    results = load(config, *images, settle=settle)
    for image, result in zip(images, results, strict=True):
        try:
            expected = read_image(image, config)
        except ImageError:
            expected = None
        assert result.done == (expected is not None)
        assert (result.error == LoadError.NONE) == (expected is not None)
        if expected is None:
            assert result.error in (LoadError.SECTION_LENGTH, LoadError.CODE)
        else:
            assert differences(apply_writes(result.writes, result.network, config), expected) == []
    return results
