"""Model files as bytes."""

from pathlib import Path

from ..ir import ModelError

__all__ = ["read_model"]

_LARGEST = 1 << 31  # neither format can address more


def read_model(path: str | Path, suffix: str) -> bytes:
    """The bytes of a file of the kind ``suffix`` (".onnx", ".tflite").

    Raises
    ------
    ModelError
        One line that names the file.
    """
    file = Path(path)
    try:
        if not file.is_file():
            raise ModelError(f"{path}: no such file")
        if file.stat().st_size >= _LARGEST:
            article = "an" if suffix == ".onnx" else "a"
            raise ModelError(f"{path}: larger than {article} {suffix} file can be (2 GB)")
        return file.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
