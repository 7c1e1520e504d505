"""`as-ctc`: the backbone and the codes of a recogniser, in one that reads lines of any width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.charset import read_charset
from hcompress.errors import UsageError
from hcompress.formats.open import Source
from hcompress.spec.config import BatchNorm, RecogniserConfig, TransformerConfig
from hcompress.spec.forecast import Forecast
from hcompress.spec.vocabulary import Vocabulary
from hcompress.stages.base import Env
from hcompress.strict.schema import MOST_IMAGES, Param
from hcompress.training.ctc_options import CtcLines
from hcompress.training.options import Lines

if TYPE_CHECKING:
    from hcompress.spec.ctc import CtcConfig


@dataclass(frozen=True, kw_only=True)
class AsCtc(CtcLines):
    """Make a CTC recogniser of one that answers in codes: its backbone, its characters' codes.

    The rest is new and untrained: `finetune` with backbone_rate and rivals teaches it to read.
    """

    data: Annotated[Path, Lines]
    images: Annotated[
        int, Param("lines that say what batch normalisation has to undo", 1, MOST_IMAGES)
    ] = 64
    charset: Annotated[
        Path | None,
        Param("UTF-8 file of the characters, if not the model's own; new ones get codes by chance"),
    ] = None

    name: ClassVar[str] = "as-ctc"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "begin a CTC recogniser with another's backbone and codes"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy")

    def foreseen(self, known: Forecast | None) -> Forecast | None:
        if known is None:
            return None
        config = self._config(known.config)
        vocabulary = self._vocabulary(known.vocabulary, config)
        if vocabulary is None:
            return None
        return replace(known, config=config, size=len(vocabulary), vocabulary=vocabulary)

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        import torch

        from hcompress.checkpoints.checkpoint import MODEL_FILE, load_checkpoint, save_checkpoint
        from hcompress.codes.as_ctc import as_ctc
        from hcompress.data.feed import drawn_images
        from hcompress.data.source import open_data

        assert source is not None
        before = load_checkpoint(source)
        config = self._config(before.config)
        vocabulary = self._vocabulary(before.vocabulary, config)
        assert vocabulary is not None
        lines = drawn_images(open_data(self.data), self.images, self.images, config.preprocessing)
        images = torch.from_numpy(next(iter(lines)).images)
        model = as_ctc(before.model, before.vocabulary, config, vocabulary, images, env.seed)
        save_checkpoint(out / MODEL_FILE, model, vocabulary, env.provenance)
        known = sum(character in before.vocabulary for character in vocabulary.characters)
        return {
            "characters": len(vocabulary.characters),
            "codes_by_chance": len(vocabulary.characters) - known,
        }

    def _config(self, before: RecogniserConfig) -> CtcConfig:
        """Raises UsageError if the model is none that this can begin with."""
        if not isinstance(before, TransformerConfig) or before.encoder_depth:
            raise UsageError("as-ctc takes a recogniser of ours with a decoder and no encoder")
        if before.head.code_length is None:
            raise UsageError(
                "as-ctc takes a recogniser with codes: give it some by replace-head first"
            )
        return self.along(
            backbone=before.backbone,
            backbone_width=before.backbone_width,
            width=before.width,
            head=before.head,
            batch_norm=BatchNorm.LIVE,
        )

    def _vocabulary(self, before: Vocabulary | None, config: CtcConfig) -> Vocabulary | None:
        if self.charset is not None:
            return Vocabulary(read_charset(self.charset), config.transcription)
        return before and Vocabulary(before.characters, config.transcription)
