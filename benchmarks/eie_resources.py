"""What the EIE array takes of an ECP5-85F, and the clock it reaches there, by number of PEs.

The array stands alone between shift registers, which are counted with it: one bit for every port
bit going in, two for every one coming out. Results are cached by content; the largest takes many
minutes.
"""

import argparse
import dataclasses
import json
import sys

from routed import KINDS, clock, place

from prunus.hw.config import Config
from prunus.hw.eie.array import EieArray

# Two block RAMs a PE.
CONFIG = Config(
    pes=64, lanes=8, queue_depth=8, code_bits=4, weight_depth=2048, pointer_depth=1024,
    acc_rows=16, acc_width=24, act_depth=256,
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pes", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--freq", type=float, default=100.0, help="MHz to aim for")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    results = []
    kinds = KINDS["ecp5"]
    if not options.json:
        print(f"{'PEs':>4}" + "".join(f"{kind:>14}" for kind in kinds) + f"{'MHz':>8}")
    for pes in options.pes:
        config = dataclasses.replace(CONFIG, pes=pes, lanes=min(pes & -pes, CONFIG.lanes))
        found = place(EieArray(config), "ecp5", freq_mhz=options.freq, seed=options.seed)
        row = {"pes": pes, **found}
        results.append(row)
        if not options.json:
            cells = (f"{row[kind]['used']:>6} /{row[kind]['available']:>6}" for kind in kinds)
            print(f"{pes:4d}" + "".join(cells) + clock(row["mhz"]), flush=True)
    if options.json:
        print(json.dumps({"results": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
