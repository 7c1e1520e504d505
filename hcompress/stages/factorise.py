"""`factorise`: two thin matrices for each of the two big ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.errors import UsageError
from hcompress.stages.base import Env, Kind, Param


@dataclass(frozen=True)
class Factorise:
    """Put softmax, learned embedding, or both, through a bottleneck of p features (Figure 4)."""

    bottleneck: Annotated[int, Param("features p of the bottleneck; d at most", 1, 4096)] = 64
    classifier: Annotated[bool, Param("factorise the softmax's matrix")] = True
    embedding: Annotated[bool, Param("factorise the learned embedding's matrix")] = True

    name: ClassVar[str] = "factorise"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "put softmax and embedding through a bottleneck: no codes"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch",)

    def run(self, source: Path | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.recogniser import factorising
        from hcompress.recogniser.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint

        assert source is not None
        if not (self.classifier or self.embedding):
            raise UsageError("factorise: classifier and embedding are both off: nothing to do")
        before = load_checkpoint(source)
        model, moved = before.model, {}
        if self.classifier:
            model, moved["classifier"] = factorising.with_factorised_classifier(
                model, self.bottleneck
            )
        if self.embedding:
            model, moved["embedding"] = factorising.with_factorised_embedding(
                model, self.bottleneck
            )
        save_checkpoint(out / MODEL_FILE, model, before.vocabulary, env.provenance)
        return {"relative_change": moved}
