"""How large a model will be once a stage has made it: what a dry run can say.

Worked out from the configuration, to some percent. Each stage says itself what it makes of a model
(`Foreseen`); one that does not leaves the size unknown; it is never guessed.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final

from hcompress.foreign.header import is_foreign
from hcompress.formats.open import ModelFile
from hcompress.spec.config import RecogniserConfig, Weights
from hcompress.spec.forecast import Forecast
from hcompress.spec.header import read_header
from hcompress.stages.base import Foreseen, Stage

_ELEMENT_BYTES: Final[Mapping[Weights, int]] = {
    Weights.FP32: 4,
    Weights.FP16: 2,
    Weights.INT8: 1,
}
FEW: Final = 8
"""Ids of a recogniser that is built for its body alone."""


def after(stage: Stage, known: Forecast | None) -> Forecast | None:
    """The forecast of what a stage makes of the model before it; None if nobody knows.

    Raises UsageError if the stage's parameters ask for what no recogniser can be.
    """
    return stage.foreseen(known) if isinstance(stage, Foreseen) else None


def forecast_of(model: ModelFile) -> Forecast | None:
    """What is there, as a forecast; None if the file has no metadata of ours, or is foreign."""
    if model.header is None or is_foreign(model):
        return None
    metadata = read_header(model)
    config, size = metadata.config, len(metadata.vocabulary)
    rest = model.path.stat().st_size - bytes_of(Forecast(config, size, 0))
    return Forecast(config, size, max(0, rest), config.code_length)


def bytes_of(known: Forecast) -> int:
    """About what the file will weigh."""
    stored = known.config.head_tensors(known.size).values()
    elements = body_elements(known.config) + sum(t.elements for t in stored if not t.packed)
    packed = sum(t.elements for t in stored if t.packed)
    return _ELEMENT_BYTES[known.config.weights] * elements + packed + known.rest


@functools.lru_cache
def body_elements(config: RecogniserConfig) -> int:
    """Elements of all but the head, statistics included. The one figure that needs torch: it
    builds the module without its memory."""
    from hcompress.recognisers.build import outline

    tensors = outline(config, FEW).state_dict()
    of_head = config.head_tensors(FEW)
    return sum(tensor.numel() for name, tensor in tensors.items() if name not in of_head)
