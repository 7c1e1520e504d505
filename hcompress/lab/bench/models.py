"""The models that are timed: a softmax recogniser and its Hamming one, untrained, exported alike.

What weights are changes no time, as long as every line takes the same steps: `endless` sees to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hcompress.spec.config import SCALE

if TYPE_CHECKING:
    from hcompress.artifacts.folder import Artifact
    from hcompress.progress import Progress
    from hcompress.spec.config import TransformerConfig
    from hcompress.stages.base import Stage


CODE_LENGTH: Final = 512
GROWING: Final = frozenset(
    ("classifier.weight", "embedding.weight", "embedding.rows.weight", "codebook")
)
"""Tensors with a row a character."""


@dataclass(frozen=True)
class Exports:
    """Two ONNX files of one recogniser."""

    softmax: Path
    hamming: Path


def build(
    root: Path,
    characters: Sequence[str],
    like: TransformerConfig,
    progress: Progress,
    code_length: int = CODE_LENGTH,
) -> Exports:
    """Both files under ``root``, through the real stages; ``like`` gives the softmax's shape."""
    from hcompress.codes.options import Method
    from hcompress.stages.codebook import MakeCodebook
    from hcompress.stages.half import Half
    from hcompress.stages.replace_head import ReplaceHead
    from hcompress.stages.slim_decoder import SlimDecoder

    teacher = _teacher(root, characters, like, progress)
    chain: tuple[Stage, ...] = (
        MakeCodebook(method=Method.COLUMNS, code_length=code_length),
        ReplaceHead(),
        SlimDecoder(),
        Half(),
    )
    hamming = teacher
    for stage in chain:
        hamming = _run(stage, hamming, root / stage.name, progress)
    return Exports(
        _exported(_run(Half(), teacher, root / "half-softmax", progress), root / "softmax.onnx"),
        _exported(hamming, root / "hamming.onnx"),
    )


def softmax_twin(
    root: Path, characters: Sequence[str], like: TransformerConfig, progress: Progress
) -> Path:
    """The exported softmax recogniser that a model of ``like``'s shape would come from."""
    from hcompress.stages.half import Half

    teacher = _teacher(root, characters, like, progress)
    return _exported(_run(Half(), teacher, root / "half-softmax", progress), root / "softmax.onnx")


def _teacher(
    root: Path, characters: Sequence[str], like: TransformerConfig, progress: Progress
) -> Artifact:
    from hcompress.stages.initialise import Initialise

    charset = root / "charset.txt"
    charset.write_text("".join(characters), encoding="utf-8")
    stage = Initialise.like(like, charset=charset)
    return _run(stage, None, root / "initialise", progress)


def _run(stage: Stage, source: Artifact | None, folder: Path, progress: Progress) -> Artifact:
    from hcompress.runs.runner import StageOptions, run_stage

    progress.say(f"building: {stage.name}")
    return run_stage(stage, source, folder, StageOptions(threads=1))


def _exported(artifact: Artifact, file: Path) -> Path:
    """The portable form, as the `onnx` stage writes it; nothing is compared with torch."""
    from hcompress.checkpoints.checkpoint import load_checkpoint
    from hcompress.onnx_writer.simplify import simplify
    from hcompress.spec.header import ModelMetadata, Provenance

    found = load_checkpoint(artifact.opened)
    metadata = ModelMetadata(found.config, found.vocabulary, Provenance("onnx", None)).to_json()
    weights = found.stored()
    graph = found.model.graph(metadata, store_half=True, weights=weights)
    file.write_bytes(simplify(graph, frozenset(weights)).data)
    return file


def endless(model: Path, out: Path) -> Path:
    """A copy of an exported model whose EOS is not read: every line takes all steps.

    A softmax's column becomes zeros. A code becomes the one farthest from the codebook's middle.
    """
    import numpy as np

    from hcompress.formats.open import ModelFile
    from hcompress.spec.header import read_header
    from hcompress.spec.heads import CODEBOOK

    opened = ModelFile(model)
    layout, config = opened.layout, read_header(opened).config
    data = bytearray(model.read_bytes())
    coded = config.head.code_length
    wanted = "classifier.weight" if coded is None else CODEBOOK
    piece = next(piece for piece in layout.pieces if piece.name == wanted)
    rows = piece.params // config.width if coded is None else piece.params * 8 // coded
    table = np.frombuffer(data, np.uint8, piece.bytes, piece.offset).reshape(rows, -1)
    eos = config.transcription.eos
    if coded is None:
        table[eos] = 0
    else:
        often = np.unpackbits(table, axis=1, bitorder="little").mean(axis=0) > 0.5
        table[eos] = np.packbits(~often, bitorder="little")
    out.write_bytes(data)
    return out


def row_bytes(model: Path, vocabulary: int) -> float:
    """What one more character adds to a file, its place in the charset left out."""
    from hcompress.formats.open import layout

    names = GROWING | {name + SCALE for name in GROWING}
    pieces = layout(model).pieces
    return sum(piece.bytes for piece in pieces if piece.name in names) / vocabulary
