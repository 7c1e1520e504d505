"""Projections of a Hamming head in closed form. V vocabulary, K bits, d features, M decisions."""

from __future__ import annotations

import torch
from torch import Tensor

RIDGE = 1e-4
"""Of the features' mean square, added to each direction's."""


def fitted_projection(signs: Tensor, vectors: Tensor, ridge: float = 1e-3) -> Tensor:
    """Least squares: [d, K] that takes signs [V, K] closest to vectors [V, d].

    With fewer characters than bits the fit is exact but for the ridge, relative to V, which
    keeps the answer small and the system solvable.
    """
    wide = signs.double()
    gram = wide.T @ wide
    gram += ridge * len(wide) * torch.eye(len(gram), dtype=torch.float64)
    solved: Tensor = torch.linalg.solve(gram, wide.T @ vectors.detach().double())
    return solved.T.float()


def fitted_classifier(h: Tensor, ids: Tensor, signs: Tensor) -> Tensor:
    """W^T [K, d] that features h [M, d], float64, of characters ids [M] ask for; signs [V, K].

    Psi (Eq. 3) made the codes from the teacher's features. What a changed decoder gives is near
    those and not the same, so W is solved for: the ridge regression from its features to the
    codes. Minimises the sum over targets y of |W^T h - eta_y|^2 / sqrt(n_y), with codes eta as
    signs and n_y the times y is there: common characters would have it all to themselves otherwise.
    """
    weighed = h * (torch.bincount(ids).double()[ids] ** -0.5)[:, None]
    square = weighed.T @ h
    square.diagonal().add_(RIDGE * square.diagonal().mean())
    solved: Tensor = torch.linalg.solve(square, weighed.T @ signs[ids].double())
    return solved.T
