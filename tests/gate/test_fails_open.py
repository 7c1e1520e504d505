"""Ways in which a gate lets something past: each is tried here, and each has to fail the build."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hcompress.cli import main
from hcompress.gate.outputs import UNFINISHED
from tests import model_files as make

LIMITS = """
schema_version = 1
baseline = "baseline.json"

[[artifacts]]
path = "model.safetensors"
max_bytes = "2 KiB"
max_growth_percent = 1

[artifacts.components.codebook]
min_bytes = 6

[artifacts.accuracy]
evaluation = "eval.json"
min_accuracy = 0.9
max_accuracy_drop = 1
min_images = 500

[[artifacts]]
path = "models/**/*.safetensors"
each = true
max_growth_percent = 1

[[budgets]]
name = "app"
paths = ["app/*.bin", "app/more"]
max_bytes = "1 KB"
max_growth_percent = 1
"""
EVALUATION = {"accuracy": 0.95, "images": 2000, "data_digest": "d" * 64, "ned": 0.99}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 9\n"
ANNEX = b"/annex/objects/SHA256E-s9--" + b"a" * 64 + b"\n"
PAGE = b"<!DOCTYPE html><title>404</title>"


def grown(more: int = 4000) -> bytes:
    """The model with a classifier of so many bytes."""
    header = json.loads(make.good_safetensors()[8:].rpartition(b"}")[0] + b"}")
    header["classifier.more"] = make.tensor_entry(110, 110 + more, [more // 4])
    return make.safetensors_bytes(header, bytes(range(110)) + bytes(more))


class Project:
    """A folder with everything that is judged, and a baseline of it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def make(self) -> None:
        folder = self.folder
        for name in ("models", "app/more"):
            (folder / name).mkdir(parents=True)
        self.model(make.good_safetensors())
        for name in ("one", "two"):
            (folder / "models" / f"{name}.safetensors").write_bytes(grown(4 * len(name)))
        (folder / "app" / "a.bin").write_bytes(bytes(300))
        (folder / "app" / "more" / "b.bin").write_bytes(bytes(400))
        self.limits(LIMITS)

    def model(self, data: bytes, **said: Any) -> None:
        """The model, and what `eval` says of it."""
        (self.folder / "model.safetensors").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        self.evaluation(model_digest=digest, **said)

    def evaluation(self, **said: Any) -> None:
        file = self.folder / "eval.json"
        before = json.loads(file.read_text()) if file.exists() else EVALUATION
        file.write_text(json.dumps({**before, **said}))

    def limits(self, text: str) -> None:
        (self.folder / "limits.toml").write_text(text)

    def swap(self, old: str, new: str) -> None:
        text = (self.folder / "limits.toml").read_text()
        assert old in text
        self.limits(text.replace(old, new, 1))

    def baseline(self, change: Callable[[dict[str, Any]], None]) -> None:
        file = self.folder / "baseline.json"
        held = json.loads(file.read_text())
        change(held)
        file.write_text(json.dumps(held))

    def gate(self, *words: str) -> tuple[int, str]:
        """The exit code, and all that was said of what failed."""
        self._capsys.readouterr()
        # No stage's command is built: that takes longer than the gate.
        code = main(["gate", str(self.folder / "limits.toml"), "--json", *words], stages={})
        captured = self._capsys.readouterr()
        rows = json.loads(captured.out)["rows"] if captured.out else []
        failed = [f"{r['artifact']} {r['note']}" for r in rows if r["status"] == "fail"]
        return code, "\n".join([*failed, captured.err])

    def update(self) -> None:
        assert self.gate("--update", "--reason", "so it is")[0] == 0

    def commit(self) -> None:
        git = ["git", "-C", str(self.folder), "-c", "user.name=n", "-c", "user.email=e@e"]
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "first"]):
            subprocess.run([*git, *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("template")


@pytest.fixture
def project(template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Project:
    if not any(template.iterdir()):
        first = Project(template, capsys)
        first.make()
        first.update()
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return Project(tmp_path, capsys)


def write(name: str, data: bytes) -> Callable[[Project], None]:
    def done(project: Project) -> None:
        (project.folder / name).parent.mkdir(exist_ok=True, parents=True)
        (project.folder / name).write_bytes(data)

    return done


def remove(name: str) -> Callable[[Project], None]:
    return lambda project: (project.folder / name).unlink()


def swap(old: str, new: str) -> Callable[[Project], None]:
    return lambda project: project.swap(old, new)


def move(old: str, new: str, data: bytes | None = None) -> Callable[[Project], None]:
    """To another name, and perhaps with other bytes."""

    def done(project: Project) -> None:
        (project.folder / old).rename(project.folder / new)
        if data is not None:
            (project.folder / new).write_bytes(data)

    return done


def evaluation(**said: Any) -> Callable[[Project], None]:
    return lambda project: project.evaluation(**said)


def baseline(change: Callable[[dict[str, Any]], Any]) -> Callable[[Project], None]:
    return lambda project: project.baseline(change)


def all_of(*steps: Callable[[Project], None]) -> Callable[[Project], None]:
    def done(project: Project) -> None:
        for step in steps:
            step(project)

    return done


def linked(project: Project) -> None:
    """A link to a large file from outside of the budget's folder."""
    (project.folder / "large.dat").write_bytes(bytes(5000))
    (project.folder / "app" / "c.bin").symlink_to(project.folder / "large.dat")


def linked_folder(project: Project) -> None:
    (project.folder / "elsewhere").mkdir()
    (project.folder / "elsewhere" / "large.dat").write_bytes(bytes(5000))
    (project.folder / "app" / "more" / "in").symlink_to(project.folder / "elsewhere")


def split(project: Project) -> None:
    """One file's growth, spread over several."""
    for name in ("c", "d", "e"):
        (project.folder / "app" / f"{name}.bin").write_bytes(bytes(101))


def renamed_budget(project: Project) -> None:
    split(project)
    project.swap('name = "app"', 'name = "application"')
    project.swap('"1 KB"', '"10 KB"')


def piped(project: Project) -> None:
    os.mkfifo(project.folder / "app" / "pipe.bin")


def no_baseline_entry(held: dict[str, Any]) -> None:
    del held["artifacts"]["model.safetensors"]


@dataclass(frozen=True)
class Way:
    """Something done to the project, the exit code that it must have and what is said of it."""

    done: Callable[[Project], None]
    said: str
    code: int = 1
    words: Sequence[str] = ()


EXPLICIT = """
[[artifacts]]
path = "models/new.safetensors"
renamed_from = "models/one.safetensors"
max_growth_percent = 1
"""
WAYS = {
    # ---- the model
    "the model is missing": Way(remove("model.safetensors"), "no such file"),
    "a Git LFS pointer": Way(write("model.safetensors", POINTER), "a Git LFS pointer"),
    "a git-annex pointer": Way(write("model.safetensors", ANNEX), "a git-annex pointer"),
    "a page of HTML": Way(write("model.safetensors", PAGE), "a page of HTML"),
    "half of the model": Way(write("model.safetensors", grown()[:300]), "model.safetensors"),
    "an empty file": Way(write("model.safetensors", b""), "is empty"),
    "a component went elsewhere": Way(
        write("model.safetensors", make.good_safetensors().replace(b'"codebook"', b'"bookcode"')),
        "component is missing",
    ),
    "it grew": Way(write("models/one.safetensors", grown()), "max_growth_percent = 1"),
    # ---- names
    "renamed and grown": Way(
        move("models/one.safetensors", "models/new.safetensors", grown()),
        'not in the baseline, and "models/one.safetensors"',
    ),
    "renamed and grown, and said so": Way(
        all_of(
            move("models/one.safetensors", "models/new.safetensors", grown()),
            lambda project: project.limits(LIMITS + EXPLICIT),
        ),
        "max_growth_percent = 1",
    ),
    "renamed from what was never there": Way(
        all_of(
            move("models/one.safetensors", "models/new.safetensors", grown()),
            lambda project: project.limits(LIMITS + EXPLICIT.replace("one.safe", "big.safe")),
        ),
        "is not in the baseline",
    ),
    "renamed from a larger one, which stays": Way(
        all_of(
            write("models/new.safetensors", grown()),
            lambda project: project.limits(LIMITS + EXPLICIT.replace("models/one", "model")),
        ),
        "is still there under that name",
        2,
    ),
    "renamed, though it has an entry of its own": Way(
        all_of(
            write("models/new.safetensors", grown()),
            baseline(
                lambda held: held["artifacts"].update(
                    {"models/new.safetensors": {"bytes": 1, "components": {"container": 1}}}
                )
            ),
            remove("models/one.safetensors"),
            lambda project: project.limits(LIMITS + EXPLICIT),
        ),
        "the baseline has both",
    ),
    "two that were one": Way(
        lambda project: project.limits(LIMITS + EXPLICIT + EXPLICIT.replace("new", "newer")),
        "stands there twice",
        2,
    ),
    "hidden from a pattern": Way(
        all_of(
            move("models/one.safetensors", "models/.one.safetensors", grown()),
        ),
        "not in the baseline",
    ),
    "a pattern that fits nothing": Way(
        lambda project: shutil.rmtree(project.folder / "models"), "no file or folder fits"
    ),
    "a pattern for one that fits two": Way(
        all_of(
            swap('"model.safetensors"', '"model*.safetensors"'),
            write("model-old.safetensors", make.good_safetensors()),
        ),
        "several fit",
    ),
    # ---- budgets
    "a budget's file grew": Way(write("app/a.bin", bytes(310)), "app grew by 10 bytes"),
    "growth spread over new files": Way(split, "over max_bytes = 1,000"),
    "growth in a hidden file": Way(write("app/.c.bin", bytes(5000)), "over max_bytes"),
    "growth in a folder below": Way(write("app/more/deep/c", bytes(5000)), "over max_bytes"),
    "growth behind a link": Way(linked, "over max_bytes"),
    "growth behind a link to a folder": Way(linked_folder, "over max_bytes"),
    "a budget under another name": Way(renamed_budget, 'the budget "app"'),
    "a pointer in a budget": Way(write("app/a.bin", POINTER), "a Git LFS pointer"),
    "a pattern of a budget that fits nothing": Way(remove("app/a.bin"), "no file fits"),
    "an empty folder in a budget": Way(remove("app/more/b.bin"), "no file fits"),
    "a pipe in a budget": Way(piped, "is a named pipe"),
    "a link to nowhere": Way(
        lambda project: (project.folder / "app" / "c.bin").symlink_to("nowhere"), "no such file"
    ),
    # ---- the baseline
    "no baseline": Way(remove("baseline.json"), "no baseline to compare", 2),
    "a baseline that is a pointer": Way(write("baseline.json", POINTER), "Git LFS pointer", 3),
    "a damaged baseline": Way(write("baseline.json", b"{"), "is not strict JSON", 3),
    "an entry taken out by hand": Way(baseline(no_baseline_entry), "whose history has it"),
    "a budget taken out by hand": Way(
        baseline(lambda held: held["budgets"].clear()), "whose history has it"
    ),
    "an entry without accuracy": Way(
        baseline(
            lambda held: [
                held["artifacts"]["model.safetensors"].pop(key)
                for key in ("accuracy", "images", "data_digest")
            ]
        ),
        "the baseline has no accuracy",
    ),
    # ---- accuracy
    "no evaluation": Way(remove("eval.json"), "no such file"),
    "an evaluation of another model": Way(evaluation(model_digest="e" * 64), "not of this model"),
    "not a number": Way(
        lambda p: write("eval.json", b'{"accuracy": NaN, "images": 9}')(p), "is not strict JSON"
    ),
    "other data": Way(evaluation(data_digest="e" * 64), "on other data"),
    "data that nobody names": Way(evaluation(data_digest=None), "does not say on which data"),
    "other rules": Way(evaluation(ignored={"kinds": ["case"]}), "other things ignored"),
    "read in another way": Way(evaluation(reading=1), "in another way"),
    "fewer images": Way(evaluation(images=20), "min_images = 500"),
    "a figure that its images can't have": Way(evaluation(accuracy=0.95004), "no share of 2000"),
    "a drop of more than a point": Way(evaluation(accuracy=0.9395), "max_accuracy_drop = 1"),
    "an interval too wide for a drop": Way(
        all_of(
            swap("min_images = 500", ""),
            evaluation(images=300, accuracy=0.95),
            baseline(lambda held: held["artifacts"]["model.safetensors"].update(images=300)),
        ),
        "300 lines tell 1.3 points at best",
    ),
    "too few lines for any accuracy": Way(
        all_of(
            swap("max_accuracy_drop = 1\nmin_images = 500", ""),
            evaluation(images=20, accuracy=0.95),
        ),
        "20 lines, even all right, don't show min_accuracy = 0.9: 35 are needed",
    ),
    # ---- the limits
    "no limits file": Way(remove("limits.toml"), "no such limits file", 2),
    "limits on nothing": Way(write("limits.toml", b"schema_version = 1"), "[[artifacts]]", 2),
    "a key with a slip": Way(swap("max_bytes", "max_byte"), 'did you mean "max_bytes"', 2),
    "a unit with a slip": Way(swap("2 KiB", "2 Kib"), 'max_bytes = "2 Kib": must be', 2),
    "a unit alone": Way(swap("2 KiB", "MiB"), "must be a whole number of bytes", 2),
    "no number": Way(swap("growth_percent = 1", "growth_percent = nan"), "NaN", 2),
    "an evaluation for many": Way(
        swap("each = true", 'each = true\naccuracy = {evaluation = "e", min_accuracy = 0.9}'),
        "each is of many files",
        2,
    ),
    # ---- a git ref
    "a ref that is not there": Way(
        Project.commit, "no such commit is here", 2, ("--base", "origin/main")
    ),
    "a ref that is an option": Way(
        Project.commit, "not the name of a branch", 2, ("--base=--help",)
    ),
    "no repository": Way(all_of(), "no such commit is here", 2, ("--base", "main")),
    "no baseline at the ref": Way(
        all_of(
            lambda project: (project.folder / ".gitignore").write_text("baseline.json\n") and None,
            Project.commit,
        ),
        "no baseline to compare growth with at main",
        2,
        ("--base", "main"),
    ),
    "a pointer at the ref": Way(
        all_of(write("baseline.json", POINTER), Project.commit),
        "Git LFS pointer",
        3,
        ("--base", "main"),
    ),
    "a baseline that the branch itself wrote": Way(
        all_of(
            Project.commit, write("models/one.safetensors", grown()), Project.update
        ),
        "max_growth_percent = 1",
        1,
        ("--base", "main"),
    ),
    # ---- what is written
    "a summary that can't be written": Way(
        lambda project: (project.folder / "taken").mkdir(), "cannot be written", 4
    ),
}  # fmt: skip


def test_there_are_thirty_ways() -> None:
    assert len(WAYS) >= 30


def test_the_project_passes(project: Project) -> None:
    assert project.gate()[0] == 0
    project.commit()
    assert project.gate("--base", "main")[0] == 0


@pytest.mark.parametrize("name", WAYS)
def test_closed(name: str, project: Project) -> None:
    way = WAYS[name]
    way.done(project)
    words = list(way.words)
    if (project.folder / "taken").is_dir():
        words = ["--markdown", str(project.folder / "taken")]
    code, said = project.gate(*words)
    assert (code, way.said in said) == (way.code, True), said


@pytest.mark.parametrize("name", ["no limits file", "a damaged baseline", "no baseline", "it grew"])
def test_whatever_ends_it_leaves_a_summary(
    name: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where an earlier build's, which passed, lies there already."""
    files = {key: project.folder / name for key, name in (("markdown", "s.md"), ("junit", "j.xml"))}
    words = [word for key, file in files.items() for word in (f"--{key}", str(file))]
    assert project.gate(*words)[0] == 0
    assert "gate passed" in files["markdown"].read_text()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.folder / "step.md"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    WAYS[name].done(project)
    code, said = project.gate(*words)
    assert code == WAYS[name].code
    assert "::error file=" in said
    for text in (files["markdown"].read_text(), (project.folder / "step.md").read_text()):
        assert "gate failed" in text
        assert "gate passed" not in text
    assert ("<failure" in files["junit"].read_text()) == (code == 1)
    assert ("<error" in files["junit"].read_text()) == (code != 1)


def test_a_gate_that_is_killed_leaves_no_earlier_verdict(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = project.folder / "s.md"
    assert project.gate("--markdown", str(summary))[0] == 0
    monkeypatch.setattr("hcompress.gate.run.judge", lambda *_: 1 / 0)
    assert project.gate("--markdown", str(summary))[0] == 70
    assert UNFINISHED in summary.read_text()


def test_nothing_is_written_of_what_cannot_be_measured(project: Project) -> None:
    held = (project.folder / "baseline.json").read_bytes()
    for name in ("model.safetensors", "app/a.bin", "models/one.safetensors"):
        good = (project.folder / name).read_bytes()
        (project.folder / name).write_bytes(POINTER)
        code, said = project.gate("--update", "--reason", "why not")
        assert (code, "no baseline can be made of it" in said) == (3, True)
        (project.folder / name).write_bytes(good)
    assert (project.folder / "baseline.json").read_bytes() == held
