"""Engines: built without a GPU, sealed, and refused after any change."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from hcompress import sizes
from hcompress.compute import cuda
from hcompress.errors import EnvironmentFailed, InputRefused, UsageError
from hcompress.export.onnx import export, noise_images
from hcompress.export.options import Library
from hcompress.export.tensorrt import builder as tensorrt
from hcompress.export.tensorrt.builder import Flavour, Profile, build, count_layers, find_library
from hcompress.export.tensorrt.engine import build_engine
from hcompress.export.tensorrt.locate import locate_weights
from hcompress.export.tensorrt.whole_loop import as_int8, whole_loop
from hcompress.formats.engine import PLAN_FILE, SIDECAR_FILE, check_engine
from hcompress.progress import NoProgress
from hcompress.runs.keys import make_ticket
from hcompress.spec.exported import ENCODER_FILE, STEP_FILE
from hcompress.spec.header import Provenance
from hcompress.stages.base import Env
from hcompress.stages.engine import EngineStage
from tests.builders import LIGHT, SMALL, recogniser

HERE = Provenance("onnx", "cd" * 32)
NO_RTX = importlib.util.find_spec("tensorrt_rtx") is None
needs_rtx = pytest.mark.skipif(NO_RTX, reason="tensorrt-rtx is not installed")


def exported(folder: Path, config: Any = LIGHT, characters: int = 40) -> Path:
    made = recogniser(config, characters)
    files = export(made, HERE, noise_images(2, config.preprocessing, 1)).files
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_without_a_library_the_pip_line_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(tensorrt.importlib, "import_module", missing)
    stage, env = EngineStage(), Env(7, 1, HERE, NoProgress(), tmp_path)
    with pytest.raises(EnvironmentFailed, match="pip install tensorrt-rtx==") as raised:
        stage.run(tmp_path, tmp_path, env)
    assert raised.value.exit_code == 4


def test_tensorrt_is_taken_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def load(name: str) -> Any:
        asked.append(name)
        return SimpleNamespace(__version__="11.4")

    monkeypatch.setattr(tensorrt.importlib, "import_module", load)
    monkeypatch.setattr(cuda, "compute_capabilities", lambda: ("9.0",))
    found = find_library(Library.AUTO)
    assert (found.library, found.version, found.ahead_of_time) == ("tensorrt", "11.4", False)
    monkeypatch.setattr(cuda, "compute_capabilities", lambda: ())
    assert find_library(Library.AUTO).library is Library.TENSORRT_RTX
    assert asked == ["tensorrt", "tensorrt_rtx"]


def test_another_gpu_is_another_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(*gpus: str) -> str:
        monkeypatch.setattr(cuda, "compute_capabilities", lambda: gpus)
        return make_ticket(EngineStage(), None, None, 1, 1).key

    assert len({key(), key("8.9"), key("9.0")}) == 3
    assert key("9.0") == key("9.0")


def test_no_driver_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver(_: str) -> Any:
        raise OSError

    monkeypatch.setattr(cuda.ctypes, "CDLL", no_driver)
    assert cuda.compute_capabilities() == ()


def test_the_driver_is_asked_for_its_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    def count(pointer: Any) -> int:
        pointer._obj.value = 2
        return 0

    def attribute(pointer: Any, which: int, device: int) -> int:
        pointer._obj.value = {75: 8 + device, 76: 6}[which]
        return 0

    driver = SimpleNamespace(
        cuInit=lambda _: 0, cuDeviceGetCount=count, cuDeviceGetAttribute=attribute
    )
    monkeypatch.setattr(cuda.ctypes, "CDLL", lambda _: driver)
    assert cuda.compute_capabilities() == ("8.6", "9.6")


def test_batches_must_rise() -> None:
    with pytest.raises(UsageError, match="must rise"):
        Profile(4, 2, 8)


def test_the_serving_form_must_be_there_and_be_a_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flavour = Flavour(Library.TENSORRT_RTX, ModuleType("tensorrt_rtx"), ())
    monkeypatch.setattr("hcompress.export.tensorrt.engine.find_library", lambda _: flavour)

    def attempt() -> None:
        build_engine(tmp_path, Library.AUTO, ["8.6"], Profile(1, 2, 4), 1)

    with pytest.raises(UsageError, match="serving form"):
        attempt()
    exported(tmp_path)
    encoder, step = tmp_path / ENCODER_FILE, tmp_path / STEP_FILE
    good = encoder.read_bytes(), step.read_bytes()
    other = onnx.load(step)
    onnx.helper.set_model_props(other, {"hcompress": "{}"})
    step.write_bytes(other.SerializeToString())
    with pytest.raises(InputRefused, match="format"):
        attempt()
    del other.metadata_props[:]
    step.write_bytes(other.SerializeToString())
    with pytest.raises(InputRefused, match="not a serving file"):
        attempt()
    step.write_bytes(good[0])
    with pytest.raises(InputRefused, match="serving form: no keys"):
        attempt()
    step.write_bytes(good[1][:-9])
    with pytest.raises(InputRefused):
        attempt()
    deeper = exported(tmp_path / "other", SMALL)
    step.write_bytes((deeper / STEP_FILE).read_bytes())
    with pytest.raises(InputRefused, match="not of one export"):
        attempt()


def test_the_codebook_is_handed_over_as_the_bytes_it_is(tmp_path: Path) -> None:
    folder = exported(tmp_path)
    whole = whole_loop(onnx.load(folder / ENCODER_FILE), onnx.load(folder / STEP_FILE))
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in whole.graph.initializer}
    packed = next(
        onnx.numpy_helper.to_array(t)
        for t in onnx.load(folder / STEP_FILE).graph.initializer
        if t.name == "codebook"
    )
    assert (stored["step.codebook.int8"].astype(int) + 128 == packed).all()
    assert as_int8(np.array([0, 127, 128, 255], np.uint8)).tolist() == [-128, -1, 0, 127]
    loop = next(node for node in whole.graph.node if node.op_type == "Loop")
    body = next(attribute.g for attribute in loop.attribute if attribute.name == "body")
    assert not [node for node in body.node if node.op_type in ("Unpack", "Widen", "Transpose")]


def test_weights_are_found_in_a_plan_however_they_lie(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    arrays = {
        "decoder.layers.0.self_attention.query.weight": random.normal(size=(32, 16)),
        "backbone.stem.conv.weight": random.normal(size=(8, 3, 3, 3)),
        "classifier.weight": random.normal(size=(40, 9)),
        "decoder.norm.weight": np.ones(300),
        "embedding.weight": random.normal(size=(64, 8)),
    }
    tensors = [
        onnx.numpy_helper.from_array(array.astype(np.float16), f"step.{name}")
        for name, array in arrays.items()
    ]
    codes = random.integers(-128, 128, (70, 8)).astype(np.int8)
    tensors.append(onnx.numpy_helper.from_array(codes, "step.codebook.int8"))
    graph = onnx.helper.make_graph([], "g", [], [], initializer=tensors)
    half = {name: array.astype(np.float16) for name, array in arrays.items()}
    plan = b"head" + b"--".join(
        [
            half["decoder.layers.0.self_attention.query.weight"].T.tobytes(),
            half["backbone.stem.conv.weight"].transpose(0, 2, 3, 1).tobytes(),
            half["classifier.weight"].astype(np.float32).tobytes(),
            half["decoder.norm.weight"].tobytes(),
            codes.tobytes(),
        ]
    )
    path = tmp_path / "model.plan"
    found = locate_weights(plan, onnx.helper.make_model(graph), sizes.Layout(path, len(plan), ()))
    groups = {piece.name: piece.bytes for piece in found.pieces}
    assert groups == {
        "step.decoder.layers.0.self_attention.query.weight": 32 * 16 * 2,
        "step.backbone.stem.conv.weight": 8 * 27 * 2,
        "step.classifier.weight": 40 * 9 * 4,
        "step.codebook": 70 * 8,
    }


def test_layers_are_counted_by_type() -> None:
    layers = [
        {"Name": "a", "Outputs": [{"Format/Datatype": "Row major linear FP16 Half"}]},
        {"Name": "b", "Outputs": [{"Format/Datatype": "Half"}]},
        {"Name": "c", "Outputs": [{"Format/Datatype": "Float"}]},
        {"Name": "d", "Outputs": []},
        "e",
    ]
    assert count_layers({"Layers": layers}) == {"Float": 1, "Half": 2}
    assert count_layers({}) == {}


def test_tensorrt_without_a_gpu_says_what_to_do() -> None:
    flavour = Flavour(Library.TENSORRT, ModuleType("tensorrt"), ())
    with pytest.raises(EnvironmentFailed, match="builds for the GPU at hand, and there is none"):
        tensorrt._set_targets(flavour, None, ["8.6"])


@needs_rtx
def test_unknown_compute_capabilities_are_refused_with_those_there_are(tmp_path: Path) -> None:
    folder = exported(tmp_path)
    for targets, message in ((["3.5"], "capability 3.5.*8.6"), ([], "capability none")):
        with pytest.raises(UsageError, match=message):
            build_engine(folder, Library.TENSORRT_RTX, targets, Profile(1, 2, 4), 1)


@needs_rtx
def test_what_the_parser_refuses_is_said() -> None:
    with pytest.raises(EnvironmentFailed, match="does not take the graph"):
        build(find_library(Library.TENSORRT_RTX), b"nonsense", Profile(1, 1, 1), ["8.6"], 1)


@needs_rtx
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["light", "softmax"])
def test_an_engine_is_built_without_a_gpu(kind: str, tmp_path: Path) -> None:
    folder = exported(tmp_path / "onnx", LIGHT if kind == "light" else SMALL)
    out = tmp_path / "engine"
    out.mkdir()
    stage = EngineStage(compute_capabilities=("8.6",), batch_most=16)
    report = stage.run(folder, out, Env(7, 1, HERE, NoProgress(), tmp_path))
    contents = check_engine(out)
    assert contents["library"]["name"] == "tensorrt-rtx"
    assert contents["compute_capabilities"] == ["8.6"]
    assert contents["profiles"] == [
        {"input": "images", "min": [1, 16, 32, 3], "opt": [8, 16, 32, 3], "max": [16, 16, 32, 3]}
    ]
    assert set(contents["sources"]) == {ENCODER_FILE, STEP_FILE}
    assert json.loads(contents["hcompress"])["provenance"]["stage"] == "onnx"
    assert contents["outputs"][0] == {"name": "ids", "type": "int64", "shape": ["N", 9, 5]}
    rows = sizes.breakdown(out / PLAN_FILE)
    assert rows.bytes == (out / PLAN_FILE).stat().st_size == report["growth"]["plan_bytes"]
    assert rows.component("backbone").bytes > 0
    assert contents["precision"]["onnx"] in ("fp16", "fp32")
    if kind == "light":
        assert rows.component("codebook").bytes == report["growth"]["codebook_onnx_bytes"]
        assert sizes.techniques_of(out / PLAN_FILE)[1] == "Hamming Classifier"
    for name in (PLAN_FILE, SIDECAR_FILE):
        data = bytearray((out / name).read_bytes())
        data[len(data) // 2] ^= 1
        (out / name).write_bytes(data)
        with pytest.raises(InputRefused):
            check_engine(out)
        with pytest.raises(InputRefused):
            sizes.breakdown(out / PLAN_FILE)
        data[len(data) // 2] ^= 1
        (out / name).write_bytes(data)
    assert check_engine(out) == contents
