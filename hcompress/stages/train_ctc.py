"""`train-ctc`: a CTC recogniser for lines of any width, from data alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.formats.open import Source
from hcompress.spec.forecast import Forecast
from hcompress.stages.base import Env, new_recogniser
from hcompress.training.ctc_options import TrainCtcOptions
from hcompress.training.options import Workplace


@dataclass(frozen=True, kw_only=True)
class TrainCtc(TrainCtcOptions):
    """Train a CTC recogniser with a softmax on lines of any width."""

    name: ClassVar[str] = "train-ctc"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "train a CTC recogniser for lines of any width from data alone"
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
        from hcompress.training.train_ctc import train_ctc

        vocabulary = Vocabulary(read_charset(self.charset), self.config().transcription)
        model, report = train_ctc(
            self,
            vocabulary,
            open_data(self.data),
            open_optional(self.validation),
            open_optional(self.first_lines),
            Workplace(env.seed, env.threads, env.progress, env.scratch),
        )
        save_checkpoint(out / MODEL_FILE, model, vocabulary, env.provenance)
        return report
