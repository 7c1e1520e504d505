"""From a configuration to its recogniser: the one place that knows which family is which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from hcompress.compute.shapes import shapes_only
from hcompress.recognisers.contract import Recogniser
from hcompress.recognisers.ctc.model import Ctc
from hcompress.recognisers.transformer.model import Transformer
from hcompress.spec.config import RecogniserConfig, TransformerConfig
from hcompress.spec.ctc import CtcConfig
from hcompress.spec.families import FAMILIES

_FAMILIES: Final[dict[type[RecogniserConfig], Callable[[Any, int], Recogniser]]] = {
    TransformerConfig: Transformer,
    CtcConfig: Ctc,
}


def register(config: type[RecogniserConfig], family: Callable[[Any, int], Recogniser]) -> None:
    """Let files name this family from now on."""
    FAMILIES[config.family] = config
    _FAMILIES[config] = family


def build(config: RecogniserConfig, vocabulary: int) -> Recogniser:
    """A recogniser of V = ``vocabulary`` ids, untrained."""
    model = _FAMILIES[type(config)](config, vocabulary)
    if not shapes_only():
        model.fill_tables()
    return model


def outline(config: RecogniserConfig, vocabulary: int) -> Recogniser:
    """The same without memory, to hold a file against before any is taken; `complete` follows."""
    with torch.device("meta"):
        return build(config, vocabulary)


def complete(model: Recogniser, state: Mapping[str, Tensor]) -> None:
    """Make a recogniser of an `outline`, with these tensors, which become its own.

    Raises TypeError if its family leaves a table without values.
    """
    model.load_state_dict(dict(state), assign=True)
    model.fill_tables()
    empty = next((name for name, table in model.named_buffers() if table.is_meta), None)
    if empty is not None:
        raise TypeError(f"{type(model).__name__}: fill_tables leaves {empty} without values")
