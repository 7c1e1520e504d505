"""`learn-codes`: codes learnt together with what meets them, instead of made and then met (EMU)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.formats.open import Source
from hcompress.spec.forecast import Forecast
from hcompress.spec.heads import with_learnt_codes
from hcompress.stages.base import Env
from hcompress.training.code_options import LearnCodesOptions
from hcompress.training.options import FinetuneOptions, Workplace


@dataclass(frozen=True, kw_only=True)
class LearnCodes(LearnCodesOptions):
    """Learn every character's code, and the projection that meets it, from lines.

    From a softmax, an untrained recogniser or one that has codes by now. What only learns, the
    network that makes codes and the one that says how sharp signs are, is not saved.
    """

    name: ClassVar[str] = "learn-codes"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "learn codes and projection together (EMU)"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch", "lightning-fabric", "numpy")

    def foreseen(self, known: Forecast | None) -> Forecast | None:
        if known is None:
            return None
        config = known.config
        length = config.head.code_length or known.code_length or self.code_length
        head, inputs = with_learnt_codes(
            config.head, config.inputs, length, embedding=self.embedding, rerank=self.rerank
        )
        changes = {} if inputs is None else {"inputs": inputs}
        return known.as_floats(head=head, **changes)

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.checkpoints.codebook import waiting_codebook
        from hcompress.data.source import open_data, open_optional
        from hcompress.training.finetune import load_teacher
        from hcompress.training.learn_codes import learn_codes

        assert source is not None
        before = load_checkpoint(source)
        asked = FinetuneOptions(data=self.data, distil=self.distil, distil_layers=0.0)
        model, report = learn_codes(
            self,
            before,
            waiting_codebook(source, before.vocabulary, before.config.width),
            load_teacher(asked, before, env.teacher),
            open_data(self.data),
            open_optional(self.validation),
            Workplace(env.seed, env.threads, env.progress, env.scratch),
        )
        save_checkpoint(out / MODEL_FILE, model, before.vocabulary, env.provenance)
        return report
