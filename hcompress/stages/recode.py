"""`recode`: codes moved to where a trained recogniser's features lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.charset import UnknownCharacter
from hcompress.codes.options import Looking, MinDistance
from hcompress.data.options import LookBatch, Unknown, Workers
from hcompress.formats.open import Source
from hcompress.spec.forecast import Forecast
from hcompress.spec.refusals import check_has_codes
from hcompress.stages.base import Env
from hcompress.strict.schema import MOST_IMAGES, Param

if TYPE_CHECKING:
    from hcompress.spec.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class Recode:
    """Move the codes of a recogniser with a Hamming classifier; no weight is touched."""

    data: Annotated[Path, Param("labelled images: lines that show the characters", data=True)]
    images: Annotated[int, Param("images to look at", 1, MOST_IMAGES)] = 16384
    old_weight: Annotated[
        float, Param("images that a character's old code counts for as well", 0, 1e6)
    ] = 2.0
    min_distance: MinDistance = 1 / 64
    batch: LookBatch = 32
    unknown: Unknown = UnknownCharacter.REFUSE
    workers: Workers = 1

    name: ClassVar[str] = "recode"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "move codes to where a trained recogniser's features lie"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy")

    def foreseen(self, known: Forecast | None) -> Forecast | None:
        if known is not None:
            check_has_codes(known.config)
        return known

    def check_labels(self, known: Vocabulary, max_steps: int) -> None:  # noqa: ARG002
        from hcompress.data.known import check_labels
        from hcompress.data.order import drawn
        from hcompress.data.source import on_file, open_data

        if on_file(self.data):
            source = open_data(self.data)
            check_labels(source, known.characters, self.unknown, drawn(source, self.images))

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        import torch

        from hcompress.checkpoints.checkpoint import (
            MODEL_FILE,
            checkpoint_file,
            load_checkpoint,
            read_stored,
            write_stored,
        )
        from hcompress.codes.count import count_images
        from hcompress.codes.recode import codes_of, recoded
        from hcompress.codes.soft_votes import SoftVotes
        from hcompress.data.source import open_data

        assert source is not None
        file = checkpoint_file(source)
        before = load_checkpoint(file)
        old = codes_of(before.model, file.path)
        vocabulary, length = old.shape
        votes = SoftVotes.none(vocabulary, length, before.model.classifier)
        looking = Looking(self.images, self.batch, self.unknown, self.workers)
        shares = count_images(
            before, open_data(self.data), votes, looking, self.name, env.threads, env.progress
        )
        codes, report = recoded(old, votes, self.old_weight, self.min_distance, before.vocabulary)
        metadata, stored = read_stored(file)
        metadata = replace(metadata, provenance=env.provenance)
        write_stored(out / MODEL_FILE, metadata, stored | {"codebook": torch.from_numpy(codes)})
        return {"images_per_process": shares, **report}
