"""The Makefile against the program: commands parse, and each starts where the last one ended."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT

TRAINED = Path("runs/teacher-full/4-finetuned/model.safetensors")
SHIPPED = Path("recipes/teacher/gbk21k.safetensors")
JOBS = (
    "shrink",
    "shrink-full",
    "shrink-ppocr",
    "shrink-ppocr-full",
    "table1",
    "teacher",
    "teacher-full",
    "teacher-regrown",
    "docs",
)


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a folder with the Makefile and next to nothing: set-up would fail at its first step."""
    shutil.copy(ROOT / "Makefile", folder / "Makefile")
    there(folder, Path("pyproject.toml"), Path("constraints.txt"))
    # Not as a part of the `make test` that may have started us.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MF"))}
    return subprocess.run(
        ["make", "PYTHON=false", *arguments],
        capture_output=True, text=True, check=False, cwd=folder, env=env,
    )  # fmt: skip


def commands(folder: Path, target: str) -> list[list[str]]:
    """What ``target`` would have hcompress do, word by word."""
    done = make(folder, "-n", target)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.replace("\\\n", " ").splitlines()
    words = [shlex.split(line.split(">")[0]) for line in lines if "bin/hcompress " in line]
    return [found[1:] for found in words]


def there(folder: Path, *files: Path) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()


@pytest.mark.parametrize("target", JOBS)
def test_every_command_parses(target: str, tmp_path: Path) -> None:
    import typer.main

    from hcompress.cli.app import build_app
    from hcompress.stages import STAGES

    program: Any = typer.main.get_command(build_app(STAGES))
    there(tmp_path, SHIPPED)
    found = commands(tmp_path, target)
    assert found
    for name, *arguments in found:
        program.commands[name].make_context(name, list(arguments))  # parses; runs nothing
        for word in arguments:
            if word.startswith("recipes/") and Path(word) != SHIPPED:
                assert (ROOT / word).is_file(), word


@pytest.mark.parametrize(
    ("target", "first"),
    [("teacher", "train"), ("teacher-full", "train"), ("teacher-regrown", "regrow")],
)
def test_each_step_starts_where_the_last_one_ended(target: str, first: str, tmp_path: Path) -> None:
    found = commands(tmp_path, target)
    assert found[0][0] == first
    outs = [words[words.index("--out") + 1] for words in found]
    assert len(set(outs)) == len(outs)
    assert [words[1] for words in found[1:]] == outs[:-1]
    seeds = [words[words.index("--seed") + 1] for words in found if words[0] != "half"]
    assert len(set(seeds)) == len(seeds), "no step sees the lines of another"


def test_the_trained_teacher_is_the_one_that_is_shrunk(tmp_path: Path) -> None:
    last = commands(tmp_path, "teacher-full")[-1]
    there(tmp_path, TRAINED)
    assert Path(last[last.index("--out") + 1]) / "model.safetensors" == TRAINED
    assert commands(tmp_path, "shrink-full") == [
        ["shrink", str(TRAINED), "--recipe", "recipes/gbk21k.toml", "--out", "runs/gbk21k"]
    ]


def test_a_teacher_that_is_put_there_comes_first(tmp_path: Path) -> None:
    there(tmp_path, TRAINED, SHIPPED)
    assert commands(tmp_path, "shrink-full")[0][1] == str(SHIPPED)


def test_a_missing_teacher_is_said_on_one_line_before_anything_is_installed(tmp_path: Path) -> None:
    done = make(tmp_path, "shrink-full")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "make teacher-full trains one" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_help_lists_every_target_in_two_columns(tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z0-9-]+):.*## ", makefile, re.MULTILINE)
    rows = re.findall(r"^  ([a-z0-9-]+)( +)\S", make(tmp_path, "help").stdout, re.MULTILINE)
    assert [name for name, _ in rows] == targets
    assert len({len(name + gap) for name, gap in rows}) == 1
