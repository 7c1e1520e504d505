"""`finetune`: hinge loss (Eq. 6), and the teacher's features as a second target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.errors import UsageError
from hcompress.stages.base import Env
from hcompress.strict.schema import Param
from hcompress.training.options import BatchSize, Lines, LineTraining, MatrixRate


@dataclass(frozen=True, kw_only=True)
class Finetune(LineTraining):
    """Train a changed recogniser until it reads again."""

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

    name: ClassVar[str] = "finetune"
    version: ClassVar[int] = 6
    summary: ClassVar[str] = "train a changed recogniser with hinge loss and distillation"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch", "lightning-fabric")

    def __post_init__(self) -> None:
        """Raises UsageError where one parameter rules out another, whatever the model is."""
        if self.soft_labels and not self.code_cross_entropy:
            raise UsageError(
                "soft_labels is a share of code_cross_entropy: set that above 0, or soft_labels = 0"
            )
        if self.kept_blocks and not self.backbone_rate:
            raise UsageError("kept_blocks is for a backbone that learns: set backbone_rate above 0")
        if self.lines and self.backbone_rate:
            raise UsageError("lines asks for encodings that stay: set backbone_rate = 0")
        if self.fit_lines > self.lines:
            raise UsageError("fit_lines are some of lines: set lines to as many at least")
        if self.weight_averaging and (self.validation is None or not self.validate_every):
            raise UsageError(
                "weight_averaging is judged by validation: set validation, or leave it out"
            )

    @property
    def layers_weight(self) -> float:
        """`distil_layers` where features are distilled: the states below lead to them."""
        return self.distil_layers if self.distil else 0.0

    def run(self, source: Path | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.training.finetune import finetune

        assert source is not None
        before = load_checkpoint(source)
        model, report = finetune(self, before, env)
        save_checkpoint(out / MODEL_FILE, model, before.vocabulary, env.provenance)
        return report
