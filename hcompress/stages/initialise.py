"""`initialise`: an untrained recogniser of a given shape, to see what its parts would weigh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.formats.open import Source
from hcompress.spec.forecast import Forecast
from hcompress.stages.base import Env, new_recogniser
from hcompress.training.options import Charset, Shape


@dataclass(frozen=True, kw_only=True)
class Initialise(Shape):
    """Write an untrained softmax recogniser."""

    charset: Charset

    name: ClassVar[str] = "initialise"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "write an untrained recogniser, to see what its parts weigh"
    consumes: ClassVar[Kind] = Kind.NOTHING
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch",)

    def foreseen(self, known: Forecast | None) -> Forecast | None:  # noqa: ARG002
        return new_recogniser(self.config(), self.charset)

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        import torch

        from hcompress.charset import read_charset
        from hcompress.checkpoints.checkpoint import MODEL_FILE, save_checkpoint
        from hcompress.recognisers.build import build
        from hcompress.spec.vocabulary import Vocabulary

        assert source is None
        vocabulary = Vocabulary(read_charset(self.charset))
        torch.manual_seed(env.seed)
        model = build(self.config(), len(vocabulary))
        save_checkpoint(out / MODEL_FILE, model, vocabulary, env.provenance)
        return {"characters": len(vocabulary.characters)}
