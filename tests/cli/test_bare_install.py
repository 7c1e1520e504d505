"""Without what the extra `train` brings: reading, measuring and gating work, the rest says so."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from hcompress.checkpoints.checkpoint import MODEL_FILE, save_checkpoint
from hcompress.compute.libraries import CORE, EXTRAS, distribution_of, install, require
from hcompress.errors import EnvironmentFailed
from hcompress.spec.header import Provenance
from hcompress.stages import STAGES
from hcompress.stages.base import Stage, needs
from hcompress.strict.schema import describe
from tests import ROOT
from tests.builders import LIGHT, recogniser
from tests.cli.test_read_command import picture
from tests.runtime.test_stepwise import exported

MISSING = (
    "torch", "onnx", "onnxsim", "lmdb", "safetensors", "lightning", "lightning_fabric",
    "fontTools", "matplotlib", "mplfonts", "jieba", "faiss", "rapidocr", "tensorrt", "tensorrt_rtx",
)  # fmt: skip
PROGRAM = f"""
import contextlib, io, json, sys
sys.modules.update(dict.fromkeys({MISSING}))  # whoever imports one of these finds none
from hcompress.cli import main
for words in json.loads(sys.stdin.read()):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Bare = Callable[..., list[Ended]]


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    """Runs commands one after the other in a process that has the core alone."""

    def run(*commands: Sequence[object]) -> list[Ended]:
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{PROGRAM}"],
            input=json.dumps([[str(word) for word in words] for words in commands]),
            capture_output=True, text=True, check=True, cwd=tmp_path,
        )  # fmt: skip
        assert done.stderr == ""
        return [Ended(*json.loads(line)) for line in done.stdout.splitlines()]

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, its ONNX file, an image, a label file, and limits for the two files."""
    folder = tmp_path_factory.mktemp("models")
    made = recogniser(LIGHT)
    save_checkpoint(
        folder / MODEL_FILE, made.model, made.vocabulary, Provenance("half", None), frozenset()
    )
    exported(folder, made)
    picture(folder / "a.png")
    (folder / "lines.txt").write_text("a.png\tab\n", encoding="utf-8")
    entries = "".join(
        f'[[artifacts]]\npath = "{name}"\nmin_bytes = 1\nmax_bytes = 1_000_000\n'
        for name in (MODEL_FILE, "model.onnx")
    )
    (folder / "limits.toml").write_text(f"schema_version = 1\n{entries}", encoding="utf-8")
    return folder


def test_reading_measuring_and_gating_need_the_core_alone(bare: Bare, folder: Path) -> None:
    onnx, lines = folder / "model.onnx", folder / "lines.txt"
    commands = [
        ["--help"],
        ["doctor"],
        ["recipes"],
        ["stages", "finetune"],
        ["finetune", "--help"],
        ["inspect", folder / MODEL_FILE],
        ["inspect", onnx],
        ["compare", folder / MODEL_FILE, onnx],
        ["compare", onnx, onnx, "--data", lines],
        ["gate", folder / "limits.toml"],
        ["read", onnx, folder / "a.png"],
        ["eval", onnx, lines, "--json"],
    ]
    for words, ended in zip(commands, ended_all := bare(*commands), strict=True):
        assert ended.code == 0, (words, ended.err)
        assert ended.out
    evaluation = folder / "evaluation.json"
    evaluation.write_text(ended_all[-1].out, encoding="utf-8")
    (card,) = bare(["card", onnx, "--out", folder / "card.md", "--eval", evaluation])
    assert card.code == 0, card.err


def test_it_reads_an_lmdb_without_lmdb(bare: Bare, folder: Path, tmp_path: Path) -> None:
    from hcompress.data.source import open_data
    from hcompress.data.synth import write_lmdb
    from hcompress.progress import NoProgress

    write_lmdb(open_data(folder / "lines.txt"), tmp_path / "lmdb", 0, NoProgress())
    (ended,) = bare(["eval", folder / "model.onnx", tmp_path / "lmdb"])
    assert ended.code == 0, ended.err


def stage_command(kind: type[Stage]) -> list[object]:
    """With paths that are not there: a stage that looked at one would say that instead."""
    words: list[object] = [kind.name, *(["nowhere"] if kind.name not in FROM_NOTHING else [])]
    for spec in describe(kind):
        if spec.required:
            words += [spec.option, "nowhere"]
    return [*words, "--out", "made/here"]


FROM_NOTHING = ("train", "train-ctc", "initialise")
LACKING = {
    "shrink": ["shrink", "--recipe", "hamming-ocr"],
    "shrink, dry": ["shrink", "nowhere", "--recipe", "no-retraining", "--dry-run"],
    "study": ["study", "table2", "nowhere"],
    "table1": ["table1", "--out", "made/here"],
    "bench": ["bench", "--quick", "--out", "made/here"],
    "eval": ["eval", "nowhere", "nowhere", "--workers", "1"],
}


def test_what_trains_says_what_to_install_before_any_work(bare: Bare, tmp_path: Path) -> None:
    commands = [stage_command(kind) for kind in STAGES.values() if "torch" in needs(kind)]
    commands += [list(words) for words in LACKING.values()]
    for words, ended in zip(commands, bare(*commands), strict=True):
        line = f'error: {words[0]} needs torch: pip install "hcompress[train]"\n'
        assert (ended.code, ended.out, ended.err) == (4, "", line), words
    assert list(tmp_path.iterdir()) == []


def test_each_lack_has_its_extra(bare: Bare, folder: Path, tmp_path: Path) -> None:
    checkpoint, onnx, lines = (folder / name for name in (MODEL_FILE, "model.onnx", "lines.txt"))
    spec = ROOT / "recipes" / "data" / "latin-test.toml"
    wanted: list[tuple[list[object], str]] = [
        (["engine", "nowhere", "--out", "made"], 'engine needs tensorrt-rtx: pip install "hcom'),
        (
            ["synth", "nowhere", "--out", "made"],
            'synth needs torch: pip install "hcompress[train]"',
        ),
        (["read", checkpoint, folder / "a.png"], 'read needs torch: pip install "hcompress[train]'),
        (["eval", checkpoint, lines], 'eval needs torch: pip install "hcompress[train]"'),
        (["compare", onnx, checkpoint, "--data", lines], "compare needs torch: pip install"),
        (["eval", onnx, spec], 'rendered text needs fonttools: pip install "hcompress[synth]"'),
        (["compare", "rapidocr", onnx], "RapidOCR cannot be imported"),
    ]
    for (words, line), ended in zip(wanted, bare(*(words for words, _ in wanted)), strict=True):
        assert (ended.code, ended.out, ended.err.count("\n")) == (4, "", 1), words
        assert ended.err.startswith(f"error: {line}"), words
    assert list(tmp_path.iterdir()) == []


def test_the_first_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require("this", ("json-of-no-extra", "tensorrt", "numpy", *EXTRAS["train"]))
    for module in ("lightning_fabric", "onnx"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EnvironmentFailed, match=r"^this needs lightning-fabric: pip install"):
        require("this", EXTRAS["train"])


def test_either_tensorrt_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    names = needs(STAGES["engine"])
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(EnvironmentFailed, match=r"tensorrt-rtx: .*hcompress\[tensorrt\]"):
        require("engine", names)
    monkeypatch.setitem(sys.modules, "tensorrt", importlib.import_module("json"))
    require("engine", names)


def test_what_to_type_is_one_extra_if_one_has_them_all() -> None:
    assert install(["onnxsim"]) == 'pip install "hcompress[train]"'
    assert install(["tensorrt-rtx"]) == 'pip install "hcompress[tensorrt]"'
    assert install(["torch", "jieba"]) == 'pip install "hcompress[train,synth-cjk]"'
    assert install(["numpy"]) == "pip install numpy"


def names_in(requirements: Sequence[str]) -> set[str]:
    """Of distributions, in lower case, without versions and without extras of our own."""
    found = {re.split(r"[\[><=]", line)[0].lower() for line in requirements}
    return found - {"hcompress"}


def test_the_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert names_in(project["dependencies"]) == set(CORE)
    assert set(EXTRAS) == set(extras)
    for name in ("train", "synth-cjk", "report", "bench", "tensorrt"):
        assert names_in(extras[name]) == set(EXTRAS[name])
    for name, brought in EXTRAS.items():
        assert set(brought) <= names_in(extras[name])


def test_modules_are_those_of_their_distributions() -> None:
    installed: dict[str, set[str | None]] = {}
    for module, names in importlib.metadata.packages_distributions().items():
        for name in names:
            installed.setdefault(name.lower(), set()).add(distribution_of(module))
    known = {name for names in (CORE, *EXTRAS.values()) for name in names}
    for name in known & installed.keys():
        assert name in installed[name], name
    assert distribution_of("torch.nn.functional") == "torch"
    assert distribution_of("yaml") is None


def test_every_library_of_a_stage_comes_with_an_extra() -> None:
    known = {name for names in (CORE, *EXTRAS.values()) for name in names}
    for kind in STAGES.values():
        assert set(needs(kind)) - {"tensorrt"} <= known
