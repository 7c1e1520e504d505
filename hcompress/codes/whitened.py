"""Codes made where a character's features scatter alike in every direction.

A softmax column and the features it stands for do not lie alike. Where each character's features
scatter around its mean m by one covariance S, its best column is w = inverse(S) m: signs of
Psi^T w say little about signs of Psi^T h. With S = L L^T, inverse(L) h scatters around
inverse(L) m = L^T w as far to every side. Codes are made there, and W takes features there.
V vocabulary, d features, K bits, n features of a batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hcompress.compute.threads import one_thread
from hcompress.errors import InputRefused, NumericalError

GRAIN: Final = 1024
"""Features count in steps of 1/1024. Products of such numbers add up exactly in a float64, in any
order, so that one process and many find the same scatter."""
RIDGE: Final = 0.03
"""Of the scatter's mean variance, added to every direction's: few features tell little of the
directions in which they hardly scatter."""


@dataclass(frozen=True)
class Scatter:
    """What is counted of labelled features, in steps of 1/GRAIN."""

    moment: NDArray[np.float64]
    """[d, d]: the sum of h h^T."""
    sums: NDArray[np.float64]
    """[V, d]: the sum of a character's h."""
    seen: NDArray[np.int64]
    """[V]: features of a character."""

    @classmethod
    def none(cls, vocabulary: int, width: int) -> Scatter:
        return cls(
            np.zeros((width, width)), np.zeros((vocabulary, width)), np.zeros(vocabulary, np.int64)
        )

    @property
    def whole_numbers(self) -> tuple[NDArray[np.int64] | NDArray[np.float64], ...]:
        """What adds up over processes."""
        return self.moment, self.sums, self.seen

    def add(self, features: Tensor, ids: Tensor) -> None:
        """Count a batch in place: features [n, d] and their characters."""
        steps, wanted = np.rint(features.numpy().astype(np.float64) * GRAIN), ids.numpy()
        self.moment[...] += steps.T @ steps
        np.add.at(self.sums, wanted, steps)
        np.add.at(self.seen, wanted, 1)

    def within(self) -> NDArray[np.float64]:
        """The covariance [d, d] of features around their character's mean.

        Raises InputRefused where too few characters are there more than once to tell.
        """
        width = len(self.moment)
        there = self.seen > 0
        free = int(self.seen.sum()) - int(there.sum())
        if free < width:
            raise InputRefused(
                f"{int(self.seen.sum())} features of {int(there.sum())} characters are too few for"
                f" whitened codes: {width} must be a character's second or later; raise images"
            )
        roots = self.sums[there] / np.sqrt(self.seen[there])[:, None]
        # einsum: the same sums, however many threads there are.
        between = np.einsum("vd,ve->de", roots, roots)
        within: NDArray[np.float64] = (self.moment - between) / (free * GRAIN**2)
        return within

    def mean_square(self) -> NDArray[np.float64]:
        """The mean of h h^T, [d, d]."""
        mean: NDArray[np.float64] = self.moment / (self.seen.sum() * GRAIN**2)
        return mean


def orthogonal_projection(width: int, code_length: int, seed: int) -> NDArray[np.float64]:
    """[d, K]: blocks of up to d directions at right angles, by chance; the same for the same seed.

    Their signs tell angles apart better than those of as many independent directions.
    """
    random = np.random.default_rng(seed)
    blocks = -(-code_length // width)
    with one_thread():
        turned = torch.linalg.qr(torch.from_numpy(random.standard_normal((blocks, width, width))))
    side_by_side = turned.Q.transpose(0, 1).reshape(width, -1)
    found: NDArray[np.float64] = side_by_side[:, :code_length].numpy()
    return found


def whitened_projections(
    scatter: Scatter, code_length: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What to multiply with for bits: columns and features, by [d, K] each.

    Both see the same directions of the whitened space. The second is as long as Psi (Eq. 3)
    would be, so that bit logits begin as large. Raises InputRefused as `Scatter.within`, and
    NumericalError where features do not scatter, or are no numbers.
    """
    width = len(scatter.moment)
    directions = torch.from_numpy(orthogonal_projection(width, code_length, seed))
    mean_square = torch.from_numpy(scatter.mean_square())
    with one_thread():
        within = torch.from_numpy(scatter.within())
        variance = float(within.diagonal().mean())
        if not (math.isfinite(variance) and variance > GRAIN**-2):
            raise NumericalError(
                f"features of one character scatter by a variance of {variance:g}: too little to"
                " make whitened codes by, or no number; take method = lsh or columns"
            )
        within.diagonal().add_(RIDGE * variance)
        root = torch.linalg.cholesky(within)
        for_columns = root @ directions
        for_features = torch.linalg.solve_triangular(root.T, directions, upper=True)
        squares = (for_features * (mean_square @ for_features)).sum()
        for_features *= (mean_square.trace() * code_length / squares).sqrt()
    return for_columns.float().numpy(), for_features.float().numpy()
