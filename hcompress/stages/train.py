"""`train`: the softmax recogniser of the paper's first training stage, from data alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.stages.base import Env
from hcompress.strict.schema import MOST_BATCH, Param
from hcompress.training.options import Charset, Lines, LineTraining, Shape


@dataclass(frozen=True, kw_only=True)
class Train(Shape, LineTraining):
    """Train a softmax recogniser on line images, on single characters first where given."""

    data: Annotated[Path, Lines]
    charset: Charset
    glyphs: Annotated[Path | None, Param("single characters to begin with", data=True)] = None
    glyph_steps: Annotated[int, Param("training steps on single characters", 0)] = 1000
    glyph_batch: Annotated[int, Param("single characters a step", 1, MOST_BATCH)] = 128
    glyph_learning_rate: Annotated[float, Param("peak rate on single characters", 0)] = 2e-3
    glyph_width: Annotated[int, Param("pixels across a single character; 0: square", 0)] = 0
    glyph_first: Annotated[
        int, Param("characters to begin with, drawn by the seed; 0: all of them at once", 0)
    ] = 0
    glyph_first_steps: Annotated[int, Param("training steps on these alone", 0)] = 1000
    glyph_means: Annotated[
        int, Param("images of every character that its first column is made from", 1, 1000)
    ] = 3
    glyph_column_rate: Annotated[
        float, Param("the columns' rate, once all characters are there, as a share", 0)
    ] = 1.0

    name: ClassVar[str] = "train"
    version: ClassVar[int] = 5
    summary: ClassVar[str] = "train a softmax recogniser from data alone"
    consumes: ClassVar[Kind] = Kind.NOTHING
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch", "lightning-fabric")

    def run(self, source: Path | None, out: Path, env: Env) -> Mapping[str, Any]:  # noqa: ARG002
        from hcompress.checkpoints.checkpoint import MODEL_FILE, save_checkpoint
        from hcompress.training.train import train_teacher

        model, vocabulary, report = train_teacher(self, env)
        save_checkpoint(out / MODEL_FILE, model, vocabulary, env.provenance)
        return report
