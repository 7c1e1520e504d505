"""A command reads its model's header once, hashes it once at most, and builds one module for it."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hcompress import sizes
from hcompress.artifacts import folder as artifacts
from hcompress.artifacts.kinds import Kind
from hcompress.artifacts.source import open_model, open_source
from hcompress.checkpoints.checkpoint import load_checkpoint, read_stored, save_checkpoint
from hcompress.cli import main
from hcompress.errors import InputRefused
from hcompress.evaluation.readers import open_reader
from hcompress.formats import open as formats
from hcompress.formats.engine import seal
from hcompress.formats.open import ModelFile
from hcompress.onnx_writer.simplify import simplify
from hcompress.recognisers import build
from hcompress.runtime import OnnxReader
from hcompress.spec.config import TransformerConfig
from hcompress.spec.header import ModelMetadata, Provenance
from tests.artifacts.test_artifact import a_manifest
from tests.builders import LIGHT, recogniser

MADE = recogniser(LIGHT)
HERE = Provenance("onnx", None)


class Counted:
    """How often a header was read and a file hashed, by inode, and modules were made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.headers: Counter[int] = Counter()
        self.hashes: Counter[int] = Counter()
        self.modules = 0
        for kind, reader in formats._LAYOUTS.items():
            monkeypatch.setitem(formats._LAYOUTS, kind, self._reading(reader))
        real = hashlib.file_digest

        def hashing(stream: Any, name: str) -> Any:
            self.hashes[os.fstat(stream.fileno()).st_ino] += 1
            return real(stream, name)

        monkeypatch.setattr(hashlib, "file_digest", hashing)
        family = build._FAMILIES[TransformerConfig]

        def making(*arguments: Any) -> Any:
            self.modules += 1
            return family(*arguments)

        monkeypatch.setitem(build._FAMILIES, TransformerConfig, making)

    def _reading(self, reader: Callable[[Path], Any]) -> Callable[[Path], Any]:
        def reading(path: Path) -> Any:
            self.headers[path.stat().st_ino] += 1
            return reader(path)

        return reading

    def of(self, file: Path) -> tuple[int, int, int]:
        """Headers read and hashes taken of this file, and modules made of any."""
        inode = file.stat().st_ino
        return self.headers[inode], self.hashes[inode], self.modules


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


@pytest.fixture(scope="module")
def exported() -> bytes:
    """An ONNX file's bytes."""
    metadata = ModelMetadata(MADE.config, MADE.vocabulary, HERE).to_json()
    weights = MADE.stored()
    graph = MADE.model.graph(metadata, store_half=True, weights=weights)
    return simplify(graph, frozenset(weights)).data


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "bare.safetensors"
    save_checkpoint(path, MADE.model, MADE.vocabulary, HERE, frozenset())
    return path


@pytest.fixture
def onnx(tmp_path: Path, exported: bytes) -> Path:
    path = tmp_path / "bare.onnx"
    path.write_bytes(exported)
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "line.png"
    Image.new("RGB", (40, 16), "white").save(path)
    return path


@pytest.mark.parametrize("kind", ["checkpoint", "onnx"])
def test_a_checkpoint_is_one_header_and_one_module(
    kind: str, counted: Counted, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(kind)
    load_checkpoint(path)
    assert counted.of(path) == (1, 0, 1)
    opened = open_source(path)
    assert counted.of(path) == (2, 0, 1)
    load_checkpoint(opened.opened)
    read_stored(opened.opened)
    assert opened.digest == opened.key == hashlib.sha256(path.read_bytes()).hexdigest()
    assert counted.of(path)[:2] == (2, 1)


def test_a_reader_is_one_header(onnx: Path, checkpoint: Path, counted: Counted) -> None:
    open_reader(onnx)
    assert counted.of(onnx) == (1, 0, 0)
    open_reader(checkpoint)
    assert counted.of(checkpoint) == (1, 0, 1)


def test_commands_open_their_model_once(
    onnx: Path,
    checkpoint: Path,
    picture: Path,
    counted: Counted,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = picture.with_name("lines.tsv")
    data.write_text(f"{picture.name}\t一\n", encoding="utf-8")
    for arguments, hashed in (
        (["read", onnx, picture, "--json"], 0),
        (["inspect", onnx, "--json"], 0),
        (["eval", onnx, data, "--json"], 1),
        (["compare", checkpoint, onnx, "--data", data, "--json"], 0),
    ):
        counted.headers.clear()
        counted.hashes.clear()
        assert main([str(argument) for argument in arguments]) == 0
        assert counted.of(onnx)[:2] == (1, hashed), arguments
    assert counted.of(checkpoint) == (1, 0, 1)
    capsys.readouterr()


def test_a_stage_reads_and_hashes_a_bare_file_once(
    checkpoint: Path, tmp_path: Path, counted: Counted, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["int8", str(checkpoint), "--out", str(out), "--scale", "max-abs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parent"]["key"] == open_source(checkpoint).key
    headers, hashes, _ = counted.of(checkpoint)
    assert (headers, hashes) == (2, 2)  # the command: 1, 1; and here, once more
    assert counted.of(out / "model.safetensors")[:2] == (1, 1)


def test_an_artifact_is_hashed_once(tmp_path: Path, onnx: Path, counted: Counted) -> None:
    partial = tmp_path / "x.partial"
    partial.mkdir()
    onnx.rename(partial / "model.onnx")
    manifest = a_manifest(partial, kind=Kind.ONNX)
    folder = artifacts.publish(partial, tmp_path / "x", manifest).path
    model = folder / "model.onnx"
    for path in (folder, model):
        counted.hashes.clear()
        found = open_source(path)
        OnnxReader(found.opened)
        assert found.digest == manifest.files["model.onnx"].sha256
        assert counted.of(model)[1] == 1
        counted.hashes.clear()
        file = open_model(path)
        sizes.breakdown(file)
        sizes.techniques_of(file)
        assert file.digest == found.digest
        assert counted.of(model)[1] == 1
    assert counted.of(model)[0] == 4


def test_an_engine_is_hashed_once(tmp_path: Path, counted: Counted) -> None:
    plan = tmp_path / "model.plan"
    plan.write_bytes(b"p" * 10)
    recorded = {"bytes": 10, "sha256": hashlib.sha256(b"p" * 10).hexdigest()}
    rows = {"bytes": 10, "components": [{"name": "container", "bytes": 10, "params": 0}]}
    plan.with_name("model.plan.json").write_bytes(seal({"plan": recorded, "breakdown": rows}))
    found = open_source(plan)
    sizes.breakdown(found.opened)
    sizes.techniques_of(found.opened)
    assert found.digest == recorded["sha256"]
    assert counted.of(plan) == (0, 1, 0)


@pytest.mark.parametrize("kind", ["checkpoint", "onnx"])
def test_a_file_that_changes_after_it_was_looked_at_is_refused(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """What the layout says of one file is true of no other: not of one of the same size either."""
    path: Path = request.getfixturevalue(kind)
    file = ModelFile(path)
    assert file.layout.pieces
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)
    with pytest.raises(InputRefused, match="changed while it was read"):
        load_checkpoint(file)
    assert load_checkpoint(path).config == MADE.config
