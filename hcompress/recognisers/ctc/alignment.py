"""Which column stands for which character of a label: the CTC loss, and the likeliest path.

N lines, T columns, L characters of the longest label, S = 2L + 1 places of a path: a blank before,
between and behind the characters. V vocabulary.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

NEVER = -1e4
"""The score of what is no class of a line."""


class Labels(NamedTuple):
    """What lines say."""

    ids: Tensor
    """[N, L], blanks behind a line's end."""
    lengths: Tensor
    """[N]."""
    blank: int

    def columns(self) -> Tensor:
        """[N, L + 1]: the blank, and the ids: all that a label's paths go through."""
        return nn.functional.pad(self.ids, (1, 0), value=self.blank)

    def among_columns(self) -> tuple[Labels, Tensor]:
        """The same labels with places in `columns` for ids, equal ids by the first of them; and
        bool [N, L + 1], whether a column is one of these places."""
        first = (self.ids[:, :, None] == self.ids[:, None, :]).int().argmax(2) + 1
        place = torch.arange(self.ids.shape[1], device=self.ids.device)
        within = place < self.lengths[:, None]
        known = within & (first == place + 1)
        known = nn.functional.pad(known, (1, 0), value=True)
        return Labels(first.masked_fill(~within, 0), self.lengths, 0), known

    def fit(self, steps: int) -> Tensor:
        """bool [N]: whether so many columns are enough. Equal letters need a blank between."""
        within = torch.arange(1, self.ids.shape[1], device=self.ids.device) < self.lengths[:, None]
        twice = (self.ids[:, 1:] == self.ids[:, :-1]) & within
        return self.lengths + twice.sum(1) <= steps


class RowSums(NamedTuple):
    """All that a line's loss takes of its scores [N, T, V]."""

    total: Tensor
    """[N, T]: the logarithm of the sum of their exponentials."""
    along: Tensor
    """[N, T, L + 1]: those of `Labels.columns`."""
    mean: Tensor
    """[N, T]."""


def row_sums(scores: Tensor, columns: Tensor) -> RowSums:
    """scores [N, T, V], columns [N, L + 1]."""
    index = columns[:, None].expand(-1, scores.shape[1], -1)
    return RowSums(scores.logsumexp(-1), scores.gather(2, index), scores.mean(-1))


def sampled_sums(
    scores: Tensor, drawn: Tensor, near: Tensor, columns: Tensor, size: int
) -> RowSums:
    """The sums of `row_sums`, from a part of the classes.

    scores [N, T, C] of the classes ``near`` [C], all that ``columns`` [N, L + 1] has, in order;
    ``drawn`` [N, T, R] of classes by chance that stand for all others of ``size``.
    """
    rest = math.log((size - len(near)) / drawn.shape[-1])
    total = torch.logaddexp(scores.logsumexp(-1), drawn.logsumexp(-1) + rest)
    places = torch.searchsorted(near, columns)
    return row_sums(scores, places)._replace(total=total)


def ctc_loss(sums: RowSums, labels: Labels) -> Tensor:
    """Minus the log-likelihood of each label over all its paths, [N].

    0 where a line has too few columns for its label. Scores of other classes come into it by their
    sum alone, and never lie in memory as probabilities.
    """
    count, steps, _ = sums.along.shape
    near, known = labels.among_columns()
    log_chances = sums.along.masked_fill(~known[:, None], NEVER).log_softmax(-1)
    among = sums.along.masked_fill(~known[:, None], NEVER).logsumexp(-1)
    columns = torch.full((count,), steps, dtype=torch.long)
    loss = nn.functional.ctc_loss(
        log_chances.transpose(0, 1), near.ids, columns, labels.lengths.cpu(), near.blank,
        reduction="none", zero_infinity=True,
    )  # fmt: skip
    return (loss + (sums.total - among).sum(1)) * labels.fit(steps)


def aligned(scores: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
    """The likeliest path of each label: scores [N, T, V] -> ids [N, T], and whether there is one.

    What is added to all scores of a column makes no difference.
    """
    places, lengths = _places(labels), labels.lengths
    index = places[:, None].expand(-1, scores.shape[1], -1)
    found = scores.gather(2, index)  # [N, T, S]
    count, steps, size = found.shape
    skips = torch.zeros_like(places, dtype=torch.bool)
    skips[:, 3::2] = places[:, 3::2] != places[:, 1:-2:2]
    best = torch.full_like(found[:, 0], float("-inf"))
    best[:, :2] = found[:, 0, :2]
    came = torch.zeros(steps, count, size, dtype=torch.long, device=found.device)
    for step in range(1, steps):
        before = nn.functional.pad(best, (1, 0), value=float("-inf"))[:, :-1]
        skipped = nn.functional.pad(best, (2, 0), value=float("-inf"))[:, :-2]
        ways = torch.stack([best, before, skipped.masked_fill(~skips, float("-inf"))])
        top, came[step] = ways.max(0)
        best = top + found[:, step]
    last = 2 * lengths
    ends = torch.stack([last, (last - 1).clamp(min=0)], 1)
    at_end = best.gather(1, ends)
    place = ends.gather(1, at_end.argmax(1, keepdim=True))
    path = torch.empty(count, steps, dtype=torch.long, device=found.device)
    for step in reversed(range(steps)):
        path[:, step] = place[:, 0]
        place = place - came[step].gather(1, place)
    return places.gather(1, path), at_end.max(1).values.isfinite()


def _places(labels: Labels) -> Tensor:
    """[N, S]: ids with blanks before, between and behind them."""
    count, length = labels.ids.shape
    places = labels.ids.new_full((count, 2 * length + 1), labels.blank)
    places[:, 1::2] = labels.ids
    return places
