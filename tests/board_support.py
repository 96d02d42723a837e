"""A small design for boards, and stand-ins for the programs that build it."""

import sys

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

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


class Flashed(Loopback):
    """Shows the parity of the bytes of an image, of which it never has enough."""

    image_i: In(stream.Signature(8))
    image_stop: Out(1)

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.image_i.ready.eq(1)
        with m.If(self.image_i.valid):
            m.d.sync += self.failed.eq(self.failed ^ self.image_i.payload.xor())
        return m


def script(folder, name, text):
    """An executable that runs a piece of Python."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport sys\n{text}\n")
    path.chmod(0o755)
    return path


def fake_tools(folder, monkeypatch, **texts):
    """Programs that only write files, and a cache of their own."""
    monkeypatch.setenv("PRUNUS_CACHE", str(folder / "cache"))
    for name in ("yosys", "nextpnr-ice40", "icepack"):
        text = "if '--version' in sys.argv: print('Version 9.9'); sys.exit()\n"
        path = script(folder, name, text + texts[name.replace("-", "_")])
        monkeypatch.setenv(name.upper().replace("-", "_"), str(path))


EMPTY = '{"modules": {"top": {"cells": {}}}}'
FINE_YOSYS = f"open('top.json', 'w').write({EMPTY!r}); open('top.rpt', 'w').write('fine')"
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
