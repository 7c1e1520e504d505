"""Which column stands for which character of a label: the CTC loss, and the likeliest path.

N lines, T columns, L characters of the longest label, S = 2L + 1 places of a path: a blank before,
between and behind the characters. V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Labels(NamedTuple):
    """What lines say."""

    ids: Tensor
    """[N, L], blanks behind a line's end."""
    lengths: Tensor
    """[N]."""
    blank: int


def ctc_loss(log_chances: Tensor, labels: Labels) -> Tensor:
    """Minus the log-likelihood of each label over all its paths: [N, T, V] -> [N].

    0 where a line has too few columns for its label.
    """
    count, steps, _ = log_chances.shape
    columns = torch.full((count,), steps, dtype=torch.long)
    return nn.functional.ctc_loss(
        log_chances.transpose(0, 1), labels.ids, columns, labels.lengths.cpu(), labels.blank,
        reduction="none", zero_infinity=True,
    )  # fmt: skip


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
