"""Two thin matrices for a large one: the paper's Figure 4, which it compares codes with.

V vocabulary, d features, p bottleneck.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hcompress.errors import UsageError
from hcompress.recognisers.contract import Recogniser
from hcompress.recognisers.rebuild import rebuilt
from hcompress.spec.heads import HeadSpec, Learned, Softmax

RIDGE = 1e-3
"""Of the features' mean square, added to each direction's: what no line showed counts a little."""


@dataclass
class Moment:
    """The second moment of the features that a softmax is given, summed in float64."""

    total: Tensor
    """[d, d]: the sum of h h^T."""
    count: int = 0

    @classmethod
    def none(cls, width: int) -> Moment:
        return cls(torch.zeros(width, width, dtype=torch.float64))

    def add(self, features: Tensor, ids: Tensor) -> None:  # noqa: ARG002 every character counts alike
        """Take in features [M, d]."""
        self.total += features.T.double() @ features.double()
        self.count += len(features)

    def mean(self) -> Tensor:
        """Of h h^T, [d, d]; zeros if there were no features."""
        return self.total / max(self.count, 1)


def truncated(
    matrix: Tensor, bottleneck: int, moment: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The product of [V, p] and [p, d] that is closest to ``matrix`` [V, d] (truncated SVD).

    Given the features' second ``moment`` [d, d], the mean of h h^T, closest is where the products
    with features move least. The second one's rows are orthonormal: a character's p numbers keep
    the scale of its d, and so learn at the rate that suited them. Raises UsageError where p is
    not 1 to d.
    """
    width = matrix.shape[1]
    if not 1 <= bottleneck <= width:
        raise UsageError(
            f"bottleneck = {bottleneck}: must be 1 to {width}, the recogniser's features"
        )
    exact = matrix.detach().double()
    if moment is not None:
        ridge = RIDGE * moment.diagonal().mean() * torch.eye(width, dtype=torch.float64)
        root = torch.linalg.cholesky(moment.double() + ridge)
        kept = _directions(exact @ root, bottleneck)
        exact = torch.linalg.solve_triangular(
            root, exact @ root @ kept.T @ kept, upper=False, left=False
        )
    directions = _directions(exact, bottleneck)
    return (exact @ directions.T).float(), directions.float()


def _directions(matrix: Tensor, count: int) -> Tensor:
    """Right singular vectors [count, d] of a float64 matrix [V, d], the strongest first."""
    # In float64 the small Gram matrix loses nothing that float32 would show.
    found = torch.linalg.eigh(matrix.T @ matrix).eigenvectors.T.flip(0)[:count]
    # Either sign is as good: the largest number of each is positive.
    largest = found.gather(1, found.abs().argmax(1, keepdim=True))
    return torch.where(largest < 0, -found, found)


def with_factorised_classifier(
    model: Recogniser, bottleneck: int, moment: Tensor | None = None
) -> tuple[Recogniser, float]:
    """The softmax through ``bottleneck`` features, and how far its matrix moved.

    How far: the Frobenius norm of the change over the matrix's own. ``moment`` as in `truncated`.
    """
    whole = model.head.softmax_columns()
    if whole is None:
        raise UsageError(_nothing_to_factorise("classifier", model.config.head))
    columns, projection = truncated(whole, bottleneck, moment)
    changed = {
        "classifier.columns.weight": columns,
        "classifier.projection.weight": projection,
    }
    new = rebuilt(model, replace(model.config, head=Softmax(bottleneck)), changed)
    return new, _moved(whole, columns @ projection)


def with_factorised_embedding(model: Recogniser, bottleneck: int) -> tuple[Recogniser, float]:
    """The same of the learned embedding."""
    whole = None if model.inputs is None else model.inputs.table()
    if whole is None:
        raise UsageError(_nothing_to_factorise("embedding", model.config.inputs))
    rows, projection = truncated(whole, bottleneck)
    changed = {"embedding.rows.weight": rows, "embedding.projection.weight": projection.T}
    new = rebuilt(model, replace(model.config, inputs=Learned(bottleneck)), changed)
    return new, _moved(whole, rows @ projection)


def factorised(
    model: Recogniser,
    bottleneck: int,
    *,
    classifier: bool,
    embedding: bool,
    moment: Tensor | None = None,
) -> tuple[Recogniser, dict[str, float]]:
    """Either or both through ``bottleneck`` features, and how far each matrix moved."""
    moved: dict[str, float] = {}
    if classifier:
        model, moved["classifier"] = with_factorised_classifier(model, bottleneck, moment)
    if embedding:
        model, moved["embedding"] = with_factorised_embedding(model, bottleneck)
    return model, moved


def _nothing_to_factorise(part: str, spec: HeadSpec | None) -> str:
    what = "not there" if spec is None else spec.described
    return f"the {part} is {what}; set {part} = false"


@torch.no_grad()
def _moved(before: Tensor, after: Tensor) -> float:
    size = float(before.norm())
    return float((after - before).norm()) / size if size else 0.0
