"""The extra that training needs, and the line that says so where it is missing."""

import importlib.util

__all__ = ["ExtraMissing", "need_train"]


class ExtraMissing(ValueError):
    """A package of an extra is not installed; says how to install it."""


def need_train(*modules: str) -> None:
    """Nothing, where PyTorch (and the other ``modules`` that are named) can be imported.

    Raises
    ------
    ExtraMissing
        One of them is not installed.
    """
    for module in ("torch", *modules):
        if importlib.util.find_spec(module) is None:
            raise ExtraMissing(
                f"training needs {module}, which is not installed; install it with "
                "pip install 'prunus[train]'"
            )
