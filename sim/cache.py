"""A folder of things that take long to make, each under the hash of what it is made from."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["Cache", "default_folder", "digest"]

KEEP_ENTRIES = 96  # of each kind; the least recently used go first
YOUNG_SECONDS = 3600.0  # never removed: another process may be using it


def default_folder() -> Path:
    """``$PRUNUS_CACHE``, else ``$XDG_CACHE_HOME/prunus``, else ``~/.cache/prunus``."""
    if os.environ.get("PRUNUS_CACHE"):
        return Path(os.environ["PRUNUS_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "prunus"


def digest(value: object) -> str:
    """SHA-256, in hex, of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


class Cache:
    """Folders of one kind below ``folder``, made once for each key.

    A folder is made elsewhere and renamed into place when it is complete, so an interrupted build
    leaves nothing half-made; a second process that wants the same key waits for the first.
    """

    def __init__(self, kind: str, folder: Path | None = None, keep: int = KEEP_ENTRIES):
        if keep < 1:
            raise ValueError(f"keep must be positive, not {keep!r}")
        self.folder = (default_folder() if folder is None else Path(folder)) / kind
        self.keep = keep

    def get(self, key: str, make: Callable[[Path], None]) -> tuple[Path, bool]:
        """The folder for ``key`` and whether it was there; if not, ``make`` fills an empty one."""
        place = self.folder / key
        if self._touch(place):
            return place, True
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked(key):
            if self._touch(place):
                return place, True
            with tempfile.TemporaryDirectory(prefix=".new-", dir=self.folder) as new:
                made = Path(new) / "entry"
                made.mkdir()
                make(made)
                made.rename(place)
        self.prune()
        return place, False

    def prune(self) -> None:
        """Remove the least recently used entries above ``keep``, and what a killed build left."""
        oldest = time.time() - YOUNG_SECONDS
        ages = []
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                ages.append((path.stat().st_mtime, path))
        ages.sort()
        entries = [path for _, path in ages if path.is_dir() and not path.name.startswith(".")]
        surplus = set(entries[: max(0, len(entries) - self.keep)])
        for used, path in ages:
            if used < oldest and (path in surplus or path.name.startswith(".")):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    def _touch(self, place: Path) -> bool:
        """Whether it is there; if so, it counts as used now."""
        try:
            os.utime(place)
        except FileNotFoundError:
            return False
        return True

    @contextlib.contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        # The kernel drops the lock with the process, so a killed build blocks nobody.
        with open(self.folder / f".{key}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
