"""Teaches a classifier its user's own lines: CTC on features that were taken once.

The body stays as it is, and so do the columns of all characters that no label has: what those add
up to in a frame is summed once, and a step then costs as many products as there are characters in
the labels. Lines of other text hold the columns that move in their place. V classes, d features,
T frames, K classes that move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from hcompress.errors import InputRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.progress import Progress

    Floats = NDArray[np.float32]

HELD: Final = 2048
"""Frames of other text, a step."""
JUDGED_EVERY: Final = 10
"""Every tenth line judges what the others teach."""
AT_ONCE: Final = 1024
"""Frames that are multiplied with all columns at once."""


@dataclass(frozen=True)
class Lesson:
    """A labelled line."""

    features: Floats
    """[T, d]."""
    ids: tuple[int, ...]
    """The label's classes."""

    @property
    def fits(self) -> bool:
        """Whether CTC can align it: a frame a character, and one between two that are equal."""
        twins = sum(a == b for a, b in zip(self.ids, self.ids[1:], strict=False))
        return len(self.ids) + twins <= len(self.features)


@dataclass(frozen=True)
class Pace:
    """How it learns."""

    passes: int
    """Over all lines."""
    batch: int
    learning_rate: float
    hold: float
    """Weight of what the answers to other text move."""
    seed: int


class Adapted(NamedTuple):
    """The classifier as it is then."""

    weight: Floats
    """[V, d]."""
    bias: Floats
    """[V]."""
    figures: dict[str, Any]


def adapted(
    weight: Floats,
    bias: Floats,
    blank: int,
    lessons: Sequence[Lesson],
    other: Floats,
    pace: Pace,
    progress: Progress,
) -> Adapted:
    """The classifier (weight [V, d], bias [V]) once it has seen these lines.

    ``other``: features [M, d] of text that is to be answered as before. If the lines that judge are
    read no better in the end, the classifier is given back as it came. Raises InputRefused if no
    line can be learnt from.
    """
    taught, judges = parted(lessons)
    moving = moving_classes(taught, blank)
    head = _Head(weight, bias, moving)
    lines = [_prepared(head, one, moving) for one in taught]
    _learn(head, lines, other, moving.index(blank), pace, progress)
    made, shift = weight.copy(), bias.copy()
    made[moving], shift[moving] = head.weight.detach().numpy(), head.bias.detach().numpy()
    before = share_read(judges, weight, bias, blank)
    after = share_read(judges, made, shift, blank)
    same = answers(other, made, shift) == answers(other, weight, bias)
    figures = figures_of(lessons, taught, judges, moving, (before, after), same)
    if after <= before:
        progress.say("nothing gained on the lines that judge: the classifier stays as it was")
        return Adapted(weight, bias, {**figures, "kept": False})
    return Adapted(made, shift, {**figures, "kept": True})


def parted(lessons: Sequence[Lesson]) -> tuple[list[Lesson], list[Lesson]]:
    """Lines that teach and lines that judge. Raises InputRefused if none can teach."""
    able = [one for one in lessons if one.ids and one.fits]
    judges = able[::JUDGED_EVERY] if len(able) >= 2 * JUDGED_EVERY else able
    taught = [one for place, one in enumerate(able) if place % JUDGED_EVERY or judges is able]
    if not taught:
        raise InputRefused(f"{len(lessons)} lines: none has a label that its frames have room for")
    return taught, judges


def moving_classes(taught: Sequence[Lesson], blank: int) -> list[int]:
    """Classes whose columns move: the labels' and the blank."""
    return sorted({blank, *(one for line in taught for one in line.ids)})


def figures_of(
    lessons: Sequence[Lesson],
    taught: Sequence[Lesson],
    judges: Sequence[Lesson],
    moving: Sequence[int],
    read: tuple[float, float],
    same: NDArray[np.bool_],
) -> dict[str, Any]:
    """What a manifest says; ``read`` are shares before and after, ``same`` [M] of other frames."""
    return {
        "lines": len(taught),
        "left_out": sum(not (one.ids and one.fits) for one in lessons),
        "classes": len(moving),
        "judged": len(judges),
        "read_before": read[0],
        "read_after": read[1],
        "others_kept": float(same.mean()) if len(same) else None,
    }


class _Line(NamedTuple):
    features: Tensor
    """[T, d]."""
    rest: Tensor
    """[T, 1]: the logarithm of what the classes that stay add up to."""
    places: Tensor
    """The label, by place among the classes that move."""


class _Head(torch.nn.Module):
    """The columns that move, beside the sum of those that don't."""

    def __init__(self, weight: Floats, bias: Floats, moving: Sequence[int]) -> None:
        super().__init__()
        stays = np.setdiff1d(np.arange(len(bias)), moving)
        self._stay = torch.from_numpy(weight[stays].T.copy()), torch.from_numpy(bias[stays])
        self.weight = torch.nn.Parameter(torch.from_numpy(weight[moving].copy()))
        self.bias = torch.nn.Parameter(torch.from_numpy(bias[moving].copy()))

    @torch.no_grad()
    def rest(self, features: Tensor) -> Tensor:
        """[T, d] -> [T, 1]."""
        columns, bias = self._stay
        if not len(bias):
            return torch.full((len(features), 1), -torch.inf)
        parts = torch.split(features, AT_ONCE)
        return torch.cat([torch.logsumexp(one @ columns + bias, -1, keepdim=True) for one in parts])

    def forward(self, features: Tensor, rest: Tensor) -> Tensor:
        """[..., d] and [..., 1] -> logarithms of shares [..., K + 1], the last for all others."""
        scores = torch.cat([features @ self.weight.T + self.bias, rest], -1)
        return scores.log_softmax(-1)


def _prepared(head: _Head, one: Lesson, moving: Sequence[int]) -> _Line:
    features = torch.from_numpy(np.ascontiguousarray(one.features))
    places = torch.from_numpy(np.searchsorted(moving, one.ids).astype(np.int64))
    return _Line(features, head.rest(features), places)


def _learn(
    head: _Head,
    lines: Sequence[_Line],
    other: Floats,
    blank: int,
    pace: Pace,
    progress: Progress,
) -> None:
    rng = np.random.Generator(np.random.PCG64(pace.seed))
    held = torch.from_numpy(np.ascontiguousarray(other))
    rest = head.rest(held)
    with torch.no_grad():
        wanted = head(held, rest)
    optimiser = torch.optim.Adam(head.parameters(), lr=pace.learning_rate)
    progress.start("adapting", pace.passes)
    for done in range(pace.passes):
        for group in optimiser.param_groups:
            group["lr"] = pace.learning_rate * (1 - done / pace.passes)
        order = rng.permutation(len(lines))
        for start in range(0, len(order), pace.batch):
            batch = [lines[int(at)] for at in order[start : start + pace.batch]]
            loss = _ctc(head, batch, blank)
            if len(held):
                some = torch.from_numpy(rng.integers(0, len(held), HELD))
                moved = functional.kl_div(
                    head(held[some], rest[some]),
                    wanted[some],
                    reduction="batchmean",
                    log_target=True,
                )
                loss = loss + pace.hold * moved
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        progress.advance(1)
    progress.finish()


def _ctc(head: _Head, batch: Sequence[_Line], blank: int) -> Tensor:
    features = pad_sequence([one.features for one in batch], batch_first=True)
    rest = pad_sequence([one.rest for one in batch], batch_first=True)
    return functional.ctc_loss(
        head(features, rest).transpose(0, 1),
        torch.cat([one.places for one in batch]),
        torch.tensor([len(one.features) for one in batch]),
        torch.tensor([len(one.places) for one in batch]),
        blank=blank,
    )


def share_read(
    lines: Sequence[Lesson],
    weight: Floats,
    bias: Floats,
    blank: int,
) -> float:
    """Of the lines, those whose label is what the frames' best classes collapse to."""
    right = 0
    for one in lines:
        ids = answers(one.features, weight, bias)
        first = np.concatenate([[True], ids[1:] != ids[:-1]])
        right += tuple(ids[first & (ids != blank)].tolist()) == one.ids
    return right / max(1, len(lines))


def answers(features: Floats, weight: Floats, bias: Floats) -> NDArray[np.intp]:
    """The best class of each frame [M, d]."""
    parts = np.split(features, range(AT_ONCE, len(features), AT_ONCE))
    return np.concatenate([np.argmax(one @ weight.T + bias, -1) for one in parts])
