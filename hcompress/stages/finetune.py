"""`finetune`: hinge loss (Eq. 6), and the teacher's features as a second target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.errors import UsageError
from hcompress.formats.open import Source
from hcompress.spec.forecast import Forecast
from hcompress.stages.base import Env
from hcompress.training.options import FinetuneOptions, Workplace


@dataclass(frozen=True, kw_only=True)
class Finetune(FinetuneOptions):
    """Train a changed recogniser until it reads again."""

    name: ClassVar[str] = "finetune"
    version: ClassVar[int] = 7
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

    def foreseen(self, known: Forecast | None) -> Forecast | None:
        return known and known.as_floats()

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.data.source import open_data, open_optional
        from hcompress.training.finetune import finetune, load_teacher

        assert source is not None
        before = load_checkpoint(source)
        model, report = finetune(
            self,
            before,
            load_teacher(self, before, env.teacher),
            open_data(self.data),
            open_optional(self.validation),
            Workplace(env.seed, env.threads, env.progress, env.scratch),
        )
        save_checkpoint(out / MODEL_FILE, model, before.vocabulary, env.provenance)
        return report
