"""The lines a page shows as the teacher and as the last model read them, with their images."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hcompress.errors import HcompressError
from hcompress.reports.model import Accuracy, Comparison, Samples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


SHOWN: Final = 18
"""How many lines a page shows."""
_WIDTH: Final = 320
"""Pixels an inlined image may be wide: a page must not weigh megabytes."""


def choose_samples(accuracies: Sequence[Accuracy], names: Sequence[str]) -> Samples | None:
    """Lines that both the teacher and the last model that was read have a reading of.

    Half of them, where there are as many, are lines on which the two differ; the others are the
    first of the data, so that the page flatters nobody. None without two models on one set.
    """
    pair = _pair(accuracies)
    if pair is None:
        return None
    before, after = pair
    listed = (*before.samples, *before.wrong, *after.samples, *after.wrong)
    lines = [
        Comparison(index, truth, old, new)
        for index, truth in sorted({line.index: line.truth for line in listed}.items())
        if (old := _read_text(before, index, truth)) is not None
        and (new := _read_text(after, index, truth)) is not None
    ]
    differ = [line for line in lines if line.before != line.after]
    agree = [line for line in lines if line.before == line.after]
    kept = differ[: max(SHOWN // 2, SHOWN - len(agree))]
    kept += agree[: SHOWN - len(kept)]
    return Samples(
        data=before.data,
        data_digest=before.data_digest,
        before=names[before.step],
        after=names[after.step],
        lines=tuple(sorted(kept, key=lambda line: line.index)),
    )


def _pair(accuracies: Sequence[Accuracy]) -> tuple[Accuracy, Accuracy] | None:
    pairs = [
        (before, after)
        for before in accuracies
        for after in accuracies
        if before.step == 0 < after.step
        and (before.data_digest, before.images) == (after.data_digest, after.images)
    ]
    return max(pairs, key=lambda pair: (pair[1].step, pair[1].images), default=None)


def _read_text(entry: Accuracy, index: int, truth: str) -> str | None:
    """What was read on a line; None where the evaluation does not say.

    A line that is not among the wrong ones was read right, if that list is whole.
    """
    for line in (*entry.samples, *entry.wrong):
        if line.index == index:
            return line.read
    wrong = round(entry.images * (1 - entry.accuracy))
    return truth if len(entry.wrong) == wrong else None


def with_images(samples: Samples, roots: Sequence[Path]) -> Samples:
    """The same lines with their images as data URIs, made again from the data.

    ``roots`` are folders that a relative path may be relative to. Where the data is gone, or is
    no longer the data that was read, the lines stay and a note says why there are no images.
    """
    path = _find(samples.data, roots)
    if path is None:
        return dataclasses.replace(samples, note=f"no images: {samples.data} is not there any more")
    try:
        images = _images(path, samples.data_digest, [line.index for line in samples.lines])
    except (HcompressError, OSError, ImportError, IndexError) as error:
        return dataclasses.replace(samples, note=f"no images: {error}")
    if images is None:
        note = f"no images: {samples.data} has changed since it was read"
        return dataclasses.replace(samples, note=note)
    lines = [dataclasses.replace(line, image=images[line.index]) for line in samples.lines]
    return dataclasses.replace(samples, lines=tuple(lines))


def _find(data: str, roots: Sequence[Path]) -> Path | None:
    if not data or "\0" in data:
        return None
    return next((root / data for root in roots if (root / data).exists()), None)


def _images(path: Path, digest: str, indices: Sequence[int]) -> Mapping[int, str] | None:
    from hcompress.data.source import open_data

    source = open_data(path)
    if digest and source.digest != digest:
        return None
    return {index: png_uri(source[index].image) for index in indices}


def png_uri(image: NDArray[np.uint8]) -> str:
    """``image`` (uint8, height x width x 3) as a PNG in a data URI, shrunk where it is wide."""
    from PIL import Image

    picture = Image.fromarray(image, "RGB")
    if picture.width > _WIDTH:
        height = max(1, round(picture.height * _WIDTH / picture.width))
        picture = picture.resize((_WIDTH, height), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
