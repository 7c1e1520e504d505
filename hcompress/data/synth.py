"""Writes any data source into a scene-text LMDB, and pictures of what is in one."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hcompress.compute.lock import hold
from hcompress.data.batches import map_chunks
from hcompress.data.lmdb import DATA_FILE, MAX_COUNT, LmdbSource
from hcompress.data.lmdb_partial import Partial
from hcompress.data.order import drawn_as_they_lie, sampled
from hcompress.errors import EnvironmentFailed, UsageError
from hcompress.strict.atomic import sync, write_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import ImageFont

    from hcompress.data.sample import DataSource
    from hcompress.progress import Progress


CHUNK = 500
"""Samples at a time: what a kill costs at most."""
PARTIAL = ".partial"
SPARE = 64 * 2**20
"""Bytes to leave free on the disk."""


class Written(NamedTuple):
    folder: Path
    samples: int
    bytes: int
    resumed: int
    """Samples that an earlier, killed call had left."""


class _Encoded(NamedTuple):
    """A chunk on its way from a worker: PNG files and texts."""

    images: list[bytes]
    texts: list[str]


def write_lmdb(
    source: DataSource, out: Path, workers: int, progress: Progress, count: int | None = None
) -> Written:
    """Write the source's samples, or ``count`` of them by chance, as they lie, into ``out``.

    Images are stored as PNG, so that reading gives the very pixels back. The LMDB grows in
    ``out``.partial and is renamed when complete; after a kill the same call goes on behind the
    last whole chunk, to the same bytes, for any number of workers. Raises UsageError where ``out``
    exists, EnvironmentFailed where the disk is too small or another process writes there.
    """
    total = len(source) if count is None else count
    if not 1 <= total <= min(len(source), MAX_COUNT):
        raise UsageError(f"count {total}: the source has {len(source)} samples")
    if out.exists():
        raise UsageError(f"{out}: exists; remove it or give another name")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + PARTIAL)
    with hold(out.with_name(out.name + ".lock")):
        partial.mkdir(exist_ok=True)
        resumed = _fill(source, partial, total, workers, progress)
        LmdbSource(partial)  # what we would not read again is not given a name
        sync(partial)
        partial.rename(out)
        sync(out.parent)
    return Written(out, total, (out / DATA_FILE).stat().st_size, resumed)


def _fill(source: DataSource, folder: Path, total: int, workers: int, progress: Progress) -> int:
    """Write what is missing; returns how many samples were there."""
    chosen = drawn_as_they_lie(source, total)
    order = sampled(source, total)
    identity = f"{source.digest} {total}" + ("" if order is None else f" drawn {order}")
    with Partial(folder, identity) as partial:
        done = partial.done
        if partial.damaged:
            progress.say(f"{folder}: damaged behind {done:,} samples: goes on from there")
        progress.start("synth", total, done)
        chunks = [chosen[start : start + CHUNK] for start in range(done, total, CHUNK)]
        made = map_chunks(_Encoder(source), chunks, workers)
        for chunk, encoded in zip(chunks, made, strict=True):
            if partial.done == done:
                _check_disk(folder, encoded, total - done)
            _commit(partial, encoded)
            progress.advance(len(chunk))
        partial.finish()
    progress.finish()
    return done


class _Encoder:
    """A chunk of indices to PNG files and texts, in a worker."""

    def __init__(self, source: DataSource) -> None:
        self._source = source

    def __call__(self, indices: Sequence[int]) -> _Encoded:
        samples = [self._source[index] for index in indices]
        return _Encoded([png(sample.image) for sample in samples], [s.text for s in samples])


def png(image: NDArray[np.uint8]) -> bytes:
    """A PNG file of a height x width x 3 image, packed lightly: noise packs no better."""
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(image).save(held, "PNG", compress_level=1)
    return held.getvalue()


def _commit(partial: Partial, encoded: _Encoded) -> None:
    """A chunk's images and labels: what a kill leaves from here on is not made again."""
    partial.append(encoded.images, encoded.texts)


def _check_disk(partial: Path, encoded: _Encoded, left: int) -> None:
    """Raises EnvironmentFailed where the samples left, as large as these, would not fit."""
    # An image fills whole pages of 4096 bytes when it is larger than half of one.
    pages = sum(-(-len(image) // 4096) * 4096 + 256 for image in encoded.images)
    need = left * pages // len(encoded.images) + SPARE
    free = shutil.disk_usage(partial).free
    if need > free:
        raise EnvironmentFailed(
            f"{partial}: needs about {need // 2**20} MiB and the disk has {free // 2**20} MiB;"
            " make room or take fewer samples"
        )


def contact_sheet(source: DataSource, out: Path, rows: int = 16, columns: int = 6) -> None:
    """A PNG of some samples, row by row, each with its text below: to be looked at."""
    from PIL import Image, ImageDraw

    shown = min(len(source), rows * columns)
    if shown < 1 or columns < 1:
        raise UsageError(f"a contact sheet of {rows} x {columns}: at least one of each")
    samples = [source[index] for index in drawn_as_they_lie(source, shown)]
    height = max(sample.image.shape[0] for sample in samples)
    width = max(sample.image.shape[1] for sample in samples)
    across, down = width + 6, height + 18
    sheet = Image.new("RGB", (across * min(columns, shown), down * -(-shown // columns)), "white")
    pen = ImageDraw.Draw(sheet)
    for place, sample in enumerate(samples):
        row, column = divmod(place, columns)
        sheet.paste(Image.fromarray(sample.image), (column * across, row * down))
        pen.text(
            (column * across + 2, row * down + height + 2),
            sample.text,
            "black",
            _caption(sample.text),
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    held = io.BytesIO()
    sheet.save(held, "PNG")
    write_bytes(out, held.getvalue())


CAPTION = 10
"""Pixels an em."""


def _caption(text: str) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font that has the text's characters, or Pillow's own, with boxes for what it lacks."""
    from PIL import ImageFont

    from hcompress.data.render.fonts import coverage, faces, font
    from hcompress.data.render.spec import Split

    if not text.isascii():
        with contextlib.suppress(EnvironmentFailed):
            for face in (*faces(Split.TRAIN, text), *faces(Split.UNSEEN, text)):
                if coverage(face).issuperset(text):
                    return font(face, CAPTION)
    return ImageFont.load_default(CAPTION)
