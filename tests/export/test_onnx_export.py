"""Exported files: the same texts as torch, every weight once, and nothing folded."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import onnxsim
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto

from hcompress import sizes
from hcompress.checkpoints.checkpoint import Checkpoint, save_checkpoint
from hcompress.compute.session import Session
from hcompress.errors import NumericalError
from hcompress.export.parity import Decodings, decode_torch
from hcompress.export.tensorrt.whole_loop import whole_loop
from hcompress.heads.build import build_head
from hcompress.heads.contract import Form, Setting
from hcompress.lab.bench.heads import Shape, hamming_weights
from hcompress.onnx_writer.emulate_fp16 import rounded_in_float
from hcompress.onnx_writer.graph import Graph, value
from hcompress.onnx_writer.simplify import simplify
from hcompress.onnx_writer.stored_once import check_stored_once
from hcompress.runtime.serving import ServingPair
from hcompress.search import CodeIndex, pack_signs
from hcompress.spec.config import Weights
from hcompress.spec.exported import ENCODER_FILE, HEIGHT, STEP_FILE
from hcompress.spec.header import ModelMetadata, Provenance
from hcompress.spec.heads import Hamming, HammingInputs
from tests.builders import CONFIGS, LIGHT, ROUNDING, pictures, recogniser
from tests.forcing import forced
from tests.special import BOS, EOS, FIRST_READABLE, PAD

Images = NDArray[np.uint8]
FROM_HERE = Provenance("onnx", "cd" * 32)


def store_half(made: Checkpoint) -> bool:
    return made.config.weights is Weights.FP16


def portable(made: Checkpoint, probe: bool = False) -> onnx.ModelProto:
    text = ModelMetadata(made.config, made.vocabulary, FROM_HERE).to_json()
    return made.model.graph(text, store_half=store_half(made), probe=probe)


def pair(made: Checkpoint, half: bool = False) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    graphs = made.model.serving_graphs("{}", store_half=store_half(made), half=half)
    return graphs[ENCODER_FILE], graphs[STEP_FILE]


def run(model: onnx.ModelProto | bytes, images: Images) -> Decodings:
    data = model if isinstance(model, bytes) else model.SerializeToString()
    ids, chances = Session(data).run(["ids", "probabilities"], {"images": images})
    return Decodings(ids.astype(np.int64), chances.astype(np.float32))


def assert_same(one: Decodings, other: Decodings) -> None:
    steps = max(one.ids.shape[1], other.ids.shape[1])
    for array, filler in (("ids", PAD), ("probabilities", 1)):
        padded = [
            np.pad(
                getattr(answers, array),
                ((0, 0), (0, steps - answers.ids.shape[1]), (0, 0)),
                constant_values=filler,
            )
            for answers in (one, other)
        ]
        np.testing.assert_allclose(padded[0], padded[1], atol=ROUNDING if filler else 0)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("count", [1, 5])
def test_every_form_answers_as_torch_does(name: str, count: int) -> None:
    made = recogniser(CONFIGS[name])
    images = pictures(count, made.config)
    expected = decode_torch(made.model, images)
    onnx.checker.check_model(portable(made), full_check=True)
    assert_same(run(portable(made), images), expected)
    encoder, step = pair(made)
    serving = ServingPair(encoder.SerializeToString(), step.SerializeToString())
    assert_same(Decodings(*serving.decode(images)), expected)
    whole = whole_loop(encoder, step)
    onnx.checker.check_model(whole, full_check=True)
    assert_same(run(whole, images), expected)
    if count > 1:
        assert len({tuple(line) for line in expected.ids[:, :, 0].tolist()}) > 1


@pytest.mark.parametrize("rerank", [False, True])
@pytest.mark.parametrize("characters", [1, 2, 3, 300])
def test_vocabularies_of_all_sizes(characters: int, rerank: bool) -> None:
    made = recogniser(replace(LIGHT, head=Hamming(64, rerank)), characters)
    images = pictures(4, made.config)
    found = run(portable(made), images)
    assert found.ids.shape[2] == min(5, characters + 1)
    assert_same(found, decode_torch(made.model, images))


def test_the_loop_ends_with_the_longest_line() -> None:
    made = recogniser(replace(LIGHT, max_steps=40), characters=3)
    images = pictures(24, made.config)
    ends = (decode_torch(made.model, images).ids[:, :, 0] == EOS).any(1)
    images = images[ends][:5]
    assert len(images) == 5
    found = run(portable(made), images)
    best = found.ids[:, :, 0]
    longest = int((best == EOS).argmax(1).max()) + 1
    assert (best == EOS).any(1).all()
    assert found.ids.shape[1] == longest < 40
    after = np.cumsum(best == EOS, 1) - (best == EOS) > 0
    assert (found.ids[after] == PAD).all()
    assert (found.probabilities[after] == 1).all()
    # The engine's graph has room for every step, and fills it the same way.
    whole = run(whole_loop(*pair(made)), images)
    assert whole.ids.shape[1] == 40
    assert_same(whole, found)


def test_ties_go_to_the_lowest_id_and_the_unreadable_are_never_read() -> None:
    made = recogniser(LIGHT, characters=12)
    made.model.codebook[:] = made.model.codebook[5].clone()
    images = pictures(3, made.config)
    for answers in (run(portable(made), images), run(whole_loop(*pair(made)), images)):
        assert answers.ids[:, 0].tolist() == [[2, 3, 4, 5, 6]] * 3
        np.testing.assert_allclose(answers.probabilities[:, 0], 1 / 13, rtol=1e-5)
    made = recogniser(LIGHT, characters=12)
    with torch.no_grad():
        logits = made.model.classifier(
            made.model.features(
                made.model.encode(torch.from_numpy(images[:1])), forced(torch.tensor([[BOS]]))
            )
        )[0, 0]
    bits = np.packbits((logits >= 0).numpy().astype(np.uint8), bitorder="little")
    made.model.codebook[:2] = torch.from_numpy(bits)
    assert (run(portable(made), images[:1]).ids[0, 0] >= EOS).all()


@pytest.mark.parametrize("count", [4000, 20_000], ids=["the tie is in the key", "no room for it"])
@pytest.mark.parametrize("form", [Form(serving=False, height=48), Form(serving=True)])
def test_ties_among_many_long_codes_go_to_the_lowest_id(count: int, form: Form) -> None:
    """With K = 2048 a whole float32 has room for the distance and 16,352 ids, and no more."""
    rng = np.random.default_rng(count)
    codes = np.tile(rng.integers(0, 256, (count // 4, 256), np.uint8), (4, 1))
    shape = Shape(count, 32, 2048)
    projection, _ = hamming_weights(shape, 0)
    weights = {
        "classifier.projection.weight": torch.from_numpy(projection),
        "codebook": torch.from_numpy(codes),
    }
    # A fitted temperature: scaled by one, sums are no whole numbers any more.
    g, setting = Graph(weights, store_half=False), Setting(count, 32, FIRST_READABLE, 19.3)
    with torch.device("meta"):
        head = build_head(Hamming(2048), setting)
    ranked = head.graph(g, "h", head.prepare(g, form))
    g.rename(ranked.ids, "ids")
    inputs = [value("h", TensorProto.FLOAT, ("N", 32))]
    inputs.append(value("images", TensorProto.UINT8, (1, "H", 1, 1)))
    outputs = [value("ids", TensorProto.INT64, ("N", 5))]
    data = g.model(inputs, outputs, "{}").SerializeToString()
    features = rng.standard_normal((40, 32), np.float32)
    feeds = {"h": features, "images": np.zeros((1, 48, 1, 1), np.uint8)}
    (found,) = Session(data, 1, {"H": 48}).run(["ids"], feeds)
    expected = CodeIndex(codes, FIRST_READABLE).nearest(pack_signs(features @ projection.T), 5)
    assert found.tolist() == expected.ids.tolist()


def test_a_step_with_its_cache_equals_the_whole_prefix() -> None:
    made = recogniser(CONFIGS["both-unshared"])
    images = pictures(4, made.config)
    found = run(portable(made, probe=True), images)
    (bits,) = Session(portable(made, probe=True).SerializeToString()).run(
        ["bit_logits"], {"images": images}
    )
    model, steps = made.model, found.ids.shape[1]
    with torch.inference_mode():
        memory = model.encode(torch.from_numpy(images))
        before = np.concatenate([np.full((4, 1), BOS), found.ids[:, : steps - 1, 0]], 1)
        for length in range(1, steps + 1):
            prefix = torch.from_numpy(before[:, :length])
            logits = model.classifier(model.features(memory, forced(prefix)))[:, -1]
            alive = ~np.isin(before[:, length - 1], (EOS, PAD))
            np.testing.assert_allclose(bits[alive, length - 1], logits[alive], atol=ROUNDING)


def test_weights_are_stored_once_and_as_the_checkpoint_has_them(tmp_path: Path) -> None:
    for name, config in CONFIGS.items():
        made = recogniser(config)
        islands = frozenset[str]() if store_half(made) else None
        checkpoint, exported = tmp_path / f"{name}.safetensors", tmp_path / f"{name}.onnx"
        save_checkpoint(checkpoint, made.model, made.vocabulary, FROM_HERE, islands)
        exported.write_bytes(portable(made).SerializeToString())
        before = {p.name: p.bytes for p in sizes.layout(checkpoint).pieces}
        after = {p.name: p.bytes for p in sizes.layout(exported).pieces}
        assert {key: after[key] for key in before} == before, name
        rest = sum(after.values()) - sum(before.values())
        assert rest < 25_000, name
        rows = sizes.breakdown(exported)
        assert rows.component("container").bytes < 40_000, name
        assert rows.component("other").bytes < 3000, name


def test_islands_stay_in_float32(tmp_path: Path) -> None:
    made = recogniser(LIGHT)
    norm = dict(made.model.named_parameters())["decoder.norm.weight"]
    with torch.no_grad():
        norm.mul_(1.0001)
    path = tmp_path / "model.onnx"
    path.write_bytes(portable(made).SerializeToString())
    pieces = {piece.name: piece for piece in sizes.layout(path).pieces}
    assert pieces["decoder.norm.weight"].bytes == 4 * 32
    assert pieces["decoder.norm.bias"].bytes == 2 * 32
    for half in (False, True):
        onnx.checker.check_model(pair(made, half)[1], full_check=True)


def big_codebook() -> Checkpoint:
    """Packed 128 KB, unpacked 1 MB as int8."""
    return recogniser(replace(LIGHT, head=Hamming(512), inputs=HammingInputs(512)), characters=2000)


def test_no_tool_folds_the_packed_codebook(tmp_path: Path) -> None:
    made = big_codebook()
    images = pictures(2, made.config)
    for model in (portable(made), *pair(made), *pair(made, half=True)):
        before = len(model.SerializeToString())
        simple, same = onnxsim.simplify(model)
        assert same
        assert len(simple.SerializeToString()) < before + 30_000
    simple, _ = onnxsim.simplify(portable(made))
    assert_same(run(simple, images), decode_torch(made.model, images))
    softmax = portable(recogniser(CONFIGS["softmax"], characters=2000))
    simple, _ = onnxsim.simplify(softmax)
    assert len(simple.SerializeToString()) < len(softmax.SerializeToString()) + 30_000
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "saved.onnx")
    onnxruntime.InferenceSession(portable(made).SerializeToString(), options)
    # FP16 weights are widened there; the codebook is not.
    stored = {t.name: t.dims for t in onnx.load(tmp_path / "saved.onnx").graph.initializer}
    assert list(stored["codebook"]) == [2003, 64]
    assert (tmp_path / "saved.onnx").stat().st_size < 2 * len(portable(made).SerializeToString())


def test_a_session_told_the_height_unpacks_while_loading(tmp_path: Path) -> None:
    made = big_codebook()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_free_dimension_override_by_name(HEIGHT, 16)
    options.optimized_model_filepath = str(tmp_path / "saved.onnx")
    onnxruntime.InferenceSession(portable(made).SerializeToString(), options)
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "saved.onnx").graph.node)
    assert "Unpack" not in kinds
    assert (tmp_path / "saved.onnx").stat().st_size > 2003 * 512


def test_simplification_is_only_taken_where_it_is_smaller_and_keeps_the_weights() -> None:
    made = recogniser(LIGHT)
    model = portable(made)
    weights = frozenset(made.model.state_dict())
    written = simplify(model, weights)
    assert len(written.data) == min(written.written, len(written.data))
    assert written.kept == (len(written.data) < written.written)
    dead = onnx.ModelProto()
    dead.CopyFrom(model)
    dead.graph.node.append(onnx.helper.make_node("Neg", ["codebook.unused"], ["nobody"]))
    dead.graph.initializer.append(
        onnx.numpy_helper.from_array(np.zeros(9000, np.float32), "codebook.unused")
    )
    written = simplify(dead, weights)
    assert written.kept
    assert len(written.data) < written.written - 36_000
    assert not simplify(dead, weights | {"codebook.unused"}).kept


def test_a_weight_there_twice_or_changed_is_refused() -> None:
    made = recogniser(LIGHT, characters=200)
    weights = made.model.state_dict()
    model = portable(made)
    total = check_stored_once(model, weights, store_half=True, whole=True)
    assert total == sum(t.numel() * (1 if t.dtype == torch.uint8 else 2) for t in weights.values())
    twice = onnx.ModelProto()
    twice.CopyFrom(model)
    copied = onnx.numpy_helper.from_array(np.zeros((203, 64), np.float32), "unpacked")
    twice.graph.initializer.append(copied)
    with pytest.raises(NumericalError, match=r"'unpacked'.*exceed the unique weights"):
        check_stored_once(twice, weights, store_half=True, whole=True)
    changed = dict(weights)
    changed["decoder.norm.bias"] = changed["decoder.norm.bias"] + 1
    with pytest.raises(NumericalError, match=r"decoder\.norm\.bias is not what it was"):
        check_stored_once(model, changed, store_half=True, whole=True)
    with pytest.raises(NumericalError, match="extra is missing"):
        check_stored_once(model, weights | {"extra": torch.ones(2)}, store_half=True, whole=True)


@pytest.mark.parametrize("name", ["light", "softmax-fp16", "resnet31"])
def test_half_precision_is_shown_by_rounding(name: str) -> None:
    made = recogniser(CONFIGS[name])
    images = pictures(6, made.config)
    encoder, step = pair(made, half=True)
    shown = [rounded_in_float(part).SerializeToString() for part in (encoder, step)]
    keys = [
        Session(data).run(["cross_keys"], {"images": images})[0]
        for data in (pair(made)[0].SerializeToString(), shown[0])
    ]
    gap = np.abs(keys[0] - keys[1])
    assert 1e-5 < gap.max() < 0.1 * np.abs(keys[0]).max()
    assert (keys[1].astype(np.float16).astype(np.float32) == keys[1]).all()
    best = ServingPair(shown[0], shown[1]).decode(images)[0][:, :, 0]
    expected = decode_torch(made.model, images).ids[:, : best.shape[1], 0]
    assert (best == expected).mean() > 0.5
