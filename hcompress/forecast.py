"""How large a recogniser will be, from its configuration alone: what a dry run can say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from hcompress.recogniser.config import Classifier, Embedding, RecogniserConfig, Weights
from hcompress.recogniser.metadata import ModelMetadata
from hcompress.stages.base import Stage

_ELEMENT_BYTES: Mapping[Weights, int] = {Weights.FP32: 4, Weights.FP16: 2, Weights.INT8: 1}


@runtime_checkable
class Forecasts(Protocol):
    """A stage that can say what becomes of a configuration; optional."""

    def forecast(self, config: RecogniserConfig) -> RecogniserConfig: ...


@dataclass(frozen=True)
class Forecast:
    """A model that may not exist yet."""

    config: RecogniserConfig
    size: int
    """V: characters and specials."""
    backbone: int | None
    """Elements of the backbone; None where nothing says."""
    rest: int
    """Bytes of everything no configuration decides: charset, header, buffers."""

    @property
    def bytes(self) -> int | None:
        """About what the file will weigh: to some percent."""
        if self.backbone is None:
            return None
        width = _ELEMENT_BYTES[self.config.weights]
        elements = self.backbone + sum(head_elements(self.config, self.size))
        return width * elements + codebook_bytes(self.config, self.size) + self.rest

    def after(self, stage: Stage) -> Forecast | None:
        """The forecast of what ``stage`` makes of it, or None where the stage cannot say."""
        if not isinstance(stage, Forecasts):
            return None
        config = stage.forecast(self.config)
        same = (config.backbone, config.backbone_width) == (
            self.config.backbone,
            self.config.backbone_width,
        )
        return Forecast(config, self.size, self.backbone if same else None, self.rest)


def forecast_of(model: Path) -> Forecast | None:
    """What is there, as a forecast; None where the file has no metadata of ours."""
    import json

    from hcompress import sizes

    raw = sizes.read_metadata(model)
    if raw is None:
        return None
    metadata = ModelMetadata.from_json(json.dumps(raw))
    config, size = metadata.config, len(metadata.vocabulary)
    found = sizes.breakdown(model)
    backbone = found.component("backbone").params
    known = Forecast(config, size, backbone, 0).bytes or 0
    return Forecast(config, size, backbone, max(0, found.bytes - known))


def head_elements(config: RecogniserConfig, size: int) -> tuple[int, int, int, int]:
    """Elements of decoder attention, decoder FFN, embedding and classifier.

    ``size`` is V. A layer has self- and cross-attention (four d x d maps with biases each) and
    their norms; its FFN two maps with biases and a norm.
    """
    d, layers = config.width, config.stored_layers
    length = config.code_length or 0
    attention = layers * (8 * (d * d + d) + 4 * d)
    ffn = layers * (2 * d * config.ffn_width + config.ffn_width + 3 * d) if config.ffn else 0
    embedding = size * d if config.embedding is Embedding.LEARNED else length * d
    softmax = config.classifier is Classifier.SOFTMAX
    return attention, ffn, embedding, (size * d + size) if softmax else d * length


def codebook_bytes(config: RecogniserConfig, size: int) -> int:
    """The packed codes: V x K / 8, whatever the precision of the weights."""
    return size * (config.code_length or 0) // 8
