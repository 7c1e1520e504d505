"""A model repository for Triton, held against Triton's own schema if its client is installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from hcompress.artifacts.source import open_source
from hcompress.cli import main
from hcompress.errors import InputRefused
from hcompress.export.triton.config import Batching, Ends, batches, config
from hcompress.export.triton.repository import knee
from hcompress.models import packaged_model
from hcompress.spec.header import read_header

IN: Ends = {"images": ("tensor(uint8)", ["N", 48, 160, 3])}
OUT: Ends = {"ids": ("tensor(int64)", ["N", "T", 5]), "sure": ("tensor(float)", ["N", None, 5])}
BATCHING = Batching(most=32, preferred=8, wait=500, instances=2)


def parsed(text: str) -> Any:
    """The text as Triton's message; skips without `pip install tritonclient`."""
    found = importlib.util.find_spec("tritonclient")
    text_format = pytest.importorskip("google.protobuf.text_format")
    if found is None or not found.submodule_search_locations:
        pytest.skip("tritonclient is not installed")
    file = Path(found.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return text_format.Parse(text, module.ModelConfig())


def test_a_batch_is_every_ends_first_side() -> None:
    assert batches(IN, OUT)
    assert not batches({"images": ("tensor(uint8)", [1, 48, 160, 3])}, OUT)
    assert not batches(IN, {"scores": ("tensor(float)", ["T", "N", 9])})  # time comes first


def test_the_configuration_says_what_the_file_takes() -> None:
    text = config("m", IN, OUT, BATCHING)
    assert "max_batch_size: 32" in text
    assert "dims: [ 48, 160, 3 ]" in text
    assert "dims: [ -1, 5 ]" in text
    whole = config("m", IN, OUT, Batching(0, 0, 0, 1))
    assert "dims: [ -1, 48, 160, 3 ]" in whole
    assert "dynamic_batching" not in whole


def test_types_without_a_name_are_refused() -> None:
    with pytest.raises(InputRefused, match="no Triton type"):
        config("m", {"words": ("tensor(string)", ["N"])}, OUT, BATCHING)


def test_tritons_schema_takes_it_whatever_names_there_are() -> None:
    found = parsed(config('a"\\\n文', {'in"\x01文': IN["images"]}, OUT, BATCHING))
    assert found.name == 'a"\\\n文'
    assert found.input[0].name == 'in"\x01文'
    assert list(found.input[0].dims) == [48, 160, 3]
    assert [list(one.dims) for one in found.output] == [[-1, 5], [-1, 5]]
    assert found.dynamic_batching.preferred_batch_size == [8]
    assert found.dynamic_batching.max_queue_delay_microseconds == 500
    assert found.instance_group[0].count == 2
    assert found.parameters["intra_op_thread_count"].string_value == "1"


def test_the_knee_is_the_smallest_batch_that_is_nearly_the_best() -> None:
    assert knee([(1, 50), (2, 80), (4, 91), (8, 100), (16, 70)]) == 4


def test_the_packaged_models_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["triton", str(packaged_model()), "--out", str(tmp_path), "--batch", "4"]
    assert main(words) == 0
    folder = tmp_path / "recogniser"
    assert (folder / "1" / "model.onnx").read_bytes() == packaged_model().read_bytes()
    classes = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
    vocabulary = read_header(open_source(packaged_model()).opened).vocabulary
    assert len(classes["classes"]) == len(vocabulary)
    assert classes["classes"][classes["eos"]] == "<EOS>"
    assert "preferred_batch_size: [ 4 ]" in (folder / "config.pbtxt").read_text(encoding="utf-8")
    assert main(words) == 2
    assert "exists" in capsys.readouterr().err
    assert main([*words, "--name", "../x"]) == 2
