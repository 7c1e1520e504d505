"""Writes a model repository: the file, its configuration, and what its ids stand for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hcompress.compute.session import Session
from hcompress.errors import InputRefused, UsageError
from hcompress.export.triton.config import Batching, Ends, batches, config
from hcompress.foreign.header import is_foreign
from hcompress.foreign.options import AS_FOUND, ImportOptions
from hcompress.foreign.spec import open_spec
from hcompress.formats.open import Format, ModelFile
from hcompress.spec.exported import HEIGHT
from hcompress.spec.header import read_header
from hcompress.strict.atomic import write_bytes, write_json, write_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIZES: Final = (1, 2, 4, 8, 16, 32)
KNEE: Final = 0.9
"""Share of the best images a second that the preferred batch has at least."""
_ROUNDS: Final = 3
_WIDTH: Final = 320
"""Of what is measured, where any width is taken."""


def batching_of(file: ModelFile, preferred: int | None = None) -> Batching:
    """Batches up to the largest measured, around a preferred one, which is measured here if it is
    not given; none if the file takes none.

    Raises UsageError for anything but an ONNX file, InputRefused if it can't be run.
    """
    session, inputs = _opened(file)
    if not batches(inputs, session.outputs):
        return Batching(0, 0, 0, 1)
    best = knee(measured(session, inputs)) if preferred is None else preferred
    return Batching(max(SIZES[-1], best), best, 2000, 1)


def write_repository(
    file: ModelFile, out: Path, name: str, batching: Batching, options: ImportOptions = AS_FOUND
) -> None:
    """``out``/``name``/{1/model.onnx, config.pbtxt, classes.json}.

    Raises UsageError for anything but an ONNX file and if the model is there already; InputRefused
    if it can't be run, or batches are asked of a file that takes none.
    """
    folder = out / name
    if folder.exists():
        raise UsageError(f"{folder}: exists: choose another --out or --name, or remove it")
    session, inputs = _opened(file)
    classes = _classes(file, options)
    text = config(name, inputs, session.outputs, batching)
    (folder / "1").mkdir(parents=True)
    write_bytes(folder / "1" / "model.onnx", file.path.read_bytes())
    write_json(folder / "classes.json", classes)
    write_text(folder / "config.pbtxt", text)


def _opened(file: ModelFile) -> tuple[Session, dict[str, tuple[str, list[Any]]]]:
    """A session, and its inputs with the sides that the header says."""
    if file.format is not Format.ONNX:
        raise UsageError(f"{file.path}: Triton's onnxruntime takes ONNX files: export it first")
    if any(piece.file != file.layout.path for piece in file.layout.pieces):
        raise InputRefused(f"{file.path}: points to other files: put all of it into one")
    dimensions = {} if is_foreign(file) else {HEIGHT: read_header(file).config.preprocessing.height}
    session = Session(file.path, 1, dimensions)
    inputs = {
        name: (kind, [dimensions.get(str(side), side) for side in shape])
        for name, (kind, shape) in session.inputs.items()
    }
    return session, inputs


def knee(rates: Sequence[tuple[int, float]]) -> int:
    """The smallest batch with `KNEE` of the most images a second."""
    most = max(rate for _, rate in rates)
    return min(size for size, rate in rates if rate >= KNEE * most)


def measured(session: Session, inputs: Ends) -> list[tuple[int, float]]:
    """Images a second by size of batch, on noise: the best of a few runs each."""
    found = []
    for size in SIZES:
        given = {name: _noise(kind, shape, size) for name, (kind, shape) in inputs.items()}
        seconds = []
        for _ in range(_ROUNDS):
            start = time.perf_counter()
            session.run(list(session.outputs), given)
            seconds.append(time.perf_counter() - start)
        found.append((size, size / min(seconds)))
    return found


def _noise(kind: str, shape: Sequence[int | str | None], size: int) -> NDArray[np.generic]:
    import numpy as np

    sides = [side if isinstance(side, int) else _WIDTH for side in shape[1:]]
    drawn = np.random.default_rng(0).integers(0, 256, (size, *sides), np.uint8)
    return drawn if kind == "tensor(uint8)" else drawn.astype(np.float32) / 127.5 - 1


def _classes(file: ModelFile, options: ImportOptions) -> dict[str, Any]:
    """What a client needs to make text of ids."""
    if is_foreign(file):
        spec = open_spec(file, options)
        return {"scheme": "ctc", "blank": spec.blank, "classes": list(spec.classes)}
    vocabulary = read_header(file).vocabulary
    special = vocabulary.transcription
    return {
        "scheme": str(special.scheme),
        "blank": special.blank,
        "eos": special.eos,
        "classes": [vocabulary.name(index) for index in range(len(vocabulary))],
    }
