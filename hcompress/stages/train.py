"""`train`: the softmax recogniser of the paper's first training stage, from data alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.formats.open import Source
from hcompress.spec.forecast import Forecast
from hcompress.stages.base import Env, new_recogniser
from hcompress.training.options import TrainOptions, Workplace


@dataclass(frozen=True, kw_only=True)
class Train(TrainOptions):
    """Train a softmax recogniser on line images, on single characters first where given."""

    name: ClassVar[str] = "train"
    version: ClassVar[int] = 6
    summary: ClassVar[str] = "train a softmax recogniser from data alone"
    consumes: ClassVar[Kind] = Kind.NOTHING
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch", "lightning-fabric")

    def foreseen(self, known: Forecast | None) -> Forecast | None:  # noqa: ARG002
        return new_recogniser(self.config(), self.charset)

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:  # noqa: ARG002
        from hcompress.charset import read_charset
        from hcompress.checkpoints.checkpoint import MODEL_FILE, save_checkpoint
        from hcompress.data.source import open_data, open_optional
        from hcompress.spec.vocabulary import Vocabulary
        from hcompress.training.train import train_teacher

        vocabulary = Vocabulary(read_charset(self.charset))
        model, report = train_teacher(
            self,
            vocabulary,
            open_data(self.data),
            open_optional(self.validation),
            open_optional(self.glyphs_first),
            Workplace(env.seed, env.threads, env.progress, env.scratch),
        )
        save_checkpoint(out / MODEL_FILE, model, vocabulary, env.provenance)
        return report
