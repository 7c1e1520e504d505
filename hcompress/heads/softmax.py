"""The softmax head: a column of weights per character (Eq. 1-2), and a learned vector for each.

V = vocabulary, d = width, p = bottleneck.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hcompress.compute.shapes import fill_normal
from hcompress.heads.contract import Head, Inputs, Losses, Setting
from hcompress.spec.heads import Learned, Softmax

if TYPE_CHECKING:
    from hcompress.heads.contract import Ranked
    from hcompress.onnx_writer.graph import Graph

NOT_COUNTED = -100
"""What torch's cross-entropy passes over."""


class _Answering(Head):
    """What a whole and a factorised softmax have in common."""

    def all_scores(self, logits: Tensor) -> Tensor:
        return logits

    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        counted: Tensor,
        losses: Losses,
        soft: Callable[[], Tensor] | None = None,
    ) -> Tensor:
        return softmax_loss(logits, targets, counted, losses.smoothing)

    def undecided(self, h: Tensor, one: int, other: int, rounding: float) -> bool:
        logits = self.logits(h)
        near = self.rounding(logits, rounding)
        return abs(float(logits[one] - logits[other])) <= near


class SoftmaxHead(_Answering):
    """One V x d matrix."""

    def __init__(self, spec: Softmax, setting: Setting) -> None:
        super().__init__(spec, setting)
        self.weight = nn.Parameter(torch.empty(setting.vocabulary, setting.width))
        fill_normal(self.weight, setting.width**-0.5)

    def forward(self, h: Tensor) -> Tensor:
        """h [..., d] -> logits [..., V]."""
        return h @ self.weight.T

    def softmax_columns(self) -> Tensor:
        return self.weight

    def start_from(self, columns: Tensor, first: int) -> None:
        self.weight[first:] = columns

    def graph(self, g: Graph, h: str, prepared: Any) -> Ranked:
        from hcompress.heads.graph import softmax_nodes

        return softmax_nodes(g, self.setting, h, "classifier.weight")


class FactorisedHead(_Answering):
    """A softmax over p features made of d: the paper's Figure 4, after ALBERT."""

    def __init__(self, spec: Softmax, setting: Setting) -> None:
        super().__init__(spec, setting)
        assert spec.bottleneck is not None
        self.projection = nn.Linear(setting.width, spec.bottleneck, bias=False)
        self.columns = _Columns(spec.bottleneck, setting.vocabulary)

    def forward(self, h: Tensor) -> Tensor:
        """h [..., d] -> logits [..., V]."""
        logits: Tensor = self.columns(self.projection(h))
        return logits

    def graph(self, g: Graph, h: str, prepared: Any) -> Ranked:
        from hcompress.heads.graph import softmax_nodes
        from hcompress.heads.ranked import FLOAT

        narrow = g.op("Gemm", h, g.weight("classifier.projection.weight", FLOAT), transB=1)
        return softmax_nodes(g, self.setting, narrow, "classifier.columns.weight")


class _Columns(nn.Module):
    """The columns behind a bottleneck."""

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocabulary, width))
        fill_normal(self.weight, width**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        """[..., p] -> [..., V]."""
        return features @ self.weight.T


class LearnedInputs(Inputs):
    """A learned vector per character."""

    def __init__(self, spec: Learned, setting: Setting) -> None:
        super().__init__(spec, setting)
        self.weight = nn.Parameter(torch.empty(setting.vocabulary, setting.width))
        fill_normal(self.weight, 1.0)

    def forward(self, ids: Tensor) -> Tensor:
        """[...] -> [..., d]."""
        return nn.functional.embedding(ids, self.weight)

    def graph(self, g: Graph, ids: str, position: str, prepared: Any) -> str:
        from hcompress.heads.graph import rows_nodes

        return g.op("Add", rows_nodes(g, "embedding.weight", ids), position)

    def table(self) -> Tensor:
        return self.weight

    def start_from(self, vectors: Tensor, first: int) -> None:
        self.weight[first:] = vectors

    def new_vectors(self, signs: Tensor) -> Tensor:
        """There is no vector for them: they take the closest that a projection of codes, fitted to
        the vectors there are, comes to."""
        from hcompress.heads.hamming.fitting import fitted_projection

        return signs @ fitted_projection(self.signs(), self.weight).T

    def new_rows(self, signs: Tensor) -> Mapping[str, Tensor]:
        return {"embedding.weight": self.new_vectors(signs)}


class FactorisedInputs(Inputs):
    """A learned vector of p features per character, through one p -> d projection."""

    def __init__(self, spec: Learned, setting: Setting) -> None:
        super().__init__(spec, setting)
        assert spec.bottleneck is not None
        self.rows = _Rows(spec.bottleneck, setting.vocabulary)
        self.projection = nn.Linear(spec.bottleneck, setting.width, bias=False)
        fill_normal(self.projection.weight, spec.bottleneck**-0.5)

    def forward(self, ids: Tensor) -> Tensor:
        """[...] -> [..., d]."""
        vectors: Tensor = self.projection(self.rows(ids))
        return vectors

    def graph(self, g: Graph, ids: str, position: str, prepared: Any) -> str:
        from hcompress.heads.graph import projected_nodes, rows_nodes

        weight = g.weight("embedding.projection.weight")
        rows = g.narrowed(rows_nodes(g, "embedding.rows.weight", ids))
        return projected_nodes(g, rows, weight, position)


class _Rows(nn.Module):
    """The vectors before a bottleneck's projection."""

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocabulary, width))
        fill_normal(self.weight, 1.0)

    def forward(self, ids: Tensor) -> Tensor:
        """[...] -> [..., p]."""
        return nn.functional.embedding(ids, self.weight)


def softmax_loss(logits: Tensor, targets: Tensor, counted: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy (Eq. 1), summed. logits [N, T, V], targets and counted [N, T]."""
    return nn.functional.cross_entropy(
        logits.flatten(0, 1).float(),
        targets.masked_fill(~counted, NOT_COUNTED).flatten(),
        ignore_index=NOT_COUNTED,
        label_smoothing=smoothing,
        reduction="sum",
    )
