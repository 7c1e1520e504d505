"""The `onnx` stage: parity with torch decides what is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from hcompress import sizes
from hcompress.checkpoints.checkpoint import MODEL_FILE, Checkpoint, save_checkpoint
from hcompress.errors import NumericalError
from hcompress.export import parity as parities
from hcompress.export.onnx import export, noise_images
from hcompress.export.options import ServingPrecision
from hcompress.export.parity import Decodings, Parity, compare, decode_torch, hangs_on_rounding
from hcompress.onnx_writer.emulate_fp16 import rounded_in_float
from hcompress.onnx_writer.simplify import simplify
from hcompress.progress import NoProgress
from hcompress.spec.config import Weights
from hcompress.spec.exported import ENCODER_FILE, STEP_FILE
from hcompress.spec.header import Provenance
from hcompress.spec.heads import Hamming
from hcompress.stages.base import Env
from hcompress.stages.onnx import OnnxStage
from tests.builders import CONFIGS, LIGHT, pictures, recogniser
from tests.forcing import forced
from tests.special import BOS, PAD

FROM_HERE = Provenance("onnx", "cd" * 32)


def test_two_exports_are_the_same_bytes() -> None:
    made = recogniser(LIGHT)
    images = noise_images(2, made.config.preprocessing, 1)
    first, second = (export(made, FROM_HERE, images) for _ in range(2))
    assert first.files == second.files
    assert first.report == second.report
    assert set(first.files) == {"model.onnx", ENCODER_FILE, STEP_FILE}


def test_serving_falls_back_to_float32_where_half_reads_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = recogniser(LIGHT)
    images = pictures(8, made.config)
    by_default = export(made, FROM_HERE, images).report["serving"]
    assert by_default["precision"] in ("fp16", "fp32")

    def spoilt(model: onnx.ModelProto) -> onnx.ModelProto:
        rounded = rounded_in_float(model)
        for tensor in rounded.graph.initializer:
            if tensor.name == "decoder.norm.bias":
                flipped = -onnx.numpy_helper.to_array(tensor) * 9
                tensor.CopyFrom(onnx.numpy_helper.from_array(flipped, tensor.name))
        return rounded

    monkeypatch.setattr("hcompress.export.onnx.rounded_in_float", spoilt)
    figures = export(made, FROM_HERE, images).report["serving"]
    assert figures["precision"] == "fp32"
    assert figures["fp16_refused"]["texts_different"] > 0
    assert figures["parity"]["texts_different"] == 0
    with pytest.raises(NumericalError, match="read otherwise"):
        export(made, FROM_HERE, images, ServingPrecision.FP16)


def test_half_precision_that_was_asked_for_is_what_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A text that hangs on rounding is no reason against it, as it is none against any form."""
    made = recogniser(LIGHT)
    images = pictures(8, made.config)

    def hangs(*arguments: Any) -> Parity:
        return replace(compare(*arguments), different=(), undecided=(3,))

    monkeypatch.setattr("hcompress.export.onnx.compare", hangs)
    for asked, written in ((ServingPrecision.AUTO, "fp32"), (ServingPrecision.FP16, "fp16")):
        assert export(made, FROM_HERE, images, asked).report["serving"]["precision"] == written


def test_parity_lists_differences_and_text_decides() -> None:
    made = recogniser(LIGHT)
    images = pictures(6, made.config)
    torchs = decode_torch(made.model, images)
    same = compare(made.model, images, torchs, torchs)
    assert same.agrees
    assert same.to_dict()["texts_different"] == 0
    nearly = Decodings(torchs.ids.copy(), torchs.probabilities * np.float32(0.9))
    nearly.ids[2, 0, 3:] = nearly.ids[2, 0, [4, 3]]
    listed = compare(made.model, images, torchs, nearly)
    assert listed.agrees
    assert listed.candidates_different == 1
    assert 0 < listed.probability_mean <= listed.probability_max <= 0.1
    other = Decodings(torchs.ids.copy(), torchs.probabilities)
    other.ids[4, 1, 0] = 3 if other.ids[4, 1, 0] != 3 else 4
    apart = compare(made.model, images, torchs, other)
    assert apart.different == (4,)
    assert not apart.agrees


def test_a_line_that_hangs_on_a_bit_at_zero_is_undecided() -> None:
    made = recogniser(LIGHT, characters=12)
    images, model = pictures(1, made.config), made.model
    with torch.no_grad():
        memory = model.encode(torch.from_numpy(images))
        h = model.features(memory, forced(torch.tensor([[BOS]])))[0, 0]
        weight = model.classifier.projection.weight
        weight[7] -= (weight[7] @ h) * h / (h @ h)
        bits = (model.classifier(h) >= 0).numpy().astype(np.uint8)
        for place, flipped in ((4, ()), (9, (7,))):
            code = bits.copy()
            code[list(flipped)] ^= 1
            packed = np.packbits(code, bitorder="little")
            model.codebook[place] = torch.from_numpy(packed)
    nothing = np.zeros(0, np.int64)
    assert hangs_on_rounding(model, images[0], nothing, 4, 9)
    assert not hangs_on_rounding(model, images[0], nothing, 4, 6)
    assert not hangs_on_rounding(model, images[0], nothing, 4, PAD)
    soft = recogniser(CONFIGS["softmax"])
    images = pictures(1, soft.config)
    with torch.no_grad():
        soft.model.classifier.weight[9] = soft.model.classifier.weight[4]
    assert hangs_on_rounding(soft.model, images[0], nothing, 4, 9)
    assert not hangs_on_rounding(soft.model, images[0], nothing, 4, 5)


def test_a_refined_line_hangs_on_equal_agreement_or_on_who_is_looked_at() -> None:
    made = recogniser(replace(LIGHT, head=Hamming(64, rerank=True)), characters=40)
    images, model = pictures(1, made.config), made.model
    nothing = np.zeros(0, np.int64)
    with torch.no_grad():
        memory = model.encode(torch.from_numpy(images))
        h = model.features(memory, forced(torch.tensor([[BOS]])))[0, 0]
        logits = model.classifier(h)
        weight = model.classifier.projection.weight
        assert logits.abs().min() > 1e-2
        bits = (logits >= 0).numpy().astype(np.uint8)
        for place in range(2, 42):  # bits apart: 0, 0, 0, 3, 6; then 7, and the others far
            code = bits.copy()
            code[: {2: 0, 3: 0, 4: 0, 5: 3, 6: 6, 7: 7}.get(place, place)] ^= 1
            model.codebook[place] = torch.from_numpy(np.packbits(code, bitorder="little"))
        assert not hangs_on_rounding(model, images[0], nothing, 4, 5)
        assert not hangs_on_rounding(model, images[0], nothing, 4, 7)
        weight[60] -= (weight[60] @ h) * h / (h @ h)  # a bit that may fall on either side
        assert not hangs_on_rounding(model, images[0], nothing, 4, 20)
        assert hangs_on_rounding(model, images[0], nothing, 4, 7), "it may be the fifth"
        model.codebook[20] = model.codebook[4]
        model.codebook[20, 7] ^= 1 << 4  # apart in that bit alone
        assert hangs_on_rounding(model, images[0], nothing, 4, 20)


def test_an_answer_of_nan_is_held_against_nothing() -> None:
    made = recogniser(LIGHT)
    images = pictures(2, made.config)
    torchs = decode_torch(made.model, images)
    nan = Decodings(torchs.ids, torchs.probabilities * np.float32("nan"))
    with pytest.raises(NumericalError, match="answers NaN"):
        compare(made.model, images, nan, torchs)


def test_many_undecided_lines_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = recogniser(LIGHT)
    images = pictures(4, made.config)
    monkeypatch.setattr(parities, "hangs_on_rounding", lambda *_: True)
    torchs = decode_torch(made.model, images)
    other = Decodings(torchs.ids.copy(), torchs.probabilities)
    other.ids[:1, 0, 0] += 1
    assert compare(made.model, images, torchs, other).agrees
    other.ids[:3, 0, 0] += 1
    assert not compare(made.model, images, torchs, other).agrees


def environment(scratch: Path) -> Env:
    return Env(7, 1, FROM_HERE, NoProgress(), scratch)


def saved(made: Checkpoint, folder: Path) -> Path:
    folder.mkdir()
    islands = frozenset[str]() if made.config.weights is Weights.FP16 else None
    save_checkpoint(folder / MODEL_FILE, made.model, made.vocabulary, made.provenance, islands)
    return folder


@pytest.mark.parametrize("name", ["light", "softmax"])
def test_the_stage_writes_checked_files_and_its_figures(name: str, tmp_path: Path) -> None:
    made = recogniser(CONFIGS[name])
    source, out = saved(made, tmp_path / "in"), tmp_path / "out"
    out.mkdir()
    report = OnnxStage(images=5).run(source, out, environment(tmp_path))
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.onnx")) == [
        "model.onnx", "serving/decoder-step.onnx", "serving/encoder.onnx",
    ]  # fmt: skip
    assert report["bytes"] == (out / "model.onnx").stat().st_size
    assert report["parity"]["images"] == 5
    assert report["onnxsim"]["taken"] in ("onnxsim", "as written")
    hamming = isinstance(made.config.head, Hamming)
    assert ("bits_different" in report["parity"]) == hamming
    for file in out.rglob("*.onnx"):
        stored = sizes.read_metadata(file)
        assert stored is not None
        assert stored["provenance"] == {"stage": "onnx", "parent": "cd" * 32}
        assert onnx.load(file).ir_version <= 10


def test_a_mismatch_exits_5_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recogniser(LIGHT)
    source, out = saved(made, tmp_path / "in"), tmp_path / "out"
    out.mkdir()

    def wrong(model: onnx.ModelProto, *_: object) -> object:
        for tensor in model.graph.initializer:
            if tensor.name == "decoder.positions":
                moved = onnx.numpy_helper.to_array(tensor)[::-1]
                tensor.CopyFrom(onnx.numpy_helper.from_array(moved.copy(), tensor.name))
        return simplify(model, frozenset())

    monkeypatch.setattr("hcompress.export.onnx.simplify", wrong)
    with pytest.raises(NumericalError, match=r"model\.onnx: parity: \d+ of 64 images") as raised:
        OnnxStage().run(source, out, environment(tmp_path))
    assert raised.value.exit_code == 5
    assert list(out.iterdir()) == []
