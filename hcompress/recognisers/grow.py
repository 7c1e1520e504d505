"""A recogniser with more characters: rows added to what is stored, and not a byte else changed.

V vocabulary, n new characters, K bits, d features.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hcompress.compute.quantised import quantised
from hcompress.recognisers.contract import Recogniser
from hcompress.spec.config import SCALE
from hcompress.spec.heads import CODEBOOK


def grown(
    model: Recogniser, stored: Mapping[str, Tensor], codes: Tensor, signs: Tensor
) -> dict[str, Tensor]:
    """A file's tensors with rows for new characters: uint8 codes [n, K/8], the same as signs.

    Existing rows keep their ids, and every tensor but the codebook, and what the head's inputs
    store character by character, is the one in ``stored``.
    """
    tensors = dict(stored)
    tensors[CODEBOOK] = torch.cat([stored[CODEBOOK], codes])
    if model.inputs is not None:
        for name, rows in model.inputs.new_rows(signs).items():
            _append(tensors, name, rows)
    return tensors


def _append(tensors: dict[str, Tensor], name: str, rows: Tensor) -> None:
    """In the type the others have: int8 ones with their scales."""
    old = tensors[name]
    if old.dtype != torch.int8:
        tensors[name] = torch.cat([old, rows.to(old.dtype)])
        return
    packed, scale = quantised(rows), tensors[name + SCALE]
    tensors[name] = torch.cat([old, packed.values])
    tensors[name + SCALE] = torch.cat([scale, packed.scale.to(scale.dtype)])
