"""How large a model will be once a stage has made it: what a dry run can say.

Worked out from the configuration, to some percent. A stage that no rule here knows leaves the
size unknown; it is never guessed.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hcompress.formats.open import ModelFile
from hcompress.spec.config import BatchNorm, RecogniserConfig, TransformerConfig, Weights
from hcompress.spec.header import read_header
from hcompress.spec.heads import Hamming, HammingInputs, Learned, Softmax
from hcompress.spec.vocabulary import Vocabulary
from hcompress.stages.codebook import MakeCodebook
from hcompress.stages.extend import Extend
from hcompress.stages.factorise import Factorise
from hcompress.stages.finetune import Finetune
from hcompress.stages.half import Half
from hcompress.stages.int8 import Int8
from hcompress.stages.onnx import OnnxStage
from hcompress.stages.recode import Recode
from hcompress.stages.regrow import Regrow
from hcompress.stages.replace_head import ReplaceHead
from hcompress.stages.slim_decoder import SlimDecoder
from hcompress.stages.swap_backbone import SwapBackbone
from hcompress.training.options import Shape

_ELEMENT_BYTES: Final[Mapping[Weights, int]] = {
    Weights.FP32: 4,
    Weights.FP16: 2,
    Weights.INT8: 1,
}


FEW: Final = 8
"""Ids of a recogniser that is built for its body alone."""


@dataclass(frozen=True)
class Forecast:
    """A model that may not exist yet."""

    config: RecogniserConfig
    size: int
    """V: characters and specials."""
    rest: int
    """Bytes of everything no configuration decides: charset, header, small tensors."""
    code_length: int | None = None
    """Bits of the codes that lie beside the model, waiting for a head."""

    @property
    def bytes(self) -> int:
        """About what the file will weigh."""
        stored = self.config.head_tensors(self.size).values()
        elements = body_elements(self.config) + sum(t.elements for t in stored if not t.packed)
        packed = sum(t.elements for t in stored if t.packed)
        return _ELEMENT_BYTES[self.config.weights] * elements + packed + self.rest

    def as_floats(self, **changes: Any) -> Forecast:
        """After a stage that writes every weight as FP32, its configuration changed as asked."""
        config = self.config.asked(weights=Weights.FP32, **changes)
        return dataclasses.replace(self, config=config)


def forecast_of(model: ModelFile) -> Forecast | None:
    """What is there, as a forecast; None where the file has no metadata of ours."""
    if model.header is None:
        return None
    metadata = read_header(model)
    config, size = metadata.config, len(metadata.vocabulary)
    bare = Forecast(config, size, 0).bytes
    rest = max(0, model.path.stat().st_size - bare)
    return Forecast(config, size, rest, config.code_length)


@functools.singledispatch
def after(_stage: object, _known: Forecast | None) -> Forecast | None:
    """The forecast of what a stage makes of the model before it; None where nobody knows.

    Raises UsageError where the stage's parameters ask for what no recogniser can be.
    """
    return None


@after.register
def _(stage: Shape, _known: Forecast | None) -> Forecast | None:
    """Train and initialise: a new recogniser of the shape asked for."""
    charset = getattr(stage, "charset", None)
    if not isinstance(charset, Path):
        return None
    from hcompress.charset import read_charset

    vocabulary = Vocabulary(read_charset(charset))
    return Forecast(stage.config(), len(vocabulary), rest=charset.stat().st_size)


@after.register
def _(stage: SwapBackbone, known: Forecast | None) -> Forecast | None:
    if known is None:
        return None
    return known.as_floats(
        backbone=stage.family,
        backbone_width=stage.backbone_width,
        width=stage.width,
        ffn_width=stage.ffn_width,
    )


@after.register
def _(stage: MakeCodebook, known: Forecast | None) -> Forecast | None:
    return known and dataclasses.replace(known, code_length=stage.code_length).as_floats()


@after.register
def _(stage: ReplaceHead, known: Forecast | None) -> Forecast | None:
    if known is None or known.code_length is None:
        return None
    config = known.config
    return known.as_floats(
        head=Hamming(known.code_length) if stage.classifier else config.head,
        inputs=HammingInputs(known.code_length) if stage.embedding else config.inputs,
    )


@after.register
def _(stage: Factorise, known: Forecast | None) -> Forecast | None:
    if known is None:
        return None
    config, p = known.config, stage.bottleneck
    return known.as_floats(
        head=Softmax(p) if stage.classifier else config.head,
        inputs=Learned(p) if stage.embedding else config.inputs,
    )


@after.register
def _(stage: SlimDecoder, known: Forecast | None) -> Forecast | None:
    if known is None or not isinstance(known.config, TransformerConfig):
        return None
    return known.as_floats(
        ffn=known.config.ffn and not stage.remove_ffn,
        shared_layers=known.config.shared_layers or stage.share_layers,
    )


@after.register
def _(stage: Half, known: Forecast | None) -> Forecast | None:
    if known is None:
        return None
    norm = BatchNorm.FOLDED if stage.fold_batch_norm else known.config.batch_norm
    config = known.config.asked(weights=Weights.FP16, batch_norm=norm)
    return dataclasses.replace(known, config=config)


@after.register
def _(_stage: Int8, known: Forecast | None) -> Forecast | None:
    if known is None:
        return None
    config = known.config.asked(weights=Weights.INT8, batch_norm=BatchNorm.FOLDED)
    return dataclasses.replace(known, config=config)


@after.register
def _(stage: Extend, known: Forecast | None) -> Forecast | None:
    """Without a list of them only the images' labels say how many characters there will be."""
    if known is None or stage.characters is None:
        return None
    from hcompress.charset import read_charset

    added = len(read_charset(stage.characters))
    return dataclasses.replace(known, size=known.size + added)


@after.register(Finetune)
def _(_stage: Finetune, known: Forecast | None) -> Forecast | None:
    return known and known.as_floats()


@after.register
def _(stage: Regrow, known: Forecast | None) -> Forecast | None:
    if known is None:
        return None
    changes: dict[str, Any] = {}
    if stage.matrices:
        changes |= {"head": Softmax(), "inputs": Learned()}
    if stage.layers:
        changes["shared_layers"] = False
    if stage.ffn:
        changes["ffn"] = True
    if stage.batch_norm:
        changes["batch_norm"] = BatchNorm.LIVE
    return known.as_floats(**changes)


@after.register(Recode)
@after.register(OnnxStage)
def _(_stage: object, known: Forecast | None) -> Forecast | None:
    return known


@functools.lru_cache
def body_elements(config: RecogniserConfig) -> int:
    """Elements of all but the head, statistics included. The one figure that needs torch: it
    builds the module without its memory."""
    from hcompress.recognisers.build import outline

    tensors = outline(config, FEW).state_dict()
    of_head = config.head_tensors(FEW)
    return sum(tensor.numel() for name, tensor in tensors.items() if name not in of_head)
