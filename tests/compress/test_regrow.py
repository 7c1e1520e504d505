"""A small recogniser given its large parts back, and an ONNX file taken for a checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from hcompress.artifacts.source import open_source
from hcompress.checkpoints.checkpoint import Checkpoint, load_checkpoint, read_stored
from hcompress.compress.regrow import (
    Parts,
    regrown,
    with_ffn,
    with_live_batch_norm,
    with_matrices,
    with_own_layers,
)
from hcompress.errors import InputRefused, UsageError
from hcompress.onnx_writer.simplify import simplify
from hcompress.runs.runner import StageOptions, run_stage
from hcompress.spec.config import BatchNorm, TransformerConfig, Weights
from hcompress.spec.header import ModelMetadata, Provenance
from hcompress.spec.heads import Hamming, Learned, Softmax
from hcompress.stages.regrow import Regrow
from tests.builders import CONFIGS, LIGHT, ROUNDING, SMALL, int8, pictures, recogniser
from tests.forcing import forced
from tests.special import BOS

RERANKED = CONFIGS["reranked"]


def features(made: Checkpoint) -> torch.Tensor:
    model = made.model
    ids = torch.tensor([[BOS, 4, 5, 6]] * 3)
    with torch.inference_mode():
        memory = model.encode(torch.from_numpy(pictures(3, made.config)))
        return model.features(memory, forced(ids))


def lines(folder: Path) -> Path:
    """A label file with six pictures."""
    for place, picture in enumerate(pictures(6, LIGHT)):
        Image.fromarray(picture).save(folder / f"{place}.png")
    labels = folder / "lines.tsv"
    labels.write_text("".join(f"{place}.png\t一\n" for place in range(6)), encoding="utf-8")
    return labels


def as_onnx(made: Checkpoint, folder: Path) -> Path:
    text = ModelMetadata(made.config, made.vocabulary, Provenance("onnx", None)).to_json()
    half = made.config.weights is not Weights.FP32
    graph = made.model.graph(text, store_half=half, weights=made.stored())
    path = folder / "model.onnx"
    path.write_bytes(simplify(graph, frozenset(made.stored())).data)
    return path


@pytest.mark.parametrize("config", [LIGHT, RERANKED])
def test_a_regrown_recogniser_has_every_part_and_the_same_features(
    config: TransformerConfig,
) -> None:
    made = recogniser(config)
    seen = torch.from_numpy(pictures(16, config))
    large = regrown(made.model, [seen[:8], seen[8:]])
    assert (large.config.head, large.config.inputs) == (Softmax(), Learned())
    assert large.config.ffn
    assert not large.config.shared_layers
    assert large.config.batch_norm is BatchNorm.LIVE
    assert large.config.code_length is None
    after = features(replace(made, model=large))
    torch.testing.assert_close(after, features(made), atol=ROUNDING, rtol=ROUNDING)


def test_the_softmax_scores_are_sums_of_bit_logits_along_the_codes() -> None:
    made = recogniser(RERANKED)
    model, large = made.model, with_matrices(made.model)
    h = features(made)
    with torch.inference_mode():
        bits = model.classifier(h)
        expected = bits @ model.signs().T
        found = large.classifier(h)
    ratio = expected.flatten() / found.flatten()
    torch.testing.assert_close(ratio, ratio.median().expand_as(ratio), rtol=1e-2, atol=1e-2)
    assert float(ratio.median()) == pytest.approx(2 * model.signs().shape[1] / 32)


def test_live_normalisation_is_that_of_the_images() -> None:
    """In training too, on the batch it was measured on, it gives what the folded one gave."""
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
    with pytest.raises(UsageError, match="all the parts"):
        regrown(made.model, [])


def test_a_bottleneck_stays_and_the_rest_comes_back() -> None:
    for name in ("factorised-fp16", "factorised-embedding"):
        before = recogniser(CONFIGS[name])
        seen = [torch.from_numpy(pictures(4, before.config))]
        after = regrown(before.model, seen).config
        assert after.inputs == before.config.inputs
        assert (after.head.kind, after.uses_codes, after.ffn) == ("softmax", False, True)
    with pytest.raises(UsageError, match="all the parts"):
        regrown(recogniser(CONFIGS["factorised"]).model, [])


def test_a_student_is_made_trainable_and_stays_small() -> None:
    made = recogniser(RERANKED)
    seen = [torch.from_numpy(pictures(8, RERANKED))]
    only = Parts(matrices=False, layers=False, ffn=False)
    after = regrown(made.model, seen, only)
    assert after.config == replace(RERANKED, batch_norm=BatchNorm.LIVE)
    torch.testing.assert_close(
        features(replace(made, model=after)), features(made), atol=ROUNDING, rtol=ROUNDING
    )
    with pytest.raises(UsageError, match="all the parts"):
        regrown(after, seen, only)


def test_confidences_keep_their_temperature() -> None:
    """Where every bit logit is one bit's worth, both heads give the same probabilities."""
    made = recogniser(replace(RERANKED, temperature=3.0, head=Hamming(64, rerank=True)))
    model = made.model
    large = with_matrices(model)
    signs, agreement = model.signs(), model.signs() @ model.signs().T
    assert isinstance(model.classifier.projection, torch.nn.Linear)
    scores = agreement / (2 * model.config.temperature)
    untuned = 2 * 64 / 32
    found = (signs @ signs.T / untuned) / large.config.temperature
    torch.testing.assert_close(found, scores)
    learned = recogniser(replace(CONFIGS["hamming-embedding"], temperature=1.7)).model
    assert with_matrices(learned).config.temperature == 1.7


@pytest.mark.parametrize("name", CONFIGS)
def test_an_onnx_file_is_its_checkpoint(name: str, tmp_path: Path) -> None:
    for made in (recogniser(CONFIGS[name]), int8(CONFIGS[name])):
        path = as_onnx(made, tmp_path)
        loaded = load_checkpoint(path)
        assert loaded.config == made.config
        assert loaded.vocabulary.characters == made.vocabulary.characters
        stored, wanted = read_stored(path)[1], made.stored()
        assert stored.keys() == wanted.keys()
        for key, value in wanted.items():
            half = made.config.weights is not Weights.FP32 and value.is_floating_point()
            assert stored[key].dtype in ((torch.float16, torch.float32) if half else (value.dtype,))
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


@pytest.mark.parametrize("change", ["twice", "type", "typed", "shape"])
def test_weights_that_no_export_of_ours_has_are_refused(change: str, tmp_path: Path) -> None:
    path = as_onnx(recogniser(LIGHT), tmp_path)
    model = onnx.load(path)
    by_name = {tensor.name: tensor for tensor in model.graph.initializer}
    projection = by_name["classifier.projection.weight"]
    if change == "twice":
        model.graph.initializer.append(projection)
    elif change == "type":
        projection.data_type = onnx.TensorProto.BFLOAT16
    elif change == "typed":
        values = np.frombuffer(projection.raw_data, np.uint16).tolist()
        projection.ClearField("raw_data")
        projection.int32_data.extend(values)
    else:
        projection.dims[:] = projection.dims[::-1]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputRefused, match=r"classifier\.projection\.weight"):
        load_checkpoint(path)


def test_a_packaged_onnx_file_is_regrown_by_the_stage_itself(tmp_path: Path) -> None:
    """Through the pipeline: the file is what the manifest names, whatever lies beside it."""
    folder = tmp_path / "exported"
    folder.mkdir()
    path = as_onnx(recogniser(LIGHT), folder)
    (folder / "model.safetensors").write_bytes(b"something else")
    made = []
    for name in ("one", "two"):
        stage = Regrow(data=lines(tmp_path), images=6, batch=4, workers=0)
        made.append(run_stage(stage, open_source(path), tmp_path / name, StageOptions()))
    assert made[0].digest == made[1].digest
    manifest = made[0].manifest
    assert manifest is not None
    assert manifest.report["images"] == 6
    loaded = load_checkpoint(made[0].file)
    assert loaded.config.head == Softmax()
    assert loaded.config.weights is Weights.FP32


def test_images_are_asked_for_where_they_are_measured_only(tmp_path: Path) -> None:
    source = open_source(as_onnx(recogniser(LIGHT), tmp_path))
    with pytest.raises(UsageError, match=r"regrow: folded batch normalisation .*\(data\)"):
        run_stage(Regrow(), source, tmp_path / "none", StageOptions())
    assert not (tmp_path / "none").exists()
    made = run_stage(Regrow(batch_norm=False), source, tmp_path / "folded", StageOptions())
    assert made.manifest is not None
    assert made.manifest.report["images"] == 0
    assert load_checkpoint(made.file).config.batch_norm is BatchNorm.FOLDED
