"""`replace-head`: Hamming classifier and Hamming embedding for the two big matrices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.errors import UsageError
from hcompress.formats.open import Source
from hcompress.spec.forecast import Forecast
from hcompress.spec.heads import Hamming, HammingInputs, HeadSpec
from hcompress.spec.refusals import check_learned, check_softmax, check_waiting_codes
from hcompress.stages.base import Env
from hcompress.strict.schema import Param

if TYPE_CHECKING:
    from hcompress.spec.config import RecogniserConfig


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
        if known is None:
            return None
        if self.classifier:
            check_softmax(known.config)
        if self.embedding:
            check_learned(known.config)
        if self._needs_codebook(known.config):
            length = check_waiting_codes(known.code_length)
        else:
            length = known.config.code_length or 0
        changes: dict[str, HeadSpec] = {}
        if self.classifier:
            changes["head"] = Hamming(length)
        if self.embedding:
            changes["inputs"] = HammingInputs(length)
        made = known.as_floats(**changes)
        return made if self.classifier else replace(made, code_length=known.code_length)

    def _needs_codebook(self, config: RecogniserConfig) -> bool:
        """Whether it is one beside the model that it takes; else it has codes in a part of it."""
        return self.classifier or not config.uses_codes

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.checkpoints.codebook import codebook_beside, pass_on
        from hcompress.compress.replace_head import with_codes

        assert source is not None
        self.check()
        before = load_checkpoint(source)
        config, codebook = before.config, None
        if self._needs_codebook(config):
            codebook = codebook_beside(source, before.vocabulary, config.width)
            if not self.classifier:  # it may be replaced later
                pass_on(source, out)
        model = with_codes(
            before.model, codebook, classifier=self.classifier, embedding=self.embedding
        )
        save_checkpoint(out / MODEL_FILE, model, before.vocabulary, env.provenance)
        return model.config.halves()
