"""Parameters that several stages share: a recogniser's shape, and training on lines."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from hcompress.charset import UnknownCharacter
from hcompress.compute.precision import Precision
from hcompress.data.options import Unknown, Workers
from hcompress.progress import Progress
from hcompress.spec.config import Backbone, TransformerConfig
from hcompress.strict.schema import MOST_BATCH, MOST_IMAGES, Param

if TYPE_CHECKING:
    from hcompress.spec.vocabulary import Vocabulary

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

    def check_labels(self, known: Vocabulary, max_steps: int) -> None:
        """Raises InputRefused of lines that the stage would refuse, before anything is learnt."""
        from hcompress.data.known import check_labels, check_lengths
        from hcompress.data.source import on_file, open_data

        for path in (self._lines, self.validation):
            if path is None or not on_file(path):
                continue
            source = open_data(path)
            check_labels(source, known.characters, self.unknown)
            if path == self._lines:
                check_lengths(source, max_steps - 1)

    @property
    def _lines(self) -> Path | None:
        """The stage's ``data``."""
        return getattr(self, "data", None)


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Shape, LineTraining):
    """How a softmax recogniser is trained from data alone."""

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

    @property
    def glyphs_first(self) -> Path | None:
        """`glyphs`, if any step is spent on them."""
        return self.glyphs if self.glyph_steps or self.glyph_first else None

    def check_labels(self, known: Vocabulary, max_steps: int) -> None:
        from hcompress.data.known import check_labels
        from hcompress.data.source import on_file, open_data

        super().check_labels(known, max_steps)
        if self.glyphs_first is not None and on_file(self.glyphs_first):
            glyphs = open_data(self.glyphs_first)
            check_labels(glyphs, known.characters, self.unknown, single=True)


@dataclass(frozen=True, kw_only=True)
class SwapOptions(LineTraining):
    """How a recogniser is distilled into one with another backbone."""

    data: Annotated[
        Path | None, Param("lines to learn from; needed where steps > 0", data=True)
    ] = None
    family: Annotated[Backbone, Param("the new backbone")] = Backbone.MOBILENET_V2
    backbone_width: BackboneWidth = 1.0
    width: Width = 256
    ffn_width: FfnWidth = 1024
    distil: Annotated[float, Param("weight of the distance to the teacher", 0)] = 1.0


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(LineTraining):
    """How a changed recogniser is trained until it reads again."""

    data: Annotated[Path, Lines]
    backbone_rate: Annotated[
        float, Param("the backbone's share of the rate; 0 keeps it as it is, and is faster", 0, 1)
    ] = 0.0
    kept_blocks: Annotated[
        int,
        Param(
            "the backbone's first blocks, counted from the image, that stay as they are while those"
            " after them learn: theirs are the largest maps, and most of a step's time",
            0,
        ),
    ] = 0
    lines: Annotated[
        int,
        Param(
            "distinct lines to learn from, encoded once and kept in memory (some 0.06 MiB each with"
            " the light backbone); 0 draws new lines at every step; needs backbone_rate = 0",
            0,
        ),
    ] = 0
    fit_lines: Annotated[
        int,
        Param(
            "lines whose features W is first fitted to the codes on, in closed form; of `lines`;"
            " 0 keeps W as it comes",
            0,
        ),
    ] = 0
    margin: Annotated[float, Param("threshold of the hinge loss, theta in Eq. 6", 0)] = 1.0
    code_cross_entropy: Annotated[
        float,
        Param(
            "weight of the cross-entropy over all codes, where the hinge asks each bit alone; each"
            " step then multiplies with every code (a softmax's loss is that anyway)",
            0,
        ),
    ] = 0.0
    soft_labels: Annotated[
        float,
        Param(
            "the share of what code_cross_entropy asks for that is the teacher's answer, the rest"
            " the label: which characters a blurred one might be",
            0,
            1,
        ),
    ] = 0.0
    rivals: Annotated[
        int,
        Param(
            "of a CTC recogniser with codes: codes drawn for each batch to stand for all that its"
            " labels don't have; with thousands a step is many times as fast as with 0, which is"
            " all of them",
            0,
        ),
    ] = 0
    rerank: Annotated[
        bool,
        Param(
            "from now on, when it reads, let the bit logits choose among the five nearest codes: a"
            " sign alone does not tell how sure a bit is; once on it stays on"
        ),
    ] = False
    distil: Annotated[float, Param("weight of the distance to the teacher's features", 0)] = 4.0
    distil_layers: Annotated[
        float,
        Param(
            "weight of the distance to the teacher's states below the last layer; needs distil and"
            " as many layers as the teacher",
            0,
        ),
    ] = 2.0
    weight_averaging: Annotated[
        bool,
        Param(
            "end with the mean of the weights before and after training, where it reads validation"
            " lines as well: for a student that reads already"
        ),
    ] = False
    learning_rate: Annotated[float, Param("peak rate", 0)] = 2e-3
    matrix_rate: MatrixRate = 7e-3
    batch: BatchSize = 32
    patience: Annotated[int, Param("validations without a gain before stopping; 0: never", 0)] = 4

    @property
    def layers_weight(self) -> float:
        """`distil_layers` where features are distilled: the states below lead to them."""
        return self.distil_layers if self.distil else 0.0


@dataclass(frozen=True)
class Workplace:
    """Where a training runs, whatever it trains."""

    seed: int
    threads: int
    progress: Progress
    scratch: Path
    """Half-way states (snapshots)."""
