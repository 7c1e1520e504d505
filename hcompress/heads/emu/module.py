"""A Hamming head whose codes are being learnt, and its embedding.

It reads as the Hamming head that it will be: by signs. N lines, T steps, M decisions, V vocabulary,
d features, K bits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from hcompress.heads.contract import Head, Inputs, Losses, Setting
from hcompress.heads.emu.core import (
    contrastive_loss,
    contrastive_scores,
    relaxed_signs,
    sharpening,
    wanted_sharpness,
)
from hcompress.heads.emu.learner import CodeLearner
from hcompress.heads.hamming.module import HammingHead, HammingInputsModule
from hcompress.spec.heads import Hamming, HammingInputs

ROWS = 1 << 22
"""Scores held at once where nothing is learnt from them."""


class LearningHead(HammingHead):
    """Bit logits, and beside them the sharpness of their signs: K + 1 numbers while it trains."""

    def __init__(
        self, spec: Hamming, setting: Setting, learner: CodeLearner, *, framewise: bool
    ) -> None:
        """``framewise``: what a step stands for is a path's affair, so the family's own loss
        learns by `learnt_scores`, and `loss` adds the sharpness alone."""
        super().__init__(spec, setting)
        self.learner = learner
        self.framewise = framewise
        self.signs = learner.signs

    @classmethod
    def of(cls, head: Head, learner: CodeLearner, *, framewise: bool) -> LearningHead:
        """In place of ``head``, with its projection. Raises TypeError if that is no Hamming one."""
        if not isinstance(head, HammingHead):
            raise TypeError(f"{type(head).__name__} is no Hamming head")
        made = cls(head.spec, head.setting, learner, framewise=framewise)
        made.projection.load_state_dict(head.projection.state_dict())
        return made

    def forward(self, h: Tensor) -> Tensor:
        """h [..., d] -> [..., K], and [..., K + 1] while it trains (Eq. 9 and 10)."""
        logits: Tensor = self.projection(h)
        if not self.training:
            return logits
        return torch.cat([logits.float(), self.learner.beta(h)], -1)

    def relaxed(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Features h [M, d] -> scores [M, V] and beta [M], as training has them."""
        logits = torch.cat([self.projection(h).float(), self.learner.beta(h)], -1)
        return self._scores(logits), logits[..., -1]

    def learnt_scores(self, logits: Tensor, among: Tensor | None = None) -> Tensor:
        if not self.training:
            return super().learnt_scores(logits, among)
        return self._scores(logits, among)

    def _scores(self, logits: Tensor, among: Tensor | None = None) -> Tensor:
        bits = relaxed_signs(logits[..., :-1], logits[..., -1:], self.learner.options.surrogate)
        codes = self.learner.codes()
        codes = codes if among is None else codes[among]
        return contrastive_scores(bits, codes, self.learner.options.scale)

    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        counted: Tensor,
        losses: Losses,
        soft: Callable[[], Tensor] | None = None,
    ) -> Tensor:
        """Eq. 12 and 14, summed. Of a framewise family the second term alone, each frame's
        sharpness by its own loss on the path that ``targets`` are."""
        options, first = self.learner.options, self.setting.first_answer
        kept = counted > 0
        rows, ids, shares = logits[kept], targets[kept] - first, counted[kept].float()
        if self.framewise:
            with torch.no_grad():
                parts = zip(*self._cut(rows, ids), strict=True)
                each = torch.cat([contrastive_loss(self._answers(r), i) for r, i in parts])
            loss = rows.new_zeros(())
        else:
            each = contrastive_loss(self._answers(rows), ids)
            loss = (each * shares).sum()
        beta = rows[:, -1]
        if len(rows):
            self.learner.note((beta * shares).sum() / shares.sum())
        if self.learner.beta_net is None:
            return loss
        wanted = wanted_sharpness(each, options.mu)
        return loss + (sharpening(beta, wanted, options.weight) * shares).sum()

    def _answers(self, rows: Tensor) -> Tensor:
        """Scores of what may be an answer."""
        return self._scores(rows)[:, self.setting.first_answer :]

    def _cut(self, rows: Tensor, ids: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        most = max(1, ROWS // self.setting.vocabulary)
        return torch.split(rows, most), torch.split(ids, most)


class LearningInputs(HammingInputsModule):
    """The character's code, relaxed while it trains, through one K -> d projection.

    A relaxed code is made as long as signs are: the decoder behind it need not follow its growth.
    """

    def __init__(self, spec: HammingInputs, setting: Setting, learner: CodeLearner) -> None:
        super().__init__(spec, setting)
        self._learner = [learner]  # in a list: it is the head's submodule
        self.signs = learner.signs

    @classmethod
    def of(cls, inputs: Inputs | None, learner: CodeLearner) -> Inputs | None:
        """In place of ``inputs``, with their projection; as they are if they have no codes."""
        if not isinstance(inputs, HammingInputsModule):
            return inputs
        made = cls(inputs.spec, inputs.setting, learner)
        made.projection.load_state_dict(inputs.projection.state_dict())
        return made

    def forward(self, ids: Tensor) -> Tensor:
        if not self.training:
            return super().forward(ids)
        codes = functional.normalize(self._learner[0].codes(), dim=-1) * self.spec.length**0.5
        vectors: Tensor = self.projection(nn.functional.embedding(ids, codes))
        return vectors
