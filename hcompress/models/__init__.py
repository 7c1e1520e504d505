"""The recogniser that travels in the package, with its model card beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hcompress.errors import EnvironmentFailed

FOLDER: Final = Path(__file__).parent
FILE: Final = "gbk21k.onnx"
CARD: Final = "README.md"


def packaged_model() -> Path:
    """The ONNX file of the packaged recogniser: 20,948 characters, Chinese and English.

    Raises EnvironmentFailed where the package was built without one.
    """
    path = FOLDER / FILE
    if not path.is_file():
        # Not usage: the command is right, and works where the model is. What is missing is a
        # part of the installation, as a library would be.
        raise EnvironmentFailed(
            "this package was built without a model: name one before the images:"
            " hcompress read MODEL IMAGE..."
        )
    return path
