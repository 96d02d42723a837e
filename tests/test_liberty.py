"""Liberty files are read as far as areas need, and refused in one line."""

import gzip

import pytest
from support import data_dir, needs_data

from prunus.flow.liberty import LibertyError, nand2, parse_liberty, read_library

TEMPLATE = """
  lu_table_template (t) {
    variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("0.1, 1"); index_2 ("0.1, 1");
  }"""
TIMING = "".join(f'{name} (t) {{ values ("0.1, 0.2", "0.3, 0.4"); }} ' for name in (
    "cell_rise", "cell_fall", "rise_transition", "fall_transition",
))  # fmt: skip
ARC = f'timing () {{ related_pin : "A"; timing_sense : negative_unate; {TIMING} }}'
INVERTER = f"""
  cell (INV) {{
    area : 1;
    pin (A) {{ direction : input; capacitance : 1.0; }}
    pin (Y) {{ direction : output; function : "(!A)"; {ARC} }}
  }}"""
NAND = f"""
  cell ("NAND") {{ /* a brace in a comment: }} */
    area : 1.5 ;
    pg_pin (VDD) {{ pg_type : primary_power; }}
    pin (A) {{ direction : "input"; capacitance : 1.0; }}
    pin (B) {{ direction : input; capacitance : 1.0; }}
    pin (Y) {{
      direction : output;
      function : "%s";
      {ARC} {ARC.replace('"A"', '"B"')}
    }}
  }}"""
BUFFER = f"""
  cell (BUF) {{
    area : 2;
    pin (A) {{ direction : input; capacitance : 1.0; }}
    pin (Y) {{ direction : output; function : "A"; {ARC.replace("negative", "positive")} }}
  }}"""
NOR = NAND.replace('"NAND"', "NOR").replace("%s", "!(A+B)").replace("1.5", "1.6")
FLIP_FLOP = """
  cell (DFF) {
    area : 6;
    ff (IQ, IQN) { next_state : "D"; clocked_on : "C"; }
    pin (D) { direction : input; }
    pin (C) { direction : input; clock : true; }
    pin (Q) { direction : output; function : "IQ"; }
  }"""
LATCH = """
  cell (LATCH) {
    area : 4;
    latch (IQ, IQN) { data_in : "D"; enable : "G"; }
    pin (D) { direction : input; }
    pin (G) { direction : input; }
    pin (Q) { direction : output; function : "IQ"; }
  }"""


def library(*cells):
    """The text of a library of these cells."""
    return "\n".join(
        ["library (small) {", "  delay_model : table_lookup;", TEMPLATE, *cells, "}\n"]
    )


SMALL = library(INVERTER, BUFFER, NAND % "!(A&B)", NOR, FLIP_FLOP, LATCH)


def test_cells_are_read(tmp_path):
    (tmp_path / "small.lib.gz").write_bytes(gzip.compress(SMALL.encode()))
    found = read_library(tmp_path / "small.lib.gz")
    areas = {name: cell.area for name, cell in found.cells.items()}
    assert areas == {"INV": 1, "BUF": 2, "NAND": 1.5, "NOR": 1.6, "DFF": 6, "LATCH": 4}
    kinds = [(cell.sequential, cell.flip_flop) for cell in found.cells.values()]
    assert kinds == [(False, False)] * 4 + [(True, True), (True, False)]
    assert found.unit.name == "NAND" and found.text == SMALL


@pytest.mark.parametrize(
    "function",
    [
        "!(A&B)",
        "(A B)'",
        "!A | !B",
        "A' + B'",
        "!(A*B)",
        "(!A) | (!B)",
        "1 ^ (B A)",
        "!(A & B & 1)",
    ],
)
def test_a_nand_is_known_by_its_function(function):
    assert nand2(parse_liberty(library(NAND % function))).name == "NAND"


@pytest.mark.parametrize(
    "function", ["A&B", "!(A|B)", "A^B", "!A&B", "!(A&B", "!(A&C)", "A &", "", "!(A&B) $"]
)
def test_another_function_is_not_a_nand(function):
    with pytest.raises(LibertyError, match=r"^x\.lib: has no NAND of two inputs"):
        nand2(parse_liberty(library(NAND % function)), "x.lib")


def test_the_smallest_usable_nand_is_the_unit():
    large = (NAND % "!(A&B)").replace('"NAND"', "NAND_X2").replace("1.5", "3.0")
    unusable = (NAND % "!(A&B)").replace('"NAND"', "TINY").replace("1.5 ;", "0.5; dont_use : true;")
    no_area = (NAND % "!(A&B)").replace('"NAND"', "NONE").replace("area : 1.5 ;", "")
    cells = parse_liberty(library(large, NAND % "!(A&B)", unusable, no_area))
    assert nand2(cells).name == "NAND"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot be read \(No such file or directory\); name a liberty file$"),
        (gzip.compress(SMALL.encode())[:60], r"cannot be read \(damaged\); name a liberty file$"),
        (b"module x; endmodule", r"is not a liberty file: it has no library \(\.\.\.\) \{ \}$"),
        (b"\x00\xff{}{}", r"is not a liberty file"),
        (SMALL[:-200].encode(), r"ends inside "),
        (b"library (x) { }", r"has no cells$"),
        (library(INVERTER, FLIP_FLOP).encode(), r"has no NAND of two inputs with an area"),
        (library(INVERTER, NAND % "!(A&B)", LATCH).encode(), r"has no flip-flop$"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, content, message):
    path = tmp_path / "x.lib"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LibertyError, match=rf"x\.lib: {message}") as caught:
        read_library(path)
    assert "\n" not in str(caught.value)


@needs_data
@pytest.mark.parametrize(
    ("name", "cells", "unit", "area"),
    [
        ("nangate45_typ", 134, "NAND2_X1", 0.798),
        ("sky130hd_tt", 428, "sky130_fd_sc_hd__nand2_1", 3.7536),
    ],
)
def test_real_libraries(name, cells, unit, area):
    path = data_dir() / "liberty" / f"{name}.lib.gz"
    if not path.is_file():
        pytest.skip("PRUNUS_DATA has no liberty files")
    found = read_library(path)
    assert (len(found.cells), found.unit.name, found.unit.area) == (cells, unit, area)
