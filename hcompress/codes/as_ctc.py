"""A recogniser with codes, made a CTC recogniser of the same backbone and codes, for any width.

V vocabulary, K bits, N lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hcompress.codes.distances import distances
from hcompress.errors import UsageError
from hcompress.heads.hamming.codebook import Bits, pack, unpack
from hcompress.heads.hamming.loss import HAMMING_TEMPERATURE
from hcompress.recognisers.build import build
from hcompress.recognisers.ctc.model import Ctc
from hcompress.recognisers.rebuild import live_batch_norm
from hcompress.spec.config import BatchNorm

if TYPE_CHECKING:
    from hcompress.recognisers.contract import Recogniser
    from hcompress.spec.ctc import CtcConfig
    from hcompress.spec.vocabulary import Vocabulary

GRID = "backbone.grid."
APART = 4
"""A new character's code is K/4 bits from every other at least: chance alone gives K/2."""


def as_ctc(
    before: Recogniser,
    known: Vocabulary,
    config: CtcConfig,
    vocabulary: Vocabulary,
    images: Tensor,
    seed: int,
) -> Ctc:
    """An untrained CTC recogniser of shape ``config``: what is the old one's are its backbone and
    the codes of the characters that it has, ``known``.

    ``images`` uint8 [N, H, W, C] tell what batch normalisation has to undo, if the old one's was
    folded away. Raises UsageError if there are no codes.
    """
    length = before.config.head.code_length
    if length is None:
        raise UsageError("as-ctc takes a recogniser with codes: give it some by replace-head first")
    torch.manual_seed(seed)
    model = build(
        config.asked(
            head=before.config.head,
            batch_norm=BatchNorm.LIVE,
            temperature=length * HAMMING_TEMPERATURE,
        ),
        len(vocabulary),
    )
    assert isinstance(model, Ctc)
    old = before.state_dict()
    codes = codes_of(vocabulary, known, unpack(before.codebook.numpy()), seed)
    model.codebook.copy_(torch.from_numpy(pack(codes)))
    grid = {name.removeprefix("backbone."): tensor for name, tensor in old.items()}
    if before.config.batch_norm is BatchNorm.LIVE:
        model.backbone.grid.load_state_dict(_only(grid, model.backbone.grid.state_dict()))
    else:
        live_batch_norm(model.backbone.grid, grid, model.normalise(images))
    return model


def codes_of(new: Vocabulary, old: Vocabulary, bits: Bits, seed: int) -> Bits:
    """[V', K] for the ids of ``new``: the codes ``bits`` [V, K] of characters that ``old`` has,
    by chance those of the others and of special ids."""
    rng = np.random.Generator(np.random.PCG64(seed))
    made = np.zeros((len(new), bits.shape[1]), np.bool_)
    known = [index for index in range(new.first, len(new)) if new.name(index) in old]
    made[known] = bits[[old.id_of(new.name(index)) for index in known]]
    taken = list(known)
    for index in sorted(set(range(len(new))) - set(known)):
        others = pack(made[taken])
        while True:
            drawn: Bits = np.asarray(rng.random(bits.shape[1]) < 0.5, np.bool_)
            near = distances(pack(drawn[None]), others).min(initial=bits.shape[1])
            if near * APART >= bits.shape[1]:
                break
        made[index] = drawn
        taken.append(index)
    return made


def _only(state: Mapping[str, Tensor], names: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: state[name] for name in names}
