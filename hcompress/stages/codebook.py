"""`codebook`: one binary code per character (Eq. 3-4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.charset import UnknownCharacter
from hcompress.codes.options import Method
from hcompress.stages.base import Env
from hcompress.strict.schema import MOST_IMAGES, Param
from hcompress.training.options import LookBatch, MinDistance, Unknown, Workers


@dataclass(frozen=True)
class MakeCodebook:
    """Make every character's code; the model itself is passed on as it is."""

    data: Annotated[Path | None, Param("labelled images (lsh and whitened)", data=True)] = None
    images: Annotated[int, Param("images to take the features of", 1, MOST_IMAGES)] = 4096
    method: Annotated[Method, Param("where codes come from")] = Method.LSH
    code_length: Annotated[int, Param("bits of a code, K; a multiple of 8", 8, 4096)] = 512
    min_distance: MinDistance = 1 / 64
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
        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.checkpoints.codebook import CODEBOOK_FILE, codebook_bytes
        from hcompress.codes.make import make_codebook
        from hcompress.strict.atomic import write_bytes

        assert source is not None
        teacher = load_checkpoint(source)
        codebook, report = make_codebook(self, teacher, env)
        save_checkpoint(out / MODEL_FILE, teacher.model, teacher.vocabulary, env.provenance)
        write_bytes(out / CODEBOOK_FILE, codebook_bytes(codebook, teacher.vocabulary))
        return report
