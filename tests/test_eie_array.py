# amaranth: UnusedElaboratable=no
import numpy as np
import pytest
from amaranth import Module, ResetInserter, Signal
from eie_model import LIMIT, load, product, serve, simulate, small, until, words, writes

from prunus.hw.eie.array import EieArray
from prunus.sim.eie_fill import dealt, fill


class Layer:
    """A random layer, where its rows live, and what a pass over it must give."""

    def __init__(
        self, config, rng, outputs, columns, *, dense=False, density=0.3, keep=0.4, zero=3
    ):
        self.config = config
        self.dense = dense
        self.outputs = outputs
        levels = 1 << config.code_bits
        self.codes = rng.integers(0, levels, (outputs, columns))
        self.book = rng.integers(-128, 128, levels) if config.code_bits < 8 else None
        if dense and self.book is not None:
            self.book[0] = 0  # what places without an output hold
        self.kept = None if dense else rng.random((outputs, columns)) < keep
        weights = self.codes.astype(np.int8) if self.book is None else self.book[self.codes]
        self.weights = weights if dense else np.where(self.kept, weights, 0)
        noise = rng.integers(-128, 128, columns)
        self.activations = np.where(rng.random(columns) < density, noise, zero).astype(np.int8)
        self.zero = zero
        self.pe_of, self.row_of = self.place(rng)

    def place(self, rng):
        """Rows in turn for dense, shuffled within a lane's PEs for sparse."""
        pe, row = dealt(self.outputs, self.config.pes)
        if not self.dense:
            for lane in range(self.config.lanes):
                of_lane = np.arange(lane, self.outputs, self.config.lanes)
                shuffled = rng.permutation(of_lane)
                pe[of_lane], row[of_lane] = pe[shuffled], row[shuffled]
        return pe, row

    def fields(self, *, in_base, weight_base=0, pointer_base=0, slot=0):
        return dict(
            dense=int(self.dense), in_base=in_base, in_zero=self.zero,
            columns=self.codes.shape[1], rows=int(self.row_of.max()) + 1,
            weight_base=weight_base, pointer_base=pointer_base, codebook=slot,
        )  # fmt: skip

    def locations(self):
        """Beats of (pe, row) a lane; lanes past the end point at the first accumulator."""
        lanes = self.config.lanes
        for first in range(0, self.outputs, lanes):
            yield [
                {"pe": int(self.pe_of[o]) // lanes, "row": int(self.row_of[o])}
                if o < self.outputs
                else {"pe": 0, "row": 0}
                for o in range(first, first + lanes)
            ]

    def expected(self):
        return product(self.weights, self.activations, self.zero)


def run(config, passes, *, gap=lambda: 0, seed=0):
    """Outputs and cycles of each (layer, fields, writes); the array is never reset."""
    rng = np.random.default_rng(seed)
    dut = EieArray(config)
    contents = {}
    results = []

    async def locate(ctx, layer):
        for beat in layer.locations():
            for _ in range(gap()):
                await ctx.tick()
            ctx.set(dut.locate.payload, beat)
            ctx.set(dut.locate.valid, 1)
            await until(ctx, dut.locate.ready)
            await ctx.tick()
            ctx.set(dut.locate.valid, 0)

    async def collect(ctx, beats):
        found = []
        for _ in range(LIMIT):
            if ctx.get(dut.sums.valid):
                found.extend(ctx.get(lane) for lane in dut.sums.payload)
                beats -= 1
            if not beats:
                return found
            await ctx.tick()
        raise TimeoutError("sums missing")

    pending = []

    async def bench(ctx):
        for layer, fields, items in passes:
            await load(ctx, dut.bus, items)
            for i, word in enumerate(words(layer.activations, config, rng)):
                contents[fields["in_base"] + i] = word
            assert ctx.get(dut.done)
            ctx.set(dut.layer, fields)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            assert not ctx.get(dut.done)
            cycles = 1 + await until(ctx, dut.done)
            pending.append(layer)
            found = await collect(ctx, -(-layer.outputs // config.lanes))
            results.append((found[: layer.outputs], cycles))
            contents.clear()

    async def drainer(ctx):
        for layer, *_ in passes:
            for _ in range(LIMIT):
                if pending:
                    break
                await ctx.tick()
            pending.clear()
            await locate(ctx, layer)

    simulate(dut, bench, drainer, processes=[serve(contents)(dut)])
    return results


def single(config, layer, **bases):
    filled = fill(
        config, layer.codes, layer.kept, layer.pe_of, layer.row_of,
        weight_base=bases.get("weight_base", 0),
    )  # fmt: skip
    items = writes(filled, codebook=layer.book, code_bits=config.code_bits, **bases)
    return layer, layer.fields(in_base=5, **bases), list(items)


def check(config, layers, **options):
    results = run(config, [single(config, layer) for layer in layers], **options)
    assert [found for found, _ in results] == [layer.expected() for layer in layers]
    return [cycles for _, cycles in results]


SHAPES = [
    dict(pes=1, lanes=1, acc_rows=16),
    dict(pes=2, lanes=1, acc_rows=8),
    dict(pes=2, lanes=2, acc_rows=8, act_word=16),
    dict(pes=8, lanes=2, act_word=2),
    dict(pes=8, lanes=4, code_bits=4),
    dict(pes=6, lanes=2, code_bits=1, queue_depth=1),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "-".join(f"{k}{v}" for k, v in s.items()))
def test_sparse_layers(shape):
    config = small(**shape)
    rng = np.random.default_rng(config.pes)
    layers = [
        Layer(config, rng, outputs, columns, density=density, keep=keep)
        for outputs, columns, density, keep in (
            (13, 21, 0.4, 0.5),
            (config.lanes * 2 - 1, 1, 1, 1),
            (16, 40, 0, 0.5),
            (16, 40, 1, 0),
            (15, 40, 1, 0.1),
            (16, 30, 0.9, 1),
            (1, 3, 1, 1),
        )
    ]
    check(config, layers, gap=lambda: int(rng.choice([0, 0, 2])))


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("shape", SHAPES[::2], ids=lambda s: f"{s['pes']}-{s['lanes']}")
def test_dense_layers(shape, sparse):
    config = small(sparse=sparse, **shape)
    rng = np.random.default_rng(config.pes)
    layers = [
        Layer(config, rng, outputs, columns, dense=True, density=density)
        for outputs, columns, density in ((16, 21, 1), (1, 9, 0.5), (11, 1, 1), (14, 17, 0))
    ]
    check(config, layers)


def test_dense_among_sparse():
    config = small(pes=4, lanes=2, code_bits=4, codebooks=2)
    rng = np.random.default_rng(7)
    kinds = [False, True, True, False]
    layers = [Layer(config, rng, 11, 15, dense=dense, density=0.7) for dense in kinds]
    bases = dict(weight_base=100, pointer_base=20)
    passes = [
        single(config, layer, slot=i % 2, **(bases if i > 1 else {}))
        for i, layer in enumerate(layers)
    ]
    found = [sums for sums, _ in run(config, passes)]
    assert found == [layer.expected() for layer in layers]


@pytest.mark.parametrize("zero", [-128, 127])
def test_extremes(zero):
    config = small(pes=2, acc_rows=2)
    rng = np.random.default_rng(0)
    layer = Layer(config, rng, 4, 50, density=1, keep=1, zero=zero)
    layer.activations[:] = -1 - zero
    layer.weights[:] = layer.codes[:] = -128
    layer.weights[0] = layer.codes[0] = 127
    assert abs(layer.expected()[1]) == 50 * 128 * 255
    check(config, [layer])


@pytest.mark.parametrize(
    "pes, rows, columns, code_bits", [(1, 4, 30, 8), (8, 1, 60, 8), (8, 3, 31, 4)]
)
def test_dense_cycles(pes, rows, columns, code_bits):
    """Every entry takes a cycle; start and end together take `overhead`."""
    config = small(pes=pes, code_bits=code_bits, queue_depth=8)
    rng = np.random.default_rng(0)
    layer = Layer(config, rng, pes * rows, columns, dense=True, density=1, zero=-128)
    layer.activations[layer.activations == -128] = 1
    (cycles,) = check(config, [layer])
    assert cycles == columns * rows + EieArray(config).overhead <= columns * rows + 21


def test_second_level_of_registers():
    """With more PEs than share a register."""
    config = small(pes=17, queue_depth=8, acc_rows=2)
    rng = np.random.default_rng(0)
    sparse = Layer(config, rng, 30, 20, density=1)
    dense = Layer(config, rng, 17, 30, dense=True, density=1, zero=-128)
    dense.activations[dense.activations == -128] = 1
    assert check(config, [sparse, dense])[1] == 30 + EieArray(config).overhead


def test_queues_absorb_imbalance():
    """Two PEs with all their work in different columns overlap within the depth of the queue."""
    rng = np.random.default_rng(0)
    cycles = {}
    for depth in (1, 16):
        config = small(pes=2, queue_depth=depth, acc_rows=8)
        layer = Layer(config, rng, 16, 60, density=1, keep=0, zero=-128)
        layer.activations[:] = 1
        pe = layer.pe_of[:, None]
        layer.kept = pe == (np.arange(60) // 10 % 2)[None, :]
        layer.weights = np.where(layer.kept, layer.codes.astype(np.int8), 0)
        (cycles[depth],) = check(config, [layer])
    assert cycles[16] < 0.85 * cycles[1]
    assert cycles[16] >= 30 * 8


def test_a_reset_in_a_pass_leaves_nothing_behind():
    config = small(pes=4, lanes=2, acc_rows=8)
    rng = np.random.default_rng(3)
    layer = Layer(config, rng, 24, 30, density=1)
    _, fields, items = single(config, layer)
    read = {fields["in_base"] + i: w for i, w in enumerate(words(layer.activations, config, rng))}
    dut, reset = EieArray(config), Signal()
    m = Module()
    m.submodules.dut = ResetInserter(reset)(dut)
    found = []

    async def bench(ctx):
        await load(ctx, dut.bus, items)
        ctx.set(dut.layer, fields)
        for cycles in (40, LIMIT):
            await until(ctx, dut.done)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            if cycles < LIMIT:
                await ctx.tick().repeat(cycles)
                assert not ctx.get(dut.done)
                ctx.set(reset, 1)
                await ctx.tick().repeat(2)
                ctx.set(reset, 0)
        await until(ctx, dut.done)
        for beat in layer.locations():
            ctx.set(dut.locate.payload, beat)
            ctx.set(dut.locate.valid, 1)
            await ctx.tick()
        ctx.set(dut.locate.valid, 0)
        await ctx.tick().repeat(dut.drain_latency)

    async def watch(ctx):
        async for _, _, valid, sums in ctx.tick().sample(dut.sums.valid, dut.sums.payload):
            if valid:
                found.extend(int(sums[lane]) for lane in range(config.lanes))

    simulate(m, bench, processes=[serve(read)(dut)], watchers=[watch])
    assert found[: layer.outputs] == layer.expected()
