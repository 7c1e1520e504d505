"""`replace-head`: Hamming classifier and Hamming embedding for the two big matrices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.errors import UsageError
from hcompress.formats.open import Source
from hcompress.spec.forecast import Forecast
from hcompress.spec.heads import Hamming, HammingInputs, HeadSpec
from hcompress.stages.base import Env
from hcompress.strict.schema import Param


@dataclass(frozen=True)
class ReplaceHead:
    """Replace the softmax (HC), the learned embedding (HE), or both."""

    classifier: Annotated[bool, Param("replace the softmax by a Hamming classifier (HC)")] = True
    embedding: Annotated[bool, Param("replace the embedding by a Hamming one (HE)")] = True

    name: ClassVar[str] = "replace-head"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "replace softmax and embedding by the codebook"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch",)

    def check(self) -> None:
        """Raises UsageError if the parameters leave nothing to do."""
        if not (self.classifier or self.embedding):
            raise UsageError("replace-head: classifier and embedding are both off: nothing to do")

    def foreseen(self, known: Forecast | None) -> Forecast | None:
        if known is None or known.code_length is None:
            return None
        changes: dict[str, HeadSpec] = {}
        if self.classifier:
            changes["head"] = Hamming(known.code_length)
        if self.embedding:
            changes["inputs"] = HammingInputs(known.code_length)
        return known.as_floats(**changes)

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.checkpoints.codebook import codebook_beside, pass_on
        from hcompress.compress.replace_head import with_codes

        assert source is not None
        self.check()
        before = load_checkpoint(source)
        config, codebook = before.config, None
        if self.classifier or not config.uses_codes:
            codebook = codebook_beside(source, before.vocabulary, config.width)
            if not self.classifier:  # it may be replaced later
                pass_on(source, out)
        model = with_codes(
            before.model, codebook, classifier=self.classifier, embedding=self.embedding
        )
        save_checkpoint(out / MODEL_FILE, model, before.vocabulary, env.provenance)
        return model.config.halves()
