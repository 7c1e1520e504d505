"""Whole images: encoder, every decoder step and the head, a new image each time.

N images, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hcompress.lab.bench.rapidocr import ALONE, engine, has_rapidocr
from hcompress.lab.bench.timing import Effort, figures, interleave
from hcompress.runtime import OnnxReader
from hcompress.spec.preprocessing import Preprocessing

Images = NDArray[np.uint8]
Read = Callable[[Images], object]
NAMES: Final = ("softmax", "hamming", "portable", "rapidocr")
PAIRS: Final = (("softmax", "hamming"), ("softmax", "portable"), ("rapidocr", "hamming"))


def image_rows(
    softmax: Path, hamming: Path, batches: tuple[int, ...], effort: Effort
) -> list[dict[str, Any]]:
    """An entry a batch size: milliseconds a batch.

    ``softmax`` and ``portable`` run the file's own loop, as any ONNX Runtime does; ``hamming``
    runs steps with the native search beside them. All through `OnnxReader`, with one thread.
    Where RapidOCR is, its recogniser reads the same images; of batches of one, as it takes them.
    """
    readers = {
        "softmax": OnnxReader(softmax, threads=1),
        "hamming": OnnxReader(hamming, threads=1),
        "portable": OnnxReader(hamming, threads=1, steps=False),
    }
    size = readers["hamming"].preprocessing
    steps = min(_steps(reader, size) for reader in readers.values())
    peer = _peer() if has_rapidocr() else None
    rows = []
    for batch in batches:
        contenders: dict[str, Read] = {name: reader.read for name, reader in readers.items()}
        if peer is not None and batch == 1:
            contenders["rapidocr"] = peer
        times = interleave(contenders, fresh_images(batch, size), effort)
        row = {"batch": batch, "steps": steps, **figures(times, NAMES, "ms", 1e3, PAIRS)}
        rows.append(row)
    return rows


def _peer() -> Read:
    """RapidOCR's recogniser, of a batch of one."""
    read = engine()
    return lambda images: read(images[0], **ALONE)


def fresh_images(count: int, size: Preprocessing, seed: int = 1) -> Callable[[], Images]:
    """New noise [N, H, W, 3] at every call: what is in an image changes no time."""
    random = np.random.default_rng(seed)
    shape = (count, size.height, size.width, size.channels)
    return lambda: random.integers(0, 256, shape, np.uint8)


def _steps(reader: OnnxReader, size: Preprocessing) -> int:
    """Decoding steps a line takes."""
    ids, _ = reader.decode(fresh_images(1, size)())
    return int(ids.shape[1])
