"""`regrow`: softmax, layers, feed-forward networks and batch normalisation given back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.errors import UsageError
from hcompress.stages.base import Env
from hcompress.strict.schema import MOST_IMAGES, Param
from hcompress.training.options import LookBatch, Workers


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
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "give a small recogniser its large parts back, to train it further"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch",)

    def run(self, source: Path | None, out: Path, env: Env) -> Mapping[str, Any]:
        import torch

        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.compress.regrow import Parts, regrown
        from hcompress.data.batches import batches
        from hcompress.data.source import open_data

        assert source is not None
        before = load_checkpoint(source)
        torch.manual_seed(env.seed)
        torch.set_num_threads(env.threads)
        size = before.config.preprocessing
        looked_at = 0

        def seen() -> Iterator[torch.Tensor]:
            """Asked for nothing where there is no batch normalisation to measure."""
            nonlocal looked_at
            if self.data is None:
                raise UsageError(
                    "regrow: folded batch normalisation is measured on images:"
                    " name them (data), or leave it folded (batch_norm)"
                )
            data = open_data(self.data)
            count = min(self.images, len(data))
            env.progress.start("regrow", count)
            for batch in batches(data, range(count), self.batch, size, self.workers):
                yield torch.from_numpy(batch.images)
                looked_at += len(batch.texts)
                env.progress.advance(len(batch.texts))
            env.progress.finish()

        parts = Parts(self.matrices, self.layers, self.ffn, self.batch_norm)
        model = regrown(before.model, seen(), parts)
        save_checkpoint(out / MODEL_FILE, model, before.vocabulary, env.provenance)
        return {
            "images": looked_at,
            **model.config.halves(),
            **model.config.layers(),
            "batch_norm": model.config.batch_norm,
        }
