"""`slim-decoder`: no feed-forward networks, one layer's weights for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.compress.options import SharedFrom
from hcompress.errors import UsageError
from hcompress.formats.open import Source
from hcompress.spec.config import TransformerConfig
from hcompress.spec.forecast import Forecast
from hcompress.spec.refusals import check_has_ffn, check_has_own_layers
from hcompress.stages.base import Env
from hcompress.strict.schema import Param


@dataclass(frozen=True)
class SlimDecoder:
    """Remove the feed-forward networks (NoFFN), share the layers (PS), or both."""

    remove_ffn: Annotated[bool, Param("remove the feed-forward networks (NoFFN)")] = True
    share_layers: Annotated[bool, Param("one layer's weights for every layer (PS)")] = True
    shared_from: Annotated[SharedFrom, Param("the layer that every layer becomes")] = (
        SharedFrom.MEAN
    )

    name: ClassVar[str] = "slim-decoder"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "remove feed-forward networks and share the decoder's layers"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch",)

    def check(self) -> None:
        """Raises UsageError if the parameters leave nothing to do."""
        if not (self.remove_ffn or self.share_layers):
            raise UsageError(
                "slim-decoder: remove_ffn and share_layers are both off: nothing to do"
            )

    def foreseen(self, known: Forecast | None) -> Forecast | None:
        changes: dict[str, bool] = {}
        if known is not None and isinstance(known.config, TransformerConfig):
            if self.remove_ffn:
                check_has_ffn(known.config)
            if self.share_layers:
                check_has_own_layers(known.config)
        if self.remove_ffn:
            changes["ffn"] = False
        if self.share_layers:
            changes["shared_layers"] = True
        return known and known.as_floats(**changes)

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.compress.slim_decoder import slimmed

        assert source is not None
        self.check()
        before = load_checkpoint(source)
        share = self.shared_from if self.share_layers else None
        model = slimmed(before.model, remove_ffn=self.remove_ffn, share=share)
        save_checkpoint(out / MODEL_FILE, model, before.vocabulary, env.provenance)
        return model.config.layers()
