"""A recogniser from elsewhere, or what was made of one: what a line takes, on one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hcompress.foreign.inputs import prepared
from hcompress.lab.bench.run import Plan, machine, versions
from hcompress.lab.bench.timing import figures, interleave
from hcompress.runtime.foreign_reader import ForeignReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hcompress.formats.open import ModelFile

    Query = tuple[NDArray[np.uint8], NDArray[np.float32]]
    """An image, and what of it goes into the graph."""

LINE: Final = (48, 320)
"""Height and width of the lines: what PP-OCR's own figures are of."""
NAMES: Final = ("graph", "read")


def run_foreign(plan: Plan, file: ModelFile) -> dict[str, Any]:
    """Milliseconds a line, as `hcompress bench MODEL --json` prints it.

    ``graph`` is onnxruntime alone on an input that is ready; ``read`` begins with the image and
    ends with the text. Raises as `ForeignReader`.
    """
    reader = ForeignReader(file, threads=1)
    image = reader.spec.image

    random = np.random.default_rng(1)

    def fresh() -> Query:
        picture = random.integers(0, 256, (*LINE, 3), np.uint8)
        return picture, prepared(picture, image)[None]

    contenders: dict[str, Callable[[Query], object]] = {
        "graph": lambda query: reader.frames.run(query[1]),
        "read": lambda query: reader.read([query[0]]),
    }
    times = interleave(contenders, fresh, plan.effort)
    return {
        "machine": machine(),
        "versions": versions(),
        "line": {"height": LINE[0], "width": LINE[1], **figures(times, NAMES, "ms", 1e3, ())},
        "bytes": file.layout.bytes,
        "model": str(file.path),
        "left_out": [],
    }
