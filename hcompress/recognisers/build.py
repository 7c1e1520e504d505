"""From a configuration to its recogniser: the one place that knows which family is which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hcompress.recognisers.contract import Recogniser
from hcompress.recognisers.transformer.model import Transformer
from hcompress.spec.config import FAMILIES, RecogniserConfig, TransformerConfig

_FAMILIES: Final[dict[type[RecogniserConfig], Callable[[Any, int], Recogniser]]] = {
    TransformerConfig: Transformer,
}


def register(config: type[RecogniserConfig], family: Callable[[Any, int], Recogniser]) -> None:
    """Let files name this family from now on."""
    FAMILIES[config.family] = config
    _FAMILIES[config] = family


def build(config: RecogniserConfig, vocabulary: int) -> Recogniser:
    """A recogniser of V = ``vocabulary`` ids, untrained."""
    return _FAMILIES[type(config)](config, vocabulary)
