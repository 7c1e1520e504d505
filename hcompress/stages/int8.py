"""`int8`: weights as int8, a scale an output channel, batch normalisation folded before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.compress.options import Scale
from hcompress.stages.base import Env
from hcompress.strict.schema import MOST_IMAGES, Param

if TYPE_CHECKING:
    from torch import Tensor

    from hcompress.spec.config import Preprocessing


@dataclass(frozen=True)
class Int8:
    """Store matrices and convolutions in 8 bits, and every other float in 16."""

    data: Annotated[
        Path | None, Param("lines that tell which inputs matter; without: all alike", data=True)
    ] = None
    images: Annotated[int, Param("lines of the data that are read", 1, MOST_IMAGES)] = 128
    scale: Annotated[Scale, Param("how a channel's scale is chosen")] = Scale.LEAST_ERROR
    keep: Annotated[
        tuple[str, ...], Param("prefixes of tensor names that become FP16, where it was measured")
    ] = ()

    name: ClassVar[str] = "int8"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "store weights as int8 with a scale a channel"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch",)

    def run(self, source: Path | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.compress import int8 as quantising
        from hcompress.compute.quantised import MAX_ABS, SEARCHED

        assert source is not None
        before = load_checkpoint(source)
        model = quantising.prepared(before.model)
        lines = self._lines(before.config.preprocessing, env)
        moments = quantising.input_moments(model, lines)
        ratios = MAX_ABS if self.scale is Scale.MAX_ABS else SEARCHED
        made = quantising.with_int8_weights(model, moments, self.keep, ratios)
        save_checkpoint(
            out / MODEL_FILE, made.model, before.vocabulary, env.provenance, packed=made.packed
        )
        return made.report

    def _lines(self, size: Preprocessing, env: Env) -> Iterator[Tensor]:
        """uint8 [1, H, W, 3] each; none without data, or where they would change nothing."""
        import torch

        from hcompress.data import batches, source

        if self.data is None or self.scale is Scale.MAX_ABS:
            return
        lines = source.open_data(self.data)
        count = min(self.images, len(lines))
        env.progress.start("calibration", count)
        for batch in batches.batches(lines, range(count), 1, size):
            yield torch.from_numpy(batch.images)
            env.progress.advance()
        env.progress.finish()
