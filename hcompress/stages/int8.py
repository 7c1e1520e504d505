"""`int8`: weights as int8, a scale an output channel, batch normalisation folded before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.compress.options import Scale
from hcompress.formats.open import Source
from hcompress.spec.config import BatchNorm, Weights
from hcompress.spec.forecast import Forecast
from hcompress.spec.refusals import check_not_int8
from hcompress.stages.base import Env
from hcompress.strict.schema import MOST_IMAGES, Param

if TYPE_CHECKING:
    from hcompress.data.feed import Feed
    from hcompress.spec.preprocessing import Preprocessing


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
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "store weights as int8 with a scale a channel"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch",)

    def foreseen(self, known: Forecast | None) -> Forecast | None:
        if known is not None:
            check_not_int8(known.config)
        return known and known.asked(weights=Weights.INT8, batch_norm=BatchNorm.FOLDED)

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        import torch

        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.compress.int8 import int8_model

        assert source is not None
        before = load_checkpoint(source)
        lines = self._lines(before.config.preprocessing)
        shown = lines.watched("calibration", env.progress) if lines is not None else ()
        images = (torch.from_numpy(batch.images) for batch in shown)
        made = int8_model(before.model, images, self.scale, self.keep)
        save_checkpoint(
            out / MODEL_FILE, made.model, before.vocabulary, env.provenance, packed=made.packed
        )
        return made.report

    def _lines(self, size: Preprocessing) -> Feed | None:
        """Lines of the data, one at a time; None without data."""
        from hcompress.data.feed import drawn_images
        from hcompress.data.source import open_data

        if self.data is None:
            return None
        return drawn_images(open_data(self.data), self.images, 1, size)
