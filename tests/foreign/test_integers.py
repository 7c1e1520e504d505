"""Files that onnxruntime has quantised with their activations: floats again, and recognisers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from hcompress.compute.session import Session
from hcompress.errors import InputRefused
from hcompress.foreign.check import check_reading
from hcompress.foreign.frames import Frames
from hcompress.foreign.graph import load_graph
from hcompress.foreign.open import examine
from hcompress.foreign.options import ImportOptions, split_charset
from hcompress.formats.open import ModelFile
from hcompress.runtime.foreign_reader import ForeignReader
from tests.foreign.builders import recogniser, saved, stripes
from tests.foreign.conftest import Real
from tests.foreign.test_open import convolution


def quantised(proto: ModelProto, folder: Path, channel: bool) -> Path:
    made = folder / "int8.onnx"
    quantize_dynamic(saved(proto, folder), made, per_channel=channel, weight_type=QuantType.QUInt8)
    return made


def scores(model: bytes | Path) -> np.ndarray:
    session = Session(model)
    image = np.random.default_rng(0).normal(size=(1, 3, 48, 160)).astype(np.float32)
    return session.run([next(iter(session.outputs))], {next(iter(session.inputs)): image})[0]


@pytest.mark.parametrize("made", [recogniser, convolution])
@pytest.mark.parametrize("channel", [False, True])
def test_products_are_of_floats_again(made, channel: bool, tmp_path: Path) -> None:
    path = quantised(made(), tmp_path, channel)
    assert {"MatMulInteger", "ConvInteger"} & {n.op_type for n in onnx.load(path).graph.node}
    found = load_graph(ModelFile(path))
    kinds = {node.op_type for node in found.graph.node}
    assert not {"MatMulInteger", "ConvInteger", "DynamicQuantizeLinear", "Identity"} & kinds
    assert {one.data_type for one in found.graph.initializer} <= {1, 7}
    exact = scores(made().SerializeToString())
    np.testing.assert_allclose(scores(found.SerializeToString()), exact, atol=0.1)


def test_such_a_file_reads_and_its_import_says_what_was_left_out(tmp_path: Path) -> None:
    path = quantised(recogniser(), tmp_path, channel=False)
    assert [one.text for one in ForeignReader(path).read([stripes("rgb")])] == ["rgb"]
    found = examine(path)
    assert found.model.classifier.classes == 4
    assert any("left in float" in line for line in found.found)


def test_what_is_written_otherwise_is_refused_by_name(tmp_path: Path) -> None:
    proto = recogniser()
    proto.graph.node.append(helper.make_node("QLinearMatMul", ["x"] * 8, ["z"]))
    with pytest.raises(InputRefused, match=r"quantised with its activations \(QLinearMatMul\)"):
        load_graph(ModelFile(saved(proto, tmp_path)))


def test_ddddocrs_own_int8_is_a_recogniser(real: Real) -> None:
    path = real("ddddocr-int8")
    options = ImportOptions(*split_charset(f"{path.parent / 'charsets.py'}:CHARSET_OLD"))
    model = examine(path, options).model
    assert (model.classifier.classes, model.classifier.width) == (8_210, 1_024)
    pytest.importorskip("fontTools")
    floats = Frames(model.proto.SerializeToString(), model.spec)
    assert check_reading(floats).right > 56
