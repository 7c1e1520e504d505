"""A CTC recogniser begun with another's backbone and codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hcompress.artifacts.source import open_source
from hcompress.charset import UnknownCharacter
from hcompress.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from hcompress.codes.as_ctc import as_ctc, codes_of
from hcompress.errors import UsageError
from hcompress.heads.contract import Losses
from hcompress.heads.hamming.codebook import unpack
from hcompress.recognisers.ctc.columns import Columns
from hcompress.recognisers.ctc.model import Ctc
from hcompress.recognisers.rebuild import with_folded_batch_norm
from hcompress.runs.runner import StageOptions, run_stage
from hcompress.spec.config import BatchNorm
from hcompress.spec.ctc import BLANK, CtcConfig
from hcompress.spec.vocabulary import Vocabulary
from hcompress.stages.as_ctc import AsCtc
from tests.builders import HAMMING, SOFTMAX, pictures, recogniser


def shape(before: Checkpoint) -> CtcConfig:
    old = before.config
    return CtcConfig(
        width=old.width, backbone=old.backbone, backbone_width=old.backbone_width, neck=0, pitch=4
    )


@pytest.mark.parametrize("norm", [BatchNorm.LIVE, BatchNorm.FOLDED])
def test_the_backbone_sees_what_it_saw(norm: BatchNorm) -> None:
    live = recogniser(replace(HAMMING, batch_norm=BatchNorm.LIVE), liveliness=1.0)
    folded = replace(live, model=with_folded_batch_norm(live.model))
    before = live if norm is BatchNorm.LIVE else folded
    vocabulary = Vocabulary(before.vocabulary.characters, BLANK)
    images = torch.from_numpy(pictures(4, HAMMING))
    made = as_ctc(before.model, before.vocabulary, shape(before), vocabulary, images, 3)
    assert made.config.batch_norm is BatchNorm.LIVE
    assert isinstance(made.backbone, Columns)
    with torch.no_grad():
        # All but the last stage, which halves the rows.
        pixels = live.model.normalise(images)
        early = len(made.backbone.grid.blocks) - 4
        old = folded.model.backbone
        expected = old.blocks[:early](old.stem(pixels))
        grid = made.eval().backbone.grid
        found = grid.blocks[:early](grid.stem(pixels))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_characters_keep_their_codes() -> None:
    before = recogniser(HAMMING)
    bits = unpack(before.model.codebook.numpy())
    old = before.vocabulary
    new = Vocabulary(["a", *reversed(old.characters[3:]), "!"], BLANK)
    made = codes_of(new, old, bits, 5)
    for character in old.characters[3:]:
        np.testing.assert_array_equal(made[new.id_of(character)], bits[old.id_of(character)])
    np.testing.assert_array_equal(made, codes_of(new, old, bits, 5))
    for index in (0, new.id_of("a"), new.id_of("!")):
        others = np.delete(made, index, 0)
        assert (others != made[index]).sum(1).min() >= bits.shape[1] / 4


def test_rivals_are_drawn_by_the_labels() -> None:
    before = recogniser(HAMMING)
    vocabulary = Vocabulary(before.vocabulary.characters, BLANK)
    model = as_ctc(
        before.model,
        before.vocabulary,
        shape(before),
        vocabulary,
        torch.from_numpy(pictures(4, HAMMING)),
        3,
    )
    assert isinstance(model, Ctc)
    logits = torch.randn(2, 9, HAMMING.code_length or 0, generator=torch.Generator().manual_seed(1))
    targets = model.targets([vocabulary.characters[3], "".join(vocabulary.characters[5:7])],
                            vocabulary, UnknownCharacter.REFUSE)  # fmt: skip

    def loss(rivals: int) -> float:
        return float(model.label_loss(logits, targets, Losses(rivals=rivals)))

    assert loss(4) == loss(4)
    assert loss(4000) == pytest.approx(loss(0), rel=0.05)
    assert loss(4000) != loss(0)


def test_what_it_cannot_begin_with_is_refused(tmp_path: Path) -> None:
    before = recogniser(SOFTMAX)
    save_checkpoint(tmp_path / "model.safetensors", before.model, before.vocabulary,
                    before.provenance)  # fmt: skip
    Image.fromarray(pictures(1, SOFTMAX)[0]).save(tmp_path / "a.png")
    (tmp_path / "lines.tsv").write_text("a.png\t!\n", encoding="utf-8")
    stage = AsCtc(data=tmp_path / "lines.tsv")
    with pytest.raises(UsageError, match="replace-head first"):
        run_stage(
            stage, open_source(tmp_path / "model.safetensors"), tmp_path / "out", StageOptions()
        )
    assert not (tmp_path / "out").exists()


def test_a_larger_charset(tmp_path: Path) -> None:
    before = recogniser(HAMMING)
    source = tmp_path / "model.safetensors"
    save_checkpoint(source, before.model, before.vocabulary, before.provenance)
    Image.fromarray(pictures(1, HAMMING)[0]).save(tmp_path / "a.png")
    (tmp_path / "lines.tsv").write_text("a.png\t!\n", encoding="utf-8")
    characters = [*before.vocabulary.characters, "!"]
    (tmp_path / "chars.txt").write_text("".join(characters), encoding="utf-8")
    stage = AsCtc(data=tmp_path / "lines.tsv", charset=tmp_path / "chars.txt", neck=1, neck_width=8)
    made = run_stage(stage, open_source(source), tmp_path / "out", StageOptions())
    assert made.manifest is not None
    assert made.manifest.report == {"characters": len(characters), "codes_by_chance": 1}
    after = load_checkpoint(made.file)
    assert after.vocabulary.characters == tuple(characters)
    assert after.config.head == before.config.head
