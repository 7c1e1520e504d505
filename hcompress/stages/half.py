"""`half`: FP16 weights, batch normalisation folded into the convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.formats.open import Source
from hcompress.spec.config import BatchNorm, Weights
from hcompress.spec.forecast import Forecast
from hcompress.spec.refusals import check_fp32, check_live
from hcompress.stages.base import Env
from hcompress.strict.schema import Param


@dataclass(frozen=True)
class Half:
    """Store every float in 16 bits, but for the islands named."""

    fold_batch_norm: Annotated[bool, Param("make batch normalisation part of the convolutions")] = (
        True
    )
    keep: Annotated[
        tuple[str, ...], Param("prefixes of tensor names that stay FP32, where it was measured")
    ] = ()

    name: ClassVar[str] = "half"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "store weights as FP16"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch",)

    def foreseen(self, known: Forecast | None) -> Forecast | None:
        if known is not None:
            check_fp32(known.config)
            if self.fold_batch_norm:
                check_live(known.config)
        folded = {"batch_norm": BatchNorm.FOLDED} if self.fold_batch_norm else {}
        return known and known.asked(weights=Weights.FP16, **folded)

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.compress.half import halved

        assert source is not None
        before = load_checkpoint(source)
        model, islands, report = halved(before.model, self.keep, fold=self.fold_batch_norm)
        save_checkpoint(out / MODEL_FILE, model, before.vocabulary, env.provenance, islands)
        return report
