"""Codes for characters a model was never trained on: the work of the `extend` stage.

V vocabulary before, n new characters, K bits, d features.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from hcompress.checkpoints.checkpoint import load_checkpoint, read_stored
from hcompress.codes.extend_lines import Sightings, sight
from hcompress.codes.extend_logits import Looks, look
from hcompress.codes.new_codes import NewCodes, growth_report, new_codes
from hcompress.codes.repair import least_distance
from hcompress.errors import UsageError
from hcompress.heads.hamming.codebook import Bits, pack, unpack
from hcompress.recognisers.grow import grown
from hcompress.recognisers.transformer.model import Transformer

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from hcompress.data.sample import DataSource
    from hcompress.spec.header import ModelMetadata
    from hcompress.stages.base import Env
    from hcompress.stages.extend import Extend


@torch.no_grad()
def extend(
    stage: Extend, source: Path, env: Env
) -> tuple[ModelMetadata, dict[str, Tensor], dict[str, Any]]:
    """The grown file's metadata and tensors, and the figures.

    Raises UsageError where the model has no Hamming classifier or a factorised embedding, and
    what `sight` raises.
    """
    from hcompress.data.source import open_data

    before = load_checkpoint(source)
    model = before.model
    if not isinstance(model, Transformer):
        raise model.inside("extend")
    if model.config.head.code_length is None:
        raise UsageError(
            f"{source}: the classifier is a softmax: a new character needs a new column there,"
            " and training; only a Hamming classifier can be extended (see replace-head)"
        )
    assert model.inputs is not None
    try:
        model.inputs.new_vectors(model.signs()[:1])
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from None
    data = open_data(stage.data)
    found = sight(stage, data, before.vocabulary, model.config.max_steps, env.progress)
    codes, looks, passes = _learn(stage, model, data, found, env)
    added = pack(codes.bits[model.vocabulary :])
    signs = _signs(codes.bits[model.vocabulary :])
    metadata, stored = read_stored(source)
    metadata = replace(metadata, vocabulary=found.vocabulary, provenance=env.provenance)
    tensors = grown(model, stored, torch.from_numpy(added), signs)
    report = growth_report(codes, looks, found.vocabulary)
    return metadata, tensors, {"lines": len(found.indices), "passes": passes, **report}


def _learn(
    stage: Extend, model: Transformer, data: DataSource, found: Sightings, env: Env
) -> tuple[NewCodes, Looks, int]:
    """The codes, and the looks and passes they took.

    In the first pass the decoder is given a vector of zeros for a new character. Where one
    stands behind another a second pass follows, with the first one's codes in their place.
    """
    from hcompress.data.batches import batches

    assert model.inputs is not None
    old = unpack(model.codebook.numpy())
    apart = least_distance(old.shape[1]) if stage.apart is None else stage.apart
    count = len(found.vocabulary) - model.vocabulary
    size = model.config.preprocessing

    given = model.inputs.vectors()

    def see(vectors: Tensor, label: str) -> Looks:
        env.progress.start(label, len(found.indices))
        feed = batches(data, found.indices, stage.batch, size, stage.workers)
        every = torch.cat([given, vectors])
        looks = look(model, every, found.vocabulary, stage.images, feed, env.progress)
        env.progress.finish()
        return looks

    looks = see(torch.zeros(count, model.config.width), "new characters")
    codes = new_codes(looks, old, count, apart, stage.ballot)
    if not looks.led:
        return codes, looks, 1
    looks = see(
        model.inputs.new_vectors(_signs(codes.bits[len(old) :])), "once more, with their codes"
    )
    return new_codes(looks, old, count, apart, stage.ballot), looks, 2


def _signs(bits: Bits) -> Tensor:
    return torch.from_numpy(bits).float() * 2 - 1
