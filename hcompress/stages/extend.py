"""`extend`: codes for new characters from a few images; no weight is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.charset import UnknownCharacter
from hcompress.codes.options import Ballot
from hcompress.stages.base import Env
from hcompress.strict.schema import Param
from hcompress.training.options import Workers


@dataclass(frozen=True, kw_only=True)
class Extend:
    """Add characters to a recogniser with a Hamming classifier."""

    data: Annotated[
        Path, Param("labelled images: lines that have the new characters in them", data=True)
    ]
    characters: Annotated[
        Path | None,
        Param("UTF-8 file of the new characters; without: those of the labels that it lacks"),
    ] = None
    images: Annotated[int, Param("times that a new character is looked at", 1)] = 5
    lines: Annotated[int, Param("lines of the data that are looked through", 1)] = 4096
    ballot: Annotated[
        Ballot, Param("what an image says of a bit: its logit, or which side it is on")
    ] = Ballot.MEAN
    apart: Annotated[
        int | None,
        Param("bits by which a new code differs from every other; without: one in 64", 1, 4096),
    ] = None
    batch: Annotated[int, Param("images at once; part of the result's identity", 1)] = 16
    unknown: Annotated[
        UnknownCharacter, Param("what a character neither known nor to be added does")
    ] = UnknownCharacter.REFUSE
    workers: Workers = 0

    name: ClassVar[str] = "extend"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "give new characters codes from a few images, without training"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy")

    def run(self, source: Path | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import MODEL_FILE, write_stored
        from hcompress.codes.extend import extend

        assert source is not None
        metadata, tensors, report = extend(self, source, env)
        write_stored(out / MODEL_FILE, metadata, tensors)
        return report
