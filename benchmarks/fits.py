"""Which of MLPerf Tiny's models each board holds, and the cycles that are predicted.

Nothing is synthesized: memory and multipliers are counted, logic is estimated. ``--write`` renews
the table that ``prunus boards`` shows. The models are read from ``$PRUNUS_DATA/mlperf_tiny``.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prunus.boards.registry import BOARDS
from prunus.compiler.evaluate import split_host
from prunus.compiler.load import load_model
from prunus.compiler.plan import plan
from prunus.flow.compile import folded
from prunus.flow.fit import FitError, Plans
from prunus.flow.mlperf_tiny import MODELS, TABLE


def survey(folder: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Board, model and entry of the table, from the models in ``folder``."""
    for model, file in MODELS.items():
        _, core, _ = split_host(folded(load_model(folder / file)))
        plans = Plans(core)
        for board in BOARDS.values():
            try:
                placed = plan(core, plans.choose(board))
            except FitError as error:
                yield board.name, model, {"refused": str(error)}
            else:
                yield board.name, model, {"cycles": placed.cycles}


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"renew {TABLE.name}")
    options = parser.parse_args(argv)
    data = os.environ.get("PRUNUS_DATA")
    if not data or not (Path(data) / "mlperf_tiny").is_dir():
        parser.error("PRUNUS_DATA must name the folder that holds mlperf_tiny")
    table: dict[str, dict[str, Any]] = {name: {} for name in BOARDS}
    for board, model, entry in survey(Path(data) / "mlperf_tiny"):
        table[board][model] = entry
        if "refused" in entry:
            print(f"{model}: {entry['refused']}", file=sys.stderr, flush=True)
    print(f"{'board':16}" + "".join(f"{model:>12}" for model in MODELS))
    for board, entries in table.items():
        cells = (f"{entries[m]['cycles']:,}" if "cycles" in entries[m] else "-" for m in MODELS)
        print(f"{board:16}" + "".join(f"{cell:>12}" for cell in cells))
    if options.write:
        TABLE.write_text(json.dumps(table, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
