"""What is observed of labelled lines: the features of every character and EOS, in order."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch

from hcompress.charset import UnknownCharacter
from hcompress.data.feed import drawn_images
from hcompress.data.sample import Sample
from hcompress.errors import InputRefused
from hcompress.progress import NoProgress
from hcompress.recognisers.observe import observe
from hcompress.spec.config import RecogniserConfig
from tests.builders import CONFIGS, pictures, recogniser
from tests.forcing import forced
from tests.special import BOS, EOS

TEXTS = ["\u4e00", "\u4e01\u4e02\u4e03", "\u4e04\u4e05", "\u4e06" * 9, "\u4e07", "", "\u4e08\u4e09"]
"""The fourth is longer than any of the models reads."""


class Lines:
    digest = "0" * 64
    dealt: ClassVar[bool] = True

    def __init__(self, config: RecogniserConfig, texts: list[str]) -> None:
        self.images, self.texts = pictures(len(texts), config), texts

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.images[index], self.texts[index])


class Kept:
    def __init__(self) -> None:
        self.features: list[torch.Tensor] = []
        self.ids: list[torch.Tensor] = []

    def add(self, features: torch.Tensor, ids: torch.Tensor) -> None:
        self.features.append(features)
        self.ids.append(ids)


def observed(name: str, texts: list[str], unknown: UnknownCharacter, threads: int = 1) -> Kept:
    made, kept = recogniser(CONFIGS[name]), Kept()
    lines = drawn_images(Lines(made.config, texts), 99, 2, made.config.preprocessing)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        observe(made.model, made.vocabulary, lines, kept, unknown, "looking", NoProgress())
    finally:
        torch.set_num_threads(before)
    return kept


@pytest.mark.parametrize("name", ["softmax", "light", "hamming-embedding"])
def test_features_are_those_behind_the_true_prefix(name: str) -> None:
    made = recogniser(CONFIGS[name])
    kept = observed(name, TEXTS, UnknownCharacter.REFUSE)
    assert len(kept.ids) == 4, "a batch at a time"
    expected, wanted = [], []
    images = torch.from_numpy(pictures(len(TEXTS), made.config))
    with torch.inference_mode():
        memory = made.model.encode(images)
        for line, text in enumerate(TEXTS):
            if len(text) < made.config.max_steps:
                ids = [*made.vocabulary.encode(text), EOS]
                asked = forced(torch.tensor([[BOS, *ids[:-1]]]))
                expected.append(made.model.features(memory[line : line + 1], asked)[0])
                wanted += ids
    assert torch.cat(kept.ids).tolist() == wanted
    torch.testing.assert_close(torch.cat(kept.features), torch.cat(expected), rtol=1e-3, atol=1e-3)


def test_threads_change_no_bit() -> None:
    alone, many = (observed("light", TEXTS, UnknownCharacter.REFUSE, n) for n in (1, 3))
    for one, other in zip(alone.features, many.features, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_unknown_characters_are_refused_or_leave_their_line_out() -> None:
    texts = ["\u4e00x", "\u4e01"]
    with pytest.raises(InputRefused, match="'x'"):
        observed("softmax", texts, UnknownCharacter.REFUSE)
    kept = observed("softmax", texts, UnknownCharacter.SKIP_LINE)
    assert torch.cat(kept.ids).tolist() == [4, EOS]
