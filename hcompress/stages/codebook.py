"""`codebook`: one binary code per character (Eq. 3-4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.charset import UnknownCharacter
from hcompress.codes.options import CodebookOptions, Looking, Method, MinDistance
from hcompress.data.options import LookBatch, Unknown, Workers
from hcompress.formats.open import Source
from hcompress.spec.forecast import Forecast
from hcompress.spec.refusals import check_gives_columns
from hcompress.stages.base import Env
from hcompress.strict.schema import MOST_IMAGES, Param

if TYPE_CHECKING:
    from hcompress.checkpoints.checkpoint import Checkpoint
    from hcompress.codes.count import Counts
    from hcompress.spec.vocabulary import Vocabulary


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
    version: ClassVar[int] = 5
    summary: ClassVar[str] = "make a binary code for every character"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy")

    def foreseen(self, known: Forecast | None) -> Forecast | None:
        self._options(0)
        if known is not None:
            check_gives_columns(known.config)
        return known and replace(known.as_floats(), code_length=self.code_length)

    def check_labels(self, known: Vocabulary, max_steps: int) -> None:  # noqa: ARG002
        from hcompress.data.known import check_labels
        from hcompress.data.order import drawn
        from hcompress.data.source import on_file, open_data

        if self.data is not None and on_file(self.data):
            source = open_data(self.data)
            check_labels(source, known.characters, self.unknown, drawn(source, self.images))

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.checkpoints.codebook import codebook_bytes
        from hcompress.codes.make import columns_of, empty_counts, make_codebook
        from hcompress.codes.report import codebook_report
        from hcompress.spec.exported import CODEBOOK_FILE
        from hcompress.strict.atomic import write_bytes

        assert source is not None
        teacher = load_checkpoint(source)
        vocabulary = teacher.vocabulary
        options = self._options(env.seed)
        columns = columns_of(teacher.model)
        counts = empty_counts(teacher.model, options) if self.data is not None else None
        shares = self._count(teacher, counts, env) if counts is not None else []
        codebook, votes, repairs, apart = make_codebook(columns, counts, options)
        save_checkpoint(out / MODEL_FILE, teacher.model, vocabulary, env.provenance)
        write_bytes(out / CODEBOOK_FILE, codebook_bytes(codebook, vocabulary))
        report = codebook_report(codebook.codes, votes, repairs, apart, vocabulary)
        return {"method": self.method.value, "images_per_process": shares, **report}

    def _options(self, seed: int) -> CodebookOptions:
        return CodebookOptions(self.method, self.code_length, self.min_distance, seed)

    def _count(self, teacher: Checkpoint, counts: Counts, env: Env) -> list[int]:
        """Count the images; returns how many each process took."""
        from hcompress.codes.count import count_images
        from hcompress.data.source import open_data

        assert self.data is not None
        lines = open_data(self.data)
        looking = Looking(self.images, self.batch, self.unknown, self.workers)
        return count_images(teacher, lines, counts, looking, self.name, env.threads, env.progress)
