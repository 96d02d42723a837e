"""What a build yields, and the file that keeps it."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .report import CriticalPath
from .toolchain import BuildError

__all__ = ["IMAGE", "RESULT", "BuildResult"]

RESULT = "result.json"
IMAGE = "image.bin"


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """A bitstream and what is known about it."""

    board: str
    clock_mhz: float
    fmax_mhz: float
    timing_met: bool
    baud: int
    seed: int
    resources: dict[str, tuple[int, int]]  # kind: used, available
    critical_path: CriticalPath | None
    bitstream: Path
    logs: dict[str, Path]
    tools: dict[str, str]
    image: Path | None = None  # goes into the flash too,
    image_offset: int | None = None  # there

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON types, paths as strings."""
        fields = dataclasses.asdict(self)
        fields["resources"] = {kind: list(pair) for kind, pair in self.resources.items()}
        fields["bitstream"] = str(self.bitstream)
        fields["image"] = None if self.image is None else str(self.image)
        fields["logs"] = {stage: str(path) for stage, path in self.logs.items()}
        return fields

    @classmethod
    def load(cls, folder: Path | str) -> "BuildResult":
        """What :func:`build` left in ``folder``.

        Raises
        ------
        BuildError
            There is nothing, or it is damaged.
        """
        try:
            fields = json.loads((Path(folder) / RESULT).read_text())
            path = fields["critical_path"]
            result = cls(**fields | {
                "resources": {kind: (*pair,) for kind, pair in fields["resources"].items()},
                "critical_path": None if path is None else CriticalPath(**path),
                "bitstream": Path(folder) / fields["bitstream"],
                "image": Path(folder) / fields["image"] if fields.get("image") else None,
                "logs": {stage: Path(folder) / name for stage, name in fields["logs"].items()},
            })  # fmt: skip
            if not isinstance(result.board, str):
                raise TypeError("board must be a name")
        except FileNotFoundError:
            raise BuildError(f"{folder} holds no finished build ({RESULT} is missing)") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BuildError(f"{Path(folder) / RESULT}: damaged; run prunus build again") from error
        return result
