"""`import-decoder`: an encoder–decoder from elsewhere, as a recogniser of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.errors import InputRefused, UsageError
from hcompress.foreign.options import Asked
from hcompress.formats.open import Source, open_file
from hcompress.spec.exported import ONNX_FILE
from hcompress.stages.base import Env
from hcompress.strict.files import shown
from hcompress.strict.schema import Param
from hcompress.strict.show import show, suggest

if TYPE_CHECKING:
    from hcompress.checkpoints.checkpoint import Checkpoint
    from hcompress.spec.header import Provenance


@dataclass(frozen=True)
class ImportDecoder:
    """Tell a known framework's checkpoint by its tensors and write one that every stage takes.

    It reads as the framework does. The rest of Hamming OCR goes from there.
    """

    charset: Annotated[Path, Param("its characters in order: a UTF-8 text file")]
    arch: Annotated[str | None, Param("whose checkpoint it is: doctr-master, openocr-nrtr")] = None
    heads: Annotated[int | None, Param("attention heads, if not as published", 1, 64)] = None
    max_steps: Annotated[
        int | None, Param("characters of the longest line plus one, if not as published", 2, 256)
    ] = None
    image_width: Annotated[
        int | None, Param("pixels across its images, if not as published", 4, 2048)
    ] = None

    name: ClassVar[str] = "import-decoder"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "take an encoder–decoder from elsewhere"
    consumes: ClassVar[Kind] = Kind.ONNX
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy")

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import MODEL_FILE, save_checkpoint

        assert source is not None
        made, found, name = taken(self, source, env.provenance)
        for line in found:
            env.progress.say(line)
        save_checkpoint(out / MODEL_FILE, made.model, made.vocabulary, env.provenance)
        return {"arch": name, "characters": len(made.vocabulary.characters), "found": found}


def taken(
    stage: ImportDecoder, source: Source, provenance: Provenance
) -> tuple[Checkpoint, tuple[str, ...], str]:
    """The recogniser, lines for people on how it was found, and the architecture's name.

    Raises InputRefused if the checkpoint is none that is known.
    """
    from hcompress.checkpoints.imported import imported
    from hcompress.foreign.checkpoints.known_decoders import DECODERS, decoder_in
    from hcompress.foreign.checkpoints.state import read_state

    file = open_file(source, ONNX_FILE, "checkpoint")
    if stage.arch is not None and stage.arch not in DECODERS:
        raise UsageError(f"arch = {show(stage.arch)}{suggest(stage.arch, DECODERS, 'one of')}")
    state = read_state(file) if file.bare else None
    known = decoder_in(state, stage.arch) if state is not None else None
    if state is None or known is None:
        raise InputRefused(
            f"{shown(file.path)}: no encoder–decoder that is known: {', '.join(DECODERS)}"
        )
    asked = Asked(stage.heads, stage.max_steps, stage.image_width)
    made, found = imported(state, known, stage.charset, asked, provenance)
    return made, found, known.name
