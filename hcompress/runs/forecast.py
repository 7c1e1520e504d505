"""How large a model will be once a stage has made it: what a dry run can say.

Worked out from the configuration, to some percent, and of a recogniser from elsewhere from its
shapes. Each stage says itself what it makes of a model (`Foreseen`, `ForeseenForeign`); one that
does not leaves the size unknown; it is never guessed.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final

from hcompress.artifacts.beside import waiting_codes
from hcompress.foreign import forecast as foreign
from hcompress.foreign.forecast import ForeignForecast
from hcompress.foreign.header import is_foreign
from hcompress.formats.open import ModelFile
from hcompress.spec.config import RecogniserConfig, Weights
from hcompress.spec.forecast import Forecast
from hcompress.spec.header import read_header
from hcompress.stages.base import Foreseen, ForeseenForeign, Stage

AnyForecast = Forecast | ForeignForecast

_ELEMENT_BYTES: Final[Mapping[Weights, int]] = {
    Weights.FP32: 4,
    Weights.FP16: 2,
    Weights.INT8: 1,
}
FEW: Final = 8
"""Ids of a recogniser that is built for its body alone."""


def after(stage: Stage, known: AnyForecast | None) -> AnyForecast | None:
    """The forecast of what a stage makes of the model before it; None if nobody knows.

    Raises UsageError if the stage's parameters ask for what no recogniser can be.
    """
    if isinstance(known, ForeignForecast):
        return stage.foreseen_foreign(known) if isinstance(stage, ForeseenForeign) else None
    return stage.foreseen(known) if isinstance(stage, Foreseen) else None


def forecast_of(model: ModelFile) -> AnyForecast | None:
    """What is there, as a forecast; None if nothing says what it is."""
    if is_foreign(model):
        return foreign.forecast_of(model)
    if model.header is None:
        return None
    metadata = read_header(model)
    config, size = metadata.config, len(metadata.vocabulary)
    rest = model.path.stat().st_size - bytes_of(Forecast(config, size, 0))
    return Forecast(config, size, max(0, rest), waiting_codes(model), metadata.vocabulary)


def bytes_of(known: AnyForecast) -> int:
    """About what the file will weigh."""
    if isinstance(known, ForeignForecast):
        return known.bytes
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
