"""A head's weights in closed form, before anything is trained."""

from __future__ import annotations

import torch

from hcompress.data.batches import cut
from hcompress.training.feature_cache import EncodedLines

BATCH = 64


@torch.no_grad()
def fit_head(lines: EncodedLines, count: int) -> None:
    """Give the student's head what its features h of the first ``count`` lines ask for.

    Raises UsageError if the head has no closed form (`Head.fit`).
    """
    student = lines.trainer.student
    lines.trainer.eval()
    features, wanted = [], []
    for batch in cut(lines.lines[:count], BATCH):
        targets, encoded = lines.together(batch)
        h, ids = student.decided(encoded.memory, targets)
        features.append(h.double())
        wanted.append(ids)
    student.head.fit(torch.cat(features), torch.cat(wanted))
