"""Parameters of a new CTC recogniser, and of its training from data alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from hcompress.spec.config import Backbone
from hcompress.spec.ctc import CtcConfig
from hcompress.spec.preprocessing import AnyWidth
from hcompress.strict.schema import Param
from hcompress.training.options import (
    BackboneWidth,
    Charset,
    FfnWidth,
    Lines,
    LineTraining,
    Width,
)

if TYPE_CHECKING:
    from hcompress.spec.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class CtcLines:
    """How a CTC recogniser goes along its lines, whatever its backbone is."""

    pitch: Annotated[
        int,
        Param("pixels from answer to answer, 4 or 8: two equal letters need three of them", 4, 8),
    ] = 4
    neck: Annotated[int, Param("self-attention blocks over the line; 0 for none", 0, 8)] = 2
    neck_width: Annotated[int, Param("features inside of these blocks", 4, 1024)] = 128
    ffn_width: FfnWidth = 256
    heads: Annotated[int, Param("their attention heads", 1, 64)] = 4
    max_width: Annotated[
        int,
        Param("pixels of the widest line, scaled to a height of 48; a wider one is cut", 32, 2048),
    ] = 1280

    def along(self, **others: Any) -> CtcConfig:
        """The shape these parameters ask for, and ``others``. Raises UsageError where there is no
        such one."""
        size = CtcConfig().preprocessing
        width = -(-self.max_width // size.bucket) * size.bucket
        return CtcConfig().asked(
            pitch=self.pitch,
            max_steps=width // self.pitch,
            preprocessing=AnyWidth(width=width),
            neck=self.neck,
            neck_width=self.neck_width,
            ffn_width=self.ffn_width,
            heads=self.heads,
            **others,
        )


@dataclass(frozen=True, kw_only=True)
class CtcShape(CtcLines):
    """What a new CTC recogniser with a softmax looks like."""

    backbone: Annotated[Backbone, Param("the backbone")] = Backbone.MOBILENET_V2
    backbone_width: BackboneWidth = 1.0
    width: Width = 256

    def config(self) -> CtcConfig:
        """The shape these parameters ask for. Raises UsageError where there is no such one."""
        return self.along(
            backbone=self.backbone, backbone_width=self.backbone_width, width=self.width
        )


@dataclass(frozen=True, kw_only=True)
class TrainCtcOptions(CtcShape, LineTraining):
    """How a CTC recogniser is trained from data alone."""

    data: Annotated[Path, Lines]
    charset: Charset
    first: Annotated[
        Path | None,
        Param("lines to begin with: single characters, or short and clean ones", data=True),
    ] = None
    first_steps: Annotated[int, Param("training steps on these", 0)] = 1000
    first_learning_rate: Annotated[float, Param("peak rate on these", 0)] = 2e-3

    @property
    def first_lines(self) -> Path | None:
        """`first`, if any step is spent on them."""
        return self.first if self.first_steps else None

    def check_labels(self, known: Vocabulary, max_steps: int) -> None:
        from hcompress.data.known import check_labels
        from hcompress.data.source import on_file, open_data

        super().check_labels(known, max_steps)
        if self.first_lines is not None and on_file(self.first_lines):
            check_labels(open_data(self.first_lines), known.characters, self.unknown)
