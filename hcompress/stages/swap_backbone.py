"""`swap-backbone`: a light backbone learns from a heavy teacher (the first step of Table 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.spec.config import Backbone
from hcompress.stages.base import Env
from hcompress.strict.schema import Param
from hcompress.training.options import BackboneWidth, FfnWidth, LineTraining, Width


@dataclass(frozen=True, kw_only=True)
class SwapBackbone(LineTraining):
    """Put another backbone under the recogniser and distil the old one into it.

    Parts whose shapes agree keep their weights. The paper's light model is also narrower
    (d = 256 for 512): its decoder and head are then new too and learn from the teacher's answers.
    With steps = 0 the new parts stay untrained.
    """

    data: Annotated[
        Path | None, Param("lines to learn from; needed where steps > 0", data=True)
    ] = None
    family: Annotated[Backbone, Param("the new backbone")] = Backbone.MOBILENET_V2
    backbone_width: BackboneWidth = 1.0
    width: Width = 256
    ffn_width: FfnWidth = 1024
    distil: Annotated[float, Param("weight of the distance to the teacher", 0)] = 1.0

    name: ClassVar[str] = "swap-backbone"
    version: ClassVar[int] = 4
    summary: ClassVar[str] = "put a light backbone in place of a heavy one, by distillation"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch", "lightning-fabric")

    def run(self, source: Path | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.training.swap_backbone import swap_backbone

        assert source is not None
        before = load_checkpoint(source)
        model, report = swap_backbone(self, before, env)
        save_checkpoint(out / MODEL_FILE, model, before.vocabulary, env.provenance)
        return report
