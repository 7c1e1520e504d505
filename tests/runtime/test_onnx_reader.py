"""Readers: an image in, a text out; and ONNX files that are refused."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from hcompress.checkpoints.checkpoint import MODEL_FILE, save_checkpoint
from hcompress.errors import HcompressError, InputRefused, NumericalError, UsageError
from hcompress.evaluation.torch_reader import TorchReader
from hcompress.runtime import OnnxReader, readings
from hcompress.runtime.validate import check_tensors
from hcompress.sizes import Layout, Piece
from hcompress.spec.header import KEY, ModelMetadata, Provenance
from hcompress.spec.vocabulary import Vocabulary
from tests.builders import CONFIGS, LIGHT, pictures, recogniser

HERE = Provenance("onnx", None)
MADE = recogniser(LIGHT)


def written(folder: Path) -> Path:
    text = ModelMetadata(MADE.config, MADE.vocabulary, HERE).to_json()
    path = folder / "model.onnx"
    path.write_bytes(MADE.model.graph(text, store_half=True).SerializeToString())
    return path


def test_images_of_any_size_are_read_as_torch_reads_them(tmp_path: Path) -> None:
    written(tmp_path)
    save_checkpoint(tmp_path / MODEL_FILE, MADE.model, MADE.vocabulary, HERE, frozenset())
    random = np.random.default_rng(1)
    images = [random.integers(0, 256, (9 + 5 * n, 20 + 11 * n, 3), np.uint8) for n in range(35)]
    reader, torch_reader = OnnxReader(tmp_path), TorchReader(tmp_path)
    assert reader.preprocessing == torch_reader.preprocessing == LIGHT.preprocessing
    found, expected = reader.read(images), torch_reader.read(images)
    assert [one.text for one in found] == [one.text for one in expected]
    assert len({one.text for one in found}) > 5
    for one, other in zip(found, expected, strict=True):
        assert one.confidence == pytest.approx(other.confidence, rel=1e-3)
        assert 0 <= one.confidence <= 1
        assert len(one.candidates) == len(one.text)
        for step, character in zip(one.candidates, one.text, strict=True):
            assert step[0]["character"] == character
            chances = [candidate["confidence"] for candidate in step]
            assert chances == sorted(chances, reverse=True)
            assert math.fsum(chances) <= 1 + 1e-5
    batch = pictures(3, LIGHT)
    assert reader.read(batch) == [reader.read(batch[n : n + 1])[0] for n in range(3)]
    assert reader.read([]) == []


@pytest.mark.parametrize("name", ["softmax", "reranked", "light"])
def test_a_checkpoint_that_answers_nan_is_a_numerical_error(name: str) -> None:
    made = recogniser(CONFIGS[name])
    with torch.no_grad():
        for parameter in made.model.classifier.parameters():
            parameter.mul_(float("inf"))
    with pytest.raises(NumericalError, match="answers NaN"):
        TorchReader(made).decode(pictures(3, made.config))


def test_readings_of_lines_that_end_and_that_do_not() -> None:
    vocabulary = Vocabulary("abc")
    ids = np.array([[[3, 4], [2, 3], [0, 0]], [[5, 2], [5, 2], [5, 3]], [[2, 5], [0, 0], [0, 0]]])
    chances = np.array(
        [[[0.5, 0.2], [0.8, 0.1], [1, 1]], [[0.9, 0.1]] * 3, [[0.25, 0.2], [1, 1], [1, 1]]],
        np.float32,
    )
    ended, full, empty = readings(ids, chances, vocabulary)
    assert (ended.text, ended.confidence) == ("a", pytest.approx(0.4))
    assert [entry["character"] for entry in ended.candidates[0]] == ["a", "b"]
    assert (full.text, full.confidence) == ("ccc", pytest.approx(0.729))
    assert full.candidates[0][1]["character"] == "<EOS>"
    assert (empty.text, empty.confidence, empty.candidates) == ("", 0.25, [])


def test_reading_needs_neither_torch_nor_onnx(tmp_path: Path) -> None:
    path = written(tmp_path)
    program = (
        "import sys, json, numpy, pathlib; from hcompress.runtime import OnnxReader;"
        "r = OnnxReader(pathlib.Path(sys.argv[1])).read([numpy.zeros((20, 50, 3), 'uint8')]);"
        "print(json.dumps([r[0].text, [m for m in ('torch', 'onnx') if m in sys.modules]]))"
    )
    out = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    text, loaded = json.loads(out.stdout)
    assert loaded == []
    assert text == OnnxReader(path).read([np.zeros((20, 50, 3), np.uint8)])[0].text


Change = Callable[[onnx.ModelProto], None]


def replaced(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    def apply(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name == name:
                array = change(numpy_helper.to_array(tensor).copy())
                tensor.CopyFrom(numpy_helper.from_array(array, name))

    return apply


def with_nan(array: np.ndarray) -> np.ndarray:
    array.flat[-1] = np.nan
    return array


def with_metadata(**changes: object) -> Change:
    def apply(model: onnx.ModelProto) -> None:
        raw = json.loads(model.metadata_props[0].value) | changes
        helper.set_model_props(model, {KEY: json.dumps(raw)})

    return apply


def without_metadata(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def other_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "W"


def other_output(model: onnx.ModelProto) -> None:
    del model.graph.output[1]


def unknown_node(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Nonsense"


def external(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == "codebook":
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="../../../etc/passwd")


def varints(name: str, stored: str) -> Change:
    """The tensor in `int32_data`: as onnx may hold what is narrower than 32 bits."""

    def apply(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if t.name == name)
        tensor.int32_data.extend(np.frombuffer(tensor.raw_data, stored).tolist())
        tensor.ClearField("raw_data")

    return apply


def second_codebook(model: onnx.ModelProto) -> None:
    """A constant of that name: a value's own name is another."""
    odd = numpy_helper.from_array(np.zeros(9, np.uint8), "codebook")
    node = helper.make_node("Constant", [], ["unused"], value=odd)
    model.graph.node.insert(0, node)


def longer_charset(model: onnx.ModelProto) -> None:
    vocabulary = Vocabulary((*MADE.vocabulary.characters, "y"))
    text = ModelMetadata(MADE.config, vocabulary, HERE).to_json()
    helper.set_model_props(model, {KEY: text})


def endless(model: onnx.ModelProto) -> None:
    """A loop before the encoder."""
    ends = [helper.make_tensor_value_info("i", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("go", onnx.TensorProto.BOOL, [])]  # fmt: skip
    value = [helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None) for name in "vw"]
    body = [
        helper.make_node("Identity", ["go"], ["on"]),
        helper.make_node("Identity", ["v"], ["w"]),
    ]
    out = helper.make_tensor_value_info("on", onnx.TensorProto.BOOL, [])
    inner = helper.make_graph(body, "b", [*ends, value[0]], [out, value[1]])
    for node in model.graph.node:
        node.input[:] = ["turned" if name == "images" else name for name in node.input]
    held = {"turns": np.array(1 << 62, np.int64), "yes": np.array(True)}
    model.graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in held.items())
    loop = helper.make_node("Loop", ["turns", "yes", "images"], ["turned"], body=inner)
    model.graph.node.insert(0, loop)


def optimised(model: onnx.ModelProto) -> None:
    """What onnxruntime saves imports all its domains."""
    model.opset_import.append(helper.make_opsetid("com.microsoft.nchwc", 1))


HOSTILE: dict[str, tuple[Change, type[HcompressError], str]] = {
    "no metadata": (without_metadata, InputRefused, "no hcompress metadata"),
    "other format": (with_metadata(format=99), InputRefused, "not format"),
    "no charset": (with_metadata(charset=None), InputRefused, "charset missing"),
    "charset of garbage": (with_metadata(charset="AAAA"), InputRefused, "packed charset"),
    "longer charset": (longer_charset, InputRefused, "codebook has 264 elements"),
    "nan": (replaced("decoder.norm.bias", with_nan), NumericalError, "norm.bias holds NaN"),
    "short codebook": (replaced("codebook", lambda a: a[:-1]), InputRefused, "charset ask for"),
    "codebook of varints": (varints("codebook", "u1"), InputRefused, "not one of bytes"),
    "codebook twice": (second_codebook, InputRefused, "codebook is there twice"),
    "weight of varints": (
        varints("classifier.projection.weight", "u2"),
        InputRefused,
        r"projection\.weight has 2\.\d+ bytes an element",
    ),
    "other input": (other_input, InputRefused, "inputs are"),
    "an output less": (other_output, InputRefused, "outputs are"),
    "unknown node": (unknown_node, InputRefused, "onnxruntime refuses it"),
    "endless loop": (endless, InputRefused, "where one Loop of 9 at most is ours: not run"),
    "optimised copy": (optimised, InputRefused, "an optimised copy"),
    "external data": (external, InputRefused, "nothing was opened"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_not_ours_is_refused_on_one_line(what: str, tmp_path: Path) -> None:
    change, kind, message = HOSTILE[what]
    path = written(tmp_path)
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(kind, match=message) as raised:
        OnnxReader(path)
    assert type(raised.value) is kind
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_damaged_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    data = path.read_bytes()
    for length in (0, 1, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(InputRefused):
            OnnxReader(path)
    with pytest.raises(UsageError, match="no such ONNX file"):
        OnnxReader(tmp_path / "none.onnx")
    with pytest.raises(UsageError, match="no such ONNX file"):
        OnnxReader(tmp_path.joinpath("none"))


def test_answers_outside_of_the_vocabulary_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    model = onnx.load(path)
    for node in model.graph.node:
        if node.output[0] == "ids":
            node.output[0] = "true_ids"
    model.graph.initializer.append(numpy_helper.from_array(np.array(999), "shift"))
    model.graph.node.append(helper.make_node("Add", ["true_ids", "shift"], ["ids"]))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputRefused, match="outside of its vocabulary"):
        OnnxReader(path, steps=False).read(pictures(1, LIGHT))


@pytest.mark.parametrize("name", CONFIGS)
def test_every_kind_of_head_is_checked_for_its_size(name: str, tmp_path: Path) -> None:
    made = recogniser(CONFIGS[name])
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, made.model, made.vocabulary, HERE)
    from hcompress import sizes

    layout = sizes.layout(path)
    check_tensors(layout, made.config, len(made.vocabulary))
    with pytest.raises(InputRefused, match="charset ask for"):
        check_tensors(layout, made.config, len(made.vocabulary) + 1)
    lacking = [p for p in layout.pieces if p.name.split(".")[0] not in ("classifier", "codebook")]
    with pytest.raises(InputRefused, match="is missing"):
        check_tensors(Layout(path, layout.bytes, tuple(lacking)), made.config, len(made.vocabulary))
    odd = Piece("decoder.odd", 5, 5, path, 0)
    with pytest.raises(InputRefused, match="1 bytes an element"):
        check_tensors(
            Layout(path, layout.bytes, (*layout.pieces, odd)), made.config, len(made.vocabulary)
        )
