"""A study of a few bytes: its files, its stages, and models that read by chance."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar

from hcompress.errors import EnvironmentFailed
from hcompress.formats.open import ModelFile, Source
from hcompress.lab.study.spec import Study, load_study
from hcompress.stages.base import Env, Stage
from hcompress.strict.schema import Param
from tests.fake_stages import FakeOnnx, FakeSlim, FakeTrain, safetensors_bytes, weights_of

CALLS: list[str] = []
"""Stages that were really run, in order."""
LINES = 12


@dataclass(frozen=True)
class FakeTune(FakeSlim):
    """Learns: another margin, other weights."""

    margin: Annotated[float, Param("how far apart", 0)] = 1.0
    data: Annotated[Path | None, Param("what to learn", data=True)] = None

    name: ClassVar[str] = "fake-tune"

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        assert source is not None
        CALLS.append(f"{self.name} {self.margin:g}")
        if self.margin == 13:
            raise EnvironmentFailed("no room")
        made = hashlib.sha256(weights_of(source) + f"{env.seed} {self.margin}".encode()).digest()
        (out / "model.safetensors").write_bytes(safetensors_bytes(made))
        return {"steps": 5, "images": 40}


STAGES: dict[str, type[Stage]] = {
    kind.name: kind for kind in (FakeTrain, FakeSlim, FakeTune, FakeOnnx)
}
RECIPE = """
schema_version = 1
name = "base"
seed = 3
threads = 2

[[stages]]
stage = "fake-slim"
label = "codes"

[[stages]]
stage = "fake-slim"
label = "slim"
shade = "dark"

[[stages]]
stage = "fake-tune"
label = "tune"

[[stages]]
stage = "fake-onnx"
label = "onnx"
"""
STUDY = """
schema_version = 1
name = "tiny"
summary = "fakes | beside fakes"
recipe = "base.toml"
teacher = "teacher.safetensors"
seeds = [7, 8]

[set]
"tune.data" = "lines.txt"

[tests.known]
data = "lines.txt"
images = 10

[[variants]]
name = "whole"

[[variants]]
name = "wide"
without = ["slim"]
[variants.set]
"tune.margin" = 2.0
"""


class Reader:
    """Reads a line right where a hash of the model's weights says so."""

    def __init__(self, model: ModelFile) -> None:
        self.chance = random.Random(model.path.read_bytes()[-32:])

    def read(self, images: Sequence[Any]) -> list[Any]:
        CALLS.append("read")
        texts = ["ab" if self.chance.random() < 0.5 else "a" for _ in images]
        return [SimpleNamespace(text=text, confidence=0.5) for text in texts]


def write_files(folder: Path) -> Path:
    """A study of two variants with all it names."""
    (folder / "line.ppm").write_bytes(b"P6 2 2 255\n" + bytes(12))
    (folder / "lines.txt").write_text("line.ppm\tab\n" * LINES, encoding="utf-8")
    (folder / "teacher.safetensors").write_bytes(safetensors_bytes(b"t" * 32))
    load(folder)
    return folder


def load(folder: Path, good: str = "", bad: str = "", recipe: str = RECIPE) -> Study:
    assert good in STUDY
    (folder / "base.toml").write_text(recipe)
    (folder / "study.toml").write_text(STUDY.replace(good, bad) if good else STUDY)
    return load_study(folder / "study.toml", STAGES)
