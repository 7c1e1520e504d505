"""Columns from means: a first classifier over all characters, with no training of them.

Linear discriminant analysis with every column at the same whitened length: d features, V ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hcompress.errors import InputRefused
from hcompress.heads.contract import negative_log_likelihood
from hcompress.training.calibration import likeliest

if TYPE_CHECKING:
    from hcompress.data.batches import Batch
    from hcompress.progress import Progress
    from hcompress.training.character_trainer import GlyphTrainer


RIDGE = 1e-3
"""Of the mean variance, added to each: no direction is taken to be free of noise."""
JUDGED = 1024
"""Images that the scale is fitted on."""


@dataclass
class Moments:
    """Sums over features: by class, and of their outer products. All in float64."""

    sums: Tensor
    """[V, d]."""
    counts: Tensor
    """[V]."""
    products: Tensor
    """[d, d]."""

    @classmethod
    def empty(cls, classes: int, width: int) -> Moments:
        return cls(
            torch.zeros(classes, width, dtype=torch.float64),
            torch.zeros(classes, dtype=torch.float64),
            torch.zeros(width, width, dtype=torch.float64),
        )

    def add(self, features: Tensor, ids: Tensor) -> None:
        """features [N, d], ids [N]."""
        rows = features.double()
        self.sums.index_add_(0, ids, rows)
        self.counts.index_add_(0, ids, torch.ones(len(ids), dtype=torch.float64))
        self.products += rows.T @ rows

    def columns(self) -> tuple[Tensor, Tensor]:
        """Columns [V, d] for features less their centre [d], both float64.

        A class without an image has a column of zeros. Raises InputRefused where no class has
        two images: then nothing tells how far images of one character differ.
        """
        seen = self.counts > 0
        spare = self.counts.sum() - seen.sum()
        if spare < 1:
            raise InputRefused("columns from means: no character has two images; give more")
        means = self.sums / self.counts.clamp(min=1)[:, None]
        centre = means[seen].mean(0)
        within = (self.products - self.sums.T @ means) / spare
        ridge = RIDGE * within.diagonal().mean() + torch.finfo(torch.float64).tiny
        within += ridge * torch.eye(len(within), dtype=torch.float64)
        apart = (means - centre) * seen[:, None]
        columns = torch.linalg.solve(within, apart.T).T
        lengths = (columns * apart).sum(1).clamp(min=0).sqrt()
        return columns / lengths.clamp(min=1e-12)[:, None], centre


def start_columns(
    trainer: GlyphTrainer,
    first: Iterable[Batch],
    judged: Iterable[Batch],
    progress: Progress,
) -> float:
    """Give ``trainer`` its columns and centre; returns the share of ``judged`` they read.

    ``first`` are the images that the means are of; on ``judged`` the scale is fitted.
    """
    trainer.eval()
    with torch.no_grad():
        trainer.centre.zero_()
        moments = Moments.empty(*trainer.columns.shape)
        progress.start("columns", 0)
        for features, ids in _features(trainer, first):
            moments.add(features, ids)
            progress.advance(len(ids))
        progress.finish()
        columns, centre = moments.columns()
        parts = list(_features(trainer, judged))
        scores = (torch.cat([f for f, _ in parts]) - centre.float()) @ columns.float().T
        wanted = torch.cat([ids for _, ids in parts])
        trainer.columns.copy_(columns / likeliest(partial(negative_log_likelihood, scores, wanted)))
        trainer.centre.copy_(centre)
    return float((scores.argmax(1) == wanted).double().mean())


def feature_length(trainer: GlyphTrainer, images: Iterable[Batch]) -> float:
    """Root of the mean square length of the features of ``images``."""
    trainer.eval()
    with torch.no_grad():
        squares = [features.square().sum(1) for features, _ in _features(trainer, images)]
    return float(torch.cat(squares).mean().sqrt())


def _features(trainer: GlyphTrainer, images: Iterable[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
    """[N, d] and [N], on the CPU."""
    for batch in images:
        pixels = torch.from_numpy(batch.images).to(trainer.columns.device)
        yield trainer.features(pixels).float().cpu(), torch.tensor(trainer.ids(batch.texts))
