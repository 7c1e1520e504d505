"""Parameters that several stages share: a recogniser's shape, and training on lines."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Self

from hcompress.charset import UnknownCharacter
from hcompress.compute.precision import Precision
from hcompress.data.options import Unknown, Workers
from hcompress.spec.config import Backbone, TransformerConfig
from hcompress.strict.schema import MOST_BATCH, MOST_IMAGES, Param

Width = Annotated[int, Param("features d of encoder and decoder", 4, 4096)]
FfnWidth = Annotated[int, Param("hidden features of the feed-forward networks", 4, 16384)]
BackboneWidth = Annotated[float, Param("multiplies the backbone's channels", 0.01, 8)]
Lines = Param("lines to train on: LMDB, label file or rendered-text spec", data=True)
MatrixRate = Annotated[
    float,
    Param("peak rate of the decoder's matrices, by Muon; 0 leaves them to AdamW", 0),
]
BatchSize = Annotated[int, Param("lines a step, over all processes", 1, MOST_BATCH)]
Charset = Annotated[Path, Param("UTF-8 file of the characters, in order of their ids")]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a new softmax recogniser looks like."""

    family: Annotated[Backbone, Param("the backbone")] = Backbone.MOBILENET_V2
    backbone_width: BackboneWidth = 1.0
    width: Width = 256
    ffn_width: FfnWidth = 1024
    heads: Annotated[int, Param("attention heads", 1, 64)] = 8
    depth: Annotated[int, Param("decoder layers", 1, 24)] = 3
    max_steps: Annotated[int, Param("characters of the longest line plus one (EOS)", 2, 256)] = 25

    @classmethod
    def like(cls, config: TransformerConfig, **others: Any) -> Self:
        """The parameters that ask for a configuration's shape, and ``others``."""
        shape = {name: getattr(config, field) for name, field in _config_fields().items()}
        return cls(**shape, **others)

    def config(self) -> TransformerConfig:
        """The shape these parameters ask for. Raises UsageError where there is no such one."""
        shape = {field: getattr(self, name) for name, field in _config_fields().items()}
        return TransformerConfig().asked(**shape)


def _config_fields() -> dict[str, str]:
    """The configuration's fields by the names of Shape's: the same, but for one."""
    return {f.name: f.name for f in fields(Shape)} | {"family": "backbone"}


@dataclass(frozen=True, kw_only=True)
class LineTraining:
    """How a training stage goes through its lines."""

    validation: Annotated[
        Path | None, Param("lines that judge it while it trains and fit its confidence", data=True)
    ] = None
    steps: Annotated[int, Param("training steps on lines", 0)] = 1000
    batch: BatchSize = 64
    learning_rate: Annotated[float, Param("peak rate", 0)] = 1e-3
    matrix_rate: MatrixRate = 0.0
    slim_routes: Annotated[
        float,
        Param(
            "weight of a second reading of every batch in which layers stand in for one another and"
            " feed-forward networks are left out: so trained, a decoder loses less by slim-decoder",
            0,
        ),
    ] = 0.0
    smoothing: Annotated[float, Param("label smoothing, for a softmax classifier", 0, 0.5)] = 0.02
    validate_every: Annotated[int, Param("steps between validations; 0 for none", 0)] = 250
    validation_images: Annotated[int, Param("validation lines read each time", 1, MOST_IMAGES)] = (
        256
    )
    patience: Annotated[int, Param("validations without a gain before stopping; 0: never", 0)] = 0
    snapshot_every: Annotated[int, Param("steps between snapshots", 1, keyed=False)] = 200
    unknown: Unknown = UnknownCharacter.REFUSE
    precision: Annotated[Precision, Param("arithmetic of the training")] = Precision.AUTO
    workers: Workers = 1
