"""Teaches the last blocks of a body, and its classifier, their user's own lines.

What lies in front of the blocks was run once: lines come as the values there. CTC on the labels
moves the blocks' weights and the columns of the labels' characters; three things hold them: the
answers to lines of other text, the features of these, and the weights' own length of way. N lines,
T frames, V classes, d features, R classes that are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hcompress.training.adapt import (
    AT_ONCE,
    HELD,
    JUDGED_EVERY,
    Adapted,
    Lesson,
    answers,
    figures_of,
    moving_classes,
    parted,
    share_read,
)
from hcompress.training.body_part import Part, features_of, together

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.progress import Progress
    from hcompress.training.adapt import Pace

    Floats = NDArray[np.float32]

SLOWER: Final = 0.1
"""The blocks' rate beside the columns'."""
RIVALS: Final = 8
"""The likeliest classes of every frame are compared; all others have next to no share."""
FEATURES: Final = 0.1
"""What the features of other text weigh beside the answers to it."""
WAY: Final = 0.1
"""What the way that weights have gone weighs, by its square and beside their own."""


class Taught(NamedTuple):
    """What has learnt, and the figures."""

    weights: dict[str, Floats]
    """The blocks', by name."""
    head: Adapted


def adapted_blocks(
    part: Part,
    weight: Floats,
    bias: Floats,
    blank: int,
    lines: Sequence[tuple[Floats, tuple[int, ...]]],
    other: Sequence[Floats],
    pace: Pace,
    progress: Progress,
) -> Taught:
    """The blocks and the classifier (weight [V, d], bias [V]) once they have seen these lines.

    ``lines`` are values where the body was cut, each a line's without the axis of lines, and its
    label's classes; ``other`` the same of text that is to be answered as before. Of all passes
    the one is kept after which the lines that judge had the least loss; if they are read no
    better then, all is given back as it came. Raises InputRefused if no line can be learnt from.
    """
    features = features_of(part, [one for one, _ in lines], pace.batch)
    lessons = [Lesson(found, ids) for found, (_, ids) in zip(features, lines, strict=True)]
    taught, judges = parted(lessons)
    at = {id(lesson): value for lesson, (value, _) in zip(lessons, lines, strict=True)}
    held = features_of(part, other, pace.batch)
    moving = moving_classes(taught, blank)
    near = [*[one.features for one in taught], *held]
    net = _Net(part, weight, bias, _order(moving, near, weight, bias), len(moving))
    teacher = _Teacher(
        net,
        [_Line(torch.from_numpy(at[id(one)]), one.ids) for one in taught],
        [_Line(torch.from_numpy(at[id(one)]), one.ids) for one in judges],
        [_Held(*map(torch.from_numpy, pair)) for pair in zip(other, held, strict=True)],
        blank,
        pace,
    )
    curve = teacher.learn(progress)
    made, shift = net.classifier(weight, bias)
    blocks = net.blocks()
    judged = features_of(part, [at[id(one)] for one in judges], pace.batch, blocks)
    after = [Lesson(found, one.ids) for found, one in zip(judged, judges, strict=True)]
    read = (share_read(judges, weight, bias, blank), share_read(after, made, shift, blank))
    same = [
        answers(new, made, shift) == answers(old, weight, bias)
        for new, old in zip(features_of(part, other, pace.batch, blocks), held, strict=True)
    ]
    kept = np.concatenate([np.zeros(0, np.bool_), *same])
    figures = figures_of(lessons, taught, judges, moving, read, kept) | {"curve": curve}
    if read[1] <= read[0]:
        progress.say("nothing gained on the lines that judge: the recogniser stays as it was")
        return Taught({}, Adapted(weight, bias, {**figures, "kept": False}))
    weights = {name: one.detach().numpy().copy() for name, one in blocks.items()}
    return Taught(weights, Adapted(made, shift, {**figures, "kept": True}))


class _Line(NamedTuple):
    values: Tensor
    ids: tuple[int, ...]


class _Held(NamedTuple):
    values: Tensor
    features: Tensor
    """[T, d] of the body as it was."""


class _Net(nn.Module):
    """Blocks and columns that learn, beside columns that don't."""

    start: Tensor
    start_bias: Tensor

    def __init__(
        self, part: Part, weight: Floats, bias: Floats, order: NDArray[np.intp], moving: int
    ) -> None:
        """``order``: the classes that are compared, the first so many of which move."""
        super().__init__()
        self.part, self.order, self.moving = part, order, moving
        self.places = {int(one): place for place, one in enumerate(order)}
        self.old = [part.run.weights[name] for name in part.weights]
        self.learnt = nn.ParameterList([one.clone().float() for one in self.old])
        self.register_buffer("start", torch.from_numpy(weight[order]))
        self.register_buffer("start_bias", torch.from_numpy(bias[order]))
        self.columns = nn.Parameter(self.start[:moving].clone())
        self.bias = nn.Parameter(self.start_bias[:moving].clone())

    def blocks(self) -> dict[str, Tensor]:
        return dict(zip(self.part.weights, self.learnt, strict=True))

    def features(self, values: Tensor) -> Tensor:
        return self.part.features(values, self.blocks())

    def scores(self, features: Tensor) -> Tensor:
        """[..., d] -> logarithms of shares [..., R]."""
        weight = torch.cat([self.columns, self.start[self.moving :]])
        bias = torch.cat([self.bias, self.start_bias[self.moving :]])
        return (features @ weight.T + bias).log_softmax(-1)

    def began(self, features: Tensor) -> Tensor:
        """What the classifier as it was makes of features."""
        with torch.no_grad():
            return (features @ self.start.T + self.start_bias).log_softmax(-1)

    def way(self) -> Tensor:
        """The square of how far the blocks' weights have gone, beside their own."""
        parts = [
            (new - old).square().sum() / old.square().sum().clamp(min=1e-12)
            for new, old in zip(self.learnt, self.old, strict=True)
        ]
        return torch.stack(parts).sum()

    def classifier(self, weight: Floats, bias: Floats) -> tuple[Floats, Floats]:
        """With the columns that moved."""
        made, shift = weight.copy(), bias.copy()
        rows = self.order[: self.moving]
        made[rows], shift[rows] = self.columns.detach().numpy(), self.bias.detach().numpy()
        return made, shift


class _Teacher:
    """The loop."""

    def __init__(
        self,
        net: _Net,
        lines: Sequence[_Line],
        judges: Sequence[_Line],
        held: Sequence[_Held],
        blank: int,
        pace: Pace,
    ) -> None:
        self._net, self._lines, self._judges = net, lines, judges
        self._held, self._judging = list(held), list[_Held]()
        if len(held) >= 2 * JUDGED_EVERY:
            self._judging = self._held[::JUDGED_EVERY]
            del self._held[::JUDGED_EVERY]
        self._blank = net.places[blank]
        self._pace = pace
        self._rng = np.random.Generator(np.random.PCG64(pace.seed))

    def learn(self, progress: Progress) -> list[float]:
        """The judges' loss after each pass; the net is then as it was when that was least."""
        net, pace = self._net, self._pace
        rates = [(list(net.learnt), SLOWER), ([net.columns, net.bias], 1.0)]
        optimiser = torch.optim.Adam(
            [{"params": one, "lr": pace.learning_rate} for one, _ in rates]
        )
        curve = [self._judged()]
        best = {name: one.clone() for name, one in net.state_dict().items()}
        others = self._others()
        progress.start("adapting", pace.passes)
        for done in range(pace.passes):
            for group, (_, slower) in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = slower * pace.learning_rate * (1 - done / pace.passes)
            for batch in _batches(self._lines, pace.batch, self._rng):
                loss = self._ctc(batch) + pace.hold * (
                    self._moved(next(others)) if self._held else 0
                )
                loss = loss + WAY * net.way()
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            curve.append(self._judged())
            if curve[-1] < min(curve[:-1]):
                best = {name: one.clone() for name, one in net.state_dict().items()}
            progress.advance(1)
        progress.finish()
        net.load_state_dict(best)
        return [round(one, 4) for one in curve]

    @torch.no_grad()
    def _judged(self) -> float:
        """What is learnt by, on lines of both kinds that nothing is learnt from."""
        most = self._pace.batch
        told = sum(float(self._ctc(one)) * len(one) for one in _batches(self._judges, most))
        moved = sum(float(self._moved(one)) * len(one) for one in _batches(self._judging, most))
        held = self._pace.hold * moved / max(1, len(self._judging))
        return told / len(self._judges) + held

    def _others(self) -> Iterator[list[_Held]]:
        while True:
            yield from _batches(self._held, self._pace.batch, self._rng)

    def _ctc(self, batch: Sequence[_Line]) -> Tensor:
        scores = self._net.scores(self._net.features(torch.stack([one.values for one in batch])))
        ids = [self._net.places[one] for line in batch for one in line.ids]
        return functional.ctc_loss(
            scores.transpose(0, 1),
            torch.tensor(ids),
            torch.full((len(batch),), scores.shape[1]),
            torch.tensor([len(one.ids) for one in batch]),
            blank=self._blank,
        )

    def _moved(self, batch: Sequence[_Held]) -> Tensor:
        """How far answers to other text have moved, and its features."""
        net = self._net
        made = net.features(torch.stack([one.values for one in batch])).flatten(0, 1)
        old = torch.cat([one.features for one in batch])
        apart = (made - old).square().sum(-1).mean() / old.square().sum(-1).mean()
        some = torch.from_numpy(self._rng.permutation(len(old))[:HELD])
        asked = functional.kl_div(
            net.scores(made[some]), net.began(old[some]), reduction="batchmean", log_target=True
        )
        return asked + FEATURES * apart


def _batches(
    lines: Sequence[Any], most: int, rng: np.random.Generator | None = None
) -> Iterator[list[Any]]:
    """Lines of one shape together, in an order by chance if there is a generator."""
    order = range(len(lines)) if rng is None else rng.permutation(len(lines)).tolist()
    made = together([tuple(lines[at].values.shape) for at in order], most)
    for number in range(len(made)) if rng is None else rng.permutation(len(made)).tolist():
        yield [lines[order[place]] for place in made[number]]


def _order(
    moving: Sequence[int], frames: Sequence[Floats], weight: Floats, bias: Floats
) -> NDArray[np.intp]:
    """Classes that move, and behind them the likeliest of every frame."""
    count = min(RIVALS, len(bias))
    met: set[int] = set()
    for one in frames:
        for some in np.split(one, range(AT_ONCE, len(one), AT_ONCE)):
            met.update(np.argpartition(some @ weight.T + bias, -count)[:, -count:].ravel().tolist())
    return np.array([*moving, *sorted(met.difference(moving))], np.intp)
