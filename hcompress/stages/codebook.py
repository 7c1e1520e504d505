"""`codebook`: one binary code per character (Eq. 3-4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.recogniser.vocabulary import UnknownCharacter
from hcompress.stages.base import MOST_IMAGES, Env, Kind, Param
from hcompress.stages.common import LookBatch, Spacing, Unknown, Workers


class Method(StrEnum):
    """Where codes come from."""

    LSH = "lsh"
    """The teacher's features of labelled images, by majority vote."""
    COLUMNS = "columns"
    """The softmax columns: no data at all."""
    WHITENED = "whitened"
    """The softmax columns, where the features of labelled images scatter alike to every side."""
    RANDOM = "random"
    """Chance: the control of the paper's Table 3."""


@dataclass(frozen=True)
class MakeCodebook:
    """Make every character's code; the model itself is passed on as it is."""

    data: Annotated[Path | None, Param("labelled images (lsh and whitened)", data=True)] = None
    images: Annotated[int, Param("images to take the features of", 1, MOST_IMAGES)] = 4096
    method: Annotated[Method, Param("where codes come from")] = Method.LSH
    code_length: Annotated[int, Param("bits of a code, K; a multiple of 8", 8, 4096)] = 512
    spacing: Spacing = 1 / 64
    batch: LookBatch = 64
    unknown: Unknown = UnknownCharacter.REFUSE
    workers: Workers = 1

    name: ClassVar[str] = "codebook"
    version: ClassVar[int] = 4
    summary: ClassVar[str] = "make a binary code for every character"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy")

    def run(self, source: Path | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.codes.file import CODEBOOK_FILE, codebook_bytes
        from hcompress.codes.make import make_codebook
        from hcompress.recogniser.checkpoint import (
            MODEL_FILE,
            load_checkpoint,
            save_checkpoint,
            write_bytes,
        )

        assert source is not None
        teacher = load_checkpoint(source)
        codebook, report = make_codebook(self, teacher, env)
        save_checkpoint(out / MODEL_FILE, teacher.model, teacher.vocabulary, env.provenance)
        write_bytes(out / CODEBOOK_FILE, codebook_bytes(codebook, teacher.vocabulary))
        return report
