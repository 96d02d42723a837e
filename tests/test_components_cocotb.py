"""The Verilog of each component under Verilator, against the golden functions.

Every bench runs with the three rates of gaps and stalls of bench_support.py.
"""

import json

import pytest
from eie_model import small

from prunus.hw import rom
from prunus.hw.activations import Activations
from prunus.hw.bank import Bank
from prunus.hw.config import Config
from prunus.hw.eie.array import EieArray
from prunus.hw.eie.pe import Pe
from prunus.hw.eie.scanner import Scanner
from prunus.hw.host.deframer import Deframer
from prunus.hw.host.framer import Framer
from prunus.hw.host.uart import Uart
from prunus.hw.sequencer import Sequencer
from prunus.hw.vector.requantize import Requantize
from prunus.hw.vector.unit import VectorUnit
from prunus.sim import verilator
from prunus.sim.generate import to_verilog
from prunus.sim.lint import lint


def rom_by_bits(contents):
    """A ROM that is stored as only a large one is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rom, "DEEP", 16)
        return rom.Rom(bytes.fromhex(contents))


CASES = [
    ("requantize", lambda **s: Requantize(Config(**s)), dict(acc_width=24)),
    ("requantize", lambda **s: Requantize(Config(**s)), dict(left_shift_bits=3)),
    ("requantize", lambda **s: Requantize(Config(**s)), dict(lane_blocks=2)),
    (
        "vector_unit",
        lambda **s: VectorUnit(small(**s)),
        dict(pes=8, lanes=4, act_word=8, record_depth=16),
    ),
    (
        "vector_unit",
        lambda **s: VectorUnit(small(**s)),
        dict(act_word=1, record_depth=16, left_shift_bits=2, acc_width=24),
    ),
    (
        "vector_unit",
        lambda **s: VectorUnit(small(**s)),
        dict(pes=0, lanes=4, act_word=8, columns=4, record_depth=16, lane_blocks=2),
    ),
    ("scanner", lambda **s: Scanner(small(**s)), dict(act_word=1)),
    ("scanner", lambda **s: Scanner(small(**s)), dict(act_word=8)),
    (
        "pe",
        lambda **s: Pe(small(**s), 1, slack=1),
        dict(code_bits=4, codebooks=2, queue_depth=1, acc_rows=5),
    ),
    ("pe", lambda **s: Pe(small(**s), 1, slack=1), dict(sparse=False)),
    (
        "eie_array",
        lambda **s: EieArray(small(**s)),
        dict(pes=8, lanes=2, code_bits=4, codebooks=2, queue_depth=2),
    ),
    ("eie_array", lambda **s: EieArray(small(**s)), dict(pes=4, lanes=4, sparse=False)),
    ("sequencer", lambda **s: Sequencer(small(**s)), dict(program_depth=4)),
    (
        "sequencer",
        lambda **s: Sequencer(small(**s)),
        dict(program_depth=6, act_word=2, columns=1, line_depth=9, window=True, tables=1),
    ),
    ("uart", Uart, dict(divisor=5)),
    ("framer", Framer, {}),
    ("deframer", lambda **s: Deframer(small(**s)), dict(frame_bytes=16)),
    ("rom", rom_by_bits, dict(contents=bytes(range(3, 250, 7)).hex())),
    ("rom", lambda contents: rom.Rom(bytes.fromhex(contents)), dict(contents="00ff807e0123")),
    ("activations", lambda **s: Activations(small(**s)), dict(lanes=2, act_word=8, act_depth=8)),
    (
        "activations",
        lambda **s: Activations(small(**s)),
        dict(pes=0, lanes=2, act_word=8, columns=2, act_depth=8),
    ),
    ("activations", Bank, dict(width=13, depth=16)),
]


@pytest.mark.parametrize("bench, make, settings", CASES, ids=lambda v: v if type(v) is str else "")
def test_equals_golden(bench, make, settings, tmp_path):
    source = to_verilog(make(**settings), bench)
    assert lint([source], bench) == []
    model = verilator.build([source], bench)
    env = {"SETTINGS": json.dumps(settings)}
    verilator.run(model, f"benches.{bench}", env=env, work_dir=tmp_path, seed=1)
