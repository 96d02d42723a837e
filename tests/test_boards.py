# amaranth: UnusedElaboratable=no
"""Boards: plans need no tool; PLL dividers are checked one by one; one small design is built."""

import bisect
import json
import re
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from prunus.boards import build as build_module
from prunus.boards import flash, toolchain
from prunus.boards.build import STAGES, BuildError, build, plan
from prunus.boards.pll import Ecp5Dividers, ecp5_dividers, ice40_dividers
from prunus.boards.registry import BOARDS, find_board
from prunus.boards.report import critical_path, overflow
from prunus.boards.result import BuildResult
from prunus.boards.top import BoardTop, PowerOnReset
from prunus.hw.bank import Bank

MHZ = 1_000_000


class Loopback(wiring.Component):
    """Sends back every byte plus one, and keeps ``depth`` of them in block RAM."""

    host_i: In(stream.Signature(8))
    host_o: Out(stream.Signature(8))
    ready: Out(1)
    failed: Out(1)

    def __init__(self, depth=512):
        self._depth = depth
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.bank = bank = Bank(width=8, depth=self._depth)
        count = Signal(range(self._depth))
        taken = self.host_i.valid & self.host_i.ready
        m.d.comb += [
            self.host_i.ready.eq(~self.host_o.valid | self.host_o.ready),
            bank.r_en.eq(taken),
            bank.r_addr.eq(count),
            bank.w_en.eq(taken),
            bank.w_addr.eq(~count),
            bank.w_data.eq(self.host_i.payload),
            self.ready.eq(bank.r_data.xor()),
        ]
        with m.If(taken):
            m.d.sync += [
                self.host_o.payload.eq(self.host_i.payload + 1),
                self.host_o.valid.eq(1),
                count.eq(count + 1),
            ]
        with m.Elif(self.host_o.ready):
            m.d.sync += self.host_o.valid.eq(0)
        return m


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNUS_CACHE", str(tmp_path / "cache"))


def need(choice, *names):
    for name in names:
        try:
            toolchain.find_tool(name, choice)
        except BuildError as error:
            pytest.skip(str(error))


# Boards and plans: no tool is needed.


def test_find_board():
    assert find_board("ulx3s-85f").title == "ULX3S 85F"
    with pytest.raises(ValueError, match=r"^unknown board 'icebraker'; did you mean icebreaker\? "
                       r"known boards: icebreaker, ulx3s-12f, .*ulx3s-85f$"):  # fmt: skip
        find_board("icebraker")


@pytest.mark.parametrize("name", BOARDS)
def test_plan(name):
    board = BOARDS[name]
    made = plan(board, Loopback())
    assert made.clock_hz == board.clock_hz
    script = made.files["top.ys"]
    assert re.search(r"read_rtlil top.il\nrename -hide w:\*\[\*\]\n", script)
    pins = next(text for file, text in made.files.items() if file.endswith((".lpf", ".pcf")))
    if board.family == "ice40":
        assert "synth_ice40 -abc9 -device u -top top" in script
        assert "set_frequency clock 24.0\n" in pins and "SB_PLL40_PAD" in made.files["top.il"]
        assert {"set_io uart_0__rx__io 6", "set_io uart_0__tx__io 9"} <= set(pins.splitlines())
    else:
        assert 'FREQUENCY NET "clock" 80000000.0 HZ;' in pins
        assert 'LOCATE COMP "uart_0__rx__io" SITE "M1";' in pins
        assert 'LOCATE COMP "wifi_gpio0_0__io" SITE "L2";' in pins
    assert plan(board, Loopback()) == made  # else nothing would ever be found in the cache


@pytest.mark.parametrize("name", ["icebreaker", "ulx3s-25f"])
def test_no_pll_at_the_oscillator_clock(name):
    board = BOARDS[name]
    made = plan(board, Loopback(), board.oscillator_hz)
    assert made.clock_hz == board.oscillator_hz
    assert "PLL" not in made.files["top.il"]


def test_pll_parameters_reach_the_netlist():
    text = plan(BOARDS["ulx3s-85f"], Loopback(), 90 * MHZ).files["top.il"]
    value = {
        name: int(re.search(rf"parameter \\{name} (\d+)", text)[1])
        for name in ("CLKI_DIV", "CLKFB_DIV", "CLKOP_DIV", "CLKOS_DIV")
    }
    vco = 25 * MHZ // value["CLKI_DIV"] * value["CLKFB_DIV"] * value["CLKOP_DIV"]
    assert vco / value["CLKOS_DIV"] == 90 * MHZ
    text = plan(BOARDS["icebreaker"], Loopback(), 30 * MHZ).files["top.il"]
    bits = {
        name: int(re.search(rf"parameter \\{name} \d+'([01]+)", text)[1], 2)
        for name in ("DIVR", "DIVF", "DIVQ", "FILTER_RANGE")
    }
    assert bits == {"DIVR": 0, "DIVF": 79, "DIVQ": 5, "FILTER_RANGE": 1}  # what icepll says


def test_top_refuses():
    with pytest.raises(ValueError, match=r"^clock_hz must be 16 to 275 MHz, not 14 MHz$"):
        BoardTop(BOARDS["icebreaker"], Loopback(), clock_hz=14 * MHZ)
    with pytest.raises(ValueError, match=r"^baud must divide the clock of 3125000 Hz"):
        BoardTop(BOARDS["ulx3s-12f"], Loopback(), clock_hz=3_125_000)
    with pytest.raises(TypeError, match=r"^core must have host_i, host_o, ready, failed, not Bank"):
        BoardTop(BOARDS["ulx3s-12f"], Bank(width=8, depth=2))


# PLL: limits are written down here once more, from the data sheets.


def closest(made, wanted):
    """The element of the sorted list ``made`` that is nearest to ``wanted``."""
    at = bisect.bisect(made, wanted)
    return min(made[max(at - 1, 0) : at + 1], key=lambda f: abs(f - wanted))


def check_dividers(find, input_hz, made, clocks):
    """``find`` gives the nearest of the frequencies ``made``, or refuses when it is 1 % away."""
    found = []
    for clock in clocks:
        nearest = closest(made, clock)
        if abs(nearest - clock) > Fraction(clock, 100):
            with pytest.raises(ValueError, match=r"^clock_hz must be within 1 % of .*nearest"):
                find(input_hz, clock)
            continue
        found.append(find(input_hz, clock))
        assert abs(found[-1].output_hz(input_hz) - clock) == abs(nearest - clock)
    assert len(found) > 0.7 * len(clocks)
    return found


@pytest.mark.parametrize("input_hz, step", [(12 * MHZ, 7), (25 * MHZ, 1), (100 * MHZ, 13)])
def test_ecp5_dividers(input_hz, step):
    makes = {
        Fraction(input_hz * multiply, reference * output)
        for reference in range(1, input_hz // (10 * MHZ) + 1)
        for multiply in range(1, 129)
        for output in range(1, 129)
        if 400 * MHZ * reference <= input_hz * multiply <= 800 * MHZ * reference
    }
    makes = sorted(f for f in makes if 3.125 * MHZ <= f <= 400 * MHZ)
    clocks = (*range(4 * MHZ, 401 * MHZ, step * MHZ), 33_333_333, 66_666_667, 79_990_000)
    for got in check_dividers(ecp5_dividers, input_hz, makes, clocks):
        assert all(1 <= n <= 128 for n in (got.reference, got.multiply, got.output))
        assert 10 * MHZ <= Fraction(input_hz, got.reference) <= 400 * MHZ
        assert 400 * MHZ <= Fraction(input_hz * got.multiply, got.reference) <= 800 * MHZ
        assert 3.125 * MHZ <= got.output_hz(input_hz) <= 400 * MHZ


@pytest.mark.parametrize("input_hz, step", [(12 * MHZ, 1), (48 * MHZ, 7)])
def test_ice40_dividers(input_hz, step):
    makes = {
        Fraction(input_hz * (divf + 1), (divr + 1) * 2**divq)
        for divr in range(min(16, input_hz // (10 * MHZ)))
        for divf in range(128)
        for divq in range(1, 7)
        if 533 * MHZ * (divr + 1) <= input_hz * (divf + 1) <= 1066 * MHZ * (divr + 1)
    }
    makes = sorted(f for f in makes if 16 * MHZ <= f <= 275 * MHZ)
    clocks = range(16 * MHZ, 276 * MHZ, step * MHZ)
    for got in check_dividers(ice40_dividers, input_hz, makes, clocks):
        made = got.output_hz(input_hz)
        assert 0 <= got.divr <= 15 and 0 <= got.divf <= 127 and 1 <= got.divq <= 6
        assert 16 * MHZ <= made <= 275 * MHZ
        assert 533 * MHZ <= made * 2**got.divq <= 1066 * MHZ


def test_dividers_refuse():
    for clock in (3 * MHZ, 401 * MHZ):
        with pytest.raises(ValueError, match=r"^clock_hz must be 3.125 to 400 MHz, not \d+ MHz$"):
            ecp5_dividers(25 * MHZ, clock)
    with pytest.raises(ValueError, match=r"^input_hz must be 10 to 133 MHz, not 8 MHz$"):
        ice40_dividers(8 * MHZ, 24 * MHZ)
    with pytest.raises(TypeError, match=r"^clock_hz must be an int, not 80.5$"):
        ecp5_dividers(25 * MHZ, 80.5)
    assert ecp5_dividers(25 * MHZ, 80 * MHZ) in (Ecp5Dividers(1, 16, 5), Ecp5Dividers(1, 32, 10))


# Power-on reset.


@pytest.mark.parametrize("cycles", [1, 2, 7, 8, 9, 360])
def test_power_on_reset(cycles):
    dut = PowerOnReset(cycles)
    seen = []

    async def bench(ctx):
        for locked, ticks in ((0, 20), (1, cycles + 10), (0, 6), (1, cycles + 10)):
            ctx.set(dut.locked, locked)
            run = []
            for _ in range(ticks):
                run.append(ctx.get(dut.reset))
                await ctx.tick()
            seen.append(run)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    off, on, lost, again = seen
    assert all(off) and lost[:3] == [0, 0, 0] and lost[4:] == [1, 1]
    for run in (on, again):  # two cycles of synchronizer, and one of the output register
        assert run.index(0) == cycles + 3 and not any(run[cycles + 3 :])


def test_power_on_reset_refuses():
    with pytest.raises(ValueError, match=r"^cycles must be positive, not 0$"):
        PowerOnReset(0)


# Tools.


def script(folder, name, text):
    """An executable that runs a piece of Python."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport sys\n{text}\n")
    path.chmod(0o755)
    return path


def test_native_tool_first(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("YOSYS", raising=False)
    script(tmp_path, "yosys", "print('Yosys 0.52 (git)')")
    tool = toolchain.find_tool("yosys")
    assert tool.native and tool.version == "Yosys 0.52 (git)"
    assert not toolchain.find_tool("yosys", "wheel").native
    monkeypatch.setenv("YOSYS", "no-such-yosys")
    with pytest.raises(BuildError, match=r"^yosys is set to 'no-such-yosys' in the environment"):
        toolchain.find_tool("yosys")


def test_old_or_missing_tool(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("YOSYS", raising=False)
    with pytest.raises(BuildError, match=r"^yosys is missing: install it, or run: pip install y"):
        toolchain.find_tool("yosys", "native")
    script(tmp_path, "yosys", "print('Yosys 0.23')")
    assert not toolchain.find_tool("yosys").native
    with pytest.raises(BuildError, match=r"is Yosys 0.23, 0.40 or newer is needed\): install it"):
        toolchain.find_tool("yosys", "native")
    with pytest.raises(ValueError, match=r"^tools must be one of auto, native, wheel, not 'any'$"):
        toolchain.find_tool("yosys", "any")


def fake_tools(folder, monkeypatch, **texts):
    for name in ("yosys", "nextpnr-ice40", "icepack"):
        text = "if '--version' in sys.argv: print('Version 9.9'); sys.exit()\n"
        path = script(folder, name, text + texts[name.replace("-", "_")])
        monkeypatch.setenv(name.upper().replace("-", "_"), str(path))


FINE_YOSYS = "open('top.json', 'w').write('{}'); open('top.rpt', 'w').write('fine')"
FINE_NEXTPNR = """
print('Info: Routing..')
seed = int(sys.argv[sys.argv.index('--seed') + 1])
open('top.tim', 'w').write(f'Info: 7 LCs used as DFF only, seed {seed}')
fmax = {1: 20.0, 2: 22.0, 3: 21.0, 4: 25.0}[seed]
open('report.json', 'w').write('{"fmax": {"clk": {"achieved": %f, "constraint": 24}},'
    '"critical_paths": [], "utilization": {"ICESTORM_LC": {"used": 9, "available": 5280}}}' % fmax)
open('top.asc', 'w').write(f'asc {seed}')
"""
FINE_ICEPACK = "open('top.bin', 'w').write(open('top.asc').read())"


@pytest.mark.parametrize(
    "seeds, chosen, met", [((1,), 1, False), ((1, 2, 3), 2, False), ((3, 4, 1), 4, True)]
)
def test_best_seed(tmp_path, monkeypatch, seeds, chosen, met):
    fake_tools(tmp_path, monkeypatch, yosys=FINE_YOSYS, nextpnr_ice40=FINE_NEXTPNR,
               icepack=FINE_ICEPACK)  # fmt: skip
    calls = []
    out = tmp_path / "out"
    result = build(BOARDS["icebreaker"], Loopback(), out, seeds=seeds,
                   progress=lambda *call: calls.append(call))  # fmt: skip
    assert (result.seed, result.timing_met) == (chosen, met)
    assert result.bitstream.read_text() == f"asc {chosen}"
    assert f"seed {chosen}" in result.logs["placement"].read_text()
    assert result.resources == {"LUT": (9, 5280), "FF": (7, 5280)}
    tried = seeds if not met else seeds[: seeds.index(chosen) + 1]
    assert [stage for stage, _ in calls] == ["synthesis", *STAGES[1:] * len(tried)]
    assert BuildResult.load(out) == result
    assert sorted(path.name for path in out.iterdir()) == [
        "report.json", "result.json", "top.bin", "top.rpt", "top.tim"]  # fmt: skip


def test_unchanged_design_is_not_built_twice(tmp_path, monkeypatch):
    fake_tools(tmp_path, monkeypatch, yosys=FINE_YOSYS, nextpnr_ice40=FINE_NEXTPNR,
               icepack=FINE_ICEPACK)  # fmt: skip
    ran = []
    original = build_module.run
    monkeypatch.setattr(
        build_module, "run", lambda tool, *rest: ran.append(tool.name) or original(tool, *rest)
    )
    board = BOARDS["icebreaker"]
    first = build(board, Loopback(), tmp_path / "a")
    assert ran == ["yosys", "nextpnr-ice40", "icepack"]
    second = build(board, Loopback(), tmp_path / "b")
    assert len(ran) == 3 and second.bitstream.read_bytes() == first.bitstream.read_bytes()
    build(board, Loopback(), tmp_path / "b", seeds=(2,))  # the netlist is still good
    assert ran[3:] == ["nextpnr-ice40", "icepack"]
    build(board, Loopback(depth=1024), tmp_path / "b")
    assert ran[5:] == ["yosys", "nextpnr-ice40", "icepack"]


@pytest.mark.parametrize("broken", ["yosys", "nextpnr-ice40", "icepack"])
def test_failed_step_quotes_the_log(tmp_path, monkeypatch, broken):
    texts = {"yosys": FINE_YOSYS, "nextpnr_ice40": FINE_NEXTPNR, "icepack": FINE_ICEPACK}
    log = {"yosys": "top.rpt", "nextpnr-ice40": "top.tim"}.get(broken)
    lines = "one\\nERROR: first\\nERROR: the last one\\nmore\\n"
    write = f"open({log!r}, 'w').write" if log else "sys.stderr.write"
    texts[broken.replace("-", "_")] = f"{write}('{lines}'); sys.exit(1)"
    fake_tools(tmp_path, monkeypatch, **texts)
    out = tmp_path / "out"
    with pytest.raises(BuildError, match=rf"^{broken}: the last one \(log: (.*)\)$") as caught:
        build(BOARDS["icebreaker"], Loopback(), out)
    kept = re.search(r"\(log: (.*)\)$", str(caught.value))[1]
    assert "ERROR: first" in Path(kept).read_text()
    with pytest.raises(BuildError, match=r"holds no finished build \(result.json is missing\)$"):
        BuildResult.load(out)


CONFLICT = "Driver-driver conflict for a.b [3] between cell c.O and constant 0: Resolved using c."


@pytest.mark.parametrize(
    "text, message",
    [
        (
            f"open('top.json', 'w'); open('top.rpt', 'w').write('Warning: {CONFLICT}')",
            r"two drivers for a.b \[3\] between cell c.O and constant 0",
        ),
        ("import os; os.kill(os.getpid(), 11)", "crashed with signal 11"),
    ],
)
def test_wrong_gates_and_crashes_are_refused(tmp_path, monkeypatch, text, message):
    fake_tools(tmp_path, monkeypatch, yosys=text, nextpnr_ice40=FINE_NEXTPNR,
               icepack=FINE_ICEPACK)  # fmt: skip
    with pytest.raises(BuildError, match=rf"^yosys: {message} \(log: .*top.rpt\)$"):
        build(BOARDS["icebreaker"], Loopback(), tmp_path / "out")


def test_design_without_clock(tmp_path, monkeypatch):
    empty = FINE_NEXTPNR.replace('{"clk": {"achieved": %f, "constraint": 24}}', "{}")
    fake_tools(tmp_path, monkeypatch, yosys=FINE_YOSYS, icepack=FINE_ICEPACK,
               nextpnr_ice40=empty.replace(" % fmax", ""))  # fmt: skip
    with pytest.raises(BuildError, match=r"^the design has no path between two registers"):
        build(BOARDS["icebreaker"], Loopback(), tmp_path / "out")
    with pytest.raises(ValueError, match=r"^seeds must name at least one seed, not \(\)$"):
        build(BOARDS["icebreaker"], Loopback(), tmp_path / "out", seeds=())


# Reports.

LOG = """Info: Device utilisation:
Info: \t         ICESTORM_LC:  {lc}/ 5280   113%
Info: \t        ICESTORM_RAM:    {ram}/   30    10%
Info: \t        ICESTORM_DSP:     9/    8   112%
ERROR: Unable to place cell 'x', no Bels remaining of type ICESTORM_DSP
"""


@pytest.mark.parametrize(
    "lc, ram, over, hint",
    [
        (100, 3, "9 DSP of 8", "the nearest board that holds it is ulx3s-12f"),
        (30000, 3, "30000 LUT of 5280, 9 DSP of 8", "the nearest board that holds it is ulx3s-45f"),
        (100, 900, "900 BRAM of 30, 9 DSP of 8", "the nearest board that holds it is ulx3s-85f"),
        (99999, 3, "99999 LUT of 5280, 9 DSP of 8", "no board holds it"),
    ],
)
def test_design_that_does_not_fit(tmp_path, monkeypatch, lc, ram, over, hint):
    log = LOG.format(lc=lc, ram=ram)
    fake_tools(tmp_path, monkeypatch, yosys=FINE_YOSYS, icepack=FINE_ICEPACK,
               nextpnr_ice40=f"open('top.tim', 'w').write({log!r}); sys.exit(1)")  # fmt: skip
    expected = f"the design does not fit icebreaker: it needs {over}; {hint}"
    with pytest.raises(BuildError, match=f"^{re.escape(expected)}$"):
        build(BOARDS["icebreaker"], Loopback(), tmp_path / "out")
    assert overflow(BOARDS["icebreaker"], LOG.replace(" 9/", " 8/").format(lc=1, ram=1)) == {}


def test_critical_path():
    def step(kind, delay, to):
        return {"type": kind, "delay": delay, "from": {"cell": "any"}, "to": {"cell": to}}

    slow = [
        step("clk-to-q", 0.5, "core.pe_0.acc_TRELLIS_FF_Q_3"),
        step("routing", 2.0, "core.sum_LUT4_Z_1"),
        step("logic", 0.25, "core.sum_LUT4_Z_1"),
        step("routing", 1.0, "core.out_TRELLIS_FF_Q"),
        step("setup", 0.0, "core.out_TRELLIS_FF_Q"),
    ]
    clk = "posedge clk"
    report = {"critical_paths": [
        {"from": "<async>", "to": clk, "path": [step("routing", 99.0, "pin")]},
        {"from": clk, "to": clk, "path": slow},
    ]}  # fmt: skip
    path = critical_path(report)
    assert str(path) == "core.pe_0.acc to core.out: 3.8 ns, of which 3.0 ns routing, 1 levels"
    assert critical_path({"critical_paths": []}) is None


# Flashing.


def finished(folder, board):
    fields = {"board": board, "clock_mhz": 24.0, "fmax_mhz": 30.0, "timing_met": True, "baud": 1,
              "seed": 1, "resources": {}, "critical_path": None, "bitstream": "top.x",
              "logs": {}, "tools": {}}  # fmt: skip
    (folder / "result.json").write_text(json.dumps(fields))
    return folder


def test_flash_commands(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    bitstream = str(tmp_path / "top.x")
    finished(tmp_path, "ulx3s-85f")
    assert flash.command(tmp_path) == ["openFPGALoader", "-b", "ulx3s", "-m", bitstream]
    assert flash.command(tmp_path, keep=True)[3] == "-f"
    with pytest.raises(BuildError, match=r"was built for ulx3s-85f, not for icebreaker$"):
        flash.command(tmp_path, BOARDS["icebreaker"])
    finished(tmp_path, "icebreaker")
    loader = ["openFPGALoader", "-b", "ice40_generic", "-f", bitstream]
    assert flash.flash(tmp_path, BOARDS["icebreaker"], dry_run=True) == loader
    with pytest.raises(BuildError, match=r"^openFPGALoader is missing: install "):
        flash.flash(tmp_path)
    script(programs, "iceprog", "sys.exit(0 if sys.argv[1].endswith('top.x') else 1)")
    assert flash.flash(tmp_path) == ["iceprog", bitstream]
    script(programs, "openFPGALoader", "sys.exit(3)")
    with pytest.raises(BuildError, match=r"^openFPGALoader failed with exit status 3$"):
        flash.flash(tmp_path)


# Real tools.


def check_build(board, tools, folder, **options):
    family = toolchain.FAMILIES[board.family]
    need(tools, "yosys", family.place_tool, family.pack_tool)
    calls = []
    result = build(board, Loopback(), folder, tools=tools,
                   progress=lambda stage, note: calls.append(stage), **options)  # fmt: skip
    assert list(dict.fromkeys(calls)) == list(STAGES)
    assert result.bitstream.stat().st_size > 50_000
    assert all(log.stat().st_size for log in result.logs.values())
    assert {kind: has for kind, (_, has) in result.resources.items()} == board.limits
    assert result.resources["BRAM"][0] == 1 and 50 < result.resources["FF"][0] < 200
    assert result.critical_path.delay_ns * result.fmax_mhz == pytest.approx(1000, rel=0.02)
    return result


def test_build_icebreaker(tmp_path):
    result = check_build(BOARDS["icebreaker"], "auto", tmp_path / "out")
    assert result.timing_met and result.clock_mhz == 24.0 and result.fmax_mhz > 24
    too_fast = build(BOARDS["icebreaker"], Loopback(), tmp_path / "out", clock_hz=240 * MHZ)
    assert not too_fast.timing_met and too_fast.clock_mhz == 240.0 and too_fast.fmax_mhz < 240


def test_block_ram_runs_out(tmp_path):
    need("auto", "yosys", "nextpnr-ice40", "icepack")
    expected = "it needs 32 BRAM of 30; the nearest board that holds it is ulx3s-12f"
    with pytest.raises(BuildError, match=f"^the design does not fit icebreaker: {expected}$"):
        build(BOARDS["icebreaker"], Loopback(depth=32 * 512), tmp_path / "out")
    assert (tmp_path / "out" / "top.tim").exists()


@pytest.mark.slow
@pytest.mark.parametrize("tools", ["native", "wheel"])
@pytest.mark.parametrize("name", BOARDS)
def test_build_everywhere(tmp_path, name, tools):
    result = check_build(BOARDS[name], tools, tmp_path / "out")
    assert result.timing_met
