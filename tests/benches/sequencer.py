"""cocotb bench of the sequencer: random programs, units that take their time."""

import cocotb
from bench_support import RATES, generators, settings, write
from cocotb.triggers import RisingEdge
from eie_model import small

from prunus.hw import isa
from prunus.hw.bus import Target
from prunus.hw.descriptor import TABLE_FIELDS, descriptor_layout
from prunus.hw.isa import Op
from prunus.hw.sequencer import engines
from prunus.sim.benches.streams import start, unpack

CONFIG = small(**settings())
NAMES = {op: name for name, ops in engines(CONFIG).items() for op in ops}
if CONFIG.window:
    NAMES[Op.TABLE] = "table"
TABLE = descriptor_layout(TABLE_FIELDS)


async def units(dut, seen, ended, *, rng, stall):
    """The engines and the vector unit: they note what is started and ended, and take their time."""
    table, running = 0, {}
    dut.engine_done.value = dut.vector_idle.value = 1
    while True:
        await RisingEdge(dut.clk)
        if CONFIG.window:
            table = max(0, table - 1)
            dut.table_busy.value = table > 0
        layer = unpack(descriptor_layout(), int(dut.layer.value))
        if CONFIG.window and dut.start_table.value == 1:
            assert table == 0
            assert dut.engine_done.value == 1 or running["op"] != Op.WINDOW
            seen.append(("table", unpack(TABLE, int(dut.table_layer.value))))
            table = rng.randrange(1, 60)
            dut.table_busy.value = 1
        for name in {*NAMES.values()} - {"table"}:
            if getattr(dut, f"start_{name}").value == 1:
                seen.append((name, layer))
                running = layer
                assert dut.engine_done.value == 1 and dut.vector_idle.value == 1
                dut.engine_done.value = dut.vector_idle.value = 0
        if dut.engine_done.value == 0:
            assert layer == running
        if dut.layer_done.value == 1:
            ended.append(layer)
            assert dut.engine_done.value == 1 and dut.vector_idle.value == 1
        if rng.random() >= stall:
            # In any order: an engine may still drain when the vector unit has nothing to do.
            which = dut.engine_done if rng.randrange(2) else dut.vector_idle
            which.value = 1


def random_program(rng):
    """Descriptors with every field at random that a descriptor of this configuration has."""
    fields = isa.FIELDS
    if CONFIG.descriptor_words == 8:
        fields = fields[: [f.name for f in fields].index("line_bytes")]
    for _ in range(rng.randrange(CONFIG.program_depth)):
        drawn = {f.name: 0 for f in isa.FIELDS} | {f.name: rng.choice(f.range) for f in fields}
        yield drawn | {"op": rng.choice([*NAMES])}


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(RATES)
async def runs_the_program(dut, gap, stall):
    rng, _ = generators()
    dut.start.value = dut.bus__valid.value = 0
    seen, ended = [], []
    cocotb.start_soon(units(dut, seen, ended, rng=rng, stall=stall))
    await start(dut)
    for _ in range(8):
        program = list(random_program(rng))
        end = {"op": rng.choice([op for op in range(16) if op not in NAMES])}
        words = CONFIG.descriptor_words
        raw = b"".join(isa.encode(d, words) for d in [*program, end])
        items = [
            (Target.PROGRAM, 0, n, int.from_bytes(raw[4 * n : 4 * n + 4], "big"))
            for n in range(len(raw) // 4)
        ]
        items.append((Target.CHANNEL, 0, 0, 0))  # not the program's
        await write(dut, items, rng=rng, gap=gap)
        for _ in range(2):
            seen.clear(), ended.clear()
            dut.start.value = 1
            await RisingEdge(dut.clk)
            dut.start.value = 0
            busy = -1
            while busy < 0 or dut.busy.value == 1:
                await RisingEdge(dut.clk)
                busy += 1
            expected = [
                (NAMES[d["op"]], {f: d[f] for f in TABLE_FIELDS} if d["op"] == Op.TABLE else d)
                for d in program
            ]
            assert len(seen) == len(expected)
            # A table may be filled ahead of a layer that is still waited for, and of nothing else.
            for kind in ([name for name in NAMES.values() if name != "table"], ["table"]):
                assert [x for x in seen if x[0] in kind] == [x for x in expected if x[0] in kind]
            assert ended == [d for d in program if d["op"] != Op.TABLE]
            assert dut.cycles.value == busy
