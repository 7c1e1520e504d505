"""int8 weights in exported files: the same answers, nothing folded, damage refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxsim
import pytest

from hcompress import sizes
from hcompress.compute.session import Session
from hcompress.errors import InputRefused, NumericalError
from hcompress.export.onnx import export
from hcompress.export.parity import decode_torch
from hcompress.onnx_writer.stored_once import check_stored_once
from hcompress.runtime.onnx_reader import OnnxReader
from hcompress.spec.exported import STEP_FILE
from hcompress.spec.header import Provenance
from tests.builders import CONFIGS, LIGHT, SMALL, int8, pictures

HERE = Provenance("onnx", "cd" * 32)
QUERY = "decoder.layers.0.self_attention.query.weight"


@pytest.mark.parametrize("name", CONFIGS)
def test_exports_answer_as_torch_does(name: str) -> None:
    made = int8(CONFIGS[name])
    images = pictures(6, made.config)
    exported = export(made, HERE, images)
    expected = decode_torch(made.model, images)
    ids, chances = Session(exported.files["model.onnx"]).run(
        ["ids", "probabilities"], {"images": images}
    )
    steps = ids.shape[1]
    np.testing.assert_array_equal(ids[:, :, 0], expected.ids[:, :steps, 0])
    np.testing.assert_allclose(chances, expected.probabilities[:, :steps], atol=1e-4)
    assert exported.report["parity"]["texts_different"] == 0
    assert exported.report["serving"]["precision"] in ("fp16", "fp32")


def test_int8_is_what_the_portable_file_holds(tmp_path: Path) -> None:
    for name, config in CONFIGS.items():
        made = int8(config)
        model = made.model.graph("{}", store_half=True, weights=made.stored())
        onnx.checker.check_model(model, full_check=True)
        check_stored_once(model, made.stored(), store_half=True, whole=True)
        held = {t.name: t for t in model.graph.initializer}
        for weight in made.packed:
            assert held[weight].data_type == onnx.TensorProto.INT8, name
            assert held[weight + ".scale"].data_type == onnx.TensorProto.FLOAT16, name
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        assert sizes.breakdown(path).component("other").bytes < 3000


def test_the_reader_takes_int8_and_refuses_scales_that_are_none(tmp_path: Path) -> None:
    made, path = int8(LIGHT), tmp_path / "model.onnx"
    images = pictures(3, made.config)
    path.write_bytes(export(made, HERE, images).files["model.onnx"])
    expected = decode_torch(made.model, images).ids[:, :, 0]
    found = OnnxReader(path).decode(images)[0][:, :, 0]
    np.testing.assert_array_equal(found, expected[:, : found.shape[1]])
    good = path.read_bytes()
    (piece,) = (p for p in sizes.layout(path).pieces if p.name == QUERY + ".scale")
    cases = (
        (0, InputRefused),
        (-1, InputRefused),
        (np.nan, NumericalError),
        (np.inf, NumericalError),
    )
    for value, error in cases:
        data = bytearray(good)
        data[piece.offset : piece.offset + 2] = np.float16(value).tobytes()
        path.write_bytes(data)
        with pytest.raises(error, match=r"query\.weight\.scale"):
            OnnxReader(path)


def test_no_tool_folds_int8_weights_back() -> None:
    for config in (replace(LIGHT, width=64, heads=4), replace(SMALL, width=64)):
        made = int8(config, characters=600)
        model = made.model.graph("{}", store_half=True, weights=made.stored())
        before = len(model.SerializeToString())
        simple, same = onnxsim.simplify(model)
        assert same
        after = {t.name: t for t in simple.graph.initializer}
        assert all(after[name].data_type == onnx.TensorProto.INT8 for name in made.packed)
        assert len(simple.SerializeToString()) < before + 30_000


def test_the_serving_form_holds_the_same_weights_as_fp16() -> None:
    made = int8(LIGHT)
    model = made.model.serving_graphs("{}", store_half=True, half=True)[STEP_FILE]
    held = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for name in (QUERY, "classifier.projection.weight"):
        assert held[name].dtype == np.float16
        np.testing.assert_array_equal(held[name].astype("f4"), made.packed[name].floats().numpy())
