"""`hcompress read`: images and folders of images, streamed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from hcompress.artifacts.packages import names_a_package
from hcompress.artifacts.source import names_a_model
from hcompress.cli.foreign_options import (
    Arch,
    BlankClass,
    Charset,
    Preprocessed,
    check_wanted,
    options_of,
)
from hcompress.cli.reading_options import (
    MinConfidence,
    OnlyThese,
    Providers,
    Threads,
    reading_of,
    say_lacking,
)
from hcompress.cli.state import Json, state_of
from hcompress.errors import EnvironmentFailed, InputRefused, UsageError
from hcompress.progress import NoProgress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.cli.console import Console
    from hcompress.data.image_folder import LeftOut
    from hcompress.evaluation.readers import Reader
    from hcompress.progress import Progress
    from hcompress.runtime.reading import Reading


READ_BATCH: Final = 16


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
    charset: Charset = None,
    preprocessing: Preprocessed = None,
    blank: BlankClass = None,
    arch: Arch = None,
    threads: Threads = None,
    only: OnlyThese = None,
    min_confidence: MinConfidence = 0.0,
    provider: Providers = None,
    json_output: Json = False,
) -> None:
    """Read images: text, confidence, candidates.

    Give a MODEL first, or none to use the one in the package: Chinese and English, 20,948
    characters (`doctor` says whether the package has it). The first path is the MODEL if it ends in
    .safetensors or .onnx, or is a folder that holds a model; anything else is an image.

    Reads folders with all folders below them, in the order of names, and says what it leaves out.
    An IMAGE may be a pipe, or - for standard input. Cuts lines longer than the model's input
    between characters and reads them in pieces. Names an image that cannot be read, reads the
    others, and ends with exit code 3; with 4 if a folder could not be opened. Remarks on a line
    that is taller than wide, and on a file of several pictures, of which it reads the first.

    Confidence is between 0 and 1 and comparable between softmax and Hamming models: the product
    over the decoding steps, EOS included, of a calibrated step probability. An empty text of an
    image with ink is never sure. With --only it stays the one among all characters: a forced
    answer is unsure. A remark says where a model keeps too few candidates to choose among, and what
    --min-confidence leaves out.
    """
    from hcompress.artifacts.source import open_source
    from hcompress.data.image_folder import LeftOut
    from hcompress.evaluation.readers import open_reader
    from hcompress.models import packaged_model

    console = state_of(context).console
    model, images = told_apart(paths)
    _check(paths, images)  # said before seconds go into loading a model
    file = open_source(packaged_model() if model is None else model).opened
    options = options_of(charset, preprocessing, blank, arch)
    check_wanted(options, [file])
    reading_options = reading_of(threads, only, min_confidence, provider)
    reader = open_reader(file, options, reading_options)
    say_lacking(reader, reading_options, console.say)
    progress = _progress(console)
    say = console.say if isinstance(progress, NoProgress) else progress.say
    left_out = LeftOut()
    total = sum(1 for _ in image_files(images, left_out))
    for line in left_out.lines():
        console.say(line)
    progress.start("read", total)
    refused = _Refused(total, say)
    for path, reading in _readings(reader, image_files(images), progress, refused):
        if json_output:
            console.json(_entry(path, reading), indent=None)
        else:
            console.out(f"{column(path)}  {reading.confidence:.3f}  {reading.text}")
        if reading.remark:
            say(f"{path}: {reading.remark}")
    progress.finish()
    _check_all(refused.count, total, left_out.failed)


def _check_all(refused: int, total: int, failed: int) -> None:
    """Raises InputRefused if images were refused, EnvironmentFailed if none was, but something
    among them could not be opened."""
    more = f"{failed} more files or folders could not be opened: see above"
    if refused:
        also = f", and {more}" if failed else ": see above"
        raise InputRefused(f"{refused} of {total} images could not be read{also}")
    if failed:
        raise EnvironmentFailed(f"{total} images read; {more}")


def _entry(path: Path, reading: Reading) -> dict[str, Any]:
    return {
        "image": str(path),
        "text": reading.text,
        "confidence": round(float(reading.confidence), 6),
        "candidates": _plain(reading.candidates),
        **({"remark": reading.remark} if reading.remark else {}),
    }


def column(path: Path) -> str:
    """A path as a column before others: two blanks in its name must not end it."""
    return str(path).replace("  ", " ‹U+0020›")


def told_apart(paths: Sequence[Path]) -> tuple[Path | None, Sequence[Path]]:
    """The model, if the first path is one, and the images."""
    return (paths[0], paths[1:]) if names_a_model(paths[0]) else (None, paths)


def _check(paths: Sequence[Path], images: Sequence[Path]) -> None:
    """Raises UsageError if a path leads nowhere, or there is no image to read."""
    from hcompress.data.images import STDIN

    absent = next(
        (p for p in paths if str(p) != STDIN and not (p.exists() or names_a_package(p))), None
    )
    if absent is not None:
        raise UsageError(f"{absent}: no such file or folder")
    if not images:
        raise UsageError(f"{paths[0]}: a model, and nothing to read: give images after it")
    empty = next((p for p in images if p.is_dir() and next(image_files([p]), None) is None), None)
    if empty is None:
        return
    what = "neither a model nor images" if empty == paths[0] else "no images"
    raise UsageError(f"{empty}: {what} in this folder: give files or another folder")


def image_files(paths: Sequence[Path], left_out: LeftOut | None = None) -> Iterator[Path]:
    """Files as they are; of a folder, its images and those of the folders below, by name."""
    from hcompress.data.image_folder import images_below

    for path in paths:
        if path.is_dir():
            yield from images_below(path, left_out)
        else:
            yield path


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
    from hcompress.runtime.look import with_remarks

    for part in in_groups(_opened(paths, progress, refused), _image, READ_BATCH):
        readings: Iterable[Any] = reader.read([opened.image for opened in part])
        for opened, reading in zip(part, readings, strict=True):
            yield opened.path, with_remarks(reading, opened.remarks)
        progress.advance(len(part))


class _Opened(NamedTuple):
    """An image, and what is to be said of its file."""

    path: Path
    image: NDArray[np.uint8]
    remarks: list[str]


def _image(opened: _Opened) -> NDArray[np.uint8]:
    return opened.image


def _opened(paths: Iterable[Path], progress: Progress, refused: _Refused) -> Iterator[_Opened]:
    from hcompress.data.images import read_piped_image

    for path in paths:
        remarks: list[str] = []
        try:
            image = read_piped_image(path, remarks.append)
        except (InputRefused, UsageError) as error:
            refused.add(error, str(error))
            progress.advance()
        except OSError as error:
            refused.add(error, f"{path}: {error.strerror}")
            progress.advance()
        else:
            yield _Opened(path, image, remarks)


def _plain(value: Any) -> Any:
    """Lists, dicts and numbers as JSON holds them, six digits after the point."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return round(float(value), 6) if isinstance(value, float) else value


COMMANDS: Final = (read,)
