"""Stages of a few bytes for the pipeline's tests: deterministic, resumable, quick."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.errors import NumericalError
from hcompress.formats.open import Source, open_file
from hcompress.progress import LineProgress
from hcompress.stages.base import Env, Stage
from hcompress.strict.atomic import write_text
from hcompress.strict.schema import Param
from tests import model_files as files
from tests.model_files import o_tensor, tensor_entry


def safetensors_bytes(weights: bytes) -> bytes:
    """A checkpoint of one uint8 tensor in the backbone."""
    entry = tensor_entry(0, len(weights), [len(weights)], "U8")
    return files.safetensors_bytes({"backbone.weight": entry}, weights)


def onnx_bytes(weights: bytes) -> bytes:
    """An ONNX file with the same one tensor; its bytes come last."""
    return files.onnx_bytes(o_tensor("backbone.weight", [len(weights)], weights, data_type=2))


def weights_of(source: Source) -> bytes:
    return open_file(source, "model.safetensors").path.read_bytes()[-32:]


class Shade(StrEnum):
    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True)
class FakeTrain:
    """A hash chain: each step's state follows from the one before."""

    data: Annotated[Path, Param("what to learn", data=True)]
    steps: Annotated[int, Param("how long to learn", 1, 1000)] = 12
    every: Annotated[int, Param("steps between snapshots", 1)] = 4
    rate: Annotated[float, Param("how fast", 0, 1)] = 0.5

    name: ClassVar[str] = "fake-train"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "make weights from data"
    consumes: ClassVar[Kind] = Kind.NOTHING
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        assert source is None
        snapshot = env.scratch / "snapshot"
        done, state = 0, hashlib.sha256(f"{env.seed}{self.rate}".encode()).hexdigest()
        if snapshot.exists():
            text, state = snapshot.read_text().split()
            done = int(text)
        resumed = done
        env.progress.start("fake-train", self.steps, done)
        for step in range(done, self.steps):
            state = hashlib.sha256(f"{state}{step}".encode()).hexdigest()
            env.progress.advance(1, f"state {state[:6]}")
            if (step + 1) % self.every == 0:
                write_text(snapshot, f"{step + 1} {state}")
        (out / "model.safetensors").write_bytes(safetensors_bytes(bytes.fromhex(state)))
        return {"resumed": resumed, "loss": float("nan")}


@dataclass(frozen=True)
class FakeSlim:
    """Hashes the source's weights."""

    shade: Annotated[Shade, Param("which way")] = Shade.LIGHT
    layers: Annotated[tuple[str, ...], Param("which layers")] = ()
    limit: Annotated[int | None, Param("at most so many", 1)] = None
    deep: Annotated[bool, Param("go deep")] = False
    fail: Annotated[bool, Param("find a NaN")] = False

    name: ClassVar[str] = "fake-slim"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "make weights smaller"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.CHECKPOINT
    libraries: ClassVar[tuple[str, ...]] = ()

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        assert source is not None
        if self.fail:
            raise NumericalError("backbone.weight: NaN")
        made = hashlib.sha256(weights_of(source) + self.shade.encode()).digest()
        (out / "model.safetensors").write_bytes(safetensors_bytes(made))
        (out / "extra").mkdir()
        (out / "extra" / "notes.txt").write_text("notes")
        env.progress.say(f"slimmed with seed {env.seed}")
        return {"shade": self.shade}


@dataclass(frozen=True)
class FakeOnnx:
    """Exports the weights."""

    name: ClassVar[str] = "fake-onnx"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "export"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = ()

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        assert source is not None
        env.progress.start("export", 1)
        (out / "model.onnx").write_bytes(onnx_bytes(weights_of(source)))
        env.progress.advance()
        return {}


def slow_down() -> None:
    """Make every step last, so that a signal finds the stage at work."""
    real = LineProgress.advance

    def slow(self: LineProgress, count: int = 1, note: str = "") -> None:
        time.sleep(0.05)
        real(self, count, note)

    LineProgress.advance = slow  # type: ignore[method-assign]


FAKES: dict[str, type[Stage]] = {kind.name: kind for kind in (FakeTrain, FakeSlim, FakeOnnx)}

RECIPE = """
schema_version = 1
name = "tiny"
summary = "fakes"
seed = 3

[[stages]]
stage = "fake-train"
data = "data.txt"
steps = 12

[[stages]]
stage = "fake-slim"
label = "slim"
shade = "dark"

[[stages]]
stage = "fake-onnx"
"""


def write_recipe(folder: Path, text: str = RECIPE) -> Path:
    """The recipe and the data it names, in ``folder``."""
    (folder / "line.ppm").write_bytes(b"P6 2 2 255\n" + bytes(12))
    (folder / "data.txt").write_text("line.ppm\tab\n", encoding="utf-8")
    path = folder / "tiny.toml"
    path.write_text(text, encoding="utf-8")
    return path
