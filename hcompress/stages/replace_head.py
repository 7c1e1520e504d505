"""`replace-head`: Hamming classifier and Hamming embedding for the two big matrices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.errors import UsageError
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

    def run(self, source: Path | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.checkpoints.codebook import codebook_beside, pass_on
        from hcompress.compress import replace_head as surgery

        assert source is not None
        if not (self.classifier or self.embedding):
            raise UsageError("replace-head: classifier and embedding are both off: nothing to do")
        before = load_checkpoint(source)
        model = before.model
        if self.classifier:
            codebook = codebook_beside(source, before.vocabulary, before.config.width)
            model = surgery.with_hamming_classifier(model, codebook)
        if self.embedding:
            if model.config.uses_codes:
                packed = model.codebook.numpy()
            else:
                packed = codebook_beside(source, before.vocabulary, before.config.width).codes
                pass_on(source, out)  # the classifier may be replaced later
            model = surgery.with_hamming_embedding(model, packed)
        save_checkpoint(out / MODEL_FILE, model, before.vocabulary, env.provenance)
        return model.config.halves()
