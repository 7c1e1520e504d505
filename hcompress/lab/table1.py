"""The paper's Table 1, Table 2's ResNet31 rows, and int8, as real files from the real stages.

The recognisers are untrained: training changes what weights are, not what they weigh. The
codes come from the softmax columns, which need no data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hcompress.artifacts.folder import Artifact
from hcompress.charset import read_charset
from hcompress.codes.options import Method
from hcompress.reports.size_table import Column, column
from hcompress.runs.recipe import packaged_folder
from hcompress.runs.runner import StageOptions, run_stage
from hcompress.spec.config import Backbone
from hcompress.stages.base import Stage, needs
from hcompress.stages.codebook import MakeCodebook
from hcompress.stages.half import Half
from hcompress.stages.initialise import Initialise
from hcompress.stages.int8 import Int8
from hcompress.stages.onnx import OnnxStage
from hcompress.stages.replace_head import ReplaceHead
from hcompress.stages.slim_decoder import SlimDecoder
from hcompress.stages.swap_backbone import SwapBackbone

CHARSET: Final = "charsets/gbk21k.txt"
NEEDS: Final = (*needs(SwapBackbone), *needs(OnnxStage))
"""Distributions its stages need."""
SHORT_CODES: Final = 256
"""Bits of the codes in the smallest int8 file; the other int8 file has those of the table."""


@dataclass(frozen=True)
class Step:
    """One artifact of the table: which stage makes it, and from which other artifact."""

    label: str
    stage: Stage
    parent: str | None
    title: str | None = None
    """Its column's name; None for an artifact that is no column, such as a codebook's."""


def steps(charset: Path, code_length: int) -> tuple[Step, ...]:
    """Table 1's chain: one technique more at each column."""
    codebook = MakeCodebook(method=Method.COLUMNS, code_length=code_length)
    return (
        Step("baseline", _baseline(charset), None, "Master (ResNet31)"),
        Step("mobilenetv2", SwapBackbone(steps=0), "baseline", "MobileNetV2"),
        Step("codebook", codebook, "mobilenetv2"),
        Step("hamming-classifier", HC, "codebook", "Hamming Classifier"),
        Step("hamming-embedding", HE, "hamming-classifier", "Hamming Embedding"),
        Step("no-ffn", NO_FFN, "hamming-embedding", "No Feed-Forward"),
        Step("shared-layers", SHARED, "no-ffn", "Cross-layer Parameter Sharing"),
        Step("half", Half(), "shared-layers", "Half-Precision Float (FP16)"),
    )


def table2_steps(charset: Path, code_length: int) -> tuple[Step, ...]:
    """Table 2's rows on ResNet31, which keep FP32."""
    codebook = MakeCodebook(method=Method.COLUMNS, code_length=code_length)
    return (
        Step("baseline", _baseline(charset), None, "Master (ResNet31)"),
        Step("resnet31-codebook", codebook, "baseline"),
        Step("resnet31-hc", HC, "resnet31-codebook", "HC (ResNet31)"),
        Step("resnet31-hc-he", HE, "resnet31-hc", "HC+HE (ResNet31)"),
        Step("resnet31-noffn-ps", SlimDecoder(), "baseline", "NoFFN+PS (ResNet31)"),
        Step("resnet31-all", SlimDecoder(), "resnet31-hc-he", "Hamming OCR (ResNet31)"),
    )


def int8_steps(code_length: int) -> tuple[Step, ...]:
    """What comes after Table 1: its last columns in int8, and again with shorter codes.

    Where the table's own codes are that short there is but one.
    """
    own = Step("int8", Int8(), "shared-layers", f"INT8, {code_length} bits")
    if code_length == SHORT_CODES:
        return (own,)
    short = MakeCodebook(method=Method.COLUMNS, code_length=SHORT_CODES)
    return (
        own,
        Step("short-codebook", short, "mobilenetv2"),
        Step("short-head", ReplaceHead(), "short-codebook"),
        Step("short-slim", SlimDecoder(), "short-head"),
        Step("int8-short", Int8(), "short-slim", f"INT8, {SHORT_CODES} bits"),
    )


HC: Final = ReplaceHead(embedding=False)
HE: Final = ReplaceHead(classifier=False)
NO_FFN: Final = SlimDecoder(share_layers=False)
SHARED: Final = SlimDecoder(remove_ffn=False)


def _baseline(charset: Path) -> Initialise:
    return Initialise(charset=charset, family=Backbone.RESNET31, width=512, ffn_width=2048)


@dataclass(frozen=True)
class Weighed:
    """A column and the file it is the weight of."""

    column: Column
    path: Path

    def to_dict(self, root: Path) -> dict[str, Any]:
        return self.column.to_dict() | {"path": self.path.relative_to(root).as_posix()}


@dataclass(frozen=True)
class Exported:
    """An int8 checkpoint, and the one ONNX file made of it."""

    code_length: int
    weighed: Weighed
    onnx: Path

    def to_dict(self, root: Path) -> dict[str, Any]:
        return {
            "code_length": self.code_length,
            **self.weighed.to_dict(root),
            "onnx": _file(self.onnx, root),
        }


@dataclass(frozen=True)
class Tables:
    """What was written."""

    characters: int
    columns: tuple[Weighed, ...]
    table2: tuple[Weighed, ...]
    onnx: Path
    int8: tuple[Exported, ...]

    def to_dict(self, root: Path) -> dict[str, Any]:
        """The command's JSON; paths are relative to ``root``."""
        return {
            "characters": self.characters,
            "columns": [entry.to_dict(root) for entry in self.columns],
            "table2": [entry.to_dict(root) for entry in self.table2],
            "onnx": _file(self.onnx, root),
            "int8": [entry.to_dict(root) for entry in self.int8],
        }


def _file(path: Path, root: Path) -> dict[str, Any]:
    size = path.stat().st_size
    return {"bytes": size, "mib": size / 2**20, "path": path.relative_to(root).as_posix()}


def build_tables(
    root: Path,
    options: StageOptions,
    *,
    charset: Path | None = None,
    code_length: int = 512,
) -> Tables:
    """Write every file of both tables under ``root``; finished ones are kept."""
    chosen = charset if charset is not None else packaged_folder() / CHARSET
    made: dict[str, Artifact] = {}
    characters = len(read_charset(chosen))
    columns = _build(root, steps(chosen, code_length), made, options, characters)
    onnx = run_stage(OnnxStage(), made["half"], root / "onnx", options)
    table2 = _build(root, table2_steps(chosen, code_length), made, options, characters)
    weighed = _build(root, int8_steps(code_length), made, options, characters)
    lengths = {"int8": code_length, "int8-short": SHORT_CODES}
    labels = [label for label in lengths if label in made]
    int8 = tuple(
        Exported(
            lengths[label],
            entry,
            run_stage(OnnxStage(), made[label], root / f"onnx-{label}", options).file,
        )
        for label, entry in zip(labels, weighed, strict=True)
    )
    return Tables(characters, columns, table2, onnx.file, int8)


def _build(
    root: Path,
    chain: tuple[Step, ...],
    made: dict[str, Artifact],
    options: StageOptions,
    characters: int,
) -> tuple[Weighed, ...]:
    weighed: list[Weighed] = []
    for step in chain:
        parent = made[step.parent] if step.parent is not None else None
        if step.label not in made:
            made[step.label] = run_stage(step.stage, parent, root / step.label, options)
        artifact = made[step.label]
        if step.title is None:
            continue
        manifest = artifact.manifest
        assert manifest is not None  # what a stage wrote has one
        entry = column(step.title, manifest.techniques, manifest.breakdown, characters=characters)
        weighed.append(Weighed(entry, artifact.file))
    return tuple(weighed)
