"""Where work may go: no source is replaced, no link followed, no running run disturbed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hcompress.artifacts.folder import Artifact, path_digest
from hcompress.artifacts.source import open_source
from hcompress.compute import lock as locks
from hcompress.compute.lock import hold
from hcompress.errors import EnvironmentFailed, InputRefused, UsageError
from hcompress.runs.place import Existing, apart_from_runs, made, named
from hcompress.runs.plan import make_plan
from hcompress.runs.recipe import Recipe, load_recipe
from hcompress.runs.runner import StageOptions, run_stage
from hcompress.runs.shrink import RunOptions, run_recipe
from tests.fake_stages import FAKES, RECIPE, FakeOnnx, FakeSlim, FakeTrain, safetensors_bytes
from tests.fake_stages import write_recipe as write

FORCED = StageOptions(rebuild=True, existing=Existing.REPLACE)


@pytest.fixture
def model(tmp_path: Path) -> Artifact:
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes(b"t" * 32))
    return open_source(path)


@pytest.fixture
def source(tmp_path: Path, model: Artifact) -> Artifact:
    return run_stage(FakeSlim(), model, tmp_path / "source", StageOptions())


def recipe_of(folder: Path, text: str = RECIPE) -> Recipe:
    folder.mkdir(exist_ok=True)
    return load_recipe(write(folder, text), FAKES)


def run(recipe: Recipe, folder: Path, teacher: Path | None = None, **options: Any) -> None:
    run_recipe(recipe, teacher, folder, RunOptions(digest_data=path_digest, **options))


@pytest.mark.parametrize("spelling", ["same", "link", "dots", "the file", "the teacher", "data"])
def test_what_it_is_made_from_is_not_replaced(
    tmp_path: Path, source: Artifact, model: Artifact, spelling: str
) -> None:
    given, out, options, stage = source, source.path, FORCED, FakeOnnx()
    if spelling == "link":
        out = tmp_path / "link"
        out.symlink_to(source.path)
    elif spelling == "dots":
        out = source.path / ".." / "source"
    elif spelling == "the file":
        given = open_source(source.file)
    elif spelling == "the teacher":
        given, options = model, dataclasses.replace(FORCED, teacher=source)
    elif spelling == "data":
        stage = FakeTrain(data=source.path / "extra")  # type: ignore[assignment]
    before = path_digest(source.path)
    with pytest.raises(UsageError, match="would be replaced by what is made from it"):
        run_stage(stage, given if spelling != "data" else None, out, options)
    assert path_digest(source.path) == before


def test_work_beside_is_not_cleared_of_the_source(tmp_path: Path, source: Artifact) -> None:
    """Somebody takes up what a kill left."""
    out = tmp_path / "x"
    source.path.rename(tmp_path / "moved")
    (tmp_path / "x.partial").mkdir()
    shutil.move(tmp_path / "moved", tmp_path / "x.partial" / "out")
    given = open_source(tmp_path / "x.partial" / "out")
    with pytest.raises(UsageError, match="would be replaced"):
        run_stage(FakeOnnx(), given, out, FORCED)
    assert given.file.exists()


def test_a_run_does_not_replace_its_teacher(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path / "r")
    run(recipe, tmp_path / "run")
    teacher = tmp_path / "run" / "02-slim"
    before = path_digest(teacher)
    later = dataclasses.replace(recipe, steps=recipe.steps[1:])
    later = dataclasses.replace(
        later, steps=(dataclasses.replace(later.steps[0], label="x"),
                      dataclasses.replace(later.steps[0], label="slim"))
    )  # fmt: skip
    for rebuild in (False, True):
        with pytest.raises(UsageError, match="would be replaced"):
            run(later, tmp_path / "run", teacher, rebuild=rebuild)
        with pytest.raises(UsageError, match="would be replaced"):
            make_plan(later, teacher, tmp_path / "run", path_digest, rebuild=rebuild)
    assert path_digest(teacher) == before


def test_a_link_to_a_folder_stays_one(tmp_path: Path, model: Artifact) -> None:
    disk, link = tmp_path / "disk", tmp_path / "link"
    disk.mkdir()
    link.symlink_to(disk)
    assert named(link) == disk
    made_there = run_stage(FakeSlim(), model, named(link), StageOptions())
    assert link.is_symlink()
    assert open_source(link).key == made_there.key
    with pytest.raises(UsageError, match="a link, and in the way"):
        run_stage(FakeOnnx(), model, link, FORCED)
    run(recipe_of(tmp_path / "r"), _linked(tmp_path / "run"))
    assert (tmp_path / "run").is_symlink()
    assert (tmp_path / "run.real" / "03-fake-onnx" / "model.onnx").exists()


def _linked(path: Path) -> Path:
    real = path.with_name(path.name + ".real")
    real.mkdir()
    path.symlink_to(real)
    return path


def test_a_name_that_leads_nowhere_is_said_before_the_work(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path / "r")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("mine")
    for out, said in (("link", "to nothing"), ("loop", "to nothing"), ("file/x", "not a folder")):
        with pytest.raises(UsageError, match=said):
            named(tmp_path / out)
        with pytest.raises(UsageError, match=said):
            run(recipe, tmp_path / out)
        with pytest.raises(UsageError, match=said):
            make_plan(recipe, None, tmp_path / out, path_digest)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_mounted_disk_is_no_name(
    tmp_path: Path, model: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can't be renamed, which would be found out after the work."""
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "disk")
    with pytest.raises(UsageError, match="a disk is mounted there"):
        run_stage(FakeSlim(), model, tmp_path / "disk", StageOptions())


ODD: dict[str, Callable[[Path, Path], object]] = {
    "partial": lambda run, elsewhere: (run / "02-slim.partial").symlink_to(elsewhere),
    "stage": lambda run, elsewhere: (run / "02-slim").symlink_to(elsewhere),
    "evaluations": lambda run, elsewhere: (run / "evaluations").symlink_to(elsewhere),
}


@pytest.mark.parametrize("name", ODD)
def test_a_run_writes_through_no_link(tmp_path: Path, name: str) -> None:
    recipe = recipe_of(tmp_path / "r")
    run(recipe, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "02-slim")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "key").write_text("a user's")
    ODD[name](tmp_path / "run", elsewhere)
    with pytest.raises(UsageError, match="a link, and in the way"):
        make_plan(recipe, None, tmp_path / "run", path_digest)
    with pytest.raises(UsageError, match="a link, and in the way"):
        run(recipe, tmp_path / "run")
    assert [path.name for path in elsewhere.iterdir()] == ["key"]
    assert (elsewhere / "key").read_text() == "a user's"


@pytest.mark.parametrize("name", ["out", "scratch", "key"])
@pytest.mark.parametrize("kind", ["link", "dangling", "file", "folder", "pipe", "bytes"])
def test_odd_things_in_a_partial_folder_are_cleared(
    tmp_path: Path, model: Artifact, name: str, kind: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("a user's")
    odd = tmp_path / "x.partial" / name
    odd.parent.mkdir()
    makers: dict[str, Callable[[], object]] = {
        "link": lambda: odd.symlink_to(elsewhere),
        "dangling": lambda: odd.symlink_to("nowhere"),
        "file": lambda: odd.write_text("x"),
        "folder": lambda: (odd / "deep").mkdir(parents=True),
        "pipe": lambda: os.mkfifo(odd),
        "bytes": lambda: odd.write_bytes(b"\xff\xfe"),
    }
    makers[kind]()
    run_stage(FakeSlim(), model, tmp_path / "x", StageOptions())
    assert not (tmp_path / "x.partial").exists()
    assert [path.name for path in elsewhere.iterdir()] == ["mine"]


def test_scratch_that_is_a_link_is_written_to_by_nobody(tmp_path: Path) -> None:
    """With the right key, as if a snapshot of ours lay there."""
    (tmp_path / "data.txt").write_text("x")
    stage = FakeTrain(data=tmp_path / "data.txt")
    options = StageOptions(digest_data=path_digest)
    whole = run_stage(stage, None, tmp_path / "whole", options)
    (tmp_path / "x.partial").mkdir()
    (tmp_path / "x.partial" / "key").write_text(whole.key)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "x.partial" / "scratch").symlink_to(tmp_path / "elsewhere")
    assert run_stage(stage, None, tmp_path / "x", options).digest == whole.digest
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("index", ["run.json", "runs.json", None])
@pytest.mark.parametrize("depth", ["06-half", "variant/06-half"])
def test_nobody_works_inside_a_running_run(tmp_path: Path, index: str | None, depth: str) -> None:
    """Nor does a run begin around somebody who works there."""
    folder = tmp_path / "run"
    out = folder / depth
    out.parent.mkdir(parents=True)
    if index is not None:
        (folder / index).write_text("{}")
    with (
        _held_by_another(folder / ".lock"),
        pytest.raises(EnvironmentFailed, match="another run holds it"),
        apart_from_runs(out),
    ):
        pass
    with apart_from_runs(out):
        assert (folder / ".lock").exists() == (index is not None)
    assert not (folder / ".lock").exists()


def _held_by_another(lock: Path) -> Any:
    """Held by this process, which forgets that it is its own."""
    held = locks._held

    class Other:
        def __enter__(self) -> None:
            self.hold = hold(lock)
            self.hold.__enter__()
            self.handle = held.pop()

        def __exit__(self, *_: object) -> None:
            held.add(self.handle)
            self.hold.__exit__(None, None, None)

    return Other()


def test_a_strangers_lock_above_is_nobodys_business(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("somebody else's program")
    with apart_from_runs(tmp_path / "deep" / "out"):
        pass
    assert (tmp_path / ".lock").read_text() == "somebody else's program"


def test_a_run_works_inside_what_it_holds_itself(tmp_path: Path) -> None:
    """A study's run does."""
    (tmp_path / "runs.json").write_text("{}")
    with hold(tmp_path / ".lock"), apart_from_runs(tmp_path / "run" / "06-half"):
        pass


def test_one_artifact_is_made_by_one(tmp_path: Path, model: Artifact) -> None:
    with hold(tmp_path / "x.lock"), pytest.raises(EnvironmentFailed, match="/x: another run"):
        run_stage(FakeSlim(), model, tmp_path / "x", StageOptions())
    assert not (tmp_path / "x.partial").exists()


def test_a_refused_run_does_not_keep_the_name(tmp_path: Path) -> None:
    refusing = recipe_of(tmp_path / "r", RECIPE.replace('data = "data.txt"', 'data = "line.ppm"'))

    class Refusing(FakeTrain):
        def run(self, *_: Any) -> Any:
            raise InputRefused("line 3: no such character")

    first, *rest = refusing.steps
    stage = Refusing(data=first.stage.data)  # type: ignore[attr-defined]
    refusing = dataclasses.replace(refusing, steps=(dataclasses.replace(first, stage=stage), *rest))
    with pytest.raises(InputRefused, match="line 3"):
        run(refusing, tmp_path / "deep" / "run")
    assert not (tmp_path / "deep").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputRefused, match="line 3"):
        run(refusing, tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []
    run(recipe_of(tmp_path / "r"), tmp_path / "run")
    before = sorted((tmp_path / "run").iterdir())
    with pytest.raises(InputRefused, match="line 3"):
        run(refusing, tmp_path / "run", rebuild=True)
    assert set(before) <= set((tmp_path / "run").iterdir())


def test_folders_that_were_made_go_again_if_they_are_empty(tmp_path: Path) -> None:
    with pytest.raises(UsageError), made(tmp_path / "a" / "b"):
        raise UsageError("x")
    assert list(tmp_path.iterdir()) == []
    with contextlib.suppress(UsageError), made(tmp_path / "a" / "b"):
        (tmp_path / "a" / "mine").write_text("x")
        raise UsageError("x")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["mine"]


def test_a_dry_run_refuses_a_disk_that_the_run_would_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(tmp_path / "r")
    usage = shutil.disk_usage("/")._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(EnvironmentFailed, match="1 MiB free, 64 MiB needed"):
        make_plan(recipe, None, tmp_path / "run", path_digest)


def test_a_dry_run_refuses_a_partial_folder_that_is_not_ours(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path / "r")
    run(recipe, tmp_path / "run")
    (tmp_path / "run" / "02-slim.partial").mkdir()
    (tmp_path / "run" / "02-slim.partial" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not ours"):
        make_plan(recipe, None, tmp_path / "run", path_digest)
    with pytest.raises(UsageError, match="not ours"):
        run(recipe, tmp_path / "run")


def test_what_a_kill_left_beside_a_finished_artifact_goes(tmp_path: Path, model: Artifact) -> None:
    """Its work, and what it replaced: neither is of use to anybody."""
    found = run_stage(FakeSlim(), model, tmp_path / "x", StageOptions())
    (tmp_path / "x.partial" / "scratch").mkdir(parents=True)
    (tmp_path / "x" / ".replaced").mkdir()
    (tmp_path / "x" / ".replaced" / "old").write_text("x")
    assert run_stage(FakeSlim(), model, tmp_path / "x", StageOptions()) == found
    assert not (tmp_path / "x.partial").exists()
    assert not (tmp_path / "x" / ".replaced").exists()


def test_what_was_complete_before_the_kill_is_published_and_its_work_goes(
    tmp_path: Path, model: Artifact
) -> None:
    found = run_stage(FakeSlim(), model, tmp_path / "x", StageOptions())
    (tmp_path / "x.partial" / "scratch").mkdir(parents=True)
    (tmp_path / "x.partial" / "key").write_text(found.key)
    (tmp_path / "x").rename(tmp_path / "x.partial" / "out")
    assert run_stage(FakeSlim(), model, tmp_path / "x", StageOptions()) == found
    assert not (tmp_path / "x.partial").exists()


def test_what_killed_writes_left_in_a_run_goes(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path / "r")
    run(recipe, tmp_path / "run")
    (tmp_path / "run" / "evaluations").mkdir(exist_ok=True)
    left = [
        tmp_path / "run" / name / f".x.{'0' * 16}.tmp" for name in (".", "evaluations")
    ]  # fmt: skip
    for path in left:
        path.write_text("half")
    run(recipe, tmp_path / "run")
    assert not any(path.exists() for path in left)


def test_a_run_inside_a_running_study_waits(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path / "r")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "runs.json").write_text("{}")
    with (
        _held_by_another(tmp_path / "study" / ".lock"),
        pytest.raises(EnvironmentFailed, match="study: another run holds it"),
    ):
        run(recipe, tmp_path / "study" / "mine")
    assert not (tmp_path / "study" / "mine").exists()
