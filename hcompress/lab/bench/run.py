"""The whole benchmark: what is measured at which sizes, and the answer `--json` prints."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hcompress import __version__, doctor
from hcompress.compute.libraries import version
from hcompress.errors import InputRefused, UsageError
from hcompress.lab.bench.timing import CLOCK_NAME, QUICK, THOROUGH, Effort

if TYPE_CHECKING:
    from hcompress.formats.open import ModelFile
    from hcompress.progress import Progress
    from hcompress.spec.config import TransformerConfig


NEEDS: Final = ("torch", "safetensors", "onnx", "onnxsim")
"""What the models that it measures are built with."""
VERSIONS: Final = ("numpy", "onnxruntime", "onnx", "onnxsim", "torch", "faiss-cpu", "rapidocr")
ONE_THREAD: Final = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip
CHARSET: Final = "charsets/gbk21k.txt"
CHECKED: Final = 1000
"""Characters of the real files that the bytes worked out are held against."""


@dataclass(frozen=True)
class Plan:
    """Sizes and effort."""

    effort: Effort = THOROUGH
    counts: tuple[int, ...] = (1, 25, 1000)
    widths: tuple[int, ...] = (256, 512)
    searched: tuple[int, ...] = (1, 1000)
    batches: tuple[int, ...] = (1, 16)
    characters: tuple[int, ...] = (1000, 5000, 20948, 50000, 100000)
    loads: int = 5
    code_length: int = 512
    charset: Path | None = None
    """None: the packaged one of 20,948 characters."""
    shape: TransformerConfig | None = None
    """The softmax recogniser that is built; None: MobileNetV2 and three layers, d = 256."""


QUICK_PLAN: Final = Plan(effort=QUICK, loads=2, characters=(1000, 20948))


@dataclass(frozen=True)
class Pair:
    """A softmax file, a Hamming file, and the characters both know."""

    softmax: Path
    hamming: Path
    characters: tuple[str, ...]


def one_thread() -> None:
    """Keep numpy and faiss to one thread. Works before either is imported."""
    for name in ONE_THREAD:
        os.environ[name] = "1"


def run_bench(plan: Plan, progress: Progress, model: Path | None = None) -> dict[str, Any]:
    """Everything, as `hcompress bench --json` prints it.

    ``model`` is a user's exported Hamming recogniser, for images, loading and bytes. Raises
    UsageError where there is none, InputRefused where it is another kind of file.
    """
    from hcompress.lab.bench.models import endless

    given = None if model is None else check_model(model)
    with tempfile.TemporaryDirectory(prefix="hcompress-bench-") as folder:
        root = Path(folder)
        pair = _pair(plan, root, progress, given)
        progress.start("bench", _rounds(plan))
        result: dict[str, Any] = {
            "machine": machine(),
            "versions": versions(),
            "head": _heads(plan, len(pair.characters), progress),
            "search": _searches(plan, len(pair.characters), progress),
            "image": _images(
                plan,
                endless(pair.softmax, root / "endless-softmax.onnx"),
                endless(pair.hamming, root / "endless-hamming.onnx"),
                progress,
            ),
            "load": _load(plan, pair, progress),
            "growth": _growth(plan, pair, progress),
            "growth_check": _check(plan, pair, root, progress) if model is None else None,
            "model": None if model is None else str(model),
        }
        progress.finish()
    return result | {"left_out": left_out()}


def machine() -> dict[str, Any]:
    """The processor, the search's instruction set, and how time is taken."""
    from hcompress.search import backend

    found = doctor.cpu()
    return {
        "cpu": found["model"],
        "features": found["features"],
        "instruction_set": backend.instruction_sets()[0],
        "search": backend.description(),
        "threads": 1,
        "clock": CLOCK_NAME,
    }


def versions() -> dict[str, str | None]:
    """By distribution; None for what is not installed."""
    ours: dict[str, str | None] = {"hcompress": __version__}
    return ours | {name: version(name) for name in VERSIONS}


def left_out() -> list[str]:
    """What was not measured, and why."""
    from hcompress.lab.bench.rapidocr import INSTALL, has_rapidocr
    from hcompress.lab.bench.search import has_faiss
    from hcompress.search import backend

    missing = []
    if not has_faiss():
        missing.append(f"faiss: cannot be imported: {INSTALL}")
    if not has_rapidocr():
        missing.append(f"RapidOCR: cannot be imported: {INSTALL}")
    if backend.native is None:
        missing.append(f"the limits: no native extension, numpy searches ({backend.missing})")
    return missing


def check_model(model: Path) -> ModelFile:
    """The exported file. Raises UsageError or InputRefused."""
    from hcompress.formats.open import open_file
    from hcompress.spec.exported import ONNX_FILE
    from hcompress.spec.header import read_header

    opened = open_file(model, ONNX_FILE, "ONNX file")
    file = opened.path
    if file.suffix != ".onnx" or opened.header is None:
        raise InputRefused(f"{file}: not an exported recogniser: give what `onnx` wrote")
    if read_header(opened).config.head.code_length is None:
        raise UsageError(f"{file}: its classifier is a softmax: give an exported Hamming model")
    return opened


def _pair(plan: Plan, root: Path, progress: Progress, model: ModelFile | None) -> Pair:
    """The two files to compare, built where they are not given."""
    from hcompress.charset import read_charset
    from hcompress.lab.bench.models import build, softmax_twin
    from hcompress.runs.recipe import packaged_folder
    from hcompress.runtime import OnnxReader
    from hcompress.spec.config import TransformerConfig

    if model is not None:
        file = model.path
        reader = OnnxReader(model, steps=False)
        characters = reader.vocabulary.characters
        if not isinstance(reader.config, TransformerConfig):
            raise UsageError(f"{file}: only a transformer has a softmax twin to be compared with")
        twin = softmax_twin(root, characters, reader.config, progress)
        return Pair(twin, file, characters)
    characters = read_charset(plan.charset or packaged_folder() / CHARSET)
    built = build(root, characters, plan.shape or TransformerConfig(), progress, plan.code_length)
    return Pair(built.softmax, built.hamming, characters)


def _rounds(plan: Plan) -> int:
    """Steps of the progress bar."""
    return len(plan.widths) + len(plan.searched) + 2 + len(plan.characters)


def _heads(plan: Plan, characters: int, progress: Progress) -> list[dict[str, Any]]:
    from hcompress.lab.bench.heads import Shape, head_rows
    from hcompress.spec.transcription import AUTOREGRESSIVE

    rows = []
    for width in plan.widths:
        shape = Shape(characters + len(AUTOREGRESSIVE.specials), width, plan.code_length)
        rows += head_rows(shape, plan.counts, plan.effort)
        progress.advance(note=f"head, d = {width}")
    return rows


def _searches(plan: Plan, characters: int, progress: Progress) -> list[dict[str, Any]]:
    from hcompress.lab.bench.search import random_codes, search_row

    codes = random_codes(characters, plan.code_length)
    rows = []
    for count in plan.searched:
        rows.append(search_row(codes, count, plan.effort))
        progress.advance(note="search")
    return rows


def _images(plan: Plan, softmax: Path, hamming: Path, progress: Progress) -> list[dict[str, Any]]:
    from hcompress.lab.bench.image import image_rows

    rows = image_rows(softmax, hamming, plan.batches, plan.effort)
    progress.advance(note="images")
    return rows


def _load(plan: Plan, pair: Pair, progress: Progress) -> dict[str, Any]:
    from hcompress.lab.bench.load import load_entry

    entry = load_entry({"softmax": pair.softmax, "hamming": pair.hamming}, plan.loads)
    progress.advance(note="load")
    sizes = {"softmax": pair.softmax, "hamming": pair.hamming}
    return entry | {f"{name}_bytes": file.stat().st_size for name, file in sizes.items()}


def _growth(plan: Plan, pair: Pair, progress: Progress) -> list[dict[str, Any]]:
    from hcompress.lab.bench.growth import growth_row, weight_of

    softmax, hamming = (weight_of(f, pair.characters) for f in (pair.softmax, pair.hamming))
    rows = []
    for count in plan.characters:
        row = growth_row(
            count, pair.characters, softmax, hamming, plan.effort,
            plan.widths[0], plan.code_length,
        )  # fmt: skip
        rows.append(row)
        progress.advance(note=f"{count:,} characters")
    return rows


def _check(plan: Plan, pair: Pair, root: Path, progress: Progress) -> dict[str, Any]:
    """Real files with fewer characters, and by how much the bytes worked out are off."""
    from hcompress.lab.bench.growth import charset_of, weight_of
    from hcompress.lab.bench.models import build
    from hcompress.spec.config import TransformerConfig

    folder = root / "check"
    folder.mkdir()
    few: Sequence[str] = charset_of(min(CHECKED, len(pair.characters) // 2), pair.characters)
    shape = plan.shape or TransformerConfig()
    real = build(folder, few, shape, progress, plan.code_length)
    entry: dict[str, Any] = {"characters": len(few)}
    for name in ("softmax", "hamming"):
        size = getattr(real, name).stat().st_size
        worked_out = weight_of(getattr(pair, name), pair.characters).bytes(few)
        entry |= {f"{name}_bytes": size, f"{name}_off": worked_out - size}
    return entry


def has_figure() -> bool:
    """Whether the figure can be drawn."""
    return importlib.util.find_spec("matplotlib") is not None
