"""Lines encoded once and learnt from many times.

Where the backbone is frozen, its output for a line never changes, and neither do the teacher's
features. Encoding is most of a fine-tuning step's work, so a fixed set of lines is encoded once,
kept in memory as FP16, and gone through in a new order each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hcompress.compute.threads import in_threads
from hcompress.data.feed import drawn_images
from hcompress.data.unreadable import Naming
from hcompress.errors import InputRefused
from hcompress.recognisers.contract import Recogniser, Targets
from hcompress.recognisers.rebuild import folded
from hcompress.training.line_trainer import Encoded, LineTrainer
from hcompress.training.loop import Loss, say_left_out

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.data.batches import Batch
    from hcompress.data.sample import DataSource
    from hcompress.progress import Progress


WINDOW = 16
"""Batches whose lines are sorted by length together; the batches' order is drawn again."""


class EncodedLine(NamedTuple):
    """One line; n characters and EOS make T = n + 1 targets."""

    memory: Tensor
    """FP16: the line's share of what `Recogniser.memory` gives (`Recogniser.rows_of`)."""
    wanted: Tensor | None
    """FP16 [T, S, d], as `Encoded.wanted`: of lines of any width a column is a step."""
    inputs: Tensor
    """[T], as `Targets` has them."""
    targets: Tensor
    """[T]."""


@dataclass(frozen=True)
class EncodedLines:
    """A set of encoded lines, and the order in which a run goes through them."""

    trainer: LineTrainer
    lines: list[EncodedLine]
    seed: int
    common: Any = None
    """What of their memory the lines have in common."""
    left_out: int = 0
    """Lines that do not count, and are not here."""

    def batches(
        self, size: int, steps: int, rank: int, world: int
    ) -> Callable[[int], Iterator[list[EncodedLine]]]:
        """Batches from a step on, each of ``world`` processes with its share; they divide ``size``.

        Position p of the endless sequence is line ``order(p // lines)[p % lines]``: every line
        once, then every line once again in another order, whatever the step begun from.
        """

        def start(step: int) -> Iterator[list[EncodedLine]]:
            turn, order = -1, np.empty(0, np.int64)
            for now in range(step, steps):
                batch = []
                for place in range(now * size + rank, (now + 1) * size, world):
                    if place // len(self.lines) != turn:
                        turn = place // len(self.lines)
                        order = self._order(turn, size)
                    batch.append(self.lines[order[place % len(self.lines)]])
                yield batch

        return start

    def _order(self, turn: int, size: int) -> NDArray[np.int64]:
        """By chance, but lines of about one length keep together: a batch is as long as its
        longest line, and padding costs as much as text."""
        rng = np.random.default_rng([self.seed, turn])
        order = rng.permutation(len(self.lines))
        lengths = np.array([len(self.lines[index].targets) for index in order])
        batches = []
        for first in range(0, len(order), WINDOW * size):
            window = slice(first, first + WINDOW * size)
            by_length = order[window][np.argsort(lengths[window], kind="stable")]
            cut = np.array_split(by_length, range(size, len(by_length), size))
            batches += [cut[index] for index in rng.permutation(len(cut))]
        return np.concatenate(batches)

    def loss(self, model: nn.Module, batch: list[EncodedLine]) -> Loss:
        """``model`` is the trainer as Fabric wrapped it."""
        targets, encoded = self.together(batch)
        total: Tensor = model(None, targets, encoded)
        return Loss(total, int(targets.counted.sum()))

    def together(self, batch: Sequence[EncodedLine]) -> tuple[Targets, Encoded]:
        """What the lines ask for, and their encodings, on the recogniser's device."""
        device = self.trainer.device
        rows = stacked([line.memory for line in batch]).to(device).float()
        memory = self.trainer.student.memory_of(rows, self.common)
        kept = [line.wanted for line in batch if line.wanted is not None]
        # [N, T, S, d] -> [S, N, T, d]
        fill = stacked if self.trainer.student.framewise else padded
        wanted = fill(kept).permute(2, 0, 1, 3).to(device).float() if kept else None
        counts = [torch.ones(len(line.targets), dtype=torch.bool) for line in batch]
        targets = Targets(
            padded([line.inputs for line in batch]),
            padded([line.targets for line in batch]),
            padded(counts),
        )
        return targets.to(device), Encoded(memory, wanted)


def stacked(rows: list[Tensor]) -> Tensor:
    """[L, ...] of each line in one tensor. Of lines of any width the last column is repeated to
    the end of the longest: their margins go on."""
    longest = max(len(row) for row in rows)
    return torch.stack([
        row if len(row) == longest else torch.cat([row, *[row[-1:]] * (longest - len(row))])
        for row in rows
    ])  # fmt: skip


def padded(rows: list[Tensor]) -> Tensor:
    """Rows of different length in one tensor, filled up with zeros: steps that don't count."""
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)


def encode_lines(
    trainer: LineTrainer,
    source: DataSource,
    count: int,
    workers: int,
    seed: int,
    progress: Progress,
) -> EncodedLines:
    """Encode the first ``count`` lines; those that don't count as targets are left out.

    Raises InputRefused where no line is left.
    """
    trainer.eval()
    student = folded(trainer.student).to(trainer.device)  # the same sums with fewer passes
    lines: list[EncodedLine] = []
    common: Any = None
    chosen = drawn_images(source, count, 32, student.config.preprocessing, workers)
    progress.start("encode", chosen.images)
    for part in in_threads(partial(_encoded, trainer, student), Naming(progress)(chosen)):
        lines += part.lines
        common = part.common
        progress.advance(part.total)
    progress.finish()
    if not lines:
        raise InputRefused("training data: no line that counts")
    left_out = chosen.images - len(lines)
    say_left_out("encode", left_out, chosen.images, progress)
    return EncodedLines(trainer, lines, seed, common, left_out)


class _EncodedBatch(NamedTuple):
    total: int
    """Lines of the batch, whether they count or not."""
    lines: list[EncodedLine]
    common: Any
    """As `EncodedLines.common`: the same for every batch."""


@torch.no_grad()
def _encoded(trainer: LineTrainer, student: Recogniser, batch: Batch) -> _EncodedBatch:
    targets = trainer.targets(batch.texts)
    images = torch.from_numpy(batch.images).to(trainer.device)
    memory = student.memory(images)
    rows, common = student.rows_of(memory)
    wanted = trainer.wanted(images, memory, targets)
    lines = []
    for place, length in enumerate(targets.counted.sum(1).tolist()):
        if length:
            states = None
            if wanted is not None:
                steps = wanted.shape[2] if student.framewise else length
                states = wanted[:, place, :steps].transpose(0, 1).half().cpu()
            kept = targets.inputs[place, :length].cpu(), targets.ids[place, :length].cpu()
            lines.append(EncodedLine(rows[place].half().cpu(), states, *kept))
    return _EncodedBatch(len(batch.texts), lines, common)
