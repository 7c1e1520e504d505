"""`recode`: codes moved to where a trained recogniser's features lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.charset import UnknownCharacter
from hcompress.stages.base import Env
from hcompress.strict.schema import MOST_IMAGES, Param
from hcompress.training.options import LookBatch, MinDistance, Unknown, Workers


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
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "move codes to where a trained recogniser's features lie"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy")

    def run(self, source: Path | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import MODEL_FILE, write_stored
        from hcompress.codes.recode import recode

        assert source is not None
        metadata, tensors, report = recode(self, source, env)
        write_stored(out / MODEL_FILE, metadata, tensors)
        return report
