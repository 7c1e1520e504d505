"""Moving codes to where features lie: the work of the `recode` stage. V vocabulary, K bits.

Codes are made before training, from a softmax or by vote. Training draws features to them, and
where it can't, nothing says that the code was the better of the two: so the codes go to meet the
features. `finetune` goes on from there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hcompress.checkpoints.checkpoint import load_checkpoint, read_stored
from hcompress.codes.repair import Repairs, repaired
from hcompress.codes.report import codebook_report
from hcompress.codes.soft_votes import Leanings, moved_bits
from hcompress.compute.ranks import sum_over_processes
from hcompress.data.feed import dealt_out, say_shares
from hcompress.errors import UsageError
from hcompress.heads.hamming.codebook import pack, unpack
from hcompress.recognisers.observe import labelled_features

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from hcompress.spec.header import ModelMetadata
    from hcompress.stages.base import Env
    from hcompress.stages.recode import Recode


def recode(
    stage: Recode, source: Path, env: Env
) -> tuple[ModelMetadata, dict[str, Tensor], dict[str, Any]]:
    """The file's metadata and tensors with other codes, and the figures.

    Raises UsageError where the classifier is a softmax.
    """
    before = load_checkpoint(source)
    model = before.model
    if model.config.head.code_length is None:
        raise UsageError(f"{source}: the classifier is a softmax: it has no codes to move")
    old = unpack(model.codebook.numpy())
    feed, shares = dealt_out("recode", stage, before.config.preprocessing, env)
    leanings = Leanings.none(*old.shape)
    for features, ids in labelled_features(before, feed, stage.unknown, env.progress):
        with torch.inference_mode():
            logits = model.head.logits(features)
        leanings.add(logits.numpy(), ids.numpy())
    say_shares("recode", shares, env)
    sum_over_processes(leanings.sums, leanings.seen)
    bits, sure = moved_bits(leanings, old, stage.old_weight)
    seen = leanings.seen > 0
    unseen = Repairs(0, tuple(np.flatnonzero(~seen).tolist()), (), ())
    bits, repairs, apart = repaired(bits, sure, stage.min_distance, unseen)
    codes = pack(bits)
    moved = (bits != old).sum(1)
    metadata, tensors = read_stored(source)
    tensors["codebook"] = torch.from_numpy(codes)
    report = codebook_report(codes, None, repairs, apart, before.vocabulary)
    return (
        replace(metadata, provenance=env.provenance),
        tensors,
        {
            "images_per_process": shares,
            "looks": int(leanings.seen.sum()),
            "moved_bits": {
                "mean": round(float(moved[seen].mean()) if seen.any() else 0.0, 3),
                "maximum": int(moved.max()),
            },
            **report,
        },
    )
