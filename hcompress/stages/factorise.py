"""`factorise`: two thin matrices for each of the two big ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from hcompress.artifacts.kinds import Kind
from hcompress.charset import UnknownCharacter
from hcompress.errors import InputRefused, UsageError
from hcompress.stages.base import Env
from hcompress.strict.schema import MOST_IMAGES, Param
from hcompress.training.options import Workers

if TYPE_CHECKING:
    from torch import Tensor

    from hcompress.checkpoints.checkpoint import Checkpoint


BATCH: Final = 64


@dataclass(frozen=True)
class Factorise:
    """Put softmax, learned embedding, or both through a bottleneck of p features (Figure 4)."""

    bottleneck: Annotated[int, Param("features p of the bottleneck; d at most", 1, 4096)] = 64
    classifier: Annotated[bool, Param("factorise the softmax's matrix")] = True
    embedding: Annotated[bool, Param("factorise the learned embedding's matrix")] = True
    data: Annotated[
        Path | None,
        Param(
            "lines that tell which features matter to the softmax; without: all alike", data=True
        ),
    ] = None
    images: Annotated[int, Param("lines to take the features of", 1, MOST_IMAGES)] = 2048
    workers: Workers = 1

    name: ClassVar[str] = "factorise"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "put softmax and embedding through a bottleneck: no codes"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch",)

    def run(self, source: Path | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.compress import factorise as factorising

        assert source is not None
        if not (self.classifier or self.embedding):
            raise UsageError("factorise: classifier and embedding are both off: nothing to do")
        if self.data is not None and not self.classifier:
            raise UsageError("factorise: data is for the softmax, and classifier is off")
        before = load_checkpoint(source)
        model, moved = before.model, {}
        if self.classifier:
            model, moved["classifier"] = factorising.with_factorised_classifier(
                model, self.bottleneck, self._moment(before, env)
            )
        if self.embedding:
            model, moved["embedding"] = factorising.with_factorised_embedding(
                model, self.bottleneck
            )
        save_checkpoint(out / MODEL_FILE, model, before.vocabulary, env.provenance)
        return {"relative_change": moved}

    def _moment(self, before: Checkpoint, env: Env) -> Tensor | None:
        """The second moment of the features that the softmax is given; None without data."""
        from hcompress.data.batches import batches
        from hcompress.data.source import open_data
        from hcompress.recognisers.observe import labelled_features, second_moment

        if self.data is None:
            return None
        lines = open_data(self.data)
        count = min(self.images, len(lines))
        env.progress.start("factorise", count)
        feed = batches(lines, range(count), BATCH, before.config.preprocessing, self.workers)
        # A line with unknown characters is left out: its features say nothing of the known.
        every = labelled_features(before, feed, UnknownCharacter.SKIP_LINE, env.progress)
        moment = second_moment((features for features, _ in every), before.config.width)
        env.progress.finish()
        if not moment.any():
            raise InputRefused(f"{self.data}: no line whose characters are all known")
        return moment
