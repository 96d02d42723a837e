"""What the Winograd unit takes of a part, and the clock it reaches there.

On the ECP5-85F F(4x4) with four filters and F(2x2) with eight, with multipliers of their own; then
what it costs that the unit has its products from the systolic array's multipliers: the unit and the
array, both ready to share, against the array as it is and the unit with its own multipliers. On the
iCE40UP5K F(2x2) and F(4x4) on its eight blocks, as cores with small memories.

Each stands alone between shift registers, which are counted with it: one bit for every port bit
going in, two for every one coming out. Results are cached by content; the largest take long.
"""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from routed import KINDS, clock, place

from prunus.hw.config import Config
from prunus.hw.systolic.array import SystolicArray
from prunus.hw.winograd.core import WinogradCore
from prunus.hw.winograd.engine import WinogradEngine
from prunus.hw.winograd.geometry import Geometry
from prunus.hw.winograd.pool import shared_sizes

# The accelerator of MLPerf Tiny's ic: a systolic array of 16 x 8 blocks, 64 channels.
CONFIG = Config(
    pes=0, lanes=8, columns=8, sparse=False, acc_width=28, act_depth=3072, tile_depth=1691,
    tile_width=22, winograd=4, winograd_filters=4, winograd_channels=64, winograd_depth=1408,
    winograd_width=23, winograd_blocks=12,
)  # fmt: skip
SMALL = {"channels": 16, "weight_depth": 256, "word": 4, "lanes": 1, "map_depth": 512}


def _unit(outputs: int, filters: int) -> WinogradEngine:
    geometry = Geometry(outputs=outputs, filters=filters, channels=64, weight_depth=1408, width=23)
    return WinogradEngine(CONFIG, geometry)


def _sharing_unit() -> WinogradEngine:
    geometry = Geometry.of(CONFIG)
    return WinogradEngine(CONFIG, geometry, shared=geometry.shared(CONFIG))


def _array(*, shared: bool) -> SystolicArray:
    geometry = Geometry.of(CONFIG)
    sizes = shared_sizes(geometry, geometry.shared(CONFIG)) if shared else ()
    return SystolicArray(CONFIG.act_word, CONFIG.columns, shared=sizes)


DESIGNS: dict[str, tuple[str, Callable[[], Any]]] = {
    "F(4x4), 4 filters": ("ecp5", lambda: _unit(4, 4)),
    "F(2x2), 8 filters": ("ecp5", lambda: _unit(2, 8)),
    "array": ("ecp5", lambda: _array(shared=False)),
    "array, sharing": ("ecp5", lambda: _array(shared=True)),
    "F(4x4), 4 filters, sharing": ("ecp5", _sharing_unit),
    "F(2x2) on 8 blocks": (
        "ice40", lambda: WinogradCore(outputs=2, filters=1, passes=2, **SMALL)
    ),
    "F(4x4) on 6 blocks": (
        "ice40", lambda: WinogradCore(outputs=4, filters=1, passes=6, **SMALL)
    ),
}  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("designs", nargs="*", default=tuple(DESIGNS), metavar="DESIGN",
                        help=f"of {'; '.join(DESIGNS)} (default: all)")  # fmt: skip
    parser.add_argument("--freq", type=float, default=100.0, help="MHz to aim for")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    for name in options.designs:
        if name not in DESIGNS:
            parser.error(f"DESIGN must be of {'; '.join(DESIGNS)}, not {name!r}")
    results = []
    kinds = KINDS["ecp5"]
    if not options.json:
        print(f"{'':28}" + "".join(f"{kind:>15}" for kind in kinds) + f"{'MHz':>8}")
    for name in options.designs:
        family, make_design = DESIGNS[name]
        found = place(make_design(), family, freq_mhz=options.freq, seed=options.seed)
        row = {"design": name, "family": family, **found}
        results.append(row)
        if not options.json:
            cells = (f"{row[kind]['used']:>7} /{row[kind]['available']:>6}" for kind in kinds)
            print(f"{name:28}" + "".join(cells) + clock(row["mhz"]), flush=True)
    if options.json:
        print(json.dumps({"results": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
