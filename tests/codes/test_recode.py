"""`recode`: codes go to where features lie, nothing else changes, in any order of looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hcompress.checkpoints.checkpoint import MODEL_FILE, Checkpoint, load_checkpoint, read_stored
from hcompress.codes.soft_votes import SoftVotes, moved_bits
from hcompress.errors import NumericalError, UsageError
from hcompress.formats.open import ModelFile
from hcompress.heads.hamming.codebook import unpack
from hcompress.runs.forecast import after, forecast_of
from hcompress.stages.recode import Recode
from tests.builders import CONFIGS, pictures, recogniser
from tests.codes.test_extend import KINDS, env, lines, saved
from tests.compress.test_factorise import texts_of
from tests.forcing import forced
from tests.special import BOS, EOS, PAD


def none(vocabulary: int, length: int) -> SoftVotes:
    """For features that are bit logits already."""
    return SoftVotes.none(vocabulary, length, torch.nn.Identity())


def run(stage: Recode, source: Path, out: Path) -> dict[str, Any]:
    out.mkdir()
    return dict(stage.run(source, out, env(out)))


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.floats(0, 20))
def test_codes_are_the_sides_of_the_sums_in_any_order(seed: int, weight: float) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (60, 16)).astype(np.float32)
    ids = rng.integers(0, 9, 60)
    old = rng.integers(0, 2, (10, 16)).astype(bool)
    found = none(10, 16)
    found.add(torch.from_numpy(logits), torch.from_numpy(ids))
    other = none(10, 16)
    for part in np.array_split(rng.permutation(60), 7):
        other.add(torch.from_numpy(logits[part]), torch.from_numpy(ids[part]))
    np.testing.assert_array_equal(found.sums, other.sums)
    bits, sure = moved_bits(found, old, weight)
    np.testing.assert_array_equal(bits[9], old[9])  # not seen
    assert ((sure >= 0) & (sure <= 1 + 1e-9)).all()
    for character in range(9):
        held = np.clip(logits[ids == character], -1, 1).astype(float)
        total = held.sum(0) + weight * np.where(old[character], 1, -1)
        clear = (np.abs(total) > 1e-4) & (len(held) > 0)
        np.testing.assert_array_equal(bits[character][clear], (total > 0)[clear])


def test_an_old_code_that_counts_enough_stays_and_nan_is_refused() -> None:
    rng = np.random.default_rng(0)
    old = rng.integers(0, 2, (4, 8)).astype(bool)
    found = none(4, 8)
    looks = torch.from_numpy(rng.normal(0, 5, (30, 8)).astype(np.float32))
    found.add(looks, torch.from_numpy(rng.integers(0, 4, 30)))
    np.testing.assert_array_equal(moved_bits(found, old, 31.0)[0], old)
    assert (moved_bits(found, old, 0.0)[0] != old).any()
    with pytest.raises(NumericalError, match="NaN"):
        found.add(torch.full((1, 8), torch.nan), torch.tensor([1]))


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_codebook_changes_and_it_reads_its_own_lines_better(
    kind: str, tmp_path: Path
) -> None:
    made = KINDS[kind]()
    source = saved(tmp_path / "model", made)
    texts = texts_of(made, 40)
    data = lines(tmp_path / "d", texts, made.config)
    report = run(
        Recode(data=data, workers=0, min_distance=0, old_weight=0.5), source, tmp_path / "out"
    )
    before, old = read_stored(source)
    now, new = read_stored(tmp_path / "out")
    assert now.config == before.config
    assert now.vocabulary == before.vocabulary
    assert {n for n in old if not torch.equal(old[n], new[n])} == {"codebook"}
    codes, was = unpack(new["codebook"].numpy()), unpack(old["codebook"].numpy())
    for unread in (PAD, BOS):
        np.testing.assert_array_equal(codes[unread], was[unread])
    assert len(np.unique(codes, axis=0)) == len(codes)
    assert report["images_per_process"] == [40]
    assert report["looks"] == sum(map(len, texts)) + 40, "EOS is one of them"
    assert 0 < report["moved_bits"]["mean"] <= report["moved_bits"]["maximum"]
    assert agreement(tmp_path / "out", texts, EOS) > 1.2 * agreement(source, texts, EOS)


def agreement(source: Path, texts: list[str], last: int) -> float:
    """Mean over the targets of the bit logits' signs that are the code's, less those not."""
    made: Checkpoint = load_checkpoint(source)
    model, total, count = made.model, 0.0, 0
    images = torch.from_numpy(pictures(len(texts), made.config, 3))
    signs = model.signs()
    with torch.inference_mode():
        memory = model.encode(images)
        for line, text in enumerate(texts):
            ids = [*made.vocabulary.encode(text), last]
            asked = forced(torch.tensor([[BOS, *ids[:-1]]]))
            h = model.features(memory[line : line + 1], asked)[0]
            bits = torch.where(model.head.logits(h) >= 0, 1.0, -1.0)
            total += float((bits * signs[ids]).mean(-1).sum())
            count += len(ids)
    return total / count


def test_a_softmax_has_no_codes_to_move(tmp_path: Path) -> None:
    made = recogniser(CONFIGS["softmax"])
    source = saved(tmp_path / "model", made)
    data = lines(tmp_path / "d", texts_of(made, 3), made.config)
    with pytest.raises(UsageError, match="no codes to move"):
        run(Recode(data=data, workers=0), source, tmp_path / "out")


def test_the_size_stays(tmp_path: Path) -> None:
    source = saved(tmp_path / "model", recogniser(CONFIGS["light"]))
    known = forecast_of(ModelFile(source / MODEL_FILE))
    assert known is not None
    assert after(Recode(data=Path("d")), known) == known
