"""Recognisers that other exporters write, through the whole chain: layouts, opsets, precisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from PIL import Image

from hcompress.artifacts.source import open_source
from hcompress.errors import InputRefused, NumericalError, UsageError
from hcompress.foreign.features import Features
from hcompress.foreign.inputs import choose
from hcompress.foreign.open import open_foreign
from hcompress.heads.encodings.encode import Evidence, Teacher, encoded
from hcompress.heads.encodings.menu import encoding
from hcompress.progress import NoProgress
from hcompress.runs.runner import StageOptions, run_stage
from hcompress.runtime.foreign_reader import ForeignReader
from hcompress.stages.base import Stage
from hcompress.stages.distil_body import DistilBody
from hcompress.stages.drop_in import DropIn
from hcompress.stages.encode_head import EncodeHead
from hcompress.stages.quantise import Quantise
from tests.foreign.builders import model, saved, stripes, tensor

CLASSES = 12
DEPTH = 32
TEXTS = ("rgb", "bb", "grgrg", "")
NAMES = "\n".join(["r", "g", "b", *(chr(0x4E00 + i) for i in range(CLASSES - 4))])


def stripe_reader(
    *,
    opset: int = 13,
    head: str = "MatMul",
    layout: str = "NTV",
    behind: bool = False,
    half: bool = False,
    bias: bool = True,
    reshaped: bool = False,
    size: tuple[Any, ...] = ("N", 3, 48, "W"),
    turn: int = 7,
) -> ModelProto:
    """Stripes as in `tests.foreign.builders`, behind two convolutions.

    Features lie as ``layout`` says; a Transpose ``behind`` the classifier turns scores round.
    ``turn`` seeds the second convolution: features mean something else, texts are the same.
    """
    rng = np.random.default_rng(7)
    mix = rng.normal(size=(DEPTH, 3))
    first = np.zeros((DEPTH, 3, 48, 8)) + mix[:, :, None, None] / (48 * 8)
    square = np.random.default_rng(turn).normal(size=(DEPTH, DEPTH))
    turned = np.linalg.qr(square)[0]
    undo = np.linalg.pinv(turned @ mix)
    colours = 10 * np.array([[0, -1, -1, 1], [0, -1, 1, -1], [0, 1, -1, -1]])
    wanted = np.concatenate([colours, 0.01 * rng.normal(size=(3, CLASSES - 4))], 1)
    weight, added = (wanted.T @ undo).T, np.array([15.0, 0, 0, 0, *[-50] * (CLASSES - 4)])
    held = [
        tensor("first", first), tensor("turn", turned[:, :, None, None]), tensor("b", added),
        tensor("rows", [1, DEPTH, -1], np.int64),
    ]  # fmt: skip
    axes: dict[str, Any] = {"axes": [2]} if opset < 13 else {}
    inputs = ["t"] if axes else ["t", "two"]
    if inputs[1:]:
        held.append(tensor("two", [2], np.int64))
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["c"], strides=[48, 8]),
        helper.make_node("Conv", ["c", "turn"], ["t"]),
        helper.make_node("Reshape", ["t", "rows"], ["s"])
        if reshaped
        else helper.make_node("Squeeze", inputs, ["s"], **axes),
    ]
    perm = [0, 2, 1] if layout == "NTV" else [2, 0, 1]
    scores = "before" if behind else "a"
    if head == "Conv":
        held.append(tensor("w", weight.T[:, :, None]))
        nodes.append(helper.make_node("Conv", ["s", "w", *(["b"] if bias else [])], ["m"]))
        nodes.append(helper.make_node("Transpose", ["m"], [scores], perm=perm))
    else:
        held.append(tensor("w", weight))
        nodes.append(helper.make_node("Transpose", ["s"], ["h"], perm=perm))
        nodes.append(helper.make_node("MatMul", ["h", "w"], ["m" if bias else scores]))
        if bias:
            nodes.append(helper.make_node("Add", ["m", "b"], [scores]))
    if behind:
        nodes.append(helper.make_node("Transpose", ["before"], ["a"], perm=[1, 0, 2]))
    nodes.append(helper.make_node("Softmax", ["a"], ["y"], axis=2))
    names = NAMES if bias else "blank\n" + NAMES
    made = model(nodes, held, size=size, opset=opset, metadata={"character": names})
    return _in_halves(made) if half else made


def _in_halves(made: ModelProto) -> ModelProto:
    for one in made.graph.initializer:
        values = numpy_helper.to_array(one)
        if values.dtype == np.float32:
            one.CopyFrom(numpy_helper.from_array(values.astype(np.float16), one.name))
    made.graph.node[0].input[0], made.graph.node[-1].output[0] = "x16", "y16"
    made.graph.node.insert(0, helper.make_node("Cast", ["x"], ["x16"], to=TensorProto.FLOAT16))
    made.graph.node.append(helper.make_node("Cast", ["y16"], ["y"], to=TensorProto.FLOAT))
    return made


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("lines"), np.random.default_rng(1)
    for number in range(24):
        text = "".join(rng.choice(list("rgb"), int(rng.integers(1, 6))))
        Image.fromarray(stripes(text)).save(folder / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="module")
def white(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("white")
    for number in range(6):
        Image.fromarray(np.full((48, 90, 3), 255, np.uint8)).save(folder / f"{number}.png")
    return folder


def ran(stage: Stage, source: Path, out: Path, teacher: Path | None = None) -> Path:
    options = StageOptions(
        progress=NoProgress(), teacher=None if teacher is None else open_source(teacher)
    )
    return run_stage(stage, open_source(source), out, options).file


def read(file: Path) -> list[str]:
    return [one.text for one in ForeignReader(file).read([stripes(text) for text in TEXTS])]


def distil(lines: Path, **given: Any) -> DistilBody:
    return DistilBody(
        data=lines, bits=6, group=16, steps=2, batch=4, images=16, validation_images=4,
        validate_every=2, calibration=8, **given,
    )  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        {"opset": 9},
        {"opset": 10},
        {"opset": 21},
        {"layout": "TNV"},
        {"layout": "TNV", "behind": True},
        {"head": "Conv", "layout": "TNV"},
        {"half": True},
        {"size": ("N", 3, 48, 256)},
        {"size": (1, 3, 48, "W"), "reshaped": True},
    ],
    ids=["opset 9", "opset 10", "opset 21", "time first", "turned behind", "conv", "halves",
         "one width", "one image"],
)  # fmt: skip
def test_a_variant_goes_all_the_way(given: dict[str, Any], lines: Path, tmp_path: Path) -> None:
    original = saved(stripe_reader(**given), tmp_path)
    assert read(original) == list(TEXTS)
    head = ran(EncodeHead("int6", data=lines, images=24), original, tmp_path / "head")
    body = ran(distil(lines), head, tmp_path / "body", original)
    file = ran(DropIn(data=lines, images=8), body, tmp_path / "file", original)
    assert read(file) == list(TEXTS)


@pytest.mark.parametrize("head", ["MatMul", "Conv"])
def test_a_head_without_biases_gets_them(head: str, lines: Path, tmp_path: Path) -> None:
    original = saved(stripe_reader(head=head, bias=False), tmp_path)
    made = ran(EncodeHead("int8", data=lines, images=24), original, tmp_path / "head")
    weight, bias = open_foreign(made).class_weights()
    before, _ = open_foreign(original).class_weights()
    assert bias.shape == (CLASSES,)
    np.testing.assert_allclose(weight, before, atol=0.02 * np.abs(before).max())
    ran(distil(lines), made, tmp_path / "body", original)


def test_features_are_told_apart_where_lines_and_frames_are_as_many(tmp_path: Path) -> None:
    found = Features(open_foreign(saved(stripe_reader(layout="TNV", behind=True), tmp_path)))
    images = np.random.default_rng(0).normal(size=(8, 3, 48, 64)).astype(np.float32)
    whole = found.run(images)
    for place in range(8):
        np.testing.assert_allclose(whole[place], found.run(images[place : place + 1])[0], atol=1e-4)


def test_lines_without_text_are_no_ground(lines: Path, white: Path, tmp_path: Path) -> None:
    original = saved(stripe_reader(), tmp_path)
    with pytest.raises(InputRefused, match="next to nothing"):
        ran(EncodeHead("auto", data=white, images=6), original, tmp_path / "no")
    head = ran(EncodeHead("int6", data=lines, images=24), original, tmp_path / "head")
    with pytest.raises(InputRefused, match="reads nothing"):
        ran(DropIn(data=white, images=6), head, tmp_path / "nor", original)


def test_another_body_is_no_teacher(lines: Path, tmp_path: Path) -> None:
    original = saved(stripe_reader(), tmp_path)
    other = saved(stripe_reader(turn=8), tmp_path, "other.onnx")
    assert read(other) == read(original)
    with pytest.raises(InputRefused, match="another body"):
        ran(distil(lines), original, tmp_path / "out", other)


@pytest.mark.parametrize("name", ["w", "turn", "b"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_damaged_weights_are_refused(name: str, value: float, tmp_path: Path) -> None:
    made = stripe_reader()
    held = next(one for one in made.graph.initializer if one.name == name)
    values = numpy_helper.to_array(held).copy()
    values.flat[3] = value
    held.CopyFrom(numpy_helper.from_array(values, name))
    with pytest.raises((NumericalError, InputRefused), match=f'"{name}" are damaged'):
        open_foreign(saved(made, tmp_path))


def test_a_header_that_lies_about_the_classifier(lines: Path, tmp_path: Path) -> None:
    original = saved(stripe_reader(), tmp_path)
    head = ran(EncodeHead("int6", data=lines, images=24), original, tmp_path / "head")
    proto = onnx.load(head)
    said = next(one for one in proto.metadata_props if one.key == "hcompress")
    said.value = said.value.replace('"weight":"w"', '"weight":"turn"')
    assert open_foreign(saved(proto, tmp_path, "lie.onnx")).classifier.weight == "w"


def test_a_packed_body_is_refused_before_training(white: Path, tmp_path: Path) -> None:
    original = saved(stripe_reader(), tmp_path)
    body = ran(Quantise(images=0), original, tmp_path / "body")
    with pytest.raises(InputRefused, match="few bits already"):
        ran(distil(white), body, tmp_path / "again")


def test_sensitivity_needs_lines() -> None:
    with pytest.raises(UsageError, match="images"):
        Quantise(bits=6, mean_bits=5.5, images=0)


def test_names_and_numbers_out_of_reach() -> None:
    with pytest.raises(UsageError, match="one of ppocr"):
        choose("foo", 3, 48, "here")
    with pytest.raises(UsageError, match="at most"):
        encoding("signs-99999", 64)


def test_a_bias_beyond_fp16_stays_finite() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(6, 16)).astype(np.float32)
    teacher = Teacher(weight, np.array([0, 0, 0, 0, 0, -1e9], np.float32), (0,), np.array([], int))
    made = encoded(teacher, Evidence.of(rng.normal(size=(50, 16)).astype(np.float32), teacher),
                   encoding("int8", 16).fit)  # fmt: skip
    assert np.isfinite(made.floats()[1]).all()
