"""What a build yields, and the file that keeps it."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .report import CriticalPath
from .toolchain import BuildError

__all__ = ["RESULT", "BuildResult", "add_image"]

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
        """What :func:`build` left in ``folder``."""
        try:
            fields = json.loads((Path(folder) / RESULT).read_text())
        except FileNotFoundError:
            raise BuildError(f"{folder} holds no finished build ({RESULT} is missing)") from None
        path = fields["critical_path"]
        return cls(**fields | {
            "resources": {kind: tuple(pair) for kind, pair in fields["resources"].items()},
            "critical_path": None if path is None else CriticalPath(**path),
            "bitstream": Path(folder) / fields["bitstream"],
            "image": Path(folder) / fields["image"] if fields.get("image") else None,
            "logs": {stage: Path(folder) / name for stage, name in fields["logs"].items()},
        })  # fmt: skip


def add_image(folder: Path | str, image: bytes, offset: int) -> BuildResult:
    """Put the ROM image, which belongs at ``offset`` in the flash, beside a finished bitstream."""
    path = Path(folder) / RESULT
    (Path(folder) / IMAGE).write_bytes(image)
    fields = json.loads(path.read_text()) | {"image": IMAGE, "image_offset": offset}
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(fields, indent=2) + "\n")
    scratch.replace(path)
    return BuildResult.load(folder)
