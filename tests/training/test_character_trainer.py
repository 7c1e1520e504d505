"""The backbone on single characters: their labels, and what it hands over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from hcompress.charset import UnknownCharacter
from hcompress.data.batches import Batch
from hcompress.errors import InputRefused
from hcompress.heads.softmax import NOT_COUNTED
from hcompress.training.character_trainer import GlyphTrainer
from hcompress.training.lda import feature_length
from hcompress.training.loop import Loss, Schedule, Task
from tests.builders import CHARACTERS, SOFTMAX, noise, untrained
from tests.forcing import forced
from tests.special import BOS
from tests.training.tasks import run


def test_a_label_is_one_character_of_the_charset_or_left_out() -> None:
    model = untrained(SOFTMAX)
    trainer = GlyphTrainer(model, CHARACTERS)
    for text in ("ab", ""):
        with pytest.raises(InputRefused, match=f"label '{text}' has {len(text)}: give images of"):
            trainer.ids(["a", text])
    with pytest.raises(InputRefused, match=r"'z'.*choose unknown = skip-line"):
        trainer.ids(["z"])
    trainer = GlyphTrainer(model, CHARACTERS, UnknownCharacter.SKIP_LINE)
    assert trainer.ids(["b", "z"]) == [CHARACTERS.id_of("b"), NOT_COUNTED]
    batches = [Batch(noise(2), texts, [0, 1]) for texts in (["b", "z"], ["b", "b"])]
    some, both = (trainer.loss(trainer.eval(), batch) for batch in batches)
    assert (some.targets, some.left_out, both.targets, both.left_out) == (1, 1, 2, 0)
    assert 0 < some.total.item() < both.total.item()


def test_single_characters_hand_their_columns_over(tmp_path: Path) -> None:
    model = untrained(SOFTMAX)
    trainer = GlyphTrainer(model, CHARACTERS)
    images = noise(len(CHARACTERS.characters))
    batch = Batch(images, list(CHARACTERS.characters), list(range(len(images))))

    def loss(module: nn.Module, batch: Batch) -> Loss:
        return trainer.loss(module, batch)

    def feed(start: int) -> Iterator[Batch]:
        return iter([batch] * (20 - start))

    first = trainer.loss(trainer, batch).total.item()
    run(Task("glyphs", trainer, loss, feed), Schedule(20, 18, 1e-2, warmup=2), tmp_path)
    assert trainer.loss(trainer, batch).total.item() < first
    trainer.hand_over(feature_length(trainer, [batch]))
    ratio = model.head.weight[3:] / trainer.columns[3:]
    assert torch.allclose(ratio, ratio[0, 0], rtol=1e-4)
    trainer.eval()
    model.eval()
    with torch.no_grad():
        single = (trainer.features(torch.from_numpy(images)) @ trainer.columns.T).argmax(1)
        memory = model.encode(torch.from_numpy(images))
        begun = torch.full((len(images), 1), BOS)
        line = model.head.logits(model.features(memory, forced(begun)))[:, 0]
        alike = (line.argmax(1) == single).double().mean().item()
    assert alike > 0.5, "no line seen yet, and most are read as single characters are"
