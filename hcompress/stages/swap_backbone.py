"""`swap-backbone`: a light backbone learns from a heavy teacher (the first step of Table 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.errors import UsageError
from hcompress.formats.open import Source
from hcompress.spec.forecast import Forecast
from hcompress.spec.refusals import check_before_codes
from hcompress.stages.base import Env
from hcompress.training.options import SwapOptions, Workplace


@dataclass(frozen=True, kw_only=True)
class SwapBackbone(SwapOptions):
    """Put another backbone under the recogniser and distil the old one into it.

    Parts whose shapes agree keep their weights. The paper's light model is also narrower
    (d = 256 for 512): its decoder and head are then new too and learn from the teacher's answers.
    With steps = 0 the new parts stay untrained.
    """

    name: ClassVar[str] = "swap-backbone"
    version: ClassVar[int] = 5
    summary: ClassVar[str] = "put a light backbone in place of a heavy one, by distillation"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch", "lightning-fabric")

    def check(self) -> None:
        """Raises UsageError if there is nothing to learn from."""
        if self.steps and self.data is None:
            raise UsageError("swap-backbone: steps > 0 needs data; or set steps = 0")

    def foreseen(self, known: Forecast | None) -> Forecast | None:
        if known is not None:
            check_before_codes(known.config)
        return known and known.as_floats(
            backbone=self.family,
            backbone_width=self.backbone_width,
            encoder_depth=0,
            width=self.width,
            ffn_width=self.ffn_width,
        )

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.data.source import open_optional
        from hcompress.training.swap_backbone import swap_backbone

        assert source is not None
        self.check()
        before = load_checkpoint(source)
        model, report = swap_backbone(
            self,
            before,
            open_optional(self.data if self.steps else None),
            open_optional(self.validation if self.steps else None),
            Workplace(env.seed, env.threads, env.progress, env.scratch),
        )
        save_checkpoint(out / MODEL_FILE, model, before.vocabulary, env.provenance)
        return report
