"""`regrow`: softmax, layers, feed-forward networks and batch normalisation given back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.compress.options import Parts
from hcompress.data.options import LookBatch, Workers
from hcompress.errors import UsageError
from hcompress.formats.open import Source
from hcompress.spec.config import BatchNorm
from hcompress.spec.forecast import Forecast
from hcompress.spec.heads import Learned, Softmax
from hcompress.stages.base import Env
from hcompress.strict.schema import MOST_IMAGES, Param

if TYPE_CHECKING:
    from hcompress.data.feed import Feed
    from hcompress.spec.config import RecogniserConfig


@dataclass(frozen=True, kw_only=True)
class Regrow:
    """Give a small recogniser its parts back: the start of its next teacher.

    Its features stay what they were; `finetune` then has the room of a large one.
    """

    data: Annotated[
        Path | None,
        Param(
            "images that folded batch normalisation is measured on; labels don't count",
            data=True,
        ),
    ] = None
    matrices: Annotated[bool, Param("softmax and learned embedding in place of codes")] = True
    layers: Annotated[bool, Param("a layer's weights for every layer")] = True
    ffn: Annotated[bool, Param("feed-forward networks")] = True
    batch_norm: Annotated[bool, Param("live batch normalisation: a backbone that can learn")] = True
    images: Annotated[int, Param("images to look at", 1, MOST_IMAGES)] = 1024
    batch: LookBatch = 32
    workers: Workers = 1

    name: ClassVar[str] = "regrow"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "give a small recogniser its large parts back, to train it further"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch",)

    def foreseen(self, known: Forecast | None) -> Forecast | None:
        if known is None:
            return None
        missing = self._parts.lacking(known.config)
        changes: dict[str, Any] = {}
        head, inputs = known.config.head, known.config.inputs
        if missing.matrices and head.code_length is not None:
            changes["head"] = Softmax()
        if missing.matrices and inputs is not None and inputs.code_length is not None:
            changes["inputs"] = Learned()
        if missing.layers:
            changes["shared_layers"] = False
        if missing.ffn:
            changes["ffn"] = True
        if missing.batch_norm:
            self._measured_on()
            changes["batch_norm"] = BatchNorm.LIVE
        return known.as_floats(**changes)

    @property
    def _parts(self) -> Parts:
        return Parts(self.matrices, self.layers, self.ffn, self.batch_norm)

    def _measured_on(self) -> Path:
        if self.data is None:
            raise UsageError(
                "regrow: folded batch normalisation is measured on images:"
                " name them (data), or leave it folded (batch_norm)"
            )
        return self.data

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        import torch

        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.compress.regrow import regrown

        assert source is not None
        before = load_checkpoint(source)
        missing = self._parts.lacking(before.config)
        lines = self._lines(before.config) if missing.batch_norm else None
        shown = lines.watched(self.name, env.progress) if lines is not None else ()
        torch.manual_seed(env.seed)
        torch.set_num_threads(env.threads)
        model = regrown(before.model, (torch.from_numpy(batch.images) for batch in shown), missing)
        save_checkpoint(out / MODEL_FILE, model, before.vocabulary, env.provenance)
        return {
            "images": lines.images if lines is not None else 0,
            **model.config.halves(),
            **model.config.layers(),
            "batch_norm": model.config.batch_norm,
        }

    def _lines(self, config: RecogniserConfig) -> Feed:
        """What batch normalisation is measured on."""
        from hcompress.data.feed import drawn_images
        from hcompress.data.source import open_data

        source = open_data(self._measured_on())
        return drawn_images(source, self.images, self.batch, config.preprocessing, self.workers)
