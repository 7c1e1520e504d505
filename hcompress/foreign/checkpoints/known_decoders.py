"""Which encoder–decoder a checkpoint is, by its tensors' names; some are known and not taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from hcompress.errors import InputRefused
from hcompress.foreign.checkpoints.master import MASTER, MASTER_1_1
from hcompress.foreign.checkpoints.nrtr import NRTR

if TYPE_CHECKING:
    from hcompress.foreign.checkpoints.decoders import EncoderDecoder
    from hcompress.foreign.checkpoints.state import State

DECODERS: Final[Mapping[str, EncoderDecoder]] = {
    one.name: one for one in (MASTER, MASTER_1_1, NRTR)
}
"""By the name that `--arch` gives."""
_TELLING: Final[Mapping[str, EncoderDecoder]] = {
    "decoder.source_attention.0.output_linear.weight": MASTER,
    "decoder.tgt_word_prj.weight": NRTR,
}
_ELSEWHERE: Final[Mapping[str, str]] = {
    "transformer.embed_tgt.weight": "VietOCR's: its encoder is VGG-19 and a transformer of its own",
    "decoder.model.decoder.embed_tokens.weight": "TrOCR's: its encoder is a ViT, and it answers"
    " pieces of words, not characters",
}
_WHY_NOT: Final = "is not imported: doctr-master and openocr-nrtr are"


def decoder_in(state: State, asked: str | None = None) -> EncoderDecoder | None:
    """The encoder–decoder that it is, or that is asked for; None if it is none.

    Raises InputRefused of one that is known and not taken.
    """
    if asked is not None:
        return DECODERS.get(asked)
    for name, whose in _ELSEWHERE.items():
        if name in state.tensors:
            raise InputRefused(f"{state.where}: {whose}: it {_WHY_NOT}")
    return next((one for name, one in _TELLING.items() if name in state.tensors), None)
