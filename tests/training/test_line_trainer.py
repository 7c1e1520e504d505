"""Lines to a loss: batches by step, what is asked of a line, how it is validated."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hcompress.compress.options import SharedFrom
from hcompress.compress.slim_decoder import with_shared_layers, without_ffn
from hcompress.heads.contract import Losses
from hcompress.heads.hamming.loss import HAMMING_TEMPERATURE, code_cross_entropy, hinge_loss
from hcompress.metrics import similarity
from hcompress.training.line_trainer import Aim, LineTrainer, step_batches, validate_lines
from hcompress.training.loop import Schedule
from tests.builders import CHARACTERS, HAMMING, SOFTMAX, noise, untrained
from tests.forcing import forced
from tests.special import BOS, EOS, FIRST_READABLE, PAD
from tests.training.tasks import REFUSE, MemorySource, line_task, run


@given(st.integers(0, 5), st.sampled_from([1, 2, 4]), st.sampled_from([None, 3]))
@settings(max_examples=12)
def test_processes_share_a_step_and_resume_anywhere(
    start: int, world: int, drawn_by: int | None
) -> None:
    size, source = SOFTMAX.preprocessing, MemorySource(10)
    alone = [
        b.indices for b in step_batches(source, 4, 6, size, 0, 0, 1, seed=1, drawn_by=drawn_by)(0)
    ]
    shared = [
        [
            b.indices
            for b in step_batches(source, 4, 6, size, 0, rank, world, seed=1, drawn_by=drawn_by)(
                start
            )
        ]
        for rank in range(world)
    ]
    for step in range(start, 6):
        together = [i for rank in range(world) for i in shared[rank][step - start]]
        assert sorted(together) == sorted(alone[step])


class Sorted(MemorySource):
    """As a label file may lie: by text. Not dealt."""

    dealt: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__(40)
        self.texts = sorted(self.texts)


def test_sorted_lines_are_not_learnt_in_their_order() -> None:
    """Each pass has every line once, each in an order of its own, by the seed."""
    size, source = SOFTMAX.preprocessing, Sorted()
    taken = {
        seed: [t for b in step_batches(source, 8, 10, size, 0, 0, 1, seed=seed)(0) for t in b.texts]
        for seed in (1, 2)
    }
    first, second = taken[1][:40], taken[1][40:]
    assert sorted(first) == sorted(second) == source.texts
    assert source.texts != first != second
    assert taken[1] != taken[2]
    later = [t for b in step_batches(source, 8, 10, size, 0, 0, 1, seed=1)(6) for t in b.texts]
    assert later == taken[1][48:]


def test_drawn_images_come_in_no_order() -> None:
    size, source = SOFTMAX.preprocessing, MemorySource(10)
    drawn = [
        [
            i
            for b in step_batches(source, 4, 30, size, 0, 0, 1, seed=1, drawn_by=seed)(0)
            for i in b.indices
        ]
        for seed in (3, 4)
    ]
    assert drawn[0] != drawn[1]
    assert set(drawn[0]) == set(range(10))
    assert max(drawn[0].count(i) for i in range(10)) > min(drawn[0].count(i) for i in range(10))


def test_code_cross_entropy_asks_for_the_teachers_answer_by_its_share() -> None:
    """(1 - a) of the label's cross-entropy and a of the answer's, over readable characters."""
    model, teacher = untrained(HAMMING), untrained(SOFTMAX).requires_grad_(False)
    signs = model.signs()
    targets = torch.tensor([[4, 5, EOS], [6, EOS, PAD]])
    counted = targets != PAD
    drawn = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 3, signs.shape[1], generator=drawn)
    answers = torch.randn(2, 3, len(signs), generator=drawn)

    expected = 0.0
    for row, step in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1)):
        scores = logits[row, step] @ signs[FIRST_READABLE:].T
        scores = scores / (2 * HAMMING_TEMPERATURE * signs.shape[1])
        wanted = 0.4 * torch.softmax(answers[row, step, FIRST_READABLE:], -1)
        wanted[targets[row, step] - FIRST_READABLE] += 0.6
        expected -= float((wanted * torch.log_softmax(scores, -1)).sum())
    chosen = targets[counted], signs, FIRST_READABLE
    found = code_cross_entropy(logits[counted], *chosen, answers[counted], 0.4)
    assert float(found) == pytest.approx(expected, rel=1e-5)

    images = torch.from_numpy(noise(2))
    asked = forced(torch.tensor([[BOS, 4, 5], [BOS, 6, PAD]]), targets)
    for share in (0.4, 0.0):
        losses = Losses(code_cross_entropy=1.0, soft_labels=share)
        trainer = LineTrainer(model, teacher, Aim(CHARACTERS, REFUSE, losses)).eval()
        wanted_states = trainer.wanted(images, model.encode(images), asked)
        assert (wanted_states is None) == (share == 0)  # no teacher is asked where none counts
        own = model.head.logits(model.features(model.encode(images), asked))
        told = None
        if wanted_states is not None:
            told = teacher.head.logits(teacher.features(teacher.encode(images), asked))[counted]
        by_hand = hinge_loss(own, targets, counted, signs, 1.0)
        by_hand = by_hand + code_cross_entropy(own[counted], *chosen, told, share)
        total = trainer(images, asked, None)
        assert total.item() == pytest.approx(by_hand.item(), rel=1e-4)


def test_slim_routes_teach_the_cut_decoder(tmp_path: Path) -> None:
    """The losses of the decoder cut to each of its layers, trained with the routes and without."""
    losses = []
    for weight in (0.0, 1.0):
        aim = Aim(CHARACTERS, REFUSE, slim_routes=weight)
        trainer = LineTrainer(untrained(SOFTMAX), None, aim)
        run(line_task(trainer, 80), Schedule(80, 4, 3e-3, warmup=5), tmp_path / str(weight))
        total = 0.0
        for which in (SharedFrom.FIRST, SharedFrom.MIDDLE, SharedFrom.LAST):
            cut = with_shared_layers(without_ffn(trainer.student), which)
            judge = LineTrainer(cut, None, Aim(CHARACTERS, REFUSE)).eval()
            batches = line_task(judge, 6).batches(0)
            total += sum(judge.loss(judge, batch).total.item() for batch in batches)
        losses.append(total)
    assert losses[1] < 0.95 * losses[0]  # 0.91


def test_validation_is_the_share_read_and_1_ned() -> None:
    model, source = untrained(SOFTMAX), MemorySource()
    found = validate_lines(model, CHARACTERS, source, 8, 3)
    pixels = torch.from_numpy(np.stack(source.images[:8]))
    ids = model.read(pixels, candidates=1).ids[:, :, 0].tolist()
    pairs = [(CHARACTERS.decode(i), t) for i, t in zip(ids, source.texts[:8], strict=True)]
    assert found.accuracy == sum(read == text for read, text in pairs) / 8
    assert found.ned == pytest.approx(sum(similarity(text, read) for read, text in pairs) / 8)
    assert 0 <= found.accuracy <= found.ned < 1
