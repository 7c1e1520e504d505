"""`slim-decoder`: no feed-forward networks, one layer's weights for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.compress.options import SharedFrom
from hcompress.errors import UsageError
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

    def run(self, source: Path | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.compress.slim_decoder import with_shared_layers, without_ffn

        assert source is not None
        if not (self.remove_ffn or self.share_layers):
            raise UsageError(
                "slim-decoder: remove_ffn and share_layers are both off: nothing to do"
            )
        before = load_checkpoint(source)
        model = before.model
        if self.remove_ffn:
            model = without_ffn(model)
        if self.share_layers:
            model = with_shared_layers(model, self.shared_from)
        save_checkpoint(out / MODEL_FILE, model, before.vocabulary, env.provenance)
        return model.config.layers()
