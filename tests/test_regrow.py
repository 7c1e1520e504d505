"""A small recogniser given its large parts back, and an ONNX file taken for a checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from hcompress.errors import InputRefused, UsageError
from hcompress.export import forms
from hcompress.export.simplify import simplify
from hcompress.recogniser.checkpoint import Checkpoint, load_checkpoint, read_stored
from hcompress.recogniser.config import (
    BatchNorm,
    Classifier,
    Embedding,
    RecogniserConfig,
    Weights,
)
from hcompress.recogniser.metadata import ModelMetadata
from hcompress.recogniser.regrowth import (
    regrown,
    with_ffn,
    with_live_batch_norm,
    with_matrices,
    with_own_layers,
)
from hcompress.recogniser.vocabulary import BOS
from hcompress.stages.base import Provenance
from tests.tiny_recognisers import CONFIGS, LIGHT, ROUNDING, SMALL, int8, pictures, recogniser

REFINED = CONFIGS["refined"]


def features(made: Checkpoint) -> torch.Tensor:
    model = made.model
    ids = torch.tensor([[BOS, 4, 5, 6]] * 3)
    with torch.inference_mode():
        memory = model.encode(torch.from_numpy(pictures(3, made.config)))
        return model.features(memory, ids, model.code_signs())


def as_onnx(made: Checkpoint, folder: Path) -> Path:
    text = ModelMetadata(made.config, made.vocabulary, Provenance("onnx", None)).to_json()
    half = made.config.weights is not Weights.FP32
    graph = forms.portable(made.model, text, store_half=half, weights=made.stored())
    path = folder / "model.onnx"
    path.write_bytes(simplify(graph, frozenset(made.stored())).data)
    return path


@pytest.mark.parametrize("config", [LIGHT, REFINED])
def test_a_regrown_recogniser_has_every_part_and_the_same_features(
    config: RecogniserConfig,
) -> None:
    made = recogniser(config)
    seen = torch.from_numpy(pictures(16, config))
    large = regrown(made.model, [seen[:8], seen[8:]])
    assert (large.config.classifier, large.config.embedding) == (
        Classifier.SOFTMAX,
        Embedding.LEARNED,
    )
    assert large.config.ffn
    assert not large.config.shared_layers
    assert large.config.batch_norm is BatchNorm.LIVE
    assert large.config.code_length is None
    after = features(replace(made, model=large))
    torch.testing.assert_close(after, features(made), atol=ROUNDING, rtol=ROUNDING)


def test_the_softmax_scores_are_sums_of_bit_logits_along_the_codes() -> None:
    made = recogniser(REFINED)
    model, large = made.model, with_matrices(made.model)
    h = features(made)
    with torch.inference_mode():
        bits = model.classifier(h)
        expected = bits @ model.signs().T
        found = large.classifier(h)
    ratio = expected.flatten() / found.flatten()
    torch.testing.assert_close(ratio, ratio.median().expand_as(ratio), rtol=1e-2, atol=1e-2)
    assert float(ratio.median()) == pytest.approx(2 * model.signs().shape[1] / 32)


def test_live_normalisation_is_that_of_the_images(tmp_path: Path) -> None:
    """In training too, on the batch it was measured on, it gives what the folded one gave."""
    del tmp_path
    made = recogniser(LIGHT)
    images = torch.from_numpy(pictures(12, LIGHT))
    live = with_live_batch_norm(made.model, [images[:5], images[5:]])
    with torch.inference_mode():
        wanted = made.model.encode(images)
        torch.testing.assert_close(live.encode(images), wanted, atol=ROUNDING, rtol=ROUNDING)
        torch.testing.assert_close(
            live.train().encode(images), wanted, atol=ROUNDING, rtol=ROUNDING
        )


def test_what_is_there_is_not_given_back() -> None:
    made = recogniser(SMALL)
    for give in (with_matrices, with_own_layers, with_ffn):
        with pytest.raises(UsageError, match="nothing to give back"):
            give(made.model)
    with pytest.raises(UsageError, match="nothing to give back"):
        with_live_batch_norm(made.model, [])
    with pytest.raises(UsageError, match="all its parts"):
        regrown(made.model, [])
    with pytest.raises(UsageError, match="factorised"):
        regrown(recogniser(CONFIGS["factorised"]).model, [])


@pytest.mark.parametrize("name", CONFIGS)
def test_an_onnx_file_is_its_checkpoint(name: str, tmp_path: Path) -> None:
    for made in (recogniser(CONFIGS[name]), int8(CONFIGS[name])):
        path = as_onnx(made, tmp_path)
        loaded = load_checkpoint(tmp_path)
        assert loaded.config == made.config
        assert loaded.vocabulary.characters == made.vocabulary.characters
        stored, wanted = read_stored(path)[1], made.stored()
        assert stored.keys() == wanted.keys()
        for key, value in wanted.items():
            np.testing.assert_array_equal(stored[key].float().numpy(), value.float().numpy(), key)


def test_an_onnx_file_that_is_not_ours_or_not_whole_is_refused(tmp_path: Path) -> None:
    made = recogniser(LIGHT)
    path = as_onnx(made, tmp_path)
    model = onnx.load(path)
    kept = [t for t in model.graph.initializer if t.name != "codebook"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputRefused, match="codebook is missing"):
        load_checkpoint(path)
    del model.metadata_props[:]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputRefused, match="no hcompress metadata"):
        load_checkpoint(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputRefused):
        load_checkpoint(path)
