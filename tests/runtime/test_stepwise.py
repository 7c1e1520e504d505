"""Steps run from outside of the file's loop: the same answers, from its own bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from hcompress.checkpoints.checkpoint import Checkpoint
from hcompress.errors import InputRefused, NumericalError
from hcompress.export.parity import decode_torch
from hcompress.onnx_writer.simplify import simplify
from hcompress.runtime import OnnxReader
from hcompress.runtime import partition as split
from hcompress.spec.config import TransformerConfig, Weights
from hcompress.spec.exported import BIT_LOGITS
from hcompress.spec.header import ModelMetadata, Provenance
from hcompress.spec.heads import Hamming, HammingInputs, Softmax
from tests import ROOT
from tests.builders import CONFIGS, LIGHT, ROUNDING, int8, pictures, recogniser
from tests.special import EOS, PAD


def exported(folder: Path, made: Checkpoint) -> Path:
    text = ModelMetadata(made.config, made.vocabulary, Provenance("onnx", None)).to_json()
    half, weights = made.config.weights is not Weights.FP32, made.stored()
    graph = made.model.graph(text, store_half=half, weights=weights)
    path = folder / "model.onnx"
    path.write_bytes(simplify(graph, frozenset(weights)).data)
    return path


@pytest.mark.parametrize("make", [recogniser, int8])
@pytest.mark.parametrize("name", CONFIGS)
def test_steps_answer_as_the_loop_and_as_torch(
    name: str, make: Callable[[TransformerConfig], Checkpoint], tmp_path: Path
) -> None:
    made = make(CONFIGS[name])
    path = exported(tmp_path, made)
    stepwise, loop = OnnxReader(path, steps=True), OnnxReader(path, steps=False)
    assert OnnxReader(path).stepwise == isinstance(made.config.head, Hamming)
    assert (stepwise.stepwise, loop.stepwise) == (True, False)
    images = pictures(7, made.config)
    ids, chances = stepwise.decode(images)
    expected = decode_torch(made.model, images)
    np.testing.assert_array_equal(ids, expected.ids[:, : ids.shape[1]])
    np.testing.assert_allclose(chances, expected.probabilities[:, : ids.shape[1]], atol=ROUNDING)
    whole_ids, whole_chances = loop.decode(images)
    np.testing.assert_array_equal(ids, whole_ids)
    np.testing.assert_allclose(chances, whole_chances, atol=ROUNDING)


@pytest.mark.parametrize(("name", "seed"), [("light", 0), ("softmax", 2)])
def test_lines_that_have_ended_are_left_out_and_nobody_notices(
    name: str, seed: int, tmp_path: Path
) -> None:
    made = recogniser(replace(CONFIGS[name], max_steps=40), characters=3, seed=seed)
    reader = OnnxReader(exported(tmp_path, made), steps=True)
    images = pictures(24, made.config)
    ids, chances = reader.decode(images)
    ends = (ids[:, :, 0] == EOS).argmax(1)
    assert len(set(ends.tolist())) > 3, "lines of several lengths"
    for line, image in enumerate(images):
        alone_ids, alone_chances = reader.decode(image[None])
        steps = alone_ids.shape[1]
        np.testing.assert_array_equal(ids[line, :steps], alone_ids[0])
        np.testing.assert_allclose(chances[line, :steps], alone_chances[0], atol=1e-4)
        assert (ids[line, steps:] == PAD).all()
        assert (chances[line, steps:] == 1).all()


def test_threads_share_a_reader(tmp_path: Path) -> None:
    made = recogniser(LIGHT)
    reader = OnnxReader(exported(tmp_path, made))
    batches = [pictures(1 + n % 4, LIGHT, seed=n) for n in range(24)]
    expected = [reader.read(batch) for batch in batches]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(reader.read, batches)) == expected


@pytest.mark.parametrize("make", [recogniser, int8])
def test_the_step_holds_no_ranking_and_the_encoder_no_decoder(
    make: Callable[[TransformerConfig, int], Checkpoint], tmp_path: Path
) -> None:
    made = make(replace(LIGHT, head=Hamming(512), inputs=HammingInputs(512)), 500)
    path = exported(tmp_path, made)
    data = path.read_bytes()
    cut = split.split(data, path)
    assert cut is not None
    encoder, step = (onnx.load_from_string(part) for part in (cut.encoder, cut.step))
    assert not {"TopK", "Softmax", "MatMulInteger"} & {n.op_type for n in encoder.graph.node}
    assert not {"TopK", "MatMulInteger", "Loop"} & {n.op_type for n in step.graph.node}
    assert step.graph.output[0].name == BIT_LOGITS
    held = {tensor.name for tensor in encoder.graph.initializer}
    assert not any(name.startswith("decoder.layers.0.self") for name in held)
    kinds = {t.name: t.data_type for part in (encoder, step) for t in part.graph.initializer}
    assert all(kinds[name] == onnx.TensorProto.INT8 for name in made.packed)
    assert len(cut.encoder) + len(cut.step) < len(data) + 20_000


def test_a_file_of_an_older_export_is_read_by_its_own_loop(tmp_path: Path) -> None:
    made = recogniser(LIGHT)
    path = exported(tmp_path, made)
    images = pictures(3, LIGHT)
    expected = OnnxReader(path).read(images)
    model = onnx.load(path)
    body_of(model).name = "step"
    path.write_bytes(model.SerializeToString())
    reader = OnnxReader(path)
    assert not reader.stepwise
    assert [r.text for r in reader.read(images)] == [r.text for r in expected]


def body_of(model: onnx.ModelProto) -> onnx.GraphProto:
    loop = next(node for node in model.graph.node if node.op_type == "Loop")
    body: onnx.GraphProto = next(a.g for a in loop.attribute if a.name == "body")
    return body


def sliced(model: onnx.ModelProto, graph: onnx.GraphProto, name: str, axis: int) -> None:
    """Of a value only the first entry along an axis is left."""
    maker = next(node for node in graph.node if name in node.output)
    maker.output[list(maker.output).index(name)] = "all_of_it"
    node = onnx.helper.make_node("Slice", ["all_of_it", "from", "to", "axis"], [name])
    graph.node.insert(list(graph.node).index(maker) + 1, node)
    for key, value in (("from", 0), ("to", 1), ("axis", axis)):
        model.graph.initializer.append(numpy_helper.from_array(np.array([value]), key))


@pytest.mark.parametrize("what", ["bits", "bits' rows", "candidates", "cache", "crossed"])
def test_a_step_that_answers_other_shapes_is_refused(what: str, tmp_path: Path) -> None:
    config = CONFIGS["softmax"] if what == "candidates" else LIGHT
    path = exported(tmp_path, recogniser(config))
    cut = split.split(path.read_bytes(), path)
    assert cut is not None
    model = onnx.load(path)
    body = body_of(model)
    if what == "crossed":
        sliced(model, model.graph, cut.crossed[0], 0)
    else:
        name = cut.written[0] if what == "cache" else cut.answers[0]
        sliced(model, body, name, 0 if what in ("cache", "bits' rows") else 1)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputRefused, match=r"a step answers .*export it again"):
        OnnxReader(path, steps=True).read(pictures(2, config))


def added_to_bits(model: onnx.ModelProto, name: str) -> None:
    """A value of the loop's body is added to the bit logits."""
    body = body_of(model)
    maker = next(node for node in body.node if BIT_LOGITS in node.output)
    maker.output[list(maker.output).index(BIT_LOGITS)] = "true_bits"
    add = onnx.helper.make_node("Add", ["true_bits", name], [BIT_LOGITS])
    body.node.insert(list(body.node).index(maker) + 1, add)


@pytest.mark.parametrize("name", ["light", "reranked"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bits_that_are_no_numbers_are_a_numerical_error(
    value: float, name: str, tmp_path: Path
) -> None:
    path = exported(tmp_path, recogniser(CONFIGS[name]))
    model = onnx.load(path)
    added_to_bits(model, "odd")
    model.graph.initializer.append(numpy_helper.from_array(np.array(value, "f4"), "odd"))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(NumericalError, match="answers NaN or infinite bits"):
        OnnxReader(path, steps=True).read(pictures(1, LIGHT))


def test_a_step_that_takes_what_only_a_loop_gives_is_refused(tmp_path: Path) -> None:
    path = exported(tmp_path, recogniser(LIGHT))
    model = onnx.load(path)
    added_to_bits(model, "going_as_number")
    body = body_of(model)
    cast = onnx.helper.make_node(
        "Cast", [body.input[1].name], ["going_as_number"], to=onnx.TensorProto.FLOAT
    )
    body.node.insert(0, cast)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputRefused, match="takes what it is not given"):
        OnnxReader(path, steps=True)


def test_an_answer_that_is_no_number_is_refused(tmp_path: Path) -> None:
    path = exported(tmp_path, recogniser(LIGHT))
    model = onnx.load(path)
    for node in model.graph.node:
        if "probabilities" in node.output:
            node.output[list(node.output).index("probabilities")] = "true_probabilities"
    model.graph.initializer.append(numpy_helper.from_array(np.array(np.nan, "f4"), "nan"))
    add = onnx.helper.make_node("Add", ["true_probabilities", "nan"], ["probabilities"])
    model.graph.node.append(add)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(NumericalError, match="answers NaN"):
        OnnxReader(path, steps=False).read(pictures(1, LIGHT))


def test_the_documented_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = ROOT / "docs" / "runtime.md"
    program = page.read_text("utf-8").split("```python\n")[1].split("```")[0]
    exported(tmp_path, recogniser(LIGHT))
    monkeypatch.chdir(tmp_path)
    exec(compile(program, str(page), "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) >= 2


def test_broken_messages_are_refused() -> None:
    for data in (b"\x0a\x05ab", b"\x0b", b"\xff" * 11, b"\x0d\x00"):
        with pytest.raises(InputRefused, match=r"odd\.onnx: broken protobuf"):
            split.split(data, Path("odd.onnx"))


@pytest.mark.parametrize("steps", [True, False])
@pytest.mark.parametrize(
    ("name", "broken"),
    [
        (b"step.bit_logits", b"step.bit_log\xffts"),  # made and taken
        (b"Conv", b"Con\xff"),  # a kind of node
        (b"images", b"imag\xe9s"),  # the input
        (b"probabilities", b"probabilit\xffes"),  # an output
    ],
)
def test_names_that_are_not_utf8_are_refused_on_one_line(
    name: bytes, broken: bytes, steps: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = exported(tmp_path, recogniser(LIGHT))
    assert name in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(name, broken))
    with pytest.raises(InputRefused) as raised:
        OnnxReader(path, steps=steps).read(pictures(1, LIGHT))
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def imported_by_reading(path: Path, *modules: str) -> list[str]:
    """Those of ``modules`` that a fresh process has loaded after its first line."""
    program = (
        "import sys, json, numpy, pathlib; from hcompress.runtime import OnnxReader;"
        "r = OnnxReader(pathlib.Path(sys.argv[1]), steps=True); assert r.stepwise;"
        "r.read([numpy.zeros((20, 50, 3), 'uint8')]);"
        "print(json.dumps([m for m in sys.argv[2:] if m in sys.modules]))"
    )
    out = subprocess.run(
        [sys.executable, "-c", program, str(path), *modules],
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[str] = json.loads(out.stdout)
    return found


def test_a_softmax_model_needs_no_search(tmp_path: Path) -> None:
    made = recogniser(CONFIGS["hamming-embedding"])
    assert made.config.head == Softmax()
    path = exported(tmp_path, made)
    assert imported_by_reading(path, "torch", "onnx", "hcompress.search") == []


def test_int8_needs_neither_torch_nor_onnx(tmp_path: Path) -> None:
    path = exported(tmp_path, int8(LIGHT))
    assert imported_by_reading(path, "torch", "onnx", "hcompress.search") == ["hcompress.search"]
