"""A foreign recogniser through its stages: every artifact is a file that drops in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, helper
from PIL import Image

from hcompress import sizes
from hcompress.artifacts.source import open_source
from hcompress.errors import InputRefused
from hcompress.foreign.features import Features
from hcompress.foreign.open import open_stored
from hcompress.formats.open import ModelFile
from hcompress.progress import NoProgress
from hcompress.runs.runner import StageOptions, run_stage
from hcompress.runtime.foreign_reader import ForeignReader
from hcompress.stages.base import Stage
from hcompress.stages.distil_body import DistilBody
from hcompress.stages.drop_in import DropIn
from hcompress.stages.encode_head import EncodeHead
from hcompress.stages.quantise import Quantise
from tests.foreign.builders import model, saved, stripes, tensor

RNG = np.random.default_rng(7)
CLASSES = 40
DEPTH = 64


def convolutional() -> ModelProto:
    """Stripes as `tests.foreign.builders`, through a body with weights worth rounding.

    Its features are random mixtures of the three colours; its classes undo that.
    """
    mix = RNG.normal(size=(DEPTH, 3)).astype(np.float32)
    first = np.zeros((DEPTH, 3, 48, 8), np.float32) + mix[:, :, None, None] / (48 * 8)
    turn = np.linalg.qr(RNG.normal(size=(DEPTH, DEPTH)))[0].astype(np.float32)
    undo = np.linalg.pinv((turn @ mix).astype(np.float64)).astype(np.float32)  # [3, DEPTH]
    colours = 10 * np.array([[0, -1, -1, 1], [0, -1, 1, -1], [0, 1, -1, -1]], np.float32)
    wanted = np.concatenate([colours, RNG.normal(size=(3, CLASSES - 4))], 1)
    weight = (wanted.T @ undo).T.astype(np.float32)
    bias = np.concatenate([[15, 0, 0, 0], np.full(CLASSES - 4, -50)]).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["c"], strides=[48, 8]),
        helper.make_node("Conv", ["c", "turn", "shift"], ["t"]),
        helper.make_node("Squeeze", ["t"], ["s"], axes=[2]),
        helper.make_node("Transpose", ["s"], ["h"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["h", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["a"]),
        helper.make_node("Softmax", ["a"], ["y"], axis=2),
    ]
    held = [
        tensor("first", first), tensor("turn", turn[:, :, None, None]),
        tensor("shift", np.zeros(DEPTH)), tensor("w", weight), tensor("b", bias),
    ]  # fmt: skip
    names = ["r", "g", "b", *(chr(0x4E00 + i) for i in range(CLASSES - 4))]
    return model(nodes, held, metadata={"character": "\n".join(names), "author": "somebody"})


def texts(count: int) -> list[str]:
    return ["".join(RNG.choice(list("rgb"), size=int(RNG.integers(1, 6)))) for _ in range(count)]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines")
    for number, text in enumerate(texts(48)):
        Image.fromarray(stripes(text)).save(folder / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(convolutional(), tmp_path_factory.mktemp("original"))


def ran(stage: Stage, source: Path, out: Path, teacher: Path | None = None) -> Path:
    options = StageOptions(
        progress=NoProgress(), teacher=None if teacher is None else open_source(teacher)
    )
    return run_stage(stage, open_source(source), out, options).file


def read(file: Path) -> list[str]:
    pictures: list[NDArray[np.uint8]] = [stripes(text) for text in ("rgb", "bb", "grgrg", "")]
    return [one.text for one in ForeignReader(file).read(pictures)]


@pytest.fixture(scope="module")
def encoded(original: Path, lines: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("encoded") / "out"
    return ran(EncodeHead("int6", data=lines, images=48), original, out)


def test_the_original_reads_stripes(original: Path) -> None:
    assert read(original) == ["rgb", "bb", "grgrg", ""]


def test_an_encoded_head_reads_on(original: Path, encoded: Path) -> None:
    assert read(encoded) == read(original)
    held = {one.name: one for one in onnx.load(encoded).graph.initializer}
    assert any(name.startswith("classifier") for name in held)
    assert "w" not in held


def test_opening_gives_the_weights_as_the_graph_decodes_them(encoded: Path) -> None:
    opened, stored = open_stored(encoded)
    assert stored.functions
    assert not opened.proto.functions
    inputs = RNG.normal(size=(2, 3, 48, 64)).astype(np.float32)
    weight, bias = opened.class_weights()
    scores = Features(opened).run(inputs) @ weight.T + bias
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    answers = onnxruntime.InferenceSession(encoded).run(None, {"x": inputs})[0]
    np.testing.assert_allclose(shares / shares.sum(-1, keepdims=True), answers, atol=1e-5)


def test_an_encoded_head_is_not_encoded_again(encoded: Path, lines: Path, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="encoded already"):
        ran(EncodeHead("int4", data=lines, images=24), encoded, tmp_path / "out")


@pytest.mark.parametrize(
    "stage",
    [
        Quantise(bits=6, group=16, images=0),
        Quantise(bits=5, group=16, mean_bits=4.5),
        DistilBody(bits=4, group=16, steps=4, batch=4, images=24, validation_images=8,
                   validate_every=2, calibration=16),
    ],
    ids=["rounded", "by sensitivity", "distilled"],
)  # fmt: skip
def test_the_whole_chain(
    stage: Quantise | DistilBody, original: Path, encoded: Path, lines: Path, tmp_path: Path
) -> None:
    from dataclasses import replace

    body = ran(replace(stage, data=lines), encoded, tmp_path / "body", original)
    file = ran(DropIn(data=lines, images=24), body, tmp_path / "drop-in", original)
    assert file.stat().st_size < 0.6 * original.stat().st_size
    assert read(file) == read(original)
    old, new = onnx.load(original), onnx.load(file)
    assert [one.SerializeToString() for one in old.graph.input] == [
        one.SerializeToString() for one in new.graph.input
    ]
    said = {one.key: one.value for one in new.metadata_props}
    assert all(said[one.key] == one.value for one in old.metadata_props)
    assert json.loads(said["hcompress"])["format"] == 3
    inputs = {"x": RNG.normal(size=(2, 3, 48, 64)).astype(np.float32)}
    answers = [onnxruntime.InferenceSession(path).run(None, inputs)[0] for path in (original, file)]
    assert answers[0].shape == answers[1].shape == (2, 8, CLASSES)
    found = sizes.breakdown(ModelFile(file))
    assert found.bytes == file.stat().st_size
    with pytest.raises(InputRefused, match="few bits already"):
        ran(Quantise(images=0), file, tmp_path / "again")


def test_training_that_gains_nothing_is_thrown_away(
    encoded: Path, lines: Path, tmp_path: Path
) -> None:
    from dataclasses import replace

    stage = DistilBody(
        data=lines, steps=2, batch=4, images=24, validation_images=8, validate_every=1,
        calibration=16, group=16, learning_rate=0.0,
    )  # fmt: skip
    trained = ran(stage, encoded, tmp_path / "trained")
    rounded = ran(replace(stage, steps=0), encoded, tmp_path / "rounded")
    assert trained.read_bytes() == rounded.read_bytes()
    manifest = json.loads((trained.parent / "manifest.json").read_text(encoding="utf-8"))
    assert '"best_step": 0' in json.dumps(manifest)


def test_the_same_bytes_twice(encoded: Path, lines: Path, tmp_path: Path) -> None:
    stage = DistilBody(
        data=lines, steps=3, batch=4, images=24, validation_images=8, calibration=16, group=16
    )
    one, other = (ran(stage, encoded, tmp_path / name) for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


def test_another_recogniser_is_no_teacher(encoded: Path, lines: Path, tmp_path: Path) -> None:
    from tests.foreign.builders import recogniser

    stranger = saved(recogniser(), tmp_path)
    with pytest.raises(InputRefused, match="another recogniser"):
        ran(DistilBody(data=lines, steps=1), encoded, tmp_path / "out", stranger)
