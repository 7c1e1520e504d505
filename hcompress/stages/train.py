"""`train`: the softmax recogniser of the paper's first training stage, from data alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.recogniser.config import Backbone, RecogniserConfig
from hcompress.recogniser.vocabulary import UnknownCharacter
from hcompress.stages.base import Env, Kind, Param
from hcompress.training.precision import Precision


@dataclass(frozen=True)
class Train:
    """Train a softmax recogniser on line images, on single characters first where given."""

    data: Annotated[Path, Param("lines to train on: LMDB, label file or rendered-text spec", data=True)]
    charset: Annotated[Path, Param("UTF-8 file of the characters, in order of their ids", data=True)]
    validation: Annotated[Path | None, Param("lines that judge it while it trains", data=True)] = None
    glyphs: Annotated[Path | None, Param("single characters to begin with", data=True)] = None
    family: Annotated[Backbone, Param("the backbone")] = Backbone.MOBILENET_V2
    backbone_width: Annotated[float, Param("multiplies the backbone's channels", 0.01, 8)] = 1.0
    width: Annotated[int, Param("features d of encoder and decoder", 4, 4096)] = 256
    ffn_width: Annotated[int, Param("hidden features of the feed-forward networks", 4, 16384)] = 1024
    heads: Annotated[int, Param("attention heads", 1, 64)] = 8
    depth: Annotated[int, Param("decoder layers", 1, 24)] = 3
    max_steps: Annotated[int, Param("characters of the longest line, and one", 2, 256)] = 25
    glyph_steps: Annotated[int, Param("training steps on single characters", 0)] = 1000
    glyph_batch: Annotated[int, Param("single characters a step", 1)] = 128
    glyph_learning_rate: Annotated[float, Param("peak rate on single characters", 0)] = 2e-3
    steps: Annotated[int, Param("training steps on lines", 1)] = 2000
    batch: Annotated[int, Param("lines a step, over all processes", 1)] = 64
    learning_rate: Annotated[float, Param("peak rate on lines", 0)] = 1e-3
    smoothing: Annotated[float, Param("label smoothing", 0, 0.5)] = 0.02
    validate_every: Annotated[int, Param("steps between validations; 0 for none", 0)] = 250
    validation_images: Annotated[int, Param("validation lines read each time", 1)] = 256
    patience: Annotated[int, Param("validations without a gain before stopping; 0: never", 0)] = 0
    snapshot_every: Annotated[int, Param("steps between snapshots", 1)] = 200
    unknown: Annotated[UnknownCharacter, Param("what an unknown character in a label does")] = (
        UnknownCharacter.REFUSE
    )
    precision: Annotated[Precision, Param("arithmetic of the training")] = Precision.AUTO
    workers: Annotated[int, Param("processes that prepare images; they never change them", 0)] = 1

    name: ClassVar[str] = "train"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "train a softmax recogniser from data alone"
    consumes: ClassVar[Kind] = Kind.NOTHING
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch", "lightning-fabric")

    def config(self) -> RecogniserConfig:
        """The shape these parameters ask for."""
        return RecogniserConfig(
            backbone=self.family,
            backbone_width=self.backbone_width,
            width=self.width,
            ffn_width=self.ffn_width,
            heads=self.heads,
            depth=self.depth,
            max_steps=self.max_steps,
        )

    def run(self, source: Path | None, out: Path, env: Env) -> Mapping[str, Any]:  # noqa: ARG002
        from hcompress.recogniser.checkpoint import MODEL_FILE, save_checkpoint
        from hcompress.training.teacher import train_teacher

        model, vocabulary, report = train_teacher(self, env)
        save_checkpoint(out / MODEL_FILE, model, vocabulary, env.provenance)
        return report
