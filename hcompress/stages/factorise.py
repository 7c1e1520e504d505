"""`factorise`: two thin matrices for each of the two big ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from hcompress.artifacts.kinds import Kind
from hcompress.charset import UnknownCharacter
from hcompress.data.options import Workers
from hcompress.errors import InputRefused, UsageError
from hcompress.formats.open import Source
from hcompress.spec.forecast import Forecast
from hcompress.spec.heads import HeadSpec, Learned, Softmax
from hcompress.stages.base import Env
from hcompress.strict.schema import MOST_IMAGES, Param

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
    version: ClassVar[int] = 3
    summary: ClassVar[str] = "put softmax and embedding through a bottleneck: no codes"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch",)

    def check(self) -> None:
        """Raises UsageError if the parameters leave nothing to do, or data to no purpose."""
        if not (self.classifier or self.embedding):
            raise UsageError("factorise: classifier and embedding are both off: nothing to do")
        if self.data is not None and not self.classifier:
            raise UsageError("factorise: data is for the softmax, and classifier is off")

    def foreseen(self, known: Forecast | None) -> Forecast | None:
        changes: dict[str, HeadSpec] = {}
        if self.classifier:
            changes["head"] = Softmax(self.bottleneck)
        if self.embedding:
            changes["inputs"] = Learned(self.bottleneck)
        return known and known.as_floats(**changes)

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.compress.factorise import factorised

        assert source is not None
        self.check()
        before = load_checkpoint(source)
        model, moved = factorised(
            before.model,
            self.bottleneck,
            classifier=self.classifier,
            embedding=self.embedding,
            moment=self._moment(before, env),
        )
        save_checkpoint(out / MODEL_FILE, model, before.vocabulary, env.provenance)
        return {"relative_change": moved}

    def _moment(self, before: Checkpoint, env: Env) -> Tensor | None:
        """The second moment of the features that the softmax is given; None without data."""
        from hcompress.compress.factorise import Moment
        from hcompress.data.feed import drawn_images
        from hcompress.data.source import open_data
        from hcompress.recognisers.observe import observe

        if self.data is None:
            return None
        model, size = before.model, before.config.preprocessing
        lines = drawn_images(open_data(self.data), self.images, BATCH, size, self.workers)
        moment = Moment.none(before.config.width)
        # A line with unknown characters is left out: its features say nothing of the known.
        skip = UnknownCharacter.SKIP_LINE
        observe(model, before.vocabulary, lines, moment, skip, self.name, env.progress)
        if not moment.total.any():
            raise InputRefused(f"{self.data}: no line whose characters are all known")
        return moment.mean()
