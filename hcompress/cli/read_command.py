"""`hcompress read`: images and folders of images, streamed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hcompress.artifacts.packages import names_a_package
from hcompress.artifacts.source import names_a_model
from hcompress.cli.state import Json, state_of
from hcompress.errors import InputRefused, UsageError
from hcompress.progress import NoProgress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.cli.console import Console
    from hcompress.evaluation.readers import Reader
    from hcompress.progress import Progress


READ_BATCH: Final = 16
SUFFIXES: Final = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
)
"""What is taken for an image in a folder; a file named by itself may have any."""


def read(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[MODEL] IMAGE...",
            help="A checkpoint, an ONNX file or an artifact folder; then image files, or folders"
            " of them.",
        ),
    ],
    json_output: Json = False,
) -> None:
    """Read images: text, confidence, candidates.

    Give a MODEL first, or none to use the one in the package: Chinese and English, 20,948
    characters (`doctor` says whether the package has it). The first path is the MODEL if it ends in
    .safetensors or .onnx, or is a folder that holds a model; anything else is an image.

    Reads folders with all folders below them, in the order of names. Cuts lines longer than the
    model's input at gaps and reads them in pieces. Names an image that cannot be read, reads the
    others, and ends with exit code 3.

    Confidence is between 0 and 1 and comparable between softmax and Hamming models: the product
    over the decoding steps, EOS included, of a calibrated step probability.
    """
    from hcompress.evaluation.readers import open_reader
    from hcompress.models import packaged_model

    console = state_of(context).console
    model, images = told_apart(paths)
    _check(paths, images)  # said before seconds go into loading a model
    reader = open_reader(packaged_model() if model is None else model)
    progress = _progress(console)
    total = sum(1 for _ in image_files(images))
    progress.start("read", total)
    refused = _Refused(total, console.say if isinstance(progress, NoProgress) else progress.say)
    for path, reading in _readings(reader, image_files(images), progress, refused):
        confidence = round(float(reading.confidence), 6)
        if json_output:
            entry = {
                "image": str(path),
                "text": reading.text,
                "confidence": confidence,
                "candidates": _plain(reading.candidates),
            }
            console.json(entry, indent=None)
        else:
            console.out(f"{path}  {confidence:.3f}  {reading.text}")
    progress.finish()
    if refused.count:
        raise InputRefused(f"{refused.count} of {total} images could not be read: see above")


def told_apart(paths: Sequence[Path]) -> tuple[Path | None, Sequence[Path]]:
    """The model, if the first path is one, and the images."""
    return (paths[0], paths[1:]) if names_a_model(paths[0]) else (None, paths)


def _check(paths: Sequence[Path], images: Sequence[Path]) -> None:
    """Raises UsageError if a path leads nowhere, or there is no image to read."""
    absent = next((one for one in paths if not (one.exists() or names_a_package(one))), None)
    if absent is not None:
        raise UsageError(f"{absent}: no such file or folder")
    if not images:
        raise UsageError(f"{paths[0]}: a model, and nothing to read: give images after it")
    empty = next((p for p in images if p.is_dir() and next(image_files([p]), None) is None), None)
    if empty is None:
        return
    what = "neither a model nor images" if empty == paths[0] else "no images"
    raise UsageError(f"{empty}: {what} in this folder: give files or another folder")


def image_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Files as they are; of a folder, its images and those of the folders below, by name."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, below, names in os.walk(path):
            below.sort()
            yield from (
                Path(folder, name)
                for name in sorted(names)
                if Path(name).suffix.lower() in SUFFIXES
            )


class _Refused:
    """Images that can't be read: named as they come, counted for the end."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self.count = 0
        self._total = total
        self._say = say

    def add(self, error: Exception, line: str) -> None:
        """Raises ``error`` if the image was the only one."""
        if self._total == 1:
            raise error
        self.count += 1
        self._say(line)


def _progress(console: Console) -> Progress:
    """None if the readings themselves show on the terminal how far it is."""
    return NoProgress() if sys.stdout.isatty() else console.progress()


def _readings(
    reader: Reader, paths: Iterable[Path], progress: Progress, refused: _Refused
) -> Iterator[tuple[Path, Any]]:
    """In order, a few at a time: any number of images fits in memory.

    What is no readable image is left out and told to ``refused``.
    """
    from hcompress.data.batches import in_groups

    for part in in_groups(_opened(paths, progress, refused), _image, READ_BATCH):
        readings = reader.read([image for _, image in part])
        yield from zip((path for path, _ in part), readings, strict=True)
        progress.advance(len(part))


def _image(opened: tuple[Path, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return opened[1]


def _opened(
    paths: Iterable[Path], progress: Progress, refused: _Refused
) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    from hcompress.data.images import read_image

    for path in paths:
        try:
            image = read_image(path)
        except (InputRefused, UsageError) as error:
            refused.add(error, str(error))
            progress.advance()
        except OSError as error:
            refused.add(error, f"{path}: {error.strerror}")
            progress.advance()
        else:
            yield path, image


def _plain(value: Any) -> Any:
    """Lists, dicts and numbers as JSON holds them, six digits after the point."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return round(float(value), 6) if isinstance(value, float) else value


COMMANDS: Final = (read,)
