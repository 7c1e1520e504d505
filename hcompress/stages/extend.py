"""`extend`: codes for new characters from a few images; no weight is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.charset import read_charset
from hcompress.codes.options import ExtendOptions
from hcompress.formats.open import Source
from hcompress.progress import NoProgress
from hcompress.spec.forecast import Forecast
from hcompress.spec.refusals import check_grows
from hcompress.stages.base import Env

if TYPE_CHECKING:
    from hcompress.spec.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class Extend(ExtendOptions):
    """Add characters to a recogniser with a Hamming classifier."""

    name: ClassVar[str] = "extend"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "give new characters codes from a few images, without training"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy")

    def foreseen(self, known: Forecast | None) -> Forecast | None:
        """Without a list of them only the images' labels say how many characters there will be."""
        if known is not None:
            check_grows(known.config)
        if known is None or self.characters is None:
            return None
        new = read_charset(self.characters)
        return replace(known, size=known.size + len(new), vocabulary=None)

    def check_labels(self, known: Vocabulary, max_steps: int) -> None:
        from hcompress.codes.extend_lines import sight
        from hcompress.data.source import on_file, open_data

        named = read_charset(self.characters) if self.characters is not None else None
        if on_file(self.data):
            sight(self, named, open_data(self.data), known, max_steps, NoProgress())

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.charset import read_charset
        from hcompress.checkpoints.checkpoint import (
            MODEL_FILE,
            checkpoint_file,
            load_checkpoint,
            read_stored,
            write_stored,
        )
        from hcompress.codes.extend import extend, growable
        from hcompress.codes.extend_lines import sight
        from hcompress.data.source import open_data
        from hcompress.recognisers.grow import grown

        assert source is not None
        file = checkpoint_file(source)
        before = load_checkpoint(file)
        model = growable(before.model, file.path)
        lines = open_data(self.data)
        named = read_charset(self.characters) if self.characters is not None else None
        found = sight(self, named, lines, before.vocabulary, before.config.max_steps, env.progress)
        new = extend(self, model, lines, found, env.progress)
        metadata, stored = read_stored(file)
        metadata = replace(metadata, vocabulary=found.vocabulary, provenance=env.provenance)
        tensors = grown(model, stored, new.codes, new.signs)
        write_stored(out / MODEL_FILE, metadata, tensors)
        return new.report
