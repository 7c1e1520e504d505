"""The Hamming classifier and embedding as torch modules (Eq. 5 and 7).

V = vocabulary, d = width, K = code length, k candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hcompress.compute.shapes import fill_normal
from hcompress.heads.contract import Form, Head, Inputs, Losses, Setting
from hcompress.heads.hamming.fitting import fitted_classifier
from hcompress.heads.hamming.loss import (
    HAMMING_TEMPERATURE,
    code_cross_entropy,
    code_scores,
    hinge_loss,
)
from hcompress.spec.config import CANDIDATES
from hcompress.spec.heads import Hamming, HammingInputs

if TYPE_CHECKING:
    from hcompress.heads.contract import Ranked
    from hcompress.onnx_writer.graph import Graph


class HammingHead(Head):
    """Eq. 5 and 7: K bit logits, read out as the nearest code."""

    spec: Hamming

    def __init__(self, spec: Hamming, setting: Setting) -> None:
        super().__init__(spec, setting)
        self.projection = nn.Linear(setting.width, spec.length, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        """h [..., d] -> bit logits [..., K]."""
        logits: Tensor = self.projection(h)
        return logits

    def all_scores(self, logits: Tensor) -> Tensor:
        return hamming_scores(logits, self.signs())

    def learnt_scores(self, logits: Tensor, among: Tensor | None = None) -> Tensor:
        """Bit logits in place of their signs: nothing is learnt through a sign."""
        return code_scores(logits, self.signs() if among is None else self.signs()[among])

    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        counted: Tensor,
        losses: Losses,
        soft: Callable[[], Tensor] | None = None,
    ) -> Tensor:
        signs = self.signs()
        loss = hinge_loss(logits, targets, counted, signs, losses.margin)
        if losses.code_cross_entropy:
            answers = soft() if soft is not None and losses.soft_labels else None
            chosen = code_cross_entropy(
                logits[counted], targets[counted], signs, self.setting.first_answer,
                None if answers is None else answers[counted], losses.soft_labels,
            )  # fmt: skip
            loss = loss + losses.code_cross_entropy * chosen
        return loss

    def rank(self, h: Tensor, candidates: int) -> tuple[Tensor, Tensor]:
        """A reranking head gives `CANDIDATES` at most, the ones it looks at twice."""
        logits = self.logits(h)
        kept = CANDIDATES if self.spec.rerank else candidates
        ids, chances = self.best(self.scores(logits), kept)
        if self.spec.rerank:
            ids, chances = self.refine(logits, ids, chances)
        chances = self.unless_broken(logits, chances[:, :candidates])
        return ids[:, :candidates], chances

    def refine(self, logits: Tensor, ids: Tensor, chances: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest codes' ids [N, k] in the order of their agreement with bit logits [N, K].

        A sign tells nothing of how sure its bit is. Among the few codes that the signs are nearest
        to, the sum of bit logits, each with the code's sign, decides; what probability the few
        have, they share as that says. No weight more is stored.
        """
        agreement = self.agreement(logits, ids)
        shares = torch.softmax(agreement / (2 * self.setting.temperature), dim=-1)
        order = agreement.argsort(dim=-1, descending=True, stable=True)
        shared = chances.sum(-1, keepdim=True) * shares
        return ids.gather(-1, order), shared.gather(-1, order)

    def agreement(self, logits: Tensor, ids: Tensor) -> Tensor:
        """Sums of bit logits [N, K] with the signs of these codes, ids [N, k] -> [N, k]."""
        return (self.signs()[ids] * logits[:, None]).sum(-1)

    def cost(self, h: Tensor, ids: Tensor) -> Callable[[float], float]:
        """A reranking head's candidates share what they have together by their agreement."""
        if not self.spec.rerank:
            return super().cost(h, ids)
        logits = self.logits(h)
        near, _ = self.best(self.scores(logits), CANDIDATES)
        agreement = self.agreement(logits, near).double()
        among = near == ids[:, None]

        def at(temperature: float) -> float:
            scores = self.scores(self.logits(h)).double()
            chances = torch.log_softmax(scores / temperature, dim=-1)
            found = chances.gather(1, ids[:, None])[:, 0]
            together = chances.gather(1, near).logsumexp(1, keepdim=True)
            shares = together + torch.log_softmax(agreement / (2 * temperature), dim=-1)
            found = torch.where(among.any(1), torch.where(among, shares, 0).sum(1), found)
            return -float(found.double().sum())

        return at

    def undecided(self, h: Tensor, one: int, other: int, rounding: float) -> bool:
        """Whether a bit logit within rounding of zero, or of agreement, decides."""
        logits = self.logits(h)
        near = self.rounding(logits, rounding)
        if near < 0:
            return False
        signs = self.signs()[[one, other]]
        distances = (signs != torch.where(logits >= 0, 1, -1)).sum(1)
        if self.spec.rerank:
            return self._rerank_undecided(logits, distances, signs, near)
        # Each telling bit that turns over moves the two distances apart by two.
        turning = int(((signs[0] != signs[1]) & (logits.abs() <= near)).sum())
        return turning > 0 and abs(int(distances[0] - distances[1])) <= 2 * turning

    def _rerank_undecided(
        self, logits: Tensor, distances: Tensor, signs: Tensor, near: float
    ) -> bool:
        """Whether their agreement is the same but for rounding, or one is a candidate by rounding.

        logits [K], distances [2], signs [2, K].
        """
        agreement = signs @ logits
        telling = int((signs[0] != signs[1]).sum())
        if abs(float(agreement[0] - agreement[1])) <= 2 * near * telling**0.5:
            return True
        turning = int((logits.abs() <= near).sum())
        readable = self.signs()[self.setting.first_answer :]
        others = (readable != torch.where(logits >= 0, 1, -1)).sum(1).sort().values
        last = int(others[min(CANDIDATES, len(others)) - 1])
        # A bit that turns over moves a code by one, and the last candidate by one the other way.
        return turning > 0 and int((distances - last).abs().min()) <= 2 * turning

    def grown_back(self) -> tuple[Tensor, float]:
        """Column v is W^T s_v, s_v the code's signs: its score is the sum of bit logits along the
        code, over the temperature of an untuned Hamming head, as in `code_cross_entropy`: Eq. 7
        with the bit logits themselves in place of their signs, so a trained recogniser's answers
        are near the old ones, not the same."""
        untuned = HAMMING_TEMPERATURE * self.spec.length
        columns = self.signs() @ self.projection.weight / (2 * untuned)
        return columns, self.setting.temperature / untuned

    def fit(self, h: Tensor, ids: Tensor) -> None:
        self.projection.weight.copy_(fitted_classifier(h.double(), ids, self.signs()))

    def prepare(self, g: Graph, form: Form) -> Any:
        from hcompress.heads.hamming.graph import codes_for

        return codes_for(g, form, self.setting, self.spec.length, searched=True)

    def graph(self, g: Graph, h: str, prepared: Any) -> Ranked:
        from hcompress.heads.hamming.graph import ranked_nodes

        return ranked_nodes(g, self.setting, self.spec, h, prepared)


class HammingInputsModule(Inputs):
    """The character's code, as signs, through one K -> d projection."""

    spec: HammingInputs

    def __init__(self, spec: HammingInputs, setting: Setting) -> None:
        super().__init__(spec, setting)
        self.projection = nn.Linear(spec.length, setting.width, bias=False)
        fill_normal(self.projection.weight, spec.length**-0.5)

    def forward(self, ids: Tensor) -> Tensor:
        """ids [...] -> [..., d]."""
        vectors: Tensor = self.projection(nn.functional.embedding(ids, self.signs()))
        return vectors

    def new_vectors(self, signs: Tensor) -> Tensor:
        projected: Tensor = self.projection(signs)
        return projected

    def prepare(self, g: Graph, form: Form, of_head: Any) -> Any:
        from hcompress.heads.hamming.graph import Codes, codes_for

        if isinstance(of_head, Codes):
            return of_head
        return codes_for(g, form, self.setting, self.spec.length, searched=False)

    def graph(self, g: Graph, ids: str, position: str, prepared: Any) -> str:
        from hcompress.heads.graph import projected_nodes

        weight = g.weight("embedding.projection.weight")
        return projected_nodes(g, prepared.rows(g, ids), weight, position)


def signs_of(logits: Tensor) -> Tensor:
    """-1/+1 by sign; zero counts as +1, so that no zero sign exists."""
    return torch.where(logits >= 0, 1.0, -1.0).to(logits.dtype)


def hamming_scores(logits: Tensor, signs: Tensor) -> Tensor:
    """Minus the Hamming distance of each bit vector to each code (Eq. 7).

    logits [..., K], signs [V, K] -> [..., V]; exact: sums of +-1 below 2**24 are whole floats.
    """
    return (signs_of(logits) @ signs.T - signs.shape[1]) / 2
