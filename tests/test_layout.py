"""The repository's own shape: what is packaged, and which folder may import which."""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "prunus"
MAY_IMPORT = {
    "hw": {"hw"},
    "sim": {"sim", "hw"},
    "compiler": {"compiler", "sim", "hw"},
    "boards": {"boards", "hw"},
    "flow": {"flow", "boards", "compiler", "sim", "hw"},
}


def packages() -> set[str]:
    return {
        ".".join((NAME, *init.parent.relative_to(ROOT).parts))
        for top in MAY_IMPORT
        for init in (ROOT / top).rglob("__init__.py")
    }


def test_every_package_is_shipped():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(pyproject["tool"]["setuptools"]["packages"]) == packages()


def test_imports_follow_the_arrows():
    for top, allowed in MAY_IMPORT.items():
        for path in (ROOT / top).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    names = [f"{node.module}.{alias.name}" for alias in node.names]
                for name in names:
                    head, *rest = name.split(".")
                    assert head not in MAY_IMPORT, f"{path}: import {NAME}.{head}, not {head}"
                    if head == NAME and rest:
                        assert rest[0] in allowed, f"{path}: {top} must not import {rest[0]}"
