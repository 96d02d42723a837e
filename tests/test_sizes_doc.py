"""docs/sizes.md says what `--config` takes."""

import dataclasses
import re
import tomllib

from int8_graphs import Int8
from support import ROOT

from prunus.compiler.options import Options
from prunus.flow.compile import compile_graph
from prunus.flow.inputs import options_from

PAGE = (ROOT / "docs" / "sizes.md").read_text()


def test_every_size_is_named():
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", PAGE, re.M)
    fields = {field.name: field.default for field in dataclasses.fields(Options)}
    assert sorted(name for name, _ in rows) == sorted(fields)
    for name, default in rows:
        if fields[name] is not None:
            text = str(fields[name]).lower() if fields[name] in (True, False) else fields[name]
            assert default.startswith((f"{text}", f'`"{text}"`'))


def test_the_example():
    text = re.search(r"```toml\n(.*?)```", PAGE, re.S)
    g = Int8((6, 6, 16), seed=1)
    built = compile_graph(g.graph(g.conv(g.x, 16)), options=options_from(tomllib.loads(text[1])))
    assert built.hardware == "a systolic array of 8 x 8"
    assert built.config.tile_pixels == 32
