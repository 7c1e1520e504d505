"""A Hamming classifier's W in closed form, before anything is trained.

Psi (Eq. 3) made the codes from the teacher's features. What a changed decoder gives is near those
and not the same, so W is solved for: the ridge regression from its features to the codes.
V vocabulary, K bits, d features.
"""

from __future__ import annotations

import torch

from hcompress.charset import PAD
from hcompress.heads.hamming.module import HammingClassifier
from hcompress.training.feature_cache import EncodedLines

RIDGE = 1e-4
"""Of the features' mean square, added to each direction's."""
BATCH = 64


@torch.no_grad()
def fit_head(lines: EncodedLines, count: int) -> None:
    """Give the student the W that its features h of the first ``count`` lines ask for.

    Minimises the sum over targets y of |W h - eta_y|^2 / sqrt(n_y), with codes eta as signs and
    n_y the times y is there: common characters would have it all to themselves otherwise.
    """
    trainer = lines.trainer
    student, signs = trainer.student, trainer.signs
    assert isinstance(student.classifier, HammingClassifier)
    assert isinstance(signs, torch.Tensor)
    trainer.eval()
    features, wanted = [], []
    for start in range(0, min(count, len(lines.lines)), BATCH):
        inputs, targets, encoded = lines.together(lines.lines[start : start + BATCH])
        cross = student.decoder.cross(encoded.memory)
        *_, h = student.decoder.run(student.embed(inputs, signs), cross)
        features.append(h[targets != PAD].double())
        wanted.append(targets[targets != PAD])
    h, y = torch.cat(features), torch.cat(wanted)
    weighed = h * (torch.bincount(y).double()[y] ** -0.5)[:, None]
    square = weighed.T @ h
    square.diagonal().add_(RIDGE * square.diagonal().mean())
    solved = torch.linalg.solve(square, weighed.T @ signs[y].double())
    student.classifier.projection.weight.copy_(solved.T)
